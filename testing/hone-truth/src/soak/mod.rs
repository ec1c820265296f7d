//! The soak: runs honed, readers and recorders under mixed load for a chosen time. Nothing may grow, all counts must
//! balance, and nothing may be left at the end.
//!
//! ```text
//!  load (namespaces A, B) ──► honed that stays ──► readers that stay, come and go, never read, are killed; honeutil --compress
//!                        ├──► honed that is restarted, by turns stopped and killed ──► honeutil --follow
//!                        └──► honeutil --local
//! ```
//!
//! A honed that stays shows slow leaks. A honed that is restarted shows what it leaves behind. [`judge`] defines
//! growth, [`stream`] defines which counts must balance, and [`kernel`] compares honed's state with the kernel's.

mod client;
mod judge;
mod kernel;
mod load;
mod parts;
mod readers;
mod sample;
mod stream;
mod table;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use client::Client;
use judge::{Allowed, Rule};
pub(crate) use load::{LoadArguments, play};
use parts::{Honed, Load, MAX_FILES, Readers, Recorder, not_freed};
use readers::Found;
use sample::{Object, Sample};
use stream::Stream;
use table::Table;

use crate::network::{End, Family, Network};
use crate::run::Place;
use crate::stage::wait_for;

/// Wait before the load, until everything that the soak has started is idle.
const SETTLE: Duration = Duration::from_secs(3);
/// Wait after the load, because honed remembers ended processes and connections for ten seconds.
const LINGER: Duration = Duration::from_secs(13);
/// Time that readers have to catch up. After that, only the host's own activity may be waiting.
const CATCH_UP: Duration = Duration::from_secs(180);
const FEW_BLOCKS: u64 = 10_000;
/// A hash table of the BPF programs that is empty when idle, except for entries of other programs on the host.
const EMPTIED: &str = "accepted";
const FEW_ENTRIES: u64 = 20;
/// Number of samples before and after the load, one per second.
const SETTLED_SAMPLES: u32 = 5;
/// Interval at which a line is printed.
const LINE: Duration = Duration::from_secs(30);

const MIB: u64 = 1 << 20;
/// Memory that honed keeps for each block, in bytes, at the largest number of blocks so far. Its table of blocks does
/// not shrink, and may be twice as large as needed.
const BLOCK_PLACE: u64 = 128;
/// A recorder counts by process, and keeps at most 8,192 of them apart. Under this load, that is reached after this time at
/// the latest.
const TALLY_FILLS: Duration = Duration::from_secs(600);
/// The memory that it takes until then, in bytes, with room to spare.
const TALLY: u64 = 8 * MIB;
/// Name of the reader that uses a filter to leave packets out.
const LEAVES_OUT: &str = "leaves out";

#[derive(Debug, Args)]
pub(crate) struct SoakArguments {
    /// How long the load lasts
    #[arg(long, value_name = "MINUTES", default_value = "60", value_parser = clap::value_parser!(u16).range(1..=1440))]
    minutes: u16,
    /// Keep configuration, logs and recordings in DIR
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Set by SIGINT and SIGTERM. The soak then ends everything and removes its files.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Relaxed);
}

fn follow_signals() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(interrupt), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which a signal handler may do.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

fn check_interrupted() -> Result<()> {
    ensure!(!INTERRUPTED.load(Relaxed), "interrupted");
    Ok(())
}

/// The mark by which this soak's own programs are recognized.
fn mark() -> String {
    format!("hone-soak-{}", std::process::id())
}

/// Sleeps. Returns an error if the soak is interrupted.
fn sleep(time: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        check_interrupted()?;
        std::thread::sleep(Duration::from_millis(100).min(time));
    }
    check_interrupted()
}

/// Everything that runs. If the soak fails, it is ended in this order.
struct Soak {
    readers: Readers,
    /// The readers that stay until the end.
    staying: Readers,
    place: PathBuf,
    network: Network,
    stays: Honed,
    /// Requests statistics from the honed that stays. It is not a reader.
    monitor: Client,
    /// `None` only during a restart.
    restarted: Option<Honed>,
    restarts: u64,
    compresses: Recorder,
    follows: Recorder,
    local: Recorder,
    local_objects: BTreeSet<Object>,
    /// How much a recorder's memory may grow during the load, besides a tenth, in bytes.
    recorder_grows: u64,
    table: Table,
}

