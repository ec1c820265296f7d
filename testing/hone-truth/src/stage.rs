//! The stage of a scenario: its network, and its actors. Actors are forked processes that report what they do.
//!
//! The bench itself, and every actor that forks, has only one thread when it forks.

use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::network::{End, Family, Namespace, Network};
use crate::packet::Direction;
use crate::tag::Tag;
use crate::told::{Fact, Flow, Told, now};

/// The limit of every wait: far more than any wait needs, even under emulation on a busy host, where loading the sensor's programs can
/// take more than a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
/// The kernel ends an actor that still runs after this number of seconds.
const LIFETIME: u32 = 900;
/// Interval at which a wait checks its condition.
const TICK: Duration = Duration::from_millis(2);

/// Everything that a scenario's function works with.
#[derive(Debug)]
pub(crate) struct Stage<'n> {
    pub(crate) network: &'n Network,
    pub(crate) family: Family,
    /// Number of processes in a crowd.
    pub(crate) crowd: usize,
    told: Told,
    facts: PathBuf,
    scenario: String,
    /// Actors that started before the recorder and play on while it records.
    pub(crate) waiting: Vec<Actor>,
}

impl<'n> Stage<'n> {
    /// Makes the stage of a scenario, and reports the addresses of its network.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn new(
        network: &'n Network,
        family: Family,
        crowd: usize,
        facts: &Path,
        scenario: &str,
    ) -> Result<Self> {
        let told = Told::open(facts, scenario)?;
        for end in [End::A, End::B] {
            told.tell(&Fact::Address(network.address(end, family)))?;
        }
        let (facts, scenario) = (facts.to_owned(), scenario.to_owned());
        Ok(Self { network, family, crowd, told, facts, scenario, waiting: Vec::new() })
    }

    pub(crate) fn ip(&self, end: End) -> IpAddr {
        self.network.address(end, self.family)
    }

    pub(crate) fn address(&self, end: End, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(end), port)
    }

    /// Reports a fact.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn tell(&self, fact: &Fact) -> Result<()> {
        self.told.tell(fact)
    }

    /// Starts an actor at one end. The actor runs `part`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn play(
        &self,
        end: End,
        name: &'static str,
        part: impl FnOnce(&mut Part) -> Result<()>,
    ) -> Result<Actor> {
        self.play_in(self.network.at(end), name, part)
    }

    /// Starts an actor in any network namespace.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn play_in(
        &self,
        namespace: &Namespace,
        name: &'static str,
        part: impl FnOnce(&mut Part) -> Result<()>,
    ) -> Result<Actor> {
        start(name, &self.facts, &self.scenario, |play| {
            namespace.enter()?;
            part(play)
        })
    }
}

/// An actor from the view of the process that started it. Killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Actor {
    name: &'static str,
    process: Pid,
    line: UnixStream,
    reaped: bool,
}

impl Actor {
    /// The process id, in the namespace of the process that forked it.
    pub(crate) fn process(&self) -> u32 {
        self.process.as_raw().unsigned_abs()
    }

    /// Waits until the actor reports that it is ready.
    ///
    /// # Errors
    /// The actor ends, or does not report in time.
    pub(crate) fn ready(&mut self) -> Result<()> {
        let mut byte = [0];
        if self.line.read_exact(&mut byte).is_ok() {
            return Ok(());
        }
        self.finish()?;
        bail!("{} ended, or said nothing for {PATIENCE:?}", self.name)
    }

    /// Lets the actor continue.
    ///
    /// # Errors
    /// The actor has ended.
    pub(crate) fn go(&mut self) -> Result<()> {
        self.line.write_all(&[1]).with_context(|| format!("{} does not listen any more", self.name))
    }

    /// Waits until the actor ends.
    ///
    /// # Errors
    /// The actor failed. Its message is on standard error.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.finish_within(PATIENCE)
    }

    /// Waits until an actor ends that has `count` things to do, which may take longer.
    ///
    /// # Errors
    /// The actor failed. Its message is on standard error.
    pub(crate) fn finish_slowly(&mut self, count: usize) -> Result<()> {
        self.finish_within(PATIENCE + Duration::from_millis(50) * u32::try_from(count)?)
    }

    fn finish_within(&mut self, patience: Duration) -> Result<()> {
        let started = Instant::now();
        while !self.reaped {
            match waitpid(self.process, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::StillAlive => std::thread::sleep(TICK),
                status => {
                    self.reaped = true;
                    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{} failed: {status:?}", self.name);
                }
            }
            ensure!(started.elapsed() < patience, "{} does not end", self.name);
        }
        Ok(())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if !self.reaped {
            // Both calls fail only if the process no longer exists.
            let _ = kill(self.process, Signal::SIGKILL);
            let _ = waitpid(self.process, None);
        }
    }
}

/// An actor from its own view.
#[derive(Debug)]
pub(crate) struct Part {
    /// The process id that the host uses for this process.
    pub(crate) process: u32,
    /// An argument of the program that the actor runs. Messages that it sends and reads are reported together with this
    /// argument.
    pub(crate) program: Option<String>,
    number: u64,
    told: Told,
    facts: PathBuf,
    scenario: String,
    line: UnixStream,
}

impl Part {
    /// Makes a message that has not been sent before.
    pub(crate) fn message(&mut self, length: usize) -> (Tag, Vec<u8>) {
        self.number += 1;
        let tag = Tag { process: self.process, number: self.number };
        (tag, tag.message(length))
    }

