//! Helpers for live tests: whether a test can run here, children that never outlive their test, and waits with a limit.

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::CapabilitySet;

/// The limit of every wait: far more than any wait needs, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Interval at which a wait checks its condition.
const TICK: Duration = Duration::from_millis(5);

/// Whether the sensor and the namespaces can work here, with these programs on the path. If not, prints the reason.
///
/// # Panics
/// They cannot work, and `HONE_LIVE=required` is set: then the tests must not seem to have passed.
#[must_use]
pub fn ready(programs: &[&str]) -> bool {
    let Some(reason) = obstacle(programs) else { return true };
    skip(&reason);
    false
}

/// Prints why a test cannot run here.
///
/// # Panics
/// If `HONE_LIVE=required` is set.
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os("HONE_LIVE").is_none_or(|value| value != "required"),
        "cannot be skipped: {reason}"
    );
    // Does not use a print macro, because the test harness hides such output of tests that pass. It is one write on its
    // own line, because several tests print at the same time.
    let _ = std::io::stderr().write_all(format!("\nskipped: {reason}\n").as_bytes());
}

fn obstacle(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".into());
    }
    let held =
        rustix::thread::capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    let needed =
        CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    if !held.contains(needed) {
        return Some(format!("root without the capabilities {:?}", needed - held));
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(1)) {
        return Some(format!("kernel {release} is older than 6.1"));
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no BTF".into());
    }
    if !std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| mounts.contains(" - cgroup2 ")) {
        return Some("no cgroup v2 hierarchy is mounted".into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing =
        |program: &&&str| !std::env::split_paths(&path).any(|directory| directory.join(program).exists());
    let missing: Vec<&str> = ["ip"].iter().chain(programs).filter(missing).copied().collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

/// A child process. Killed and reaped when dropped.
#[derive(Debug)]
pub struct Guarded(Child);

impl Guarded {
    /// Starts the child.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The child itself, for example to use its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Sends a signal to this child only.
    ///
    /// # Panics
    /// The child has already been waited for.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("a child that is not reaped can be signalled");
    }

    /// Waits until the child ends. `what` names the child in the panic message.
    ///
    /// # Panics
    /// The child does not end in time.
    pub fn wait(&mut self, what: impl Display) -> ExitStatus {
        wait_for(what, || self.ended())
    }

    /// The exit status, if the child has ended.
    ///
    /// # Panics
    /// Never: a child can be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be waited for")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both calls fail only if the child is already reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `look` returns a value, and returns it.
///
/// # Panics
/// There is no value for [`PATIENCE`].
pub fn wait_for<T>(what: impl Display, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {PATIENCE:?} in vain: {what}");
        std::thread::sleep(TICK);
    }
}

/// Runs a short command to its end and returns its standard output.
///
/// # Panics
/// The command cannot run, or it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}: {out}{err}", output.status);
    out.into_owned()
}
