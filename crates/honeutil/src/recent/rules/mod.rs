//! Rules of `--save-when`: what must happen for the newest part to be saved.

mod destinations;
mod watch;

use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use hone_select::Selection;

pub use self::destinations::{Destinations, ListError};
pub use self::watch::{Met, Noted, Watch};
use crate::selection_line;

/// Most rules: each costs a little for every packet.
pub const MAX_RULES: usize = 16;
/// What a rule about a list begins with.
const DESTINATION: &str = "destination in ";
/// The rules about sockets that listen.
const LISTENER: &str = "listener";
const UDP_LISTENER: &str = "udp listener";

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A process that starts, if there are only words of processes; else a packet.
    Selection,
    /// A socket that listens where none did.
    Listener { is_udp: bool },
    /// A packet that this host sends to one of these.
    Destination(Arc<Destinations>),
}

/// Why a text is no rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It selects everything.
    #[error("a rule must select something: {HELP}")]
    Empty,
    /// It is not understood.
    #[error("{0}. {HELP}")]
    Selection(String),
    /// The list cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
}

/// What a rule can be.
const HELP: &str = "A rule is `listener`, `udp listener`, `destination in FILE`, words such as '--name nc' or \
                    '--user alice --port 22', or an expression such as 'tcp port 4444'";

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        let kind = match text.strip_prefix(DESTINATION) {
            Some(file) => Kind::Destination(Arc::new(Destinations::read(Path::new(file.trim()))?)),
            None if text == LISTENER => Kind::Listener { is_udp: false },
            None if text == UDP_LISTENER => Kind::Listener { is_udp: true },
            None => {
                let selection = selection_line::parse(text)
                    .map_err(|error| RuleError::Selection(format!("{error:#}")))?;
                if selection.is_everything() {
                    return Err(RuleError::Empty);
                }
                Kind::Selection
            }
        };
        Ok(Self { text: text.to_owned(), kind })
    }
}

impl Rule {
    /// The rule as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it selects, if it is a selection.
    #[must_use]
    pub fn selection(&self) -> Option<Rc<Selection>> {
        match self.kind {
            // It was parsed before.
            Kind::Selection => selection_line::parse(&self.text).ok().map(Rc::new),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_what_it_can_be() {
        for text in [
            "--name nc",
            "--name nc --not-user root",
            "tcp port 4444",
            "listener",
            "udp listener",
            " --port=22 ",
        ] {
            assert!(text.parse::<Rule>().is_ok(), "{text}");
        }
        for (text, message) in [
            ("", "a rule must select something"),
            ("--children", "--children"),
            ("name == nc", "A rule is `listener`, `udp listener`, `destination in FILE`"),
            ("--colour red", "\"--colour\" is not a word that selects"),
            ("destination in /nowhere/list", "cannot read /nowhere/list: No such file"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
