//! Acts on a command line that has been found valid.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::Shell;

use crate::cli::generate;
use crate::cli::service_args::TopArgs;
use crate::cli::{Command, ReadArgs, ShowArgs};
use crate::messages::{Messages, Progress};
use crate::output::{Output, OutputError, Target};
use crate::platform::{self, manage};
use crate::record::control::Control;
use crate::record::recorder::{Options, RecordError};
use crate::record::summary;
use crate::repair::repair;
use crate::service;
use crate::show::input::Input;
use crate::show::{Show, ShowError};
use crate::text::printable;
use crate::top;

/// Longest file name shown, in characters.
const MAX_SHOWN: usize = 4096;

/// Does what the command says.
///
/// # Errors
/// What went wrong, to be told to the person who asked for it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Read(args) => read(&args),
        Command::Show(args) => Ok(show(&args)),
        Command::Repair(args) => repair(&args),
        Command::Top(args) => top(&args),
        Command::GetStats(args) => service::get_stats(&args),
        Command::SendConns(args) => service::send_conns(&args),
        #[cfg(target_os = "linux")]
        Command::LogLevel(args) => platform::service::log_level(&args),
        #[cfg(target_os = "linux")]
        Command::RingSize(args) => platform::service::ring_size(&args),
        Command::Start(args) => manage::start(&args),
        Command::Stop(args) => manage::stop(&args),
        Command::Status(args) => manage::status(&args),
        Command::Install(args) => manage::install(&args),
        Command::Uninstall(args) => manage::uninstall(&args),
        Command::Completions { shell } => completions(shell),
        Command::Man { directory } => man(&directory),
    }
}

fn read(args: &ReadArgs) -> anyhow::Result<ExitCode> {
    log(args.verbose);
    let mut control = Control::with_signals().context("cannot handle signals")?;
    // Before the sensor, which takes a while to load: a bad path is told at once.
    let mut output =
        Output::open(target(args), &platform::open_source::host_name(), platform::now(), &mut control)?;
    let (rotation, keep) = (args.rotation(), args.keep());
    if rotation.is_on() {
        output.require_files()?;
    }
    if !keep.is_everything() {
        output.keep(keep)?;
    }
    let options =
        Options { snap_length: args.snap_length, duration: args.duration, count: args.count, rotation };
    let mut progress = Progress::new(!args.quiet);
    let (outcome, tally, result) =
        platform::open_source::record(&args.source, options, &mut output, &mut control, &mut progress)?;
    if matches!(result, Err(RecordError::Output(OutputError::Closed { .. }))) {
        return Ok(ExitCode::FAILURE);
    }
    if !args.quiet {
        let _ = Messages.write_all(summary::render(&outcome, &tally).as_bytes());
    }
    result?;
    // What could not be compressed or removed has been told.
    Ok(if output.report().is_some_and(|report| report.failures > 0) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn top(args: &TopArgs) -> anyhow::Result<ExitCode> {
    top::check_terminal()?;
    let mut control = Control::with_signals().context("cannot handle signals")?;
    platform::open_source::top(args, &mut control)?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> ExitCode {
    let mut inputs: Vec<_> = args.files.iter().map(|path| Input::named(path)).collect();
    if inputs.is_empty() {
        inputs.push(Input::Stdin);
    }
    let mut show = Show::new(args.selection(), args.json, io::stdout().lock());
    show.collect(&inputs);
    let mut status = ExitCode::SUCCESS;
    for input in &inputs {
        if let Err(error) = show.show(input) {
            status = ExitCode::FAILURE;
            if !matches!(error, ShowError::Closed) {
                let remedy = match input {
                    Input::File(_) if error.is_of_torn_file() => {
                        ". What comes before is shown; `honeutil repair FILE` writes a file of what is whole"
                    }
                    _ => "",
                };
                let _ = writeln!(Messages, "honeutil: {error}{remedy}");
            }
            if !error.is_of_input() {
                break;
            }
        }
    }
    status
}

fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(&generate::completions(shell)) {
        Err(error) if platform::file::is_pipe_closed(&error) => Ok(ExitCode::FAILURE),
        written => written
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| anyhow::anyhow!("cannot write standard output: {error}")),
    }
}

/// Writes `honeutil.1` and a page for each command.
fn man(directory: &Path) -> anyhow::Result<ExitCode> {
    for (name, page) in generate::man_pages()? {
        let path = directory.join(name);
        std::fs::write(&path, page).map_err(|error| {
            anyhow::anyhow!("cannot write {}: {error}", printable(&path.to_string_lossy(), MAX_SHOWN))
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn target(args: &ReadArgs) -> Target {
    match (&args.write, &args.directory) {
        (Some(file), _) if file.as_os_str() == "-" => Target::Stdout,
        (Some(file), _) => Target::File(file.clone()),
        (None, Some(directory)) => Target::Directory(directory.clone()),
        (None, None) => Target::Directory(PathBuf::new()),
    }
}

/// Sends messages up to a level of detail to standard error.
fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Messages)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}
