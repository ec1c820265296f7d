//! An interface of Wireshark and tshark: see extcap(4). Wireshark starts the program once for each question ([`sentences`]
//! has the answers), and once for each capture (`capture.rs`). While a window captures, [`control`] carries what the window's
//! toolbar and this program tell each other.

pub(crate) mod access;
pub mod arguments;
mod capture;
pub mod control;
pub mod selecting;
pub mod sentences;
mod toolbar;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::bail;
use hone_select::{Selection, Word};

use self::arguments::{Arguments, Question};
use crate::messages::print;

/// Answers Wireshark's question, or captures.
///
/// # Errors
/// What went wrong, as text for the user.
pub fn run(options: &[OsString]) -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse(options)?;
    let interface = arguments.interface.as_deref();
    match (arguments.question, interface) {
        (Question::Interfaces, _) => {
            print(&sentences::interfaces(&access::interfaces(), arguments.version.as_deref()))
        }
        (Question::Cleanup, _) => Ok(ExitCode::SUCCESS),
        (Question::Nothing, _) if arguments.filter.is_none() => {
            bail!("extcap is for Wireshark, which starts it; `honeutil extcap --help` says more")
        }
        (_, Some(name)) if !sentences::INTERFACES.contains(&name) => {
            bail!("no interface {name:?}: there is {}", sentences::INTERFACES.join(" and "))
        }
        (Question::Links, _) => print(sentences::LINKS),
        (Question::Settings, _) => match &arguments.reload {
            Some(setting) => print(&sentences::choices(setting)),
            None => print(&sentences::settings()),
        },
        (Question::Capture, _) => capture::run(&arguments),
        // While a filter is typed. Wireshark takes any output for what is wrong.
        (Question::Nothing, _) => {
            let filter = arguments.filter.as_deref().unwrap_or_default();
            match Selection::default().add(Word::Filter, false, filter) {
                Err(error) if !filter.trim().is_empty() => print(&format!("{error}\n")),
                _ => Ok(ExitCode::SUCCESS),
            }
        }
    }
}