/// Runs the soak and prints the results. Returns whether there was no fault.
///
/// # Errors
/// Something that the soak needs does not work, or the soak is interrupted.
pub(crate) fn run(arguments: &SoakArguments) -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces and honed need root");
    follow_signals()?;
    let place = Place::new(arguments.keep.as_deref())?;
    let empty = std::fs::read_dir(&place.path)?.next().is_none();
    ensure!(empty, "{} is not empty", place.path.display());
    let length = Duration::from_secs(60) * u32::from(arguments.minutes);
    let mut soak = Soak::start(&place.path, length)?;
    soak.settle(false)?;
    let load = soak.load(length)?;
    let table = soak.finish(load)?;
    print!("{table}");
    Ok(table.good())
}

impl Soak {
    fn start(place: &Path, length: Duration) -> Result<Self> {
        let network = Network::new(0)?;
        let stays = Honed::start(place.join("stays"))?;
        let restarted = Honed::start(place.join("restarted"))?;
        let size = &["--rotate-size", "1M", "--rotate-time", "5s"][..];
        let compressed = [size, &["--compress"]].concat();
        let compresses = Recorder::start(place, "compresses", &compressed, Some(&stays.socket()))?;
        let following = [size, &["--follow"]].concat();
        let follows = Recorder::start(place, "follows", &following, Some(&restarted.socket()))?;
        let local = Recorder::start(place, "local", &[size, &["--local"]].concat(), None)?;
        let mut staying = Readers::default();
        let to: Vec<IpAddr> = [Family::V4, Family::V6].map(|family| network.address(End::B, family)).into();
        let mut client = Client::open(&stays.socket())?;
        // A large ring buffer, so that nothing is lost while the client does something else.
        client.attach(8 << 20)?;
        staying.start("counts", move |stop| {
            readers::stays(client, Stream::new(to, load::counted(&mark())), stop)
        })?;
        Ok(Self {
            place: place.to_owned(),
            network,
            monitor: Client::open(&stays.socket())?,
            stays,
            restarted: Some(restarted),
            restarts: 0,
            compresses,
            follows,
            local,
            local_objects: BTreeSet::new(),
            recorder_grows: 4 * MIB + if length < TALLY_FILLS { TALLY } else { 0 },
            readers: Readers::default(),
            staying,
            table: Table::default(),
        })
    }

