//! The soak: honed, readers and recorders under mixed load, for as long as is asked for. Nothing may grow, everything must
//! balance, and nothing may be left.
//!
//! ```text
//!  load (namespaces A, B) ──► honed that stays ──► readers that stay, come and go, never read, are killed; honeutil --compress
//!                        ├──► honed that is restarted, by turns stopped and killed ──► honeutil --follow
//!                        └──► honeutil --local
//! ```
//!
//! A honed that stays shows what leaks slowly; one that is restarted shows what a honed leaves behind. [`judge`] says what
//! growth is, [`stream`] what must balance, [`kernel`] what must agree with the kernel.

mod client;
mod judge;
mod kernel;
mod load;
mod readers;
mod sample;
mod stream;
mod table;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use client::Client;
use judge::{Allowed, Rule};
pub(crate) use load::{LoadArguments, play};
use readers::Found;
use sample::{Object, Sample};
use stream::Stream;
use table::Table;

use crate::network::{End, Family, Network};
use crate::recorder::{Plan, Running, beside, honed_command, serving};
use crate::run::Place;
use crate::stage::wait_for;

/// Before the load: until what the soak itself has started is at rest.
const SETTLE: Duration = Duration::from_secs(3);
/// After it: honed remembers for ten seconds what has ended.
const LINGER: Duration = Duration::from_secs(13);
/// Samples before and after the load, one a second.
const SETTLED_SAMPLES: u32 = 5;
/// How often a line is printed.
const LINE: Duration = Duration::from_secs(30);
/// Files that a recorder keeps; besides, one may be being compressed.
const MAX_FILES: u64 = 6;
/// How long the kernel may take to free BPF objects that nobody uses any more.
const FREED: Duration = Duration::from_secs(20);

const MIB: u64 = 1 << 20;
/// The reader whose filter leaves packets out.
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

/// Set by SIGINT and SIGTERM: then everything is ended and removed.
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

/// Sleeps, unless it is interrupted.
fn sleep(time: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        check_interrupted()?;
        std::thread::sleep(Duration::from_millis(100).min(time));
    }
    check_interrupted()
}

/// A command whose process the kernel ends with the thread that starts it, and that the terminal's Ctrl-C does not reach:
/// the soak ends it in its own time.
fn tied(mut command: Command) -> Command {
    command.process_group(0);
    let die = || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into);
    // SAFETY: between fork and exec only prctl(2) is called, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(die) };
    command
}

/// Ends the threads of readers, also when the soak fails.
#[derive(Default)]
struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<(&'static str, JoinHandle<Result<Found>>)>,
}

impl Readers {
    fn start(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&AtomicBool) -> Result<Found> + Send + 'static,
    ) -> Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&stop))?;
        self.threads.push((name, thread));
        Ok(())
    }

    /// Stops all, and returns what each has found.
    fn stop(&mut self) -> Vec<(&'static str, Result<Found>)> {
        self.stop.store(true, Relaxed);
        let join = |thread: JoinHandle<Result<Found>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the reader's thread panicked")))
        };
        self.threads.drain(..).map(|(name, thread)| (name, join(thread))).collect()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A honed with its directory.
struct Honed {
    directory: PathBuf,
    running: Running,
    /// The BPF objects that it had.
    objects: BTreeSet<Object>,
}

impl Honed {
    fn start(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let plan = Plan { command: None, through_honed: true, mechanism: None };
        let running = serving(&mut tied(honed_command(&plan, &directory)?), &directory)?;
        let objects = Sample::of(running.process())?.objects;
        Ok(Self { directory, running, objects })
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("hone.sock")
    }

    /// Ends it, well or not, and returns what it leaves behind.
    fn end(self, kill: bool) -> Result<Vec<String>> {
        let Self { directory, running, objects } = self;
        let mut faults = Vec::new();
        if kill {
            drop(running);
        } else {
            let said = running.stop(Signal::SIGTERM, "honed")?;
            let bad = said.lines().filter(|line| line.contains("error:") || line.contains("panicked"));
            faults.extend(bad.map(|line| format!("its log: {line}")));
            if directory.join("hone.sock").exists() {
                faults.push("its socket is left".to_owned());
            }
        }
        faults.extend(not_freed(&objects)?);
        Ok(faults)
    }
}

