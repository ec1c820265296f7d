//! A command that is started for a recording of it: made, but held back until the recording has begun.
//!
//! This program starts itself as the child (`honeutil begin-command`, hidden). The child says over a socket that it is
//! there, and becomes the command when it is told to. So the process id that is selected is the command's, and nothing of
//! the command is missed. A signal to both, such as that of `fg`, does not begin it too early.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow, bail};
pub use nix::unistd::User;
use nix::unistd::{Gid, Uid, initgroups, setgid, setuid};
use rustix::fs::{Access, access};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgid, getpgrp, getpid, kill_process, waitpid,
};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use signal_hook::flag;

use crate::output::{Output, Owner};
use crate::record::companion::Ended;

/// Exit status if a command is not found, and if it cannot be executed, as shells have it.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// The inode number of the initial process id namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Signals that are passed on to the command. SIGINT and SIGQUIT only if no terminal has sent them to it already.
const PASSED_ON: [Signal; 7] =
    [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::CONT, Signal::INT, Signal::QUIT];

/// Why a command cannot be started, with the exit status that a shell would have.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NotStarted {
    text: String,
    /// The exit status.
    pub status: u8,
}

/// Checks that there is such a program, as execvp(3) would look for it.
///
/// # Errors
/// There is none, or it cannot be executed.
pub fn look_up(program: &OsStr) -> Result<(), NotStarted> {
    let shown = program.to_string_lossy();
    let not = |text, status| NotStarted { text: format!("{shown}: {text}"), status };
    let is_program = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        return match (path.exists(), is_program(path)) {
            (false, _) => Err(not("no such file; nothing is recorded", NOT_FOUND)),
            (_, false) => Err(not("it cannot be executed; nothing is recorded", NOT_EXECUTABLE)),
            _ => Ok(()),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let places: Vec<PathBuf> = std::env::split_paths(&folders).map(|folder| folder.join(program)).collect();
    if places.iter().any(|place| is_program(place)) {
        Ok(())
    } else if places.iter().any(|place| place.is_file()) {
        Err(not("it cannot be executed; nothing is recorded", NOT_EXECUTABLE))
    } else {
        Err(not("command not found; nothing is recorded", NOT_FOUND))
    }
}

/// The user who called sudo, if this is root through sudo.
///
/// # Errors
/// The environment names a user who does not exist.
pub fn caller() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let Some(text) = std::env::var_os("SUDO_UID") else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    let number: u32 = number.ok_or_else(|| anyhow!("SUDO_UID is {}, which is no user id", text.display()))?;
    if number == 0 {
        return Ok(None);
    }
    let user = User::from_uid(Uid::from_raw(number)).context("cannot look up the user who called sudo")?;
    user.map(Some).ok_or_else(|| {
        anyhow!("there is no user {number}, who called sudo; with --as-root the command runs as root")
    })
}

/// Gives files to that user.
pub(crate) fn give(output: &mut Output, user: Option<&User>) {
    if let Some(user) = user {
        output.give_to(Owner { user: user.uid.as_raw(), group: user.gid.as_raw() });
    }
}

/// Whether there is a process with this id.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A command that is held back, or runs.
#[derive(Debug)]
pub struct Held {
    child: Child,
    pid: Pid,
    /// How it is told to begin, until it is.
    hold: Option<UnixStream>,
    raised: Vec<(Signal, Arc<AtomicBool>)>,
    ended: Option<Ended>,
}

