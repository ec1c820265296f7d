//! The options that select processes and packets: the same in each command that selects. Their words, and what these
//! match, are those of `hone-select`.

use std::rc::Rc;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, Error};
use hone_select::{Condition, Selection, Word};

use super::refusal;
use crate::platform::accounts;

/// The options of [`Word`]s, their opposites, and `--children`.
#[derive(Debug, Default)]
pub struct SelectionArgs {
    /// What all of them select together.
    pub selection: Rc<Selection>,
}

impl SelectionArgs {
    /// Refuses users and groups that this host does not have. For commands that record: a recording may be from elsewhere.
    pub(super) fn check_accounts(&self, command: &str) -> Result<(), Error> {
        for condition in self.selection.conditions() {
            let (what, has): (_, fn(&str) -> bool) = match condition.word {
                Word::User => ("user", accounts::has_user),
                Word::Group => ("group", accounts::has_group),
                _ => continue,
            };
            let name = condition.text();
            if name.parse::<u32>().is_err() && !name.starts_with("S-1-") && !has(name) {
                let option = condition.word.written(condition.is_negated);
                let message =
                    format!("--{option}: this host has no {what} {name:?}; a number is taken as it is");
                return Err(refusal(command, &message));
            }
        }
        Ok(())
    }
}

/// Below the help of each command that selects.
pub(super) const NOTES: &str = "\
Selecting:
  If an option is given several times, one match is enough. Of different options,
  each must match. What has nothing to compare does not match: a process event
  has no port. Each option but --children has an opposite (--not-pid, --not-name
  and so on), which leaves out what matches, and nothing else. --children selects
  the descendants of each process that matches when or after it starts, even if
  their parents have ended; of a process that an opposite leaves out, it leaves
  out the descendants.";

/// The heading above the options.
const HEADING: &str = "Selection";
/// The flag for descendants.
const CHILDREN: &str = "children";

/// What a word's value is called, and the help of its option.
fn help(word: Word) -> (&'static str, &'static str, &'static str) {
    match word {
        Word::Pid => ("PID", "Select the process with this id", ""),
        Word::Name => (
            "NAME",
            "Select processes whose executable has this file name, or this path",
            "As it is, or as show prints it: evil\\x1b.sh, caf\\xe9. The other options with names also take both forms.",
        ),
        Word::Path => (
            "PATH",
            "Select processes whose executable has this path, or is in this folder, if the value ends with a slash",
            "",
        ),
        Word::User => ("USER", "Select processes of this user, by name, number or security identifier", ""),
        Word::Group => ("GROUP", "Select processes of this group, by name or number", ""),
        Word::Container => ("ID", "Select processes in containers whose id or name begins with this", ""),
        Word::Unit => {
            ("UNIT", "Select processes in this unit of a service, such as ssh.service, or just ssh", "")
        }
        Word::Conn => ("ID", "Select the connection with this id", ""),
        Word::Port => ("PORT", "Select packets from or to this port", ""),
        Word::Host => ("HOST", "Select packets from or to this address or network (ADDRESS/BITS)", ""),
        Word::Direction => {
            ("DIRECTION", "Select packets that this host receives, or those that it sends", "")
        }
        Word::Filter => (
            "EXPRESSION",
            "Select packets that match a pcap-filter expression, as tcpdump takes it",
            "Such as 'tcp port 443 and not net 10.0.0.0/8' or 'tcp[tcpflags] & tcp-syn != 0'. Hosts and ports are \
             numbers; expressions about the link layer (ether, vlan) are refused. At most 2,000 words and signs.",
        ),
    }
}

/// The option of a word, or its opposite. Opposites are not listed, so that the help stays short; its notes name them.
fn option(word: Word, is_negated: bool) -> Arg {
    let (value_name, short, more) = help(word);
    let option = Arg::new(word.written(is_negated))
        .long(word.written(is_negated))
        .value_name(value_name)
        .action(ArgAction::Append)
        .help_heading(HEADING);
    let option = match word {
        Word::Direction => option.value_parser(PossibleValuesParser::new(["in", "out"])),
        _ => option.value_parser(move |text: &str| {
            Condition::new(word, is_negated, text).map(|condition| condition.text().to_owned())
        }),
    };
    if is_negated {
        let what = short.strip_prefix("Select ").unwrap_or(short);
        return option.hide(true).help(format!("Leave out {what}"));
    }
    match more {
        "" => option.help(short),
        more => option.help(short).long_help(format!("{short}\n\n{more}")),
    }
}

impl clap::Args for SelectionArgs {
    fn augment_args(command: Command) -> Command {
        let words = Word::ALL.into_iter().map(|word| option(word, false));
        let opposites = Word::ALL.into_iter().map(|word| option(word, true));
        let children = Arg::new(CHILDREN)
            .long(CHILDREN)
            .action(ArgAction::SetTrue)
            .help_heading(HEADING)
            .help("Select also all descendants of the processes that are selected");
        command.args(words).arg(children).args(opposites)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SelectionArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut selection = Selection::default();
        for word in Word::ALL {
            for is_negated in [false, true] {
                for value in matches.get_many::<String>(word.written(is_negated)).into_iter().flatten() {
                    selection
                        .add(word, is_negated, value)
                        .map_err(|error| Error::raw(ErrorKind::ValueValidation, error))?;
                }
            }
        }
        selection.set_children(matches.get_flag(CHILDREN));
        selection.check().map_err(|error| Error::raw(ErrorKind::ArgumentConflict, error))?;
        Ok(Self { selection: Rc::new(selection) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
