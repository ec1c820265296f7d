//! `honeutil run`: records what a command and its descendants send and receive.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hone_select::{Selection, Word};

use super::parse::duration;
use super::{read, refusal};
use crate::messages::Messages;
use crate::output::Target;
use crate::platform::command::{self, Held, NotStarted, User};
use crate::platform::ready::Ready;
#[cfg(target_os = "linux")]
use crate::platform::signals;
use crate::record::companion::{Companion, Family};
use crate::record::control::Control;
use crate::record::wanted::Wanted;

/// How long open connections are waited for, unless said otherwise.
const LINGER: Duration = Duration::from_secs(5);
/// Exit status if nothing could be recorded, and the command was not started; as of env(1) and timeout(1).
const NOT_RECORDED: u8 = 125;
/// How often it is looked whether the command has ended, once nothing is recorded any more.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The command.
#[derive(Debug, Default, clap::Args)]
pub struct CommandArgs {
    /// How long to wait, when all processes have ended, for connections that are still open [default: 5s]
    ///
    /// A TCP connection is open until both sides have closed it. The last packets of a peer are recorded if they come within
    /// ten seconds after this side has closed.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "command", help_heading = "Command")]
    pub linger: Option<Duration>,

    /// Run the command as root, also if sudo was called by another user
    #[cfg(target_os = "linux")]
    #[arg(long, requires = "command", help_heading = "Command")]
    pub as_root: bool,

    /// Record this command, with its arguments, and its descendants
    #[arg(last = true, value_name = "COMMAND", help_heading = "Command")]
    pub command: Vec<OsString>,
}

/// What `run` does, above its options, which are those of `read`.
pub(super) const ABOUT: &str = "Record what a command and its descendants send and receive";
/// The same for the long help.
pub(super) const LONG_ABOUT: &str = "\
Record what a command and its descendants send and receive

From the first packet to the last: the recording begins before the command does. It ends when the command, all its \
descendants and their connections have ended.";

/// Below the help.
#[cfg(windows)]
pub(super) const NOTES: &str = "\
Command:
  It has the console and standard output for itself. Files are named by the
  command: curl_20261127_120000.pcapng. They hold packets of the command and of
  every process that descends from it, also if their parents have ended.
  --not-name, --port and so on select among these. If --count or --duration ends
  the recording, the command goes on to its end. What the shell itself does is
  no command: honeutil run -- cmd /c \"dir & curl ...\".

Keys:
  Ctrl-C goes to the command. Once the command has ended, it ends the recording,
  if descendants still run.

Exit status:
  that of the command
  1    the command succeeded, and the recording failed
  2    the command line is wrong; nothing was started
  125  nothing can be recorded; the command was not started
  126  the command cannot be executed
  127  there is no such command

Examples:
  honeutil run -- curl https://example.com/
  honeutil run -w build.pcapng -- nmake
  honeutil run --not-port 53 -- git clone https://example.com/hone.git";

/// Below the help.
#[cfg(target_os = "linux")]
pub(super) const NOTES: &str = "\
Command:
  It runs as the user who called sudo, with that user's HOME, and has the
  terminal and standard output for itself. Files are that user's, and are named
  by the command: curl_20261127_120000.pcapng. They hold packets of the command
  and of every process that descends from it, also of daemons whose parents have
  ended. --not-name, --port and so on select among these. If --count or
  --duration ends the recording, the command goes on to its end. --last and the
  options that need it (--last-..., --save-..., --keep-at-end) are refused: they
  are for `honeutil read`, which keeps only the newest part.

Signals:
  TERM, HUP, USR1, USR2, INT and QUIT are passed on to the command; INT and QUIT
  are not if the terminal has sent them to the command already (Ctrl-C). Once
  the command has ended, INT, TERM or HUP ends the recording, if descendants
  still run. What is ignored from the start stays ignored (nohup).
  Ctrl-Z stops both, and fg continues both. If the command stops itself, and a
  terminal waits for it, the recording stops with it.

Exit status:
  that of the command; 128 and the signal's number, if a signal ended it
  1    the command succeeded, and the recording failed
  2    the command line is wrong; nothing was started
  125  nothing can be recorded; the command was not started
  126  the command cannot be executed
  127  there is no such command

Examples:
  sudo honeutil run -- curl https://example.com/
  sudo honeutil run -w build.pcapng -- make
  sudo honeutil run --not-port 53 -- git clone https://example.com/hone.git";

/// Refuses options that make no sense together.
pub(super) fn check(args: &read::ReadArgs) -> Result<(), clap::Error> {
    if args.command.command.is_empty() {
        return Err(refusal("run", "name a command, behind --: honeutil run -- COMMAND"));
    }
    check_output("run", args)?;
    args.check()
}