impl Held {
    /// Makes the process, as the user if one is given.
    ///
    /// # Errors
    /// The system refuses.
    pub fn start(command: &[OsString], user: Option<&User>) -> anyhow::Result<Self> {
        let namespace = std::fs::metadata("/proc/self/ns/pid").context("cannot look at /proc/self/ns/pid")?;
        if namespace.ino() != INITIAL_PID_NAMESPACE {
            bail!(
                "in a container, a command cannot be recorded by itself, as its process id is another one for the recorder. \
                 On the host, `honeutil read --container NAME` records the container"
            );
        }
        let (mut hold, theirs) = UnixStream::pair().context("cannot make a socket")?;
        fcntl_setfd(&theirs, FdFlags::empty()).context("cannot leave a socket open")?;
        let mut starter = Command::new("/proc/self/exe");
        starter.arg("begin-command").arg("--hold").arg(theirs.as_raw_fd().to_string());
        if let Some(user) = user {
            starter.arg("--as-user").arg(user.uid.to_string());
        }
        let child = starter.arg("--").args(command).spawn().context("cannot start the command's process")?;
        drop(theirs);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has an id")?;
        let (mut raised, ignored) = (Vec::new(), ignored_signals()?);
        // Ignored stays ignored, by the command too: nohup(1).
        for signal in PASSED_ON.into_iter().filter(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0) {
            let flag = Arc::new(AtomicBool::new(false));
            flag::register(signal.as_raw(), Arc::clone(&flag)).context("cannot handle signals")?;
            raised.push((signal, flag));
        }
        hold.read_exact(&mut [0]).context("the command's process has ended before it began")?;
        Ok(Self { child, pid, hold: Some(hold), raised, ended: None })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it become the command.
    ///
    /// # Errors
    /// It is gone.
    pub fn go_on(&mut self) -> io::Result<()> {
        self.hold.take().map_or(Ok(()), |mut hold| hold.write_all(&[1]))
    }

    /// Passes on the signals that have come. Once the command has ended: whether one of them asks to stop.
    pub fn pass_on(&mut self) -> bool {
        let has_ended = self.ended().is_some();
        let mut is_asked = false;
        for (signal, raised) in &self.raised {
            if !raised.swap(false, Ordering::Relaxed) {
                continue;
            }
            let is_stop = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(signal);
            if has_ended {
                is_asked |= is_stop;
            } else if !([Signal::INT, Signal::QUIT].contains(signal) && is_in_foreground()) {
                let _ = kill_process(self.pid, *signal);
            }
        }
        is_asked
    }

    /// How the command ended, if it has. If it has stopped, and a terminal waits for it, this program stops as well, so that
    /// the shell goes on, and its `fg` continues both. Without a terminal the recording goes on.
    pub fn ended(&mut self) -> Option<Ended> {
        while self.ended.is_none()
            && let Ok(Some((_, status))) =
                waitpid(Some(self.pid), WaitOptions::NOHANG | WaitOptions::UNTRACED)
        {
            self.ended = ended(status);
            if status.stopped() {
                self.stop_with_it();
            }
        }
        self.ended
    }

    /// Whether the command has ended.
    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    /// The exit status of this program: the command's, or `recorded` if that is 0.
    #[must_use]
    pub fn exit_code(&self, recorded: ExitCode) -> ExitCode {
        match self.ended.map_or(0, Ended::status) {
            0 => recorded,
            other => ExitCode::from(other),
        }
    }

    fn stop_with_it(&self) {
        let Ok(terminal) = File::open("/dev/tty") else { return };
        let (Ok(foreground), Ok(group)) = (tcgetpgrp(&terminal), getpgid(Some(self.pid))) else { return };
        if ![group, getpgrp()].contains(&foreground) {
            return;
        }
        // As the terminal would do it: without a shell to continue it (an orphaned process group), nothing stops.
        let _ = kill_process(getpid(), Signal::TSTP);
        // A shell has a group of its own, and had the terminal. `fg` has given it to this program's group.
        if foreground == group && tcgetpgrp(&terminal).is_ok_and(|now| now == getpgrp()) {
            let _ = tcsetpgrp(&terminal, group);
        }
    }
}

fn ended(status: WaitStatus) -> Option<Ended> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Ended::With(u8::try_from(code).unwrap_or(u8::MAX))),
        (None, signal) => signal.map(Ended::BySignal),
    }
}

/// The signals that are ignored, by number from the lowest bit on: `SigIgn` in proc_pid_status(5).
fn ignored_signals() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).context("/proc/self/status has no SigIgn")
}

impl Drop for Held {
    fn drop(&mut self) {
        // A process that never became the command. What runs is left alone.
        if self.hold.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether a terminal sends its signals to this program's process group, and so to the command too.
fn is_in_foreground() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

/// Becomes the command, once it is told to, over the socket `hold`. Returns only if this fails.
///
/// # Errors
/// The recorder is gone, or the system refuses the user or the program.
pub fn become_command(hold: i32, user: Option<u32>, command: &[OsString]) -> NotStarted {
    let failed = |what: &str, error: io::Error| NotStarted {
        text: format!("{what}: {error}"),
        status: if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE },
    };
    let hold = hone_linux::inherited(hold).map(UnixStream::from);
    let told = hold.and_then(|mut hold| {
        hold.write_all(&[1])?;
        hold.read_exact(&mut [0]).map_err(|_| io::Error::other("the recorder is gone"))
    });
    if let Err(error) = told {
        return failed("the command was not started", error);
    }
    let Some((program, arguments)) = command.split_first() else {
        return failed("cannot start the command", io::Error::other("there is none"));
    };
    let mut next = Command::new(program);
    next.args(arguments);
    if let Some(number) = user {
        match become_user(number) {
            Ok(user) => {
                next.env("HOME", &user.dir).env("USER", &user.name).env("LOGNAME", &user.name);
            }
            Err(error) => return failed("cannot become the user who called sudo", io::Error::other(error)),
        }
    }
    failed(&program.to_string_lossy(), next.exec())
}

fn become_user(number: u32) -> anyhow::Result<User> {
    let user = User::from_uid(Uid::from_raw(number))?.ok_or_else(|| anyhow!("there is no user {number}"))?;
    let name = CString::new(user.name.as_bytes())?;
    initgroups(&name, user.gid)?;
    setgid(Gid::from_raw(user.gid.as_raw()))?;
    setuid(user.uid)?;
    Ok(user)
}
