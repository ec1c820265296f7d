//! Runs widely used programs instead of generators that were written for the bench. Their system calls report who sent
//! and received what.
//!
//! ```text
//!  catalogue ──► servers and clients (in namespaces of their own) ──► trace (BPF) ──► truth ─┐
//!                        │ packets                                                            ├─► judge ──► table
//!                        └──────► recorder ──► recording ─────────────────────────────────────┘
//! ```
//!
//! To add one, add an [`App`] to [`catalogue`]: the design that it is an example of, its Debian packages, and three
//! functions. The functions prepare the app before the recorder starts, start the server, and run the clients.

mod catalogue;
mod control;
mod judge;
mod play;
mod services;
mod streams;
mod table;
#[cfg(test)]
mod tests;
mod trace;
mod truth;
pub(crate) mod uring;
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::network::{End, Family};
use crate::packet::Packet;
use crate::recorder::{Plan, Recorder};
use crate::recording::Recording;
use judge::Judgement;
use play::Play;
use trace::Trace;
use truth::Truth;

pub(crate) use table::{json, list, table};

/// A widely used program.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    /// The design that the program is an example of.
    pub(crate) design: &'static str,
    /// Names of its Debian packages.
    pub(crate) packages: &'static [&'static str],
    /// Files that must exist.
    pub(crate) programs: &'static [&'static str],
    /// Prepares the app, before everything else.
    pub(crate) prepare: fn(&mut Play) -> Result<()>,
    /// Starts the server. Returns when it listens.
    pub(crate) serve: fn(&mut Play) -> Result<()>,
    /// Runs the clients, and the administrator's commands.
    pub(crate) load: fn(&mut Play) -> Result<()>,
}

/// How apps are run.
#[derive(Debug)]
pub(crate) struct Options {
    /// Names of the apps to run; empty means all.
    pub(crate) names: Vec<String>,
    pub(crate) plan: Plan,
    /// Start the recorder after the server has started.
    pub(crate) late: bool,
    /// Falsify some owners in the recording; the judge must find them.
    pub(crate) falsify: bool,
    /// The directory that keeps configuration, logs and recordings. `None`: they are not kept.
    pub(crate) keep: Option<PathBuf>,
}

/// The result for an app's packets.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// `Err`: the reason why it could not be judged.
    pub(crate) result: Result<Judged, Failure>,
}

#[derive(Debug)]
pub(crate) enum Failure {
    Skipped(String),
    Failed(String),
}

#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) judgement: Judgement,
    /// Falsified owners: (found, all).
    pub(crate) control: (usize, usize),
    /// Number of packets that the recorder reports as lost.
    pub(crate) lost: u64,
}

/// Installs the missing Debian packages of the chosen apps with apt-get.
///
/// # Errors
/// There is no such app, or apt-get fails.
pub(crate) fn install(names: &[String]) -> Result<()> {
    let mut packages: Vec<&str> = chosen(names)?.iter().flat_map(|app| app.packages).copied().collect();
    packages.sort_unstable();
    packages.dedup();
    packages.retain(|package| !is_installed(package));
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("installing: {}", packages.join(" "));
    apt_get(&["update", "-qq"])?;
    apt_get(&[&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat())
}

fn is_installed(package: &str) -> bool {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]).output();
    output.is_ok_and(|output| output.stdout == b"installed")
}

fn apt_get(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    let status = command.status().context("cannot start apt-get")?;
    ensure!(status.success(), "apt-get {}: {status}", words.join(" "));
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static App>> {
    for name in names {
        if !catalogue::TABLE.iter().any(|app| app.name == name) {
            bail!("no app is named {name:?}; `hone-truth apps --list` lists them");
        }
    }
    let wanted = |app: &&App| names.is_empty() || names.iter().any(|name| name == app.name);
    Ok(catalogue::TABLE.iter().filter(wanted).collect())
}

/// Runs the chosen apps one after another.
///
/// # Errors
/// There is no such app, or no app can run here.
pub(crate) fn run(options: &Options) -> Result<Vec<Outcome>> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces and recorders need root");
    let place = match &options.keep {
        Some(path) => path.clone(),
        None => std::env::temp_dir().join(format!("hone-apps-{}", std::process::id())),
    };
    let outcomes = chosen(&options.names)?.into_iter().enumerate().map(|(number, app)| {
        let missing = app.programs.iter().find(|path| !Path::new(path).exists());
        let result = if missing.is_some() {
            Err(Failure::Skipped(format!("needs Debian's package {}", app.packages.join(", "))))
        } else if app.name == "uring" && !trace::tells_of_rings() {
            Err(Failure::Skipped(
                "the kernel's tracepoints about io_uring are older than Linux 6.16's".into(),
            ))
        } else {
            eprintln!("{}: {}", app.name, app.design);
            let result = play(app, number, &place.join(app.name), options);
            result.map_err(|error| Failure::Failed(format!("{error:#}")))
        };
        Outcome { name: app.name, result }
    });
    let outcomes = outcomes.collect();
    if options.keep.is_none() {
        let _ = std::fs::remove_dir_all(&place);
    }
    Ok(outcomes)
}

fn play(app: &App, number: usize, directory: &Path, options: &Options) -> Result<Judged> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("cannot replace {}", directory.display()))?;
    }
    // Counts down from the highest number, so that the networks differ from those of scenarios that play at the same
    // time.
    let mut play = Play::new(127 - number, directory)?;
    let namespaces = [End::A, End::B].map(|end| play.network.at(end).number());
    let trace = Trace::start(namespaces.into_iter().collect::<Result<_>>()?)?;
    (app.prepare)(&mut play).context("preparing")?;
    let file = directory.join("recording.pcapng");
    if options.late {
        (app.serve)(&mut play).context("starting")?;
    }
    let recorder = Recorder::start(&options.plan, directory, &file)?;
    if !options.late {
        (app.serve)(&mut play).context("starting")?;
    }
    let loaded = (app.load)(&mut play);
    // The servers must still run when the clients' last packets arrive.
    std::thread::sleep(Duration::from_millis(200));
    play.end()?;
    recorder.stop()?;
    let calls = trace.stop()?;
    loaded.context("the clients")?;
    ensure!(calls.lost == 0, "the trace lost {} calls, so it is no truth", calls.lost);
    let ends = [End::A, End::B].into_iter();
    let addresses: Vec<_> = ends
        .flat_map(|end| [Family::V4, Family::V6].map(|family| play.network.address(end, family)))
        .collect();
    let ours = |data: &[u8]| {
        let packet = Packet::parse(data);
        packet.is_some_and(|packet| {
            addresses.contains(&packet.source.ip()) || addresses.contains(&packet.destination.ip())
        })
    };
    // Includes the recording's corrections of earlier packets.
    let mut recording = Recording::read(&file, ours)?;
    let truth = Truth::new(&calls.calls);
    let judgement = judge::judge(&truth, &recording.records, &addresses);
    ensure!(!judgement.verdicts.is_empty(), "nothing was recorded");
    let control = control::control(&truth, recording.records.clone(), &judgement, &addresses);
    if options.falsify {
        control::falsify(&truth, &mut recording.records, &judgement);
        let judgement = judge::judge(&truth, &recording.records, &addresses);
        return Ok(Judged { judgement, control, lost: recording.lost });
    }
    Ok(Judged { judgement, control, lost: recording.lost })
}
