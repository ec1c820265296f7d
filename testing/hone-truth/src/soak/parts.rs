//! The running parts of a soak: reader threads, a honed, a recorder, and the load's processes. All end with the soak,
//! in every case.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::readers::Found;
use super::sample::{self, Object, Sample};
use super::stream::Stream;
use super::{check_interrupted, load, mark};
use crate::network::{End, Family, Network};
use crate::recorder::{Plan, Running, beside, honed_command, serving};
use crate::stage::wait_for;

/// Number of files that a recorder keeps.
pub(super) const MAX_FILES: u64 = 6;
/// Time that the kernel has to free BPF objects that are no longer used.
const FREED: Duration = Duration::from_secs(20);

/// Prepares a command so that the kernel ends its process together with the thread that starts it. The terminal's
/// Ctrl-C does not reach the process; the soak itself ends it at the right time.
pub(super) fn tied(mut command: Command) -> Command {
    command.process_group(0);
    let die = || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into);
    // SAFETY: between fork and exec only prctl(2) is called, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(die) };
    command
}

/// The reader threads. They are also ended when the soak fails.
#[derive(Default)]
pub(super) struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<(&'static str, JoinHandle<Result<Found>>)>,
}

impl Readers {
    pub(super) fn start(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&AtomicBool) -> Result<Found> + Send + 'static,
    ) -> Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&stop))?;
        self.threads.push((name, thread));
        Ok(())
    }

    /// Stops all readers and returns the result of each one.
    pub(super) fn stop(&mut self) -> Vec<(&'static str, Result<Found>)> {
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

/// A honed and its directory.
pub(super) struct Honed {
    pub(super) directory: PathBuf,
    pub(super) running: Running,
    /// The BPF objects that it used.
    pub(super) objects: BTreeSet<Object>,
}

impl Honed {
    pub(super) fn start(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let plan = Plan { command: None, through_honed: true, mechanism: None };
        let running = serving(&mut tied(honed_command(&plan, &directory)?), &directory)?;
        let objects = Sample::of(running.process())?.objects;
        Ok(Self { directory, running, objects })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("hone.sock")
    }

    /// Ends honed, with SIGKILL if `kill`. Returns what it leaves behind.
    pub(super) fn end(self, kill: bool) -> Result<Vec<String>> {
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

/// Describes which of these objects the kernel still has after a wait. `None` if it has freed them all.
pub(super) fn not_freed(objects: &BTreeSet<Object>) -> Result<Option<String>> {
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

/// A honeutil that records into its own directory.
pub(super) struct Recorder {
    pub(super) name: &'static str,
    pub(super) files: PathBuf,
    pub(super) running: Running,
}

impl Recorder {
    pub(super) fn start(
        place: &Path,
        name: &'static str,
        arguments: &[&str],
        socket: Option<&Path>,
    ) -> Result<Self> {
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
            // The first data that honeutil writes is the snapshot at the start, after the sensor has started.
            Ok(sample::bytes(&files) > 0)
        })?;
        Ok(Self { name, files, running })
    }

    /// Ends the recorder as Ctrl-C does, and checks its files. `broken`: sections without an end are allowed.
    pub(super) fn end(self, broken: bool) -> Result<Vec<String>> {
        let Self { name, files, running } = self;
        running.stop(Signal::SIGINT, name)?;
        let mut faults = Vec::new();
        let mut packets = 0;
        let count = sample::files(&files);
        if count > MAX_FILES {
            faults.push(format!("{count} files are left, of at most {MAX_FILES}"));
        }
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

/// The load's processes and the file that stops them.
pub(super) struct Load {
    pub(super) stop: PathBuf,
    pub(super) parts: Vec<(load::Part, Running)>,
    pub(super) place: PathBuf,
}

impl Load {
    pub(super) fn start(
        place: &Path,
        network: &Network,
        part: load::Part,
        length: Duration,
    ) -> Result<Running> {
        let (own, peer) = if part.receives() { (End::B, End::A) } else { (End::A, End::B) };
        let mut command = tied(Command::new(std::env::current_exe()?));
        command.arg("soak-load").arg(part.name()).arg("--namespace").arg(network.at(own).path());
        command.arg("--stop").arg(place.join("stop")).arg("--result").arg(Self::result(place, part));
        command.arg("--mark").arg(mark());
        // A time limit, so that the part ends even if the soak does not stop it.
        command.arg("--seconds").arg((length * 2 + Duration::from_secs(300)).as_secs().to_string());
        for family in [Family::V4, Family::V6] {
            command.arg("--own").arg(network.address(own, family).to_string());
            command.arg("--peer").arg(network.address(peer, family).to_string());
        }
        Running::start(&mut command, place.join(format!("load-{}.log", part.name())))
    }

    pub(super) fn result(place: &Path, part: load::Part) -> PathBuf {
        place.join(format!("load-{}.json", part.name()))
    }

    /// Ends the load and returns what each part has done.
    pub(super) fn end(mut self) -> Result<serde_json::Value> {
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