/// What the kernel still has of these objects, after some time.
fn not_freed(objects: &BTreeSet<Object>) -> Result<Option<String>> {
    ensure!(!objects.is_empty(), "a sensor without BPF objects");
    let begun = Instant::now();
    loop {
        let left = sample::left(objects);
        if left.is_empty() {
            return Ok(None);
        }
        if begun.elapsed() > FREED {
            return Ok(Some(format!("{} BPF objects are left: {left:?}", left.len())));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A honeutil that records into a directory of its own.
struct Recorder {
    name: &'static str,
    files: PathBuf,
    running: Running,
}

impl Recorder {
    fn start(place: &Path, name: &'static str, arguments: &[&str], socket: Option<&Path>) -> Result<Self> {
        let files = place.join(name);
        std::fs::create_dir_all(&files)?;
        let mut command = tied(Command::new(beside("honeutil")));
        command.args(["read", "--directory"]).arg(&files).args(["--max-files", &MAX_FILES.to_string()]);
        command.args(arguments);
        if let Some(socket) = socket {
            command.arg("--socket").arg(socket);
        }
        let mut running = Running::start(&mut command, place.join(format!("{name}.log")))?;
        wait_for(format!("{name} records"), || {
            running.still_runs(name)?;
            check_interrupted()?;
            Ok(sample::files(&files) > 0)
        })?;
        Ok(Self { name, files, running })
    }

    /// Ends it as Ctrl-C does, and looks at its files. `broken`: sections may have no end.
    fn end(self, broken: bool) -> Result<Vec<String>> {
        let Self { name, files, running } = self;
        running.stop(Signal::SIGINT, name)?;
        let mut faults = Vec::new();
        let mut packets = 0;
        for entry in std::fs::read_dir(files)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut stream = Stream::of_file(&path, false)?;
            packets += stream.blocks[0];
            faults.extend(stream.faults.drain(..).map(|fault| format!("{name}: {fault}")));
            if !broken && stream.unfinished > 0 {
                faults.push(format!("{name}: a section has no statistics"));
            }
        }
        ensure!(packets > 0, "{name} has recorded no packet");
        Ok(faults)
    }
}

/// Everything that runs.
struct Soak {
    place: PathBuf,
    network: Network,
    stays: Honed,
    /// Asks the honed that stays for its numbers; no reader.
    monitor: Client,
    /// `None` only while it is being restarted.
    restarted: Option<Honed>,
    restarts: u64,
    compresses: Recorder,
    follows: Recorder,
    local: Recorder,
    local_objects: BTreeSet<Object>,
    readers: Readers,
    /// Those that stay to the very end.
    staying: Readers,
    table: Table,
}

/// Runs the soak, and prints what it finds. Returns whether everything was as it should be.
///
/// # Errors
/// Something that the soak needs does not work, or it is interrupted.
pub(crate) fn run(arguments: &SoakArguments) -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces and honed need root");
    follow_signals()?;
    let place = Place::new(arguments.keep.as_deref())?;
    let empty = std::fs::read_dir(&place.path)?.next().is_none();
    ensure!(empty, "{} is not empty", place.path.display());
    let length = Duration::from_secs(60) * u32::from(arguments.minutes);
    let mut soak = Soak::start(&place.path)?;
    soak.settle(false)?;
    let load = soak.load(length)?;
    let table = soak.finish(load)?;
    print!("{table}");
    Ok(table.good())
}

/// The load's processes, with the file that ends them.
struct Load {
    stop: PathBuf,
    parts: Vec<(load::Part, Running)>,
    place: PathBuf,
}

impl Load {
    fn start(place: &Path, network: &Network, part: load::Part, length: Duration) -> Result<Running> {
        let (own, peer) = if part.receives() { (End::B, End::A) } else { (End::A, End::B) };
        let mut command = tied(Command::new(std::env::current_exe()?));
        command.arg("soak-load").arg(part.name()).arg("--namespace").arg(network.at(own).path());
        command.arg("--stop").arg(place.join("stop")).arg("--result").arg(Self::result(place, part));
        // It ends by itself, whatever happens to the soak.
        command.arg("--seconds").arg((length * 2 + Duration::from_secs(300)).as_secs().to_string());
        for family in [Family::V4, Family::V6] {
            command.arg("--own").arg(network.address(own, family).to_string());
            command.arg("--peer").arg(network.address(peer, family).to_string());
        }
        Running::start(&mut command, place.join(format!("load-{}.log", part.name())))
    }

    fn result(place: &Path, part: load::Part) -> PathBuf {
        place.join(format!("load-{}.json", part.name()))
    }

    /// Ends it; what each part has done.
    fn end(mut self) -> Result<serde_json::Value> {
        std::fs::write(&self.stop, "")?;
        let mut all = serde_json::Map::new();
        for (part, running) in self.parts.drain(..) {
            let name = part.name();
            running.ended(&name)?;
            let done = std::fs::read_to_string(Self::result(&self.place, part))?;
            all.insert(name, serde_json::from_str(&done).context("a part of the load says nothing")?);
        }
        Ok(all.into())
    }
}

impl Soak {
    fn start(place: &Path) -> Result<Self> {
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
        // Room for what comes while it looks at something else.
        client.attach(8 << 20)?;
        staying.start("counts", move |stop| readers::stays(client, Stream::new(to), stop))?;
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
            readers: Readers::default(),
            staying,
            table: Table::default(),
        })
    }

    /// Waits until nothing changes any more, and samples.
    fn settle(&mut self, after_load: bool) -> Result<()> {
        sleep(if after_load { LINGER } else { SETTLE })?;
        for _ in 0..SETTLED_SAMPLES {
            self.sample(|series, value| series.settled(after_load, value))?;
            sleep(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Keeps the load going, with readers and a honed that come and go.
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

    /// Ends a honed, by turns well and not, and starts another one.
    fn restart(&mut self) -> Result<()> {
        let Some(honed) = self.restarted.take() else { bail!("no honed to restart") };
        self.restarts += 1;
        let directory = honed.directory.clone();
        let faults = honed.end(self.restarts % 2 == 0)?;
        self.table.faults("honed (restarted)", faults);
        self.restarted = Some(Honed::start(directory)?);
        Ok(())
    }

    /// One sample of everything that may grow.
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
        let remains = Some(Allowed { percent: 20, slack: 2 * MIB });
        put(honed, "allocated memory", Rule { remains, ..trend(10, 2 * MIB) }, allocated);
        put(honed, "descriptors", same, stays.descriptors);
        put(honed, "threads", same, stays.threads);
        put(honed, "BPF maps", same, stays.maps());
        put(honed, "BPF programs and links", same, stays.programs());
        put(honed, "readers", same, numbers.readers);
        // Other programs of the host come and go, too; what the kernel has is compared at the end.
        put(honed, "processes", trend(20, 50), numbers.processes);
        put(honed, "connections", trend(20, 200), numbers.connections);
        put(honed, "packets held", trend(20, 500), numbers.held);
        put(honed, "blocks", Rule::default(), numbers.blocks);
        put(honed, "bytes of blocks", trend(20, 16 * MIB), numbers.block_bytes);
        for (name, entries, most) in stays.tables() {
            put(honed, &format!("BPF table {name}"), Rule { most: Some(most), ..trend(20, 256) }, entries);
        }
        for recorder in [&self.compresses, &self.follows, &self.local] {
            let Recorder { name, files, running } = recorder;
            let sample = Sample::of(running.process())?;
            put(name, "resident memory", trend(10, 4 * MIB), sample.memory);
            put(name, "descriptors", same, sample.descriptors);
            put(name, "threads", same, sample.threads);
            put(name, "BPF maps", same, sample.maps());
            put(name, "BPF programs and links", same, sample.programs());
            // One more may be being compressed.
            let most = MAX_FILES + if *name == "compresses" { 2 } else { 0 };
            put(name, "files", Rule { most: Some(most), ..Rule::default() }, sample::files(files));
        }
        self.stays.objects.extend(stays.objects);
        if let Ok(local) = Sample::of(self.local.running.process()) {
            self.local_objects.extend(local.objects);
        }
        Ok(())
    }

    /// Ends load and readers, compares with the kernel, ends everything.
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
        let done = load.end()?;
        self.settle(true)?;

        let namespaces = [self.network.at(End::A), self.network.at(End::B)];
        let differences = kernel::compare(&self.stays.socket(), &namespaces);
        let differences = differences.map(|differences| {
            let [processes, connections] = differences.had;
            self.table
                .note("honed and the kernel", format!("{processes} processes, {connections} connections"));
            differences.faults()
        });
        self.table.outcome("honed and the kernel", differences);

        self.table.note("load", done.to_string());
        for (name, found) in self.staying.stop() {
            let outcome = found.map(|mut found| {
                let [packets, processes, connections] = found.stream.blocks;
                let note = format!(
                    "{} sections, {packets} packets, {processes} process events, {connections} connection events; lost: {}",
                    found.stream.sections,
                    lost(&found)
                );
                self.table.note(name, note);
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

/// All that anybody says was lost.
fn lost(found: &Found) -> u64 {
    let each = [found.numbers.dropped, found.lost];
    found.stream.lost + each.iter().flatten().sum::<u64>()
}

/// What the load did and what was recorded of it, but for what is counted as lost.
fn balance(done: &serde_json::Value, found: &Found) -> Vec<String> {
    let lost = lost(found);
    let traffic = found.stream.traffic;
    let number = |part: &str, what: &str| done[part][what].as_u64().unwrap_or_default();
    let pairs = [
        ("datagrams sent", number("send", "datagrams"), traffic.sent),
        ("datagrams read", number("receive", "datagrams"), traffic.received),
        ("programs started", number("processes", "programs"), traffic.started),
        ("programs ended", number("processes", "programs"), traffic.ended),
    ];
    let wrong =
        pairs.iter().filter(|(_, made, recorded)| *made == 0 || recorded > made || made - recorded > lost);
    wrong
        .map(|(what, made, recorded)| format!("{what}: {made}, recorded {recorded}, counted as lost {lost}"))
        .collect()
}