/// Refuses a recording that would be mixed with what the command writes.
pub(super) fn check_output(name: &str, args: &read::ReadArgs) -> Result<(), clap::Error> {
    #[cfg(target_os = "linux")]
    if !args.command.command.is_empty() && args.last.is_some() {
        return Err(refusal(name, "--last keeps the newest part of what goes on: it is not for a command"));
    }
    if !args.command.command.is_empty() && args.target() == Target::Stdout {
        return Err(refusal(name, "the command has standard output for itself: name a file, as in -w FILE"));
    }
    Ok(())
}

/// Runs and records the command that the options name.
pub(super) fn record_command(args: &read::ReadArgs) -> anyhow::Result<ExitCode> {
    read::log(args.verbose);
    let line = &args.command.command;
    let program = line.first().context("a command has a name")?;
    if let Err(error) = command::look_up(program) {
        let _ = writeln!(Messages, "honeutil: {error}");
        return Ok(ExitCode::from(error.status));
    }
    #[cfg(target_os = "linux")]
    let ready = Ready::open(args.ready_fd);
    #[cfg(windows)]
    let ready = anyhow::Ok(Ready);
    match ready.and_then(|ready| Ok((ready, prepared(args)?))) {
        Ok((ready, (mut followed, wanted, user))) => {
            let prefix = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
            let mut control = Control::new();
            let recorded = read::record(
                args,
                &wanted,
                &prefix,
                &mut control,
                ready,
                |output| command::give(output, user.as_ref()),
                Some(&mut followed),
            );
            Ok(followed.finish(recorded))
        }
        Err(error) => Ok(match error.downcast_ref::<NotStarted>() {
            Some(error) => {
                let _ = writeln!(Messages, "honeutil: {error}");
                ExitCode::from(error.status)
            }
            None => not_recorded(&error),
        }),
    }
}

/// An error with its causes, as far as it does not tell them itself.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn not_recorded(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(Messages, "honeutil: {}. The command was not started", told(error));
    ExitCode::from(NOT_RECORDED)
}

/// Makes the command's process, which waits, and the selection of it.
fn prepared(args: &read::ReadArgs) -> anyhow::Result<(Followed, Wanted, Option<User>)> {
    let asked = &args.selection.selection;
    if asked.children()
        || asked.conditions().any(|condition| condition.word.is_of_process() && !condition.is_negated)
    {
        bail!(
            "a command is selected with its descendants: only words about packets, and --not-... about processes, can be added"
        );
    }
    #[cfg(target_os = "linux")]
    signals::ignore_file_size_signal().context("cannot handle signals")?;
    #[cfg(target_os = "linux")]
    let user = if args.command.as_root { None } else { command::caller()? };
    #[cfg(windows)]
    let user = command::caller()?;
    let held = Held::start(&args.command.command, user.as_ref())?;
    tracing::info!("the command is process {}", held.pid());
    let mut text = Vec::new();
    asked.to_text(&mut text)?;
    let mut selection = Selection::parse(&text)?;
    selection.add(Word::Pid, false, &held.pid().to_string())?;
    selection.set_children(true);
    let family = Family::of(held.pid(), args.command.linger.unwrap_or(LINGER));
    let wanted = Wanted::new(args.snap_length, &selection);
    Ok((Followed { held, family, has_begun: false }, wanted, user))
}

/// The command that is recorded.
struct Followed {
    held: Held,
    family: Family,
    has_begun: bool,
}

impl Followed {
    /// The exit status. Waits for the command, if the recording has ended before it.
    fn finish(mut self, recorded: anyhow::Result<ExitCode>) -> ExitCode {
        let status = match recorded {
            Err(error) if !self.has_begun => return not_recorded(&error),
            Err(error) => {
                let _ = writeln!(Messages, "honeutil: {}", told(&error));
                ExitCode::FAILURE
            }
            Ok(status) => status,
        };
        while !self.held.has_ended() {
            self.held.pass_on();
            std::thread::sleep(LOOK_EVERY);
        }
        self.held.exit_code(status)
    }
}

impl Companion for Followed {
    fn begun(&mut self) {
        self.has_begun = true;
        if let Err(error) = self.held.go_on() {
            tracing::warn!("cannot let the command begin: {error}");
        }
    }

    fn note(&mut self, blocks: &[u8]) {
        self.family.note(blocks);
    }

    fn is_over(&mut self) -> bool {
        let is_asked = self.held.pass_on();
        self.held.has_ended() && (is_asked || self.family.is_gone(command::exists))
    }
}

/// Hidden: become a command, once told to.
#[cfg(target_os = "linux")]
#[derive(Debug, clap::Args)]
pub struct BeginArgs {
    /// The socket over which the recorder tells it.
    #[arg(long)]
    hold: i32,
    /// As whom.
    #[arg(long)]
    as_user: Option<u32>,
    /// The command.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[cfg(target_os = "linux")]
pub(super) fn begin(args: &BeginArgs) -> ExitCode {
    let error = command::become_command(args.hold, args.as_user, &args.command);
    let _ = writeln!(Messages, "honeutil: {error}");
    ExitCode::from(error.status)
}