    /// Waits until nothing changes any more, then takes samples.
    fn settle(&mut self, after_load: bool) -> Result<()> {
        sleep(if after_load { LINGER } else { SETTLE })?;
        // On a busy machine, readers may be behind.
        let begun = Instant::now();
        while self.monitor.numbers()?.blocks > FEW_BLOCKS {
            if begun.elapsed() > CATCH_UP {
                self.table
                    .faults("honed", vec![format!("its readers have not caught up after {CATCH_UP:?}")]);
                break;
            }
            sleep(Duration::from_secs(1))?;
        }
        for _ in 0..SETTLED_SAMPLES {
            self.sample(|series, value| series.settled(after_load, value))?;
            sleep(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Keeps the load running, starts and ends readers, and restarts a honed.
    fn load(&mut self, length: Duration) -> Result<Load> {
        let stop = self.place.join("stop");
        let mut load = Load { stop, parts: Vec::new(), place: self.place.clone() };
        for part in load::Part::ALL {
            let mut running = Load::start(&self.place, &self.network, part, length)?;
            if part == load::Part::Receive {
                wait_for("the load's receiver listens", || {
                    running.still_runs("the load's receiver")?;
                    Ok(Load::result(&self.place, part).exists())
                })?;
            }
            load.parts.push((part, running));
        }
        let sender = load.parts.iter().find(|(part, _)| *part == load::Part::Send);
        let sender = sender.map(|(_, running)| running.process()).unwrap_or_default();
        let socket = self.stays.socket();
        let mut filtered = Client::open(&socket)?;
        filtered.leave_out(&[sender])?;
        filtered.attach(0)?;
        self.readers.start(LEAVES_OUT, move |stop| readers::stays(filtered, Stream::default(), stop))?;
        for name in ["comes and goes", "comes and goes too"] {
            let socket = socket.clone();
            self.readers.start(name, move |stop| readers::comes_and_goes(&socket, stop))?;
        }
        let stuck = socket.clone();
        self.readers.start("never reads", move |stop| readers::never_reads(&stuck, stop))?;
        let killed = self.place.join("killed");
        std::fs::create_dir_all(&killed)?;
        self.readers.start("is killed", move |stop| readers::is_killed(&socket, &killed, stop))?;

        let begun = Instant::now();
        let every = (length / 120).clamp(Duration::from_secs(1), Duration::from_secs(10));
        let life = (length / 8).clamp(Duration::from_secs(10), Duration::from_secs(90));
        let (mut lined, mut born) = (Instant::now(), Instant::now());
        while begun.elapsed() < length {
            sleep(every)?;
            if born.elapsed() >= life {
                self.restart()?;
                born = Instant::now();
            }
            let time = begun.elapsed();
            self.sample(|series, value| series.add(time, value))?;
            for (part, running) in &mut load.parts {
                running.still_runs(&format!("the load's part {}", part.name()))?;
            }
            if lined.elapsed() >= LINE {
                lined = Instant::now();
                eprintln!("{:>5} s  {}, {} restarts", time.as_secs(), self.table.line(), self.restarts);
            }
        }
        Ok(load)
    }

    /// Ends a honed, alternately with SIGTERM and with SIGKILL, and starts another one.
    fn restart(&mut self) -> Result<()> {
        let Some(honed) = self.restarted.take() else { bail!("no honed to restart") };
        self.restarts += 1;
        let directory = honed.directory.clone();
        let faults = honed.end(self.restarts.is_multiple_of(2))?;
        self.table.faults("honed (restarted)", faults);
        self.restarted = Some(Honed::start(directory)?);
        Ok(())
    }

    /// Takes one sample of every value that may grow.
    fn sample(&mut self, add: impl Fn(&mut judge::Series, u64)) -> Result<()> {
        let numbers = self.monitor.numbers()?;
        let allocated = self.monitor.allocated()?;
        let stays = Sample::of(self.stays.running.process())?;
        let trend = |percent, slack| Rule { trend: Some(Allowed { percent, slack }), ..Rule::default() };
        let same = Rule { trend: Some(Allowed::NONE), remains: Some(Allowed::NONE), most: None };
        let table = &mut self.table;
        let mut put = |who: &'static str, what: &str, rule: Rule, value: u64| {
            add(table.series(who, what, rule), value);
        };
        let honed = "honed";
        put(honed, "resident memory", trend(10, 4 * MIB), stays.memory);
        put(honed, "allocated memory", trend(20, 16 * MIB), allocated);
        // The number of blocks depends on what readers have not read. The rest is tables and the readers' buffers.
        let rest = allocated.saturating_sub(numbers.block_bytes);
        put(honed, "memory besides blocks", trend(10, 2 * MIB), rest);
        put(honed, "descriptors", same, stays.descriptors);
        put(honed, "threads", same, stays.threads);
        put(honed, "BPF maps", same, stays.maps());
        put(honed, "BPF programs and links", same, stays.programs());
        put(honed, "BPF runs missed", Rule::default(), stays.missed);
        put(honed, "readers", same, numbers.readers);
        // Other programs of the host start and end too. The comparison with the kernel is made at the end.
        put(honed, "processes", trend(20, 50), numbers.processes);
        put(honed, "connections", trend(20, 200), numbers.connections);
        put(honed, "packets held", trend(20, 500), numbers.held);
        put(honed, "blocks", Rule::default(), numbers.blocks);
        put(honed, "bytes of blocks", trend(20, 16 * MIB), numbers.block_bytes);
        for (name, entries, most) in stays.tables() {
            // These tables have a fixed size. Most keep unused entries until the space is needed.
            let remains = (name == EMPTIED).then_some(Allowed { percent: 0, slack: FEW_ENTRIES });
            put(
                honed,
                &format!("BPF table {name}"),
                Rule { most: Some(most), remains, trend: None },
                entries,
            );
        }
        for recorder in [&self.compresses, &self.follows, &self.local] {
            let Recorder { name, files, running } = recorder;
            let sample = Sample::of(running.process())?;
            put(name, "resident memory", trend(10, self.recorder_grows), sample.memory);
            put(name, "descriptors", same, sample.descriptors);
            put(name, "threads", same, sample.threads);
            put(name, "BPF maps", same, sample.maps());
            put(name, "BPF programs and links", same, sample.programs());
            // On a busy machine, the recorder is late with compressing and removing files. The exact number is checked
            // at the end.
            put(name, "files", trend(0, MAX_FILES), sample::files(files));
        }
        self.stays.objects.extend(stays.objects);
        if let Ok(local) = Sample::of(self.local.running.process()) {
            self.local_objects.extend(local.objects);
        }
        Ok(())
    }

    /// Ends the load and the readers, compares with the kernel, and ends everything else.
    fn finish(mut self, load: Load) -> Result<Table> {
        eprintln!("the load ends");
        let mut left_out = 0;
        for (name, found) in self.readers.stop() {
            let outcome = found.map(|found| {
                let torn = match found.torn {
                    0 => String::new(),
                    torn => format!("; {torn} files end within a block"),
                };
                self.table.note(name, format!("{} rounds{torn}", found.rounds));
                if name == LEAVES_OUT {
                    left_out = found.numbers.filtered[0];
                }
                found.faults
            });
            self.table.outcome(name, outcome);
        }
        if left_out == 0 {
            self.table.faults(LEAVES_OUT, vec!["no packet was left out".to_owned()]);
        }
        for (part, running) in &load.parts {
            self.table.note("load", format!("{} was process {}", part.name(), running.process()));
        }
        let done = load.end()?;
        self.settle(true)?;

        let blocks = self.table.peak("honed", "blocks");
        let remains = Allowed { percent: 10, slack: 2 * MIB + BLOCK_PLACE * blocks };
        self.table.remains("honed", "memory besides blocks", remains);
        let namespaces = [self.network.at(End::A), self.network.at(End::B)];
        let differences = kernel::compare(&self.stays.socket(), &namespaces);
        let lost = self.monitor.numbers()?.lost;
        let mut open = Vec::new();
        let differences = differences.map(|differences| {
            open.extend(differences.closed.keys().copied());
            let [processes, connections] = differences.had;
            self.table
                .note("honed and the kernel", format!("{processes} processes, {connections} connections"));
            let (faults, explained) = differences.lines([1, 2].map(|kind| lost[0][kind] + lost[1][kind]));
            explained.into_iter().for_each(|line| self.table.note("honed and the kernel", line));
            faults
        });
        self.table.outcome("honed and the kernel", differences);

        self.table.note("load", done.to_string());
        for (name, found) in self.staying.stop() {
            let outcome = found.map(|mut found| {
                let [packets, processes, connections] = found.stream.blocks;
                let note = format!(
                    "{} sections, {packets} packets, {processes} process events, {connections} connection events; lost of each by \
                     the sensor {:?}, without room {:?}, by this reader {:?}",
                    found.stream.sections, found.lost[0], found.lost[1], found.numbers.dropped
                );
                self.table.note(name, note);
                open.iter().for_each(|id| self.table.note(name, found.stream.history(*id)));
                found.faults.append(&mut balance(&done, &found));
                found.faults
            });
            self.table.outcome(name, outcome);
        }
        self.table.note("honed (restarted)", format!("{} restarts", self.restarts));
        drop(self.monitor);
        let broken = self.restarts > 1;
        if let Some(honed) = self.restarted {
            self.table.outcome("honed (restarted)", honed.end(false));
        }
        self.table.outcome("follows", self.follows.end(broken));
        self.table.outcome("compresses", self.compresses.end(false));
        self.table.outcome("local", self.local.end(false));
        let left = not_freed(&self.local_objects);
        self.table.outcome("local", left.map(|left| left.into_iter().collect()));
        self.table.outcome("honed", self.stays.end(false));
        Ok(self.table)
    }
}

/// The losses that a reader's statistics report: packets, process events, connection events.
fn lost(found: &Found) -> [u64; 3] {
    std::array::from_fn(|kind| found.numbers.dropped[kind] + found.lost[0][kind] + found.lost[1][kind])
}

/// Compares what the load did with what was recorded. Reported losses are allowed for.
fn balance(done: &serde_json::Value, found: &Found) -> Vec<String> {
    let [lost_packets, lost_processes, _] = lost(found);
    let traffic = found.stream.traffic;
    let number = |part: &str, what: &str| done[part][what].as_u64().unwrap_or_default();
    let programs = number("processes", "programs");
    let made_and_recorded = [
        ("datagrams sent", number("send", "datagrams"), traffic.sent, lost_packets),
        ("datagrams read", number("receive", "datagrams"), traffic.received, lost_packets),
        ("programs started", programs, traffic.started, lost_processes),
        ("programs ended", programs, traffic.ended, lost_processes),
    ];
    let wrong = |(_, made, recorded, lost): &&(_, u64, u64, u64)| {
        *made == 0 || recorded > made || made - recorded > *lost
    };
    let wrong = made_and_recorded.iter().filter(wrong);
    wrong
        .map(|(what, made, recorded, lost)| {
            format!("{what}: {made}, recorded {recorded}, counted as lost {lost}")
        })
        .collect()
}
