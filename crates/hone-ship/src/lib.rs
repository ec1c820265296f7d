//! `hone-ship`: delivers what honed records to where a fleet's recordings are. It reads from honed as any reader does, so honed
//! needs no network.
//!
//! ```text
//! honed ──> spool: segments ──> batches ──────────────> destination
//!           recorded blocks     files of rows, numbered  a directory or an object store, or a log
//! ```
//!
//! A segment is a recording of its own: it begins with the state of its moment. What was received is in it before anything else is
//! done, so a program that is killed loses nothing of it. A whole segment becomes a [`batch`](batch::Batch), which never changes
//! again; a batch is delivered whole, again and again until the [`destination`] has it, and then removed.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

pub mod batch;
pub mod config;
pub mod counters;
pub mod destination;
mod ecs;
mod hashed;
pub mod maker;
pub mod metrics;
pub mod reader;
mod recording;
mod selection;
pub mod sender;
pub mod spool;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use config::{Config, Recordings};
use counters::{Counters, Part};
use destination::Stop;
use reader::Reader;
use spool::Spool;

/// How long what is left may be delivered after the end was asked for. What is not delivered then stays in the spool.
const END: Duration = Duration::from_secs(10);

/// Delivers what honed records to an object store, a directory or a log
#[derive(Debug, clap::Parser)]
#[command(name = "hone-ship", version, after_long_help = NOTES)]
struct Arguments {
    /// Read FILE instead of /etc/hone/ship.toml
    #[arg(long, value_name = "FILE", default_value = config::FILE, hide_default_value = true, global = true)]
    config: PathBuf,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what was delivered, what waits, and what does not work
    Status,
    /// Check the configuration, say what is wrong with it, and end
    CheckConfig,
}

/// Below the help.
const NOTES: &str = "\
Without a command, it delivers until SIGTERM. honed must run, and the user must
be in its group: hone.

Processes and connections are delivered, with bytes and packets of each
connection; names, packets and recordings only if the configuration says so.

Exit status:
  0  done; `status`: all is well
  1  it cannot begin; `status`: something does not work, or it does not run
  2  the command line is wrong

Examples:
  hone-ship check-config
  hone-ship status
  hone-ship --config /etc/hone/ship-test.toml";

/// What the program does.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The journal has the time. What the client of an object store says of its own tries is not for users.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_filter(
            Targets::new().with_default(LevelFilter::WARN).with_target("hone_ship", LevelFilter::INFO),
        );
    tracing_subscriber::registry().with(layer).init();
    match run(&arguments) {
        Ok(status) => status,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = Config::read(&arguments.config)?;
    match arguments.command {
        Some(Command::Status) => {
            let file = &config.metrics.file;
            let (text, is_well) = metrics::status(file)
                .with_context(|| format!("hone-ship does not run: cannot read {}", file.display()))?;
            print!("{text}");
            Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some(Command::CheckConfig) => {
            destination::open(&config.destination)?;
            Ok(ExitCode::SUCCESS)
        }
        None => ship(config).map(|()| ExitCode::SUCCESS),
    }
}

/// Delivers until the end is asked for.
fn ship(mut config: Config) -> anyhow::Result<()> {
    // `stop`: nothing more is received, and what is there is delivered. `end`: at once.
    let (stop, end) = (Stop::default(), Stop::default());
    let (received, made) = (Stop::default(), Stop::default());
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT]).context("cannot handle signals")?;
    let (first, second) = (stop.clone(), end.clone());
    thread::spawn(move || {
        for _ in signals.forever() {
            if first.is_set() {
                second.set();
            }
            first.set();
        }
    });
    let mut destination = destination::open(&config.destination)?;
    // The thread that makes batches owns it.
    let selection = std::mem::take(&mut config.selection);
    let config = &config;
    let format = destination.format();
    let spool = Spool::open(&config.spool)
        .with_context(|| format!("cannot use the spool {}", config.spool.folder.display()))?;
    let counters = Counters::default();
    let url = &config.destination.url;
    if config.recordings != Recordings::None {
        let what = if config.recordings == Recordings::Packets {
            "packets with their contents"
        } else {
            "headers of packets"
        };
        tracing::info!("recordings are delivered: {what}");
    }
    let count = || metrics::write(&config.metrics.file, &counters, spool.fill(), url);
    count().with_context(|| format!("cannot write {}: metrics.file", config.metrics.file.display()))?;
    if let Err(error) = hone_client::notify::notify("READY=1") {
        tracing::warn!("{error}");
    }
    tracing::info!("delivering to {url}; what waits for that is in {}", config.spool.folder.display());
    thread::scope(|scope| {
        // Each ends when the one before it has ended, and it has done what is left.
        let making = scope.spawn(|| {
            maker::run(config, selection, format, &spool, &counters, &received, &end);
            made.set();
        });
        let sending = scope.spawn(|| sender::run(&mut *destination, &spool, &counters, &made, &end));
        let mut last = Instant::now();
        let mut tick = || {
            if last.elapsed() >= metrics::EVERY {
                last = Instant::now();
                match count() {
                    Ok(()) => counters.is_fine(Part::Metrics),
                    Err(error) => counters.problem(
                        Part::Metrics,
                        &format!("cannot write {}: {error}", config.metrics.file.display()),
                    ),
                }
            }
        };
        Reader::new(config, &spool, &counters, &stop).run(&mut tick);
        received.set();
        let since = Instant::now();
        while !(making.is_finished() && sending.is_finished()) {
            if since.elapsed() > END {
                end.set();
            }
            tick();
            thread::sleep(Duration::from_millis(50));
        }
    });
    let _ = count();
    let fill = spool.fill();
    tracing::info!(
        "ended: {} segments and {} batches are kept for the next start",
        fill.segments,
        fill.batches
    );
    Ok(())
}
