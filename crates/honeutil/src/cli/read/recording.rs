//! What `read`, and `run`, do as their options say: opens the output and the source of events, records, and says how it went.

use std::io::Write as _;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
use anyhow::Context as _;
use hone_select::Selection;

#[cfg(target_os = "linux")]
use super::Loopback;
use super::ReadArgs;
use crate::messages::{Messages, Progress, print};
#[cfg(target_os = "linux")]
use crate::output::archive::Finished;
use crate::output::{Output, OutputError, Target};
use crate::platform::ready::Ready;
#[cfg(target_os = "linux")]
use crate::platform::signals;
use crate::platform::{host, open_source};
#[cfg(target_os = "linux")]
use crate::recent::{Directory, Pace, Saver, Told, When};
use crate::record::companion::Companion;
use crate::record::control::Control;
use crate::record::error::RecordError;
use crate::record::recorder::{Options, Recorder};
use crate::record::wanted::Wanted;
use crate::record::{summary, summary_json};
#[cfg(target_os = "linux")]
use crate::text::shown_path;

/// Records. `prefix`: what the names of files in a directory begin with; `opened` is called with the output before anything is
/// recorded.
pub(in crate::cli) fn record(
    args: &ReadArgs,
    wanted: &Wanted,
    prefix: &str,
    control: &mut Control,
    mut ready: Ready,
    opened: impl FnOnce(&mut Output),
    companion: Option<&mut dyn Companion>,
) -> anyhow::Result<ExitCode> {
    // Before the sensor, which takes a while to load: a bad path is reported at once.
    #[cfg(target_os = "linux")]
    let (mut saver, target, earlier) = kept(args, prefix, control)?;
    #[cfg(windows)]
    let target = args.target();
    let mut output = Output::open(target, prefix, host::now(), control)?;
    opened(&mut output);
    let (rotation, keep) = (args.rotation(), args.keep());
    #[cfg(target_os = "linux")]
    let (rotation, keep) = match saver.as_ref().map(Saver::limits) {
        Some(limits) => (limits.rotation(), limits.keep()),
        None => (rotation, keep),
    };
    if rotation.is_on() {
        output.require_files()?;
    }
    if !keep.is_everything() {
        output.keep(keep)?;
    }
    #[cfg(target_os = "linux")]
    output.adopt(earlier);
    #[cfg(target_os = "linux")]
    let (wanted, mut own) = crate::cli::own_stream::without_own(args, wanted, &output)?;
    #[cfg(target_os = "linux")]
    let is_once = args.loopback == Loopback::Once;
    #[cfg(target_os = "linux")]
    let wanted = &Wanted { packet_ids: is_once, ..wanted };
    host::raise_priority();
    let feed = open_source(&args.source, wanted, control)?;
    let options =
        Options { snap_length: args.snap_length, duration: args.duration, count: args.count, rotation };
    // A command has the terminal and standard output for itself.
    let is_command = companion.is_some();
    let mut progress = Progress::new(!args.quiet && !is_command);
    let begun = |name: &str| {
        if !args.quiet {
            let _ = writeln!(Messages, "{}", args.begun(name));
        }
        ready.tell();
    };
    let mut recorder = Recorder::new(feed, options, &mut output, control, &mut progress)
        .on_begin(begun)
        .in_form(args.format.into());
    if !args.all_events && (is_command || !args.selection.selection.is_everything()) {
        recorder = recorder.reduced();
    }
    if let Ok(selection) = Selection::parse(&wanted.selection) {
        recorder = recorder.selecting(&selection);
    }
    #[cfg(target_os = "linux")]
    if is_once {
        recorder = recorder.loopback_once();
    }
    #[cfg(target_os = "linux")]
    let companion = companion.or(own.as_mut().map(|own| own as &mut dyn Companion));
    if let Some(companion) = companion {
        recorder = recorder.with(companion);
    }
    #[cfg(target_os = "linux")]
    if let Some(saver) = &mut saver {
        recorder = recorder.saving(saver);
    }
    #[allow(unused_mut, reason = "it changes where a part is kept")]
    let (mut outcome, tally, result) = recorder.run();
    #[cfg(target_os = "linux")]
    let is_saved = saver.is_none_or(|saver| {
        let (saves, is_whole) = saver.finish();
        if !saves.is_empty() {
            outcome.is_of(saves);
        }
        is_whole
    });
    #[cfg(windows)]
    let is_saved = true;
    ready.tell_end();
    if args.json {
        let error = result.as_ref().err().map(ToString::to_string);
        let summary = summary_json::render(&outcome, &tally, error.as_deref());
        if is_command || args.target() == Target::Stdout {
            let _ = Messages.write_all(summary.as_bytes());
        } else {
            print(&summary)?;
        }
    }
    if matches!(result, Err(RecordError::Output(OutputError::Closed { .. }))) {
        return Ok(ExitCode::FAILURE);
    }
    if !args.quiet && !args.json {
        let _ = Messages.write_all(summary::render(&outcome, &tally).as_bytes());
    }
    result?;
    // A warning has named each file that could not be compressed or removed.
    Ok(if !is_saved || output.report().is_some_and(|report| report.failures > 0) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Where the newest part is kept: what saves it, where it is recorded to, and what a killed recorder has left there. Without
/// `--last`, the files that the options name.
#[cfg(target_os = "linux")]
fn kept(
    args: &ReadArgs,
    prefix: &str,
    control: &Control,
) -> anyhow::Result<(Option<Saver>, Target, Vec<Finished>)> {
    let Some(limits) = args.newest() else { return Ok((None, args.target(), Vec::new())) };
    signals::save_on_request(control).context("cannot handle signals")?;
    let path = args.last_dir.clone().unwrap_or_else(|| Directory::beside(&args.target()));
    let directory = Directory::open(path, limits)?;
    let name = shown_path(directory.path());
    let earlier = directory.segments().with_context(|| format!("cannot read {name}"))?;
    if !earlier.is_empty() {
        tracing::warn!(
            "{name} has what a recorder before this one kept: it is kept on, and saved, as far as it is new enough"
        );
    }
    let target = Target::Directory(directory.path().to_owned());
    let pace = Pace::new(args.save_after(), limits.last);
    let when =
        When { rules: args.save_when.clone(), pace, most_files: args.save_files, at_end: !args.keep_at_end };
    let told = Told { is_quiet: args.quiet, by_json: args.json };
    let saver = Saver::new(directory, args.target(), prefix, when, told);
    Ok((Some(saver), target, earlier))
}
