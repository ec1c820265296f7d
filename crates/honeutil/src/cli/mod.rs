//! The command line. Each command has a file of its own, which reads from top to bottom: options, the notes below the
//! help, and what the command does.
//!
//! A new command is a file here with its options, `NOTES` and `run`, and a line in [`Command`] and in [`run()`](run()).

pub(crate) mod completions;
pub mod convert;
pub mod export;
pub mod extcap;
pub mod get_stats;
pub mod install;
pub mod log_level;
pub(crate) mod man;
#[cfg(target_os = "linux")]
mod own_stream;
pub mod parse;
pub mod read;
pub mod repair;
pub mod report;
pub mod ring_size;
pub mod run;
#[cfg(target_os = "linux")]
pub mod save;
pub mod selection;
#[cfg(windows)]
pub mod selftest;
pub mod send_conns;
pub mod service_choice;
pub mod show;
pub mod source;
pub mod start;
pub mod status;
pub mod stop;
pub mod top;
pub mod uninstall;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::platform;

/// Records which process sent or received every packet, as augmented PCAP-NG.
#[derive(Debug, Parser)]
#[command(name = "honeutil", version, arg_required_else_help = true, after_long_help = NOTES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Pause before exiting: wait for Enter, if standard input is a terminal
    ///
    /// The last messages can then be read in a window that closes when the program ends.
    #[arg(short, long, global = true)]
    pub pause: bool,
}

/// Below the help.
const NOTES: &str = "\
Exit status:
  0  done
  1  something failed; standard error says what
  2  the command line is wrong; nothing was started
  `honeutil help COMMAND` shows what else a command returns.

Environment:
  NO_COLOR  no color in the help and in messages about the command line";

