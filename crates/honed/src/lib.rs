//! Hone's service on Linux: runs the sensor and the queue manager, and serves readers on a socket.
//!
//! Threads: this one (signals, the socket, the end), the sensor's (`sensor`), one per connection (`session`), and, if there is a
//! flight recorder, one that keeps it running (`recent`).
//! They share the `hub::Hub`. Its documentation lists what its lock guards and who takes it.
//!
//! It is a library only so that the fuzz targets can call its parts. It is not an interface for other programs.

#![cfg(target_os = "linux")]

mod config;
mod filters;
#[doc(hidden)]
pub mod fuzzing;
mod hub;
mod input;
mod listener;
mod log;
mod memory;
mod memory_report;
mod peer;
mod places;
mod privileges;
mod recent;
mod requests;
mod selections;
mod sensor;
mod session;
mod waker;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser as _;
use hone_engine::Engine;
use hone_linux::Mechanism;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use config::Config;
use hub::{Hub, Phase};
use listener::Listener;

/// How many times in a row waiting for clients may fail for lack of memory, and the pause between two tries.
const WAITS: u32 = 100;
const WAIT_AGAIN: Duration = Duration::from_millis(100);
/// How long readers may take to read the end of their streams.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Tells the service manager, if one has started this program.
fn tell(message: &str) {
    if let Err(error) = hone_client::notify::notify(message) {
        tracing::warn!("{error}");
    }
}

/// Hone's service: collects packets with their processes, and serves readers
#[derive(Debug, clap::Parser)]
#[command(name = "honed", version)]
struct Arguments {
    /// Read FILE instead of /etc/hone/hone.toml, which may be missing
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    check_config: bool,

    /// Listen on PATH, whatever the configuration says
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Write messages to FILE, which is begun anew after 8 MiB (FILE.1 is then the former), not to standard error
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// How to learn who uses a socket: trampolines or tracepoints [default: the best that the kernel permits]
    #[arg(long, value_name = "HOW", value_parser = hone_linux::mechanism)]
    mechanism: Option<Mechanism>,
}

/// What the program does.
#[must_use]
pub fn main() -> ExitCode {
    memory::share_one_pool();
    let arguments = Arguments::parse();
    if let Err(error) = log::start(hone_client::LogLevels::default(), arguments.log.as_deref()) {
        let log = arguments.log.as_deref().unwrap_or(std::path::Path::new("standard error"));
        eprintln!("honed: cannot write the log {}: {error}; name another file with --log", log.display());
        return ExitCode::FAILURE;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut config = config::read(arguments.config.as_deref())?;
    if let Some(socket) = &arguments.socket {
        config.socket.clone_from(socket);
    }
    if arguments.check_config {
        let checked = config.recent.as_ref().map(|settings| recent::check(settings, &config.socket));
        return checked.unwrap_or(Ok(())).map_err(|error| {
            let file = arguments.config.as_deref().unwrap_or(config::FILE.as_ref());
            anyhow::anyhow!("{}: [recent]: {error}", file.display())
        });
    }
    log::set_levels(config.log_levels);
    privileges::confine().context("cannot renounce new privileges")?;
    let mut signals = Signals::register().context("cannot handle signals")?;
    let mut engine = Engine::new(engine_config(&config)).context("cannot start the queue manager")?;
    engine.set_default_ring_bytes(config.ring_bytes as usize).context("ring_buffer_size")?;
    let hub = Arc::new(Hub::new(engine, &config, arguments.mechanism).context("cannot make an eventfd")?);
    // The socket is made before the sensor is loaded, which takes a while. So a second service fails at once.
    let listener = Listener::open(&config)?;
    let (thread, started) = sensor::start(Arc::clone(&hub)).context("cannot start the sensor's thread")?;
    for note in started.recv().context("the sensor's thread has ended")?? {
        tracing::warn!("{note}");
    }
    privileges::drop_all().context("cannot drop capabilities")?;
    tell("READY=1");
    tracing::info!("serving readers on {}", config.socket.display());

    if let Some(recent) = &hub.recent {
        let started = recent::start(Arc::clone(&hub), Arc::clone(recent), config.socket.clone());
        started.context("cannot start the recorder's thread")?;
    }
    let served = serve(&hub, &listener, &mut signals, arguments, &config);

    tell("STOPPING=1");
    drop(listener);
    if let Some(recent) = &hub.recent {
        recent.stop();
    }
    let ended = Instant::now();
    while !hub.connections.lock().is_empty() && ended.elapsed() < END_PATIENCE {
        wait(&[PollFd::new(&hub.main, PollFlags::IN)], END_PATIENCE.saturating_sub(ended.elapsed()));
        hub.main.clear();
    }
    match hub.connections.lock().len() {
        0 => {}
        left => tracing::warn!("{left} connections did not take their end in {END_PATIENCE:?}"),
    }
    if let Some(recent) = &hub.recent {
        while !recent.is_over() && ended.elapsed() < END_PATIENCE {
            std::thread::sleep(WAIT_AGAIN);
        }
    }
    match thread.join() {
        Ok(result) => result.context("the sensor has failed")?,
        Err(_) => anyhow::bail!("the sensor's thread has panicked; please report this"),
    }
    log::say_what_was_left_out(true);
    tracing::info!("stopped: {}", hub.reason());
    served
}

/// Accepts clients and handles signals until the service stops.
fn serve(
    hub: &Arc<Hub>,
    listener: &Listener,
    signals: &mut Signals,
    arguments: &Arguments,
    config: &Config,
) -> anyhow::Result<()> {
    let mut looked = Instant::now();
    let mut failures = 0;
    while hub.phase() == Phase::Running {
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(&signals.stop, PollFlags::IN),
            PollFd::new(&signals.reload, PollFlags::IN),
            PollFd::new(&hub.main, PollFlags::IN),
        ];
        let tick = Timespec::try_from(memory::LOOK_EVERY).ok();
        match poll(&mut fds, tick.as_ref()) {
            Ok(_) => failures = 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) if failures < WAITS => {
                if failures == 0 {
                    tracing::warn!("cannot wait for clients: {error}; trying again");
                }
                failures += 1;
                std::thread::sleep(WAIT_AGAIN);
                continue;
            }
            Err(error) => {
                hub.stop(format!("honed cannot wait for clients: {error}"));
                return Err(error).context("cannot wait for clients");
            }
        }
        let [clients, stop, reload, main] = fds.map(|fd| !fd.revents().is_empty());
        if looked.elapsed() >= memory::LOOK_EVERY {
            looked = Instant::now();
            hub.lock("main").give_up_stuck(hub.max_block_bytes, looked);
            memory::give_back();
            log::say_what_was_left_out(false);
        }
        if clients {
            listener.accept(hub);
        }
        if main {
            hub.main.clear();
        }
        if reload && Signals::take(&mut signals.reload) {
            tell("RELOADING=1");
            apply(hub, arguments, config);
            tell("READY=1");
        }
        if stop && Signals::take(&mut signals.stop) {
            hub.stop("honed was stopped by a signal".to_owned());
        } else if hub.stop_asked.load(Relaxed) {
            hub.stop("honed was stopped on request".to_owned());
        }
    }
    Ok(())
}

