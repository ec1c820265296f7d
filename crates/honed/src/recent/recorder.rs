//! Keeps the recorder running. This thread starts it, copies its messages to the log, and starts it again if it ends.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Recent, Settings};
use crate::hub::{Hub, Phase};

/// The pause before it is started again. It is the double each time, up to the second one.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_AT_MOST: Duration = Duration::from_secs(60);
/// What has run for so long does not fail at once.
const SOUND: Duration = Duration::from_secs(60);
/// How often it is looked whether honed stops.
const TICK: Duration = Duration::from_millis(50);
/// The exit status for a wrong command line.
const WRONG: i32 = 2;

/// Starts the thread. It ends when the hub stops.
pub(crate) fn start(hub: Arc<Hub>, recent: Arc<Recent>, socket: PathBuf) -> std::io::Result<()> {
    let run = move || run(&hub, &recent, &socket);
    std::thread::Builder::new().name("recorder".into()).spawn(run).map(drop)
}

/// Asks the recorder whether it understands its settings.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn check(settings: &Settings, socket: &Path) -> Result<(), String> {
    let program = program()?;
    let output = settings.command(&program, socket).arg("--check").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    // What follows is about the command line: its usage.
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.split("\n\n").next().unwrap_or_default().trim();
    let message = message.strip_prefix("error: ").or(message.strip_prefix("honeutil: ")).unwrap_or(message);
    Err(format!(
        "`honeutil read`, which records, refuses an option (--last-size is the key size; each other option has the name of its \
         key): {message}"
    ))
}

/// `honeutil`, which is installed beside this program.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find honeutil: {error}"))?;
    Ok(own.with_file_name("honeutil"))
}

fn run(hub: &Hub, recent: &Recent, socket: &Path) {
    let mut pause = PAUSE;
    while hub.phase() == Phase::Running {
        let started = Instant::now();
        match record(recent, socket) {
            Ok(status) if hub.phase() != Phase::Running => {
                tracing::debug!("the recorder has ended: {status}")
            }
            Ok(status) if status.code() == Some(WRONG) => {
                tracing::error!(
                    "nothing is kept: [recent] in the configuration is wrong; correct it and restart honed"
                );
                return;
            }
            Ok(status) => tracing::warn!("the recorder has ended ({status}): it is started again"),
            Err(error) => tracing::error!("nothing is kept: {error}"),
        }
        pause = if started.elapsed() >= SOUND { PAUSE } else { pause };
        let waited = Instant::now();
        while waited.elapsed() < pause && hub.phase() == Phase::Running {
            std::thread::sleep(TICK);
        }
        pause = (2 * pause).min(PAUSE_AT_MOST);
    }
}

/// Runs the recorder to its end.
fn record(recent: &Recent, socket: &Path) -> Result<ExitStatus, String> {
    recent.settings.make_folders()?;
    let program = program()?;
    let mut command = recent.settings.command(&program, socket);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let messages = child.stderr.take();
    *recent.child.lock() = Some(child);
    if let Some(messages) = messages {
        copy(messages);
    }
    loop {
        let mut child = recent.child.lock();
        let ended = child.as_mut().map(std::process::Child::try_wait);
        match ended {
            Some(Ok(Some(status))) => {
                *child = None;
                return Ok(status);
            }
            Some(Ok(None)) => drop(child),
            Some(Err(error)) => return Err(format!("cannot wait for the recorder: {error}")),
            None => return Err("the recorder is gone".to_owned()),
        }
        std::thread::sleep(TICK);
    }
}

/// Copies its messages to the log, until it has no more.
fn copy(messages: ChildStderr) {
    for line in BufReader::new(messages).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        match line.strip_prefix("WARN ").or(line.strip_prefix("honeutil: ")) {
            _ if line.is_empty() => {}
            Some(warning) => tracing::warn!("recorder: {warning}"),
            None => tracing::info!("recorder: {line}"),
        }
    }
}
