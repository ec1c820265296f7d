//! Programs that people run, instead of generators that were written for the bench: who sent and received what is told by
//! their system calls.
//!
//! ```text
//!  catalogue ──► servers and clients (in namespaces of their own) ──► trace (BPF) ──► truth ─┐
//!                        │ packets                                                            ├─► judge ──► table
//!                        └──────► recorder ──► recording ─────────────────────────────────────┘
//! ```
//!
//! To add one: an [`App`] in [`catalogue`], with what it is an example of, the Debian packages, and three functions:
//! what comes before the recorder, the server's start, and what its clients do.

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

/// A program that people run.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    /// What it is an example of.
    pub(crate) design: &'static str,
    /// Debian's.
    pub(crate) packages: &'static [&'static str],
    /// Files that must be there.
    pub(crate) programs: &'static [&'static str],
    /// What comes before everything else.
    pub(crate) prepare: fn(&mut Play) -> Result<()>,
    /// Starts the server, and returns when it listens.
    pub(crate) serve: fn(&mut Play) -> Result<()>,
    /// What clients do, and the administrator.
    pub(crate) load: fn(&mut Play) -> Result<()>,
}

/// How apps are to be run.
#[derive(Debug)]
pub(crate) struct Options {
    /// None: all.
    pub(crate) names: Vec<String>,
    pub(crate) plan: Plan,
    /// Start the recorder when the server runs already.
    pub(crate) late: bool,
    /// Change some owners of the recording, which must be found.
    pub(crate) falsify: bool,
    /// Where configuration, logs and recordings stay; `None`: nowhere.
    pub(crate) keep: Option<PathBuf>,
}

/// What became of an app's packets.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// `Err`: why it could not be judged.
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
    /// Packets that the recorder says it has lost.
    pub(crate) lost: u64,
}

/// The packages that the chosen apps need, for `apt-get install`.
///
/// # Errors
/// There is no such app.
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

/// Runs the chosen apps one after the other.
///
/// # Errors
/// There is no such app, or nothing can be run here.
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
    // Other networks than those of scenarios that are played at the same time.
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
    // The last packets of clients come while servers are still there.
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
    // With what its corrections say of earlier packets.
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