/// Reads the configuration again and applies the values that can change while the service runs.
fn apply(hub: &Hub, arguments: &Arguments, running: &Config) {
    let mut config = match config::read(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return tracing::error!("the configuration stays as it was: {error}"),
    };
    log::set_levels(config.log_levels);
    let mut state = hub.lock("configuration");
    if let Err(error) = state.queue.engine.set_default_ring_bytes(config.ring_bytes as usize) {
        tracing::error!("ring_buffer_size: {error}");
    }
    drop(state);
    config.socket.clone_from(&running.socket);
    (config.ring_bytes, config.log_levels) = (running.ring_bytes, running.log_levels);
    if config == *running {
        tracing::info!("the configuration was read again");
    } else {
        tracing::warn!(
            "the configuration was read again: log_level and ring_buffer_size hold from now on, the rest after a restart"
        );
    }
}

fn engine_config(config: &Config) -> hone_engine::Config {
    let mut section = hone_linux::section();
    section.comment = config.comment.clone().into();
    if let Some(host) = &config.host_id {
        section.host = host.clone();
    }
    hone_engine::Config {
        section,
        loaded: hone_linux::now(),
        max_readers: config.max_readers,
        max_ring_bytes: hone_api::limits::HARD_MAX_RING_BYTES as usize,
        max_filter_ids: hone_api::limits::MAX_FILTER_IDS,
        max_block_bytes: config.block_bytes,
        ..hone_engine::Config::default()
    }
}

/// The handled signals. Each has a socket that becomes readable when the signal arrives.
struct Signals {
    stop: UnixStream,
    reload: UnixStream,
}

impl Signals {
    fn register() -> std::io::Result<Self> {
        let pair = |signals: &[i32]| {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            for signal in signals {
                signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
            }
            Ok::<_, std::io::Error>(read)
        };
        Ok(Self { stop: pair(&[SIGTERM, SIGINT])?, reload: pair(&[SIGHUP])? })
    }

    /// Whether the signal has arrived since the last call.
    fn take(signal: &mut UnixStream) -> bool {
        std::io::Read::read(signal, &mut [0; 64]).is_ok_and(|count| count > 0)
    }
}

fn wait(fds: &[PollFd<'_>], timeout: Duration) {
    let timeout = Timespec::try_from(timeout).ok();
    // An error counts as a signal: the caller then looks again.
    let _ = poll(&mut fds.to_vec(), timeout.as_ref());
}