    /// Reports that this process has sent a message.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn sent(&self, tag: Tag) -> Result<()> {
        let program = self.program.iter().map(|name| Fact::Named(Direction::Out, tag, name.clone()));
        let facts: Vec<_> = program.chain([Fact::Sent(tag, self.process)]).collect();
        self.told.tell_all(&facts)
    }

    /// Reports every message that begins in these bytes as read.
    ///
    /// # Errors
    /// No message begins in these bytes, or the facts cannot be written.
    pub(crate) fn read(&self, bytes: &[u8]) -> Result<()> {
        Tag::first(bytes)?;
        let mut facts = Vec::new();
        for (_, tag) in Tag::all(bytes) {
            facts.push(Fact::Read(tag, self.process));
            facts.extend(self.program.iter().map(|name| Fact::Named(Direction::In, tag, name.clone())));
        }
        self.told.tell_all(&facts)
    }

    /// Reports that this process has held a socket since the socket was made.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn holds(&self, flow: Flow) -> Result<()> {
        self.told.tell(&Fact::Holds(flow, self.process, 0))
    }

    /// Reports that this process has held a socket since `time`.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn holds_since(&self, flow: Flow, time: u64) -> Result<()> {
        self.told.tell(&Fact::Holds(flow, self.process, time))
    }

    /// Reports that this process has just let go of a socket that others still hold.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn leaves(&self, flow: Flow) -> Result<()> {
        self.told.tell(&Fact::Leaves(flow, self.process, now()))
    }

    /// Reports a fact.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn tell(&self, fact: &Fact) -> Result<()> {
        self.told.tell(fact)
    }

    /// Reports to its starter that it is ready.
    ///
    /// # Errors
    /// The starter no longer listens.
    pub(crate) fn ready(&mut self) -> Result<()> {
        self.line.write_all(&[1]).context("nobody waits for this actor")
    }

    /// Waits until its starter lets it continue.
    ///
    /// # Errors
    /// The starter has ended.
    pub(crate) fn wait(&mut self) -> Result<()> {
        self.line.read_exact(&mut [0]).context("nobody lets this actor go on")
    }

    /// Reports that it is ready, then waits.
    ///
    /// # Errors
    /// Those of [`Self::ready`] and [`Self::wait`].
    pub(crate) fn ready_and_wait(&mut self) -> Result<()> {
        self.ready()?;
        self.wait()
    }

    /// Forks an actor that inherits every descriptor.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn fork(
        &self,
        name: &'static str,
        part: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Actor> {
        start(name, &self.facts, &self.scenario, part)
    }

    /// Forks a process of a crowd. It shares everything but its process id with its parent: it has no connection to its
    /// starter, and it prints no error message when it fails. Returns in the parent only.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn fork_briefly(&mut self, part: impl FnOnce(&mut Self) -> Result<()>) -> Result<Pid> {
        // SAFETY: the bench's processes have one thread when they fork, so the child may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(child),
            ForkResult::Child => {
                self.process = std::process::id();
                self.number = now();
                end("one of a crowd", part(self))
            }
        }
    }

    /// The file of facts and the scenario's name, for a program that continues after exec.
    pub(crate) fn place(&self) -> (&Path, &str) {
        (&self.facts, &self.scenario)
    }

    /// An actor without a starter that waits for it: a program after exec.
    ///
    /// # Errors
    /// The facts cannot be written.
    pub(crate) fn alone(facts: &Path, scenario: &str) -> Result<Self> {
        let (line, _) = UnixStream::pair()?;
        Self::new(std::process::id(), facts, scenario, line)
    }

    fn new(process: u32, facts: &Path, scenario: &str, line: UnixStream) -> Result<Self> {
        let told = Told::open(facts, scenario)?;
        let (facts, scenario) = (facts.to_owned(), scenario.to_owned());
        Ok(Self { process, program: None, number: now(), told, facts, scenario, line })
    }
}

/// Forks a process that plays `part`.
fn start(
    name: &'static str,
    facts: &Path,
    scenario: &str,
    part: impl FnOnce(&mut Part) -> Result<()>,
) -> Result<Actor> {
    let (ours, mut theirs) = UnixStream::pair()?;
    // SAFETY: the bench's processes have one thread when they fork, so the child may do anything.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(theirs);
            ours.set_read_timeout(Some(PATIENCE))?;
            // Made first, so that the child is killed if a later step fails.
            let actor = Actor { name, process: child, line: ours, reaped: false };
            (&actor.line).write_all(&actor.process().to_ne_bytes())?;
            Ok(actor)
        }
        ForkResult::Child => {
            drop(ours);
            let play = || {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                nix::unistd::alarm::set(LIFETIME);
                let mut process = [0; 4];
                theirs.read_exact(&mut process)?;
                theirs.set_read_timeout(Some(Duration::from_secs(LIFETIME.into())))?;
                part(&mut Part::new(u32::from_ne_bytes(process), facts, scenario, theirs)?)
            };
            end(name, play())
        }
    }
}

fn end(name: impl Display, result: Result<()>) -> ! {
    if let Err(error) = &result {
        eprintln!("hone-truth: {name}: {error:#}");
    }
    std::process::exit(i32::from(result.is_err()))
}

/// Waits until the condition `look` is true.
///
/// # Errors
/// It does not become true in time, or `look` fails.
pub(crate) fn wait_for(what: impl Display, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !look()? {
        ensure!(started.elapsed() < PATIENCE, "waited for {PATIENCE:?} in vain: {what}");
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Waits for a short time, so that what follows is certainly later, whatever the precision of the clocks.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(40));
}
