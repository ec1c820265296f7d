//! What Wireshark says on the command line. Options and values come as `--option value` and `--option=value`. Newer
//! versions of Wireshark have options that older programs do not know: those are ignored.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use hone_engine::SnapLength;
use hone_select::Word;

use super::sentences::LOCAL;
use crate::cli::parse::snap_length;
use crate::convert::Form;

/// What is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Question {
    /// None of the others: a capture filter is to be checked.
    #[default]
    Nothing,
    /// Which interfaces there are.
    Interfaces,
    /// Which link types an interface has.
    Links,
    /// Which settings an interface has.
    Settings,
    /// To capture.
    Capture,
    /// To clean up after a capture that was killed.
    Cleanup,
}

/// The command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// What is asked.
    pub question: Question,
    /// The interface.
    pub interface: Option<String>,
    /// Wireshark's version.
    pub version: Option<String>,
    /// The setting whose choices are asked for.
    pub reload: Option<String>,
    /// The capture filter.
    pub filter: Option<String>,
    /// Where packets go.
    pub fifo: Option<PathBuf>,
    /// What Wireshark writes to, and reads from.
    pub control_in: Option<PathBuf>,
    /// See [`control_in`](Self::control_in).
    pub control_out: Option<PathBuf>,
    /// Most bytes of each packet.
    pub snap_length: SnapLength,
    /// In which form packets go there.
    pub format: Form,
    /// The socket of honed.
    pub socket: Option<PathBuf>,
    /// Words that select: whether negated, and the values.
    pub words: Vec<(Word, bool, String)>,
    /// Whether descendants are selected, too.
    pub children: bool,
    /// Whether Wireshark's own traffic is recorded.
    pub include_own: bool,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// An option is unknown, has no value, or a wrong one.
    pub fn parse(options: &[OsString]) -> anyhow::Result<Self> {
        let mut arguments = Self::default();
        let mut options = options.iter().peekable();
        while let Some(option) = options.next() {
            let text = option.to_str().with_context(|| format!("{option:?} is not UTF-8"))?;
            let (name, joined) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let Some(name) = name.strip_prefix("--") else { bail!("{text:?} is not an option") };
            let question = match name {
                "extcap-interfaces" => Question::Interfaces,
                "extcap-dlts" => Question::Links,
                "extcap-config" => Question::Settings,
                "capture" => Question::Capture,
                "extcap-cleanup-postkill" => Question::Cleanup,
                _ => Question::Nothing,
            };
            if question != Question::Nothing {
                arguments.question = question;
                continue;
            }
            match name {
                "children" => arguments.children = joined != Some("false"),
                "include-own" => arguments.include_own = joined != Some("false"),
                _ => {
                    let is_value =
                        |next: &&OsString| !next.to_str().is_some_and(|next| next.starts_with("--"));
                    // A known option always has a value; one that is ignored may have one.
                    let value = match joined {
                        Some(value) => Some(value.to_owned()),
                        None if is_known(name) => {
                            options.next().and_then(|next| next.to_str()).map(str::to_owned)
                        }
                        None => options.next_if(is_value).and_then(|next| next.to_str()).map(str::to_owned),
                    };
                    arguments.set(name, value)?;
                }
            }
        }
        Ok(arguments)
    }

    fn set(&mut self, name: &str, value: Option<String>) -> anyhow::Result<()> {
        if !is_known(name) {
            // `--extcap-…` is Wireshark's; the others it passes to every program of its own.
            if ["extcap-", "log-", "debug"].iter().any(|begin| name.starts_with(begin)) {
                return Ok(());
            }
            bail!("unknown option --{name}");
        }
        let value = value.with_context(|| format!("--{name} needs a value"))?;
        // Wireshark may pass a setting that is empty. An empty filter is still to be checked.
        if value.is_empty() && name != "extcap-capture-filter" {
            return Ok(());
        }
        match name {
            "extcap-interface" => self.interface = Some(value),
            "extcap-version" => self.version = Some(value),
            "extcap-reload-option" => self.reload = Some(value.trim_start_matches('-').to_owned()),
            "extcap-capture-filter" => self.filter = Some(value),
            "extcap-control-in" => self.control_in = Some(value.into()),
            "extcap-control-out" => self.control_out = Some(value.into()),
            "fifo" => self.fifo = Some(value.into()),
            "socket" => self.socket = Some(value.into()),
            "format" => {
                self.format = match value.as_str() {
                    "hone" => Form::Hone,
                    "wireshark" => Form::Wireshark,
                    _ => bail!("--format {value}: must be hone or wireshark"),
                };
            }
            "snap-length" => {
                self.snap_length =
                    snap_length(&value).map_err(|error| anyhow::anyhow!("--snap-length {value}: {error}"))?;
            }
            name => {
                let (word, is_negated) =
                    Word::read(name).with_context(|| format!("unknown option --{name}"))?;
                self.words.push((word, is_negated, value));
            }
        }
        Ok(())
    }

    /// Whether this capture is to happen without honed.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.interface.as_deref() == Some(LOCAL)
    }
}

/// Whether an option with a value is known.
fn is_known(name: &str) -> bool {
    const KNOWN: [&str; 10] = [
        "extcap-interface",
        "extcap-version",
        "extcap-reload-option",
        "extcap-capture-filter",
        "extcap-control-in",
        "extcap-control-out",
        "fifo",
        "format",
        "socket",
        "snap-length",
    ];
    KNOWN.contains(&name) || Word::read(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> anyhow::Result<Arguments> {
        Arguments::parse(&options.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn wiresharks_command_lines_are_understood() {
        let arguments = parse(&["--extcap-interfaces", "--extcap-version=4.0"]).unwrap();
        assert_eq!((arguments.question, arguments.version.as_deref()), (Question::Interfaces, Some("4.0")));
        let options = [
            "--capture",
            "--extcap-interface",
            "hone-local",
            "--fifo",
            "/run/f",
            "--extcap-capture-filter",
            "port 80",
            "--name",
            "curl",
            "--not-port=22",
            "--children",
            "--pid",
            "",
            "--format=wireshark",
        ];
        let arguments = parse(&options).unwrap();
        assert_eq!(arguments.question, Question::Capture);
        assert_eq!(arguments.filter.as_deref(), Some("port 80"));
        assert_eq!(
            arguments.words,
            [(Word::Name, false, "curl".to_owned()), (Word::Port, true, "22".to_owned())]
        );
        assert_eq!(
            (arguments.format, parse(&["--format", ""]).unwrap().format),
            (Form::Wireshark, Form::Hone)
        );
        assert!(arguments.is_local() && arguments.children && !arguments.include_own);
    }

    #[test]
    fn options_of_newer_versions_are_ignored_and_wrong_ones_refused() {
        for options in [
            &["--extcap-new", "value", "--extcap-config"][..],
            &["--extcap-new", "--extcap-config"],
            &["--extcap-new=1", "--log-level", "debug", "--extcap-config"],
        ] {
            assert_eq!(parse(options).unwrap().question, Question::Settings, "{options:?}");
        }
        for (options, message) in [
            (&["--colour", "red"][..], "unknown option --colour"),
            (&["--fifo"], "--fifo needs a value"),
            (&["--format", "pcap"], "--format pcap: must be hone or wireshark"),
            (&["fifo"], "\"fifo\" is not an option"),
            (
                &["--snap-length", "-1"],
                "--snap-length -1: must be 0 (all of each packet) or 1 to 262144 bytes",
            ),
        ] {
            assert_eq!(parse(options).unwrap_err().to_string(), message);
        }
    }
}