/// The commands, in the order of the help. The first line of each one's help is at its options.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "documentation here would replace the commands' own help")]
pub enum Command {
    Read(read::ReadArgs),
    #[command(about = run::ABOUT, long_about = run::LONG_ABOUT, after_long_help = format!("{}\n\n{}", selection::NOTES, run::NOTES))]
    Run(read::ReadArgs),
    #[cfg(target_os = "linux")]
    Save(save::SaveArgs),
    Show(show::ShowArgs),
    Report(report::ReportArgs),
    Convert(convert::ConvertArgs),
    Export(export::ExportArgs),
    Repair(repair::RepairArgs),
    Top(top::TopArgs),
    GetStats(get_stats::StatsArgs),
    SendConns(send_conns::ConnsArgs),
    LogLevel(log_level::LogLevelArgs),
    RingSize(ring_size::RingSizeArgs),
    Start(start::StartArgs),
    Stop(stop::StopArgs),
    Status(status::StatusArgs),
    Install(install::InstallArgs),
    Uninstall(uninstall::UninstallArgs),
    #[cfg(windows)]
    Selftest(selftest::SelftestArgs),
    Extcap(extcap::ExtcapArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    BeginCommand(run::BeginArgs),
}

impl Cli {
    /// What the command line says; ends the program if it is wrong.
    #[must_use]
    pub fn checked() -> Self {
        let cli = Self::try_parse_from(platform::arguments()).unwrap_or_else(|error| brief(error).exit());
        let checked = match &cli.command {
            Command::Read(args) => args.check().and_then(|()| args.selection.check_on_host("read")),
            Command::Run(args) => run::check(args).and_then(|()| args.selection.check_on_host("run")),
            Command::Top(args) => args.selection.check_on_host_with_names("top"),
            Command::Report(args) => args.check().and_then(|()| args.selection.check("report")),
            Command::Show(args) => args.check().and_then(|()| args.selection.check("show")),
            Command::Export(args) => args.selection.check("export"),
            _ => Ok(()),
        };
        if let Err(error) = checked {
            error.exit();
        }
        cli
    }
}

/// Most characters of a value in the message about it.
const MOST_OF_VALUE: usize = 100;

/// Cuts a very long value out of the message about it, so that the reason behind it is seen.
fn brief(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && let Some((end, _)) = value.char_indices().nth(MOST_OF_VALUE)
    {
        let value = format!("{}..", &value[..end]);
        error.insert(ContextKind::InvalidValue, ContextValue::String(value));
    }
    error
}

/// The error that a command's options make no sense together.
fn refusal(command: &str, message: &str) -> clap::Error {
    // It says all by itself, so no usage is printed.
    let message = format!("{message}\n\nFor more information, try 'honeutil {command} --help'.\n");
    clap::Error::raw(ErrorKind::ArgumentConflict, message)
}

/// Does what the command says; returns the exit status.
///
/// # Errors
/// What went wrong, as text for whoever gave the command.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    #[cfg(windows)]
    hone_rows::accounts::set_look_up(platform::accounts::name);
    match command {
        Command::Read(args) => read::run(args),
        Command::Run(args) => run::record_command(args),
        #[cfg(target_os = "linux")]
        Command::BeginCommand(args) => Ok(run::begin(args)),
        #[cfg(target_os = "linux")]
        Command::Save(args) => save::run(args),
        Command::Show(args) => Ok(show::run(args)),
        Command::Report(args) => Ok(report::run(args)),
        Command::Convert(args) => Ok(convert::run(args)),
        Command::Export(args) => Ok(export::run(args)),
        Command::Repair(args) => repair::run(args),
        Command::Top(args) => top::run(args),
        Command::GetStats(args) => get_stats::run(args),
        Command::SendConns(args) => send_conns::run(args),
        Command::LogLevel(args) => log_level::run(args),
        Command::RingSize(args) => ring_size::run(args),
        Command::Start(args) => start::run(args),
        Command::Stop(args) => stop::run(args),
        Command::Status(args) => status::run(args),
        Command::Install(args) => install::run(args),
        Command::Uninstall(args) => uninstall::run(args),
        #[cfg(windows)]
        Command::Selftest(args) => selftest::run(args),
        Command::Extcap(args) => extcap::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;
    use hone_select::Word;

    use clap::CommandFactory as _;

    use super::*;

    /// Every option of a selection, with its help, in the order of the help.
    fn selecting(command: &clap::Command) -> Vec<(String, String)> {
        let words = Word::ALL.into_iter().flat_map(|word| [word.name(), word.opposite()]);
        let words: Vec<_> = words.chain(["children"]).collect();
        let options = command.get_arguments().filter_map(|option| Some((option.get_long()?, option)));
        let selecting = options.filter(|(name, _)| words.contains(name));
        selecting
            .map(|(name, option)| {
                let help = option.get_help().map(ToString::to_string).unwrap_or_default();
                (name.to_owned(), format!("{help} {:?}", option.get_value_names()))
            })
            .collect()
    }

    #[test]
    fn all_commands_that_select_have_the_same_words() {
        let all = selecting(&selection::SelectionArgs::augment_args(clap::Command::new("all")));
        assert_eq!(all.len(), 2 * Word::ALL.len() + 1);
        let cli = Cli::command();
        let mut selecting_commands = Vec::new();
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            let options = selecting(command);
            if !options.is_empty() {
                assert_eq!(options, all, "{}", command.get_name());
                let notes = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
                assert!(notes.contains(selection::NOTES), "{}: {notes}", command.get_name());
                selecting_commands.push(command.get_name());
            }
        }
        let expected: &[&str] = &["read", "run", "show", "report", "export", "top"];
        assert_eq!(selecting_commands, expected);
    }

    #[test]
    fn opposites_are_completed_although_the_help_only_names_them() {
        let mut cli = Cli::command();
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut cli, "honeutil", &mut text);
            let text = String::from_utf8(text).unwrap();
            for word in Word::ALL {
                assert!(text.contains(word.opposite()), "{shell}: {}", word.opposite());
            }
        }
        let mut show = cli.find_subcommand("show").unwrap().clone();
        assert!(!show.render_help().to_string().contains("--not-"));
    }

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
