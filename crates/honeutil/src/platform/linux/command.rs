//! A command that is started for a recording of it: made, but held back until the recording has begun.
//!
//! This program starts itself as the child (`honeutil begin-command`, hidden). The child stops itself and becomes the
//! command when it is continued. So the process id that is selected is the command's, and nothing of the command is
//! missed.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow, bail};
use nix::unistd::{Gid, Uid, User, initgroups, setgid, setuid};
use rustix::fs::{Access, access};
use rustix::process::{
    Pid, Signal, WaitOptions, getpgrp, getpid, getppid, kill_process, set_parent_process_death_signal,
    waitpid,
};
use signal_hook::flag;

use crate::record::companion::Ended;

/// Exit status if a command is not found, and if it cannot be executed, as shells have it.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// The inode number of the initial process id namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Signals that are passed on to the command. SIGINT and SIGQUIT only if no terminal has sent them to it already.
const PASSED_ON: [Signal; 6] =
    [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::INT, Signal::QUIT];

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

/// A command that is held back, or runs.
#[derive(Debug)]
pub struct Held {
    child: Child,
    pid: Pid,
    raised: Vec<(Signal, Arc<AtomicBool>)>,
    ended: Option<ExitStatus>,
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
                "a command can only be recorded in the host's own process id namespace: in a container, process ids have \
                 another meaning for the recorder"
            );
        }
        let mut starter = Command::new("/proc/self/exe");
        starter.arg("begin-command").arg("--parent").arg(getpid().as_raw_nonzero().to_string());
        if let Some(user) = user {
            starter.arg("--as-user").arg(user.uid.to_string());
        }
        let child = starter.arg("--").args(command).spawn().context("cannot start the command's process")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has an id")?;
        let mut raised = Vec::new();
        for signal in PASSED_ON {
            let flag = Arc::new(AtomicBool::new(false));
            flag::register(signal.as_raw(), Arc::clone(&flag)).context("cannot handle signals")?;
            raised.push((signal, flag));
        }
        let held = Self { child, pid, raised, ended: None };
        loop {
            match waitpid(Some(pid), WaitOptions::UNTRACED) {
                Ok(Some((_, status))) if status.stopped() => return Ok(held),
                Ok(_) => bail!("the command's process has ended before it began"),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for the command's process"),
            }
        }
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
        Ok(kill_process(self.pid, Signal::CONT)?)
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

    /// How the command ended, if it has.
    pub fn ended(&mut self) -> Option<Ended> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => Ended::With(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, signal) => Ended::BySignal(signal.unwrap_or_default()),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A process that was never continued. What runs is left alone.
        if self.ended().is_none() && is_stopped_starter(self.pid) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether this process is still the starter.
fn is_stopped_starter(pid: Pid) -> bool {
    let same = |path: &str| std::fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let is_stopped =
        state.is_ok_and(|state| state.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")));
    is_stopped && same(&format!("/proc/{}/exe", pid.as_raw_nonzero())) == same("/proc/self/exe")
}

/// Whether a terminal sends its signals to this program's process group, and so to the command too.
fn is_in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| rustix::termios::tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

/// Becomes the command, once it is continued. Returns only if this fails.
///
/// # Errors
/// The recorder is gone, or the system refuses the user or the program.
pub fn become_command(parent: u32, user: Option<u32>, command: &[OsString]) -> NotStarted {
    let failed = |what: &str, error: io::Error| NotStarted {
        text: format!("{what}: {error}"),
        status: if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE },
    };
    // So that it does not stay stopped for ever if the recorder is killed.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed("cannot ask for a signal", error.into());
    }
    if getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()) != Some(parent) {
        return failed("cannot start the command", io::Error::other("the recorder is gone"));
    }
    if let Err(error) = kill_process(getpid(), Signal::STOP) {
        return failed("cannot wait", error.into());
    }
    if let Err(error) = set_parent_process_death_signal(None) {
        return failed("cannot ask for no signal", error.into());
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
