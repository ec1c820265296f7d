//! The options that select processes and packets: the same in each command that selects. Their words, and what these
//! match, are those of `hone-select`.

use std::rc::Rc;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, Error};
use hone_select::{Condition, ConditionError, ExpressionError, Selection, Word};

use super::refusal;
use crate::platform::accounts;
use crate::text::prints;

/// The options of [`Word`]s, their opposites, and `--children`.
#[derive(Debug, Default)]
pub struct SelectionArgs {
    /// What all of them select together.
    pub selection: Rc<Selection>,
    /// Why that is not all: [`check`](Self::check) says it, with the name of the command.
    problem: Option<ConditionError>,
}

impl From<Rc<Selection>> for SelectionArgs {
    fn from(selection: Rc<Selection>) -> Self {
        Self { selection, problem: None }
    }
}

impl SelectionArgs {
    /// Refuses a selection that matches nothing, or is too large.
    pub(super) fn check(&self, command: &str) -> Result<(), Error> {
        if let Some(problem) = &self.problem {
            return Err(refusal(command, &problem.to_string()));
        }
        self.selection.check().map_err(|contradiction| refusal(command, &contradiction.to_string()))
    }

    /// The selection as it applies to recordings, which may be from elsewhere.
    pub(super) fn for_recordings(&self) -> Rc<Selection> {
        accounts::for_recordings(&self.selection)
    }

    /// For commands that record on this host: refuses also users and groups that it does not have, words for what its
    /// processes never have, and a name that is wanted if its number is unwanted. A recording may be from elsewhere.
    pub(super) fn check_on_host(&self, command: &str) -> Result<(), Error> {
        self.check(command)?;
        let problem = problem_on_host(&self.selection);
        problem.map_or(Ok(()), |problem| Err(refusal(command, &problem)))
    }

    /// The same for a command that finds names itself.
    pub(super) fn check_on_host_with_names(&self, command: &str) -> Result<(), Error> {
        self.check(command)?;
        let problem = account(&self.selection);
        problem.map_or(Ok(()), |problem| Err(refusal(command, &problem)))
    }
}

/// What is wrong with a selection on this host: see [`SelectionArgs::check_on_host`].
pub(crate) fn problem_on_host(selection: &Selection) -> Option<String> {
    names(selection).or_else(|| account(selection))
}

/// What is wrong with a user or a group.
fn account(selection: &Selection) -> Option<String> {
    unknown_account(selection).or_else(|| same_account(selection))
}

/// What is wrong if names are compared, which are only found in what was recorded.
fn names(selection: &Selection) -> Option<String> {
    selection.needs_names().then(|| {
        "--domain, --not-domain and domain in --filter select in recordings, and in top: names are found after packets were recorded. \
         Record without them, and cut the packets out: honeutil show --domain NAME -w OUT FILE"
            .to_owned()
    })
}

/// What is wrong if no process of this host can have a value.
fn unknown_account(selection: &Selection) -> Option<String> {
    selection.conditions().find_map(|condition| {
        let message = accounts::refusal(condition.word, condition.text())?;
        Some(format!("--{}: {message}", condition.word.written(condition.is_negated)))
    })
}

/// What is wrong if a user or a group is wanted by one name or number, and unwanted by another.
fn same_account(selection: &Selection) -> Option<String> {
    let identity = |condition: &Condition| accounts::identity(condition.word, condition.text());
    let unwanted = || selection.conditions().filter(|condition| condition.is_negated);
    selection.conditions().filter(|condition| !condition.is_negated).find_map(|wanted| {
        let id = identity(wanted)?;
        let unwanted =
            unwanted().find(|other| other.word == wanted.word && identity(other).as_ref() == Some(&id))?;
        let word = wanted.word.name();
        Some(format!(
            "--{word} {:?} can match nothing, because --{} {:?} leaves it out: both are the {word} with {id}",
            wanted.text(),
            wanted.word.opposite(),
            unwanted.text(),
        ))
    })
}

/// What is wrong with a value. In an expression, the place is marked below it.
fn value_error(error: &ConditionError, text: &str) -> String {
    match error {
        ConditionError::Expression(ExpressionError::At(at, _)) => {
            format!("{error}\n\n{}", marked(text, usize::try_from(*at).unwrap_or(usize::MAX)))
        }
        error => error.to_string(),
    }
}

