//! A capture: as `honeutil read` into the pipe that Wireshark has made.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::arguments::Arguments;
use super::control::Command;
use super::selecting;
use super::sentences::SELECT;
use super::toolbar::{Exclude, Toolbar, Window};
use crate::cli::source::SourceArgs;
use crate::messages::Progress;
use crate::output::{Output, OutputError, Target};
use crate::platform::{self, host, open_source};
use crate::record::control::Control;
use crate::record::error::RecordError;
use crate::record::recorder::{Options, Recorder};
use crate::record::wanted::Wanted;

/// Captures until Wireshark ends it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let fifo = arguments.fifo.clone().context("--capture needs --fifo, the pipe that packets go to")?;
    let mut control = Control::with_signals().context("cannot handle signals")?;
    // A Wireshark that was killed sends no signal, and its pipe may live on with dumpcap.
    platform::stop_with_parent(control.stop_flag());
    let window = Window::open(arguments.control_out.as_deref());
    let log = window.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || log.clone())
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
    match record(arguments, fifo, &window, &mut control) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            window.say(SELECT, Command::Error, &format!("{error:#}"));
            // main() says it on standard error.
            Err(anyhow::anyhow!("{error:#}"))
        }
    }
}

fn record(
    arguments: &Arguments,
    fifo: PathBuf,
    window: &Window,
    control: &mut Control,
) -> anyhow::Result<()> {
    let text = selecting::text(arguments);
    // Before anything is opened: what is wrong with it is said at once.
    let mut selection = selecting::selection(&text).inspect_err(|_| platform::end_pipe(&fifo))?;
    let is_everything = selection.is_everything();
    let mut output = match Output::open(Target::File(fifo), "", host::now(), control) {
        Err(OutputError::NoReader { .. }) => return Ok(()),
        output => output?,
    };
    let exclude = exclusion(arguments, &output);
    exclude(&mut selection)?;
    let wanted = Wanted::new(arguments.snap_length, &selection);
    host::raise_priority();
    let feed = open_source(&source(arguments), &wanted, control)?;
    let mut toolbar = Toolbar::open(arguments.control_in.as_deref(), window, &wanted, text, exclude);
    let options = Options { snap_length: arguments.snap_length, ..Options::default() };
    let mut progress = Progress::new(false);
    let mut recorder = Recorder::new(feed, options, &mut output, control, &mut progress)
        .on_begin(|_| {})
        .in_form(arguments.format)
        .with(&mut toolbar);
    if !is_everything {
        recorder = recorder.reduced();
    }
    match recorder.run().2 {
        // So Wireshark ends a capture, too.
        Ok(()) | Err(RecordError::Output(OutputError::Closed { .. })) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What leaves out the traffic of Wireshark.
#[cfg(target_os = "linux")]
fn exclusion(arguments: &Arguments, output: &Output) -> Exclude {
    use crate::platform::own_traffic::OwnTraffic;
    let own = match output.stream().filter(|_| !arguments.include_own) {
        Some(pipe) => OwnTraffic::of_starter(&pipe, &["wireshark", "tshark", "dumpcap"]),
        None => OwnTraffic::default(),
    };
    Box::new(move |selection| {
        own.exclude(selection)
            .context("the traffic of Wireshark cannot be left out, too: there are too many words that select")
    })
}

/// On Windows, it is recorded: nothing finds out which program reads the pipe.
#[cfg(windows)]
fn exclusion(_: &Arguments, _: &Output) -> Exclude {
    Box::new(|_| Ok(()))
}

/// Where packets come from.
fn source(arguments: &Arguments) -> SourceArgs {
    let mut source = SourceArgs::default();
    #[cfg(target_os = "linux")]
    {
        source.service.local = arguments.is_local();
        source.service.socket.clone_from(&arguments.socket);
    }
    #[cfg(windows)]
    let _ = (&mut source, arguments);
    source
}
