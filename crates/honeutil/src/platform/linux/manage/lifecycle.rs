//! Starts and stops honed. Without systemd, `start` runs itself again as a child process. The child leaves the
//! terminal's session and then becomes honed, so that honed's process id is the child's.

use std::fs::Permissions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use hone_client::{Connection, Credentials, ReaderError, Refusal, state_file};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::instance::Instance;
use super::{require_root, systemd};
use crate::cli::start::StartArgs;
use crate::cli::stop::StopArgs;
use crate::messages::say;
use crate::platform::linux::service::QUIET_WAIT;

/// The log file for honed's messages where there is no systemd journal.
pub(crate) const LOG: &str = "/var/log/honed.log";

/// How long honed may take to load its BPF programs on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long honed may take to end. Up to 5 s of it are for its readers.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How often to check whether it has started or ended.
const TICK: Duration = Duration::from_millis(20);
/// How much of the log is shown if it does not start.
const MOST_LOG: u64 = 4096;

/// Starts honed unless it runs, and returns when it serves readers.
///
/// # Errors
/// It cannot start. The error contains its messages.
pub fn start(args: &StartArgs) -> anyhow::Result<ExitCode> {
    if let Some(honed) = &args.become_honed {
        return Err(become_honed(honed, args));
    }
    let instance = Instance::of(&args.instance)?;
    match instance.connect() {
        Ok(connection) => {
            say(format!("honed runs already{}", of_process(process(&connection))));
            return Ok(ExitCode::SUCCESS);
        }
        Err(ReaderError::NoService { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    require_root("start")?;
    if instance.is_of_systemd() {
        systemd::control(&["start", systemd::UNIT])?;
        say("honed has started; `systemctl status honed` shows its messages");
        return Ok(ExitCode::SUCCESS);
    }
    let honed = find_honed(None)?;
    let pid = spawn(&instance, &honed, &args.log)?;
    say(format!(
        "honed has started (process {pid}) and serves readers on {}; its messages are in {}",
        instance.socket.display(),
        args.log.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Stops honed if it runs, and returns when it has ended.
///
/// # Errors
/// It does not end. The error explains why.
pub fn stop(args: &StopArgs) -> anyhow::Result<ExitCode> {
    let instance = Instance::of(&args.instance)?;
    match end(&instance, args.force)? {
        Some(pid) => say(format!("honed has stopped{}", of_process(pid))),
        None => say("honed does not run"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the honed of an instance. Returns its process id, where that is known; `None`: none runs.
pub(super) fn end(instance: &Instance, force: bool) -> anyhow::Result<Option<Option<Pid>>> {
    let mut connection = match instance.connect() {
        Ok(connection) => connection,
        Err(ReaderError::NoService { .. }) => {
            // systemd may be about to restart it.
            if instance.is_of_systemd() && rustix::process::geteuid().is_root() {
                systemd::control(&["stop", systemd::UNIT])?;
            }
            let _ = std::fs::remove_file(instance.pid_file());
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let pid = process(&connection);
    let ended = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    connection.stop_service(force).map_err(|error| match error.refusal() {
        Some(Refusal::Busy) => anyhow!("{error}. `honeutil stop --force` ends their streams"),
        _ => error.into(),
    })?;
    drop(connection);
    let has_ended = |patience: Duration| match &ended {
        Some(ended) => {
            let patience = Timespec::try_from(patience).ok();
            poll(&mut [PollFd::new(ended, PollFlags::IN)], patience.as_ref()).is_ok_and(|ready| ready > 0)
        }
        // If the process is in another namespace, only its socket is visible.
        None => {
            let asked = Instant::now();
            loop {
                if !instance.socket.exists() {
                    break true;
                }
                if asked.elapsed() > patience {
                    break false;
                }
                std::thread::sleep(TICK);
            }
        }
    };
    let has_ended = has_ended(QUIET_WAIT) || {
        say(format!("waiting for honed{} to end, for at most {STOP_PATIENCE:?}", of_process(pid)));
        has_ended(STOP_PATIENCE)
    };
    if !has_ended {
        bail!("honed{} was asked to stop, and has not in {STOP_PATIENCE:?}", of_process(pid));
    }
    let _ = std::fs::remove_file(instance.pid_file());
    Ok(Some(pid))
}

/// The honed to run or to install: the one asked for, beside this program, or on the path.
pub(super) fn find_honed(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(honed) = asked {
        return honed.canonicalize().with_context(|| format!("cannot find {}", honed.display()));
    }
    let own = std::env::current_exe().context("cannot find out where honeutil is")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    own.parent()
        .map(Path::to_owned)
        .into_iter()
        .chain(usual)
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join("honed"))
        .find(|honed| honed.is_file())
        .with_context(|| format!("cannot find honed: it belongs beside {}", own.display()))
}

/// The process that listens, unless it is outside this pid namespace.
fn process(connection: &Connection) -> Option<Pid> {
    Credentials::of(connection).ok()?.process.and_then(|pid| Pid::from_raw(pid.cast_signed()))
}

fn of_process(pid: Option<Pid>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {})", pid.as_raw_nonzero()))
}

/// Starts it in the background, and returns when it serves readers.
fn spawn(instance: &Instance, honed: &Path, log: &Path) -> anyhow::Result<u32> {
    if let Some(directory) = instance.socket.parent()
        && !directory.exists()
    {
        // Members of the group must be able to enter, whatever this shell's umask is.
        std::fs::create_dir(directory)
            .and_then(|()| std::fs::set_permissions(directory, Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    // honed has a different working directory.
    let log = &std::path::absolute(log).with_context(|| format!("cannot find {}", log.display()))?;
    let mut messages = state_file::open_log(log)
        .map_err(|error| anyhow!("cannot log (--log names another file): {error}"))?;
    let said_before = messages.seek(SeekFrom::End(0)).unwrap_or(0);
    let mut command = Command::new(std::env::current_exe().context("cannot find out where honeutil is")?);
    command.args(["start", "--become-honed"]).arg(honed).arg("--log").arg(log);
    for (option, path) in [("--socket", &instance.asked.socket), ("--config", &instance.asked.config)] {
        if let Some(path) = path {
            command.arg(option).arg(path);
        }
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(messages.try_clone()?).stderr(messages.try_clone()?);
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    let mut child = command.spawn().context("cannot start honed")?;
    wait_until_it_serves(&mut child, &instance.socket).map_err(|error| {
        let mut said = String::new();
        let end = messages.metadata().map_or(0, |file| file.len());
        let from = said_before.max(end.saturating_sub(MOST_LOG));
        let _ = messages.seek(SeekFrom::Start(from));
        let _ = messages.take(MOST_LOG).read_to_string(&mut said);
        anyhow!("{error}; its log {} says: {}", log.display(), said.trim())
    })?;
    write_pid_file(&instance.pid_file(), child.id()).map_err(|error| {
        anyhow!("honed has started (process {}), without a pid file: {error}", child.id())
    })?;
    Ok(child.id())
}

fn write_pid_file(path: &Path, pid: u32) -> anyhow::Result<()> {
    let mut file = state_file::open(path)?;
    file.set_len(0)
        .and_then(|()| writeln!(file, "{pid}"))
        .map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
}

fn wait_until_it_serves(child: &mut Child, socket: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut is_reported = false;
    loop {
        if Connection::open(socket).is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait().context("cannot look at honed")? {
            bail!("honed did not start ({status})");
        }
        if started.elapsed() > START_PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            bail!("honed did not start in {START_PATIENCE:?}, and was killed");
        }
        if !is_reported && started.elapsed() > QUIET_WAIT {
            say("waiting for honed to load its programs ...");
            is_reported = true;
        }
        std::thread::sleep(TICK);
    }
}

/// Leaves the terminal, and becomes honed. Returns only if that fails.
fn become_honed(honed: &Path, args: &StartArgs) -> anyhow::Error {
    if let Err(error) = rustix::process::setsid() {
        return anyhow!("cannot leave the terminal's session: {error}");
    }
    let mut command = Command::new(honed);
    command.arg("--log").arg(&args.log);
    for (option, path) in [("--socket", &args.instance.socket), ("--config", &args.instance.config)] {
        if let Some(path) = path {
            command.arg(option).arg(path);
        }
    }
    anyhow!("cannot run {}: {}", honed.display(), command.exec())
}