/// Most characters of an expression beside a mark, on each side.
const BESIDE_MARK: usize = 60;

/// The line of the text that has this character, counted from 1 on, and a line below that marks it.
fn marked(text: &str, at: usize) -> String {
    let at = at.saturating_sub(1);
    let is_end = |(_, char): &(usize, char)| *char == '\n';
    let begin = text.chars().enumerate().take(at).filter(is_end).last().map_or(0, |(index, _)| index + 1);
    let begin = begin.max(at.saturating_sub(BESIDE_MARK));
    let line = text.chars().skip(begin).take_while(|char| *char != '\n').take(at - begin + BESIDE_MARK);
    let line: String = line.map(|char| if prints(char) { char } else { ' ' }).collect();
    format!("  {}\n  {:>2$}", line.trim_end(), '^', at - begin + 1)
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

/// More about words for what processes of Windows do not have.
const NONE_ON_WINDOWS: &str = if cfg!(windows) {
    "Processes of Windows have none: this is for recordings from Linux, in show."
} else {
    ""
};
/// More about users.
const USERS: &str =
    if cfg!(windows) { "A name, DOMAIN\\NAME or an identifier such as S-1-5-18." } else { "" };

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
        Word::User => {
            ("USER", "Select processes of this user, by name, number or security identifier", USERS)
        }
        Word::Group => ("GROUP", "Select processes of this group, by name or number", NONE_ON_WINDOWS),
        Word::Container => {
            ("ID", "Select processes in containers whose id or name begins with this", NONE_ON_WINDOWS)
        }
        Word::Unit => (
            "UNIT",
            "Select processes in this unit of a service, such as ssh.service, or just ssh",
            NONE_ON_WINDOWS,
        ),
        Word::Conn => ("ID", "Select the connection with this id", ""),
        Word::Port => ("PORT", "Select packets from or to this port", ""),
        Word::Host => ("HOST", "Select packets from or to this address or network (ADDRESS/BITS)", ""),
        Word::Domain => (
            "NAME",
            "Select packets that have this name or one below it, and packets of connections with such a name (not in read and run)",
            "Such as example.com: names of DNS, TLS, QUIC and HTTP; and by DNS, addresses that were looked up. Names are found in \
             recorded packets. So read and run refuse this: record without it, and let show -w cut out what is wanted. Of a \
             file, all packets of the connection are selected; of a pipe, and in top, those from the one on that has the name.",
        ),
        Word::Direction => {
            ("DIRECTION", "Select packets that this host receives, or those that it sends", "")
        }
        Word::Filter => (
            "EXPRESSION",
            "Select packets that match a pcap-filter expression, as tcpdump takes it",
            "Such as 'tcp port 443 and not net 10.0.0.0/8' or 'tcp[tcpflags] & tcp-syn != 0'. Hosts and ports are \
             numbers; expressions about the link layer (ether, vlan) are refused. At most 2,000 words and signs. An empty expression selects all. domain NAME \
             is Hone's own: as --domain, so not in read and run.",
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
        // So that the word says what is wrong with -1.
        .allow_negative_numbers(true)
        .help_heading(HEADING);
    let option = match word {
        Word::Direction => option.value_parser(PossibleValuesParser::new(["in", "out"])),
        _ => option.value_parser(move |text: &str| {
            if is_everything(word, is_negated, text) {
                return Ok(text.to_owned());
            }
            Condition::new(word, is_negated, text)
                .map(|condition| condition.text().to_owned())
                .map_err(|error| value_error(&error, text))
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

/// An empty expression is met by everything, as in tcpdump: `--filter "$expression"`.
fn is_everything(word: Word, is_negated: bool, text: &str) -> bool {
    word == Word::Filter && !is_negated && text.trim_ascii().is_empty()
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
        let mut problem = None;
        for word in Word::ALL {
            for is_negated in [false, true] {
                let values = matches.get_many::<String>(word.written(is_negated)).unwrap_or_default();
                // One match is enough, and all packets match this value.
                if values.clone().any(|value| is_everything(word, is_negated, value)) {
                    continue;
                }
                for value in values {
                    problem = problem.or(selection.add(word, is_negated, value).err());
                }
            }
        }
        selection.set_children(matches.get_flag(CHILDREN));
        Ok(Self { selection: Rc::new(selection), problem })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
