//! The driver on this computer: installed and removed, started and stopped, asked whether it runs. Has no state: the service
//! manager and the filtering platform have it.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use hone_windows::service::{self, Start, State, Stop};
use hone_windows::{filters, process};

use super::service::{self as driver, DriverError};
use super::wireshark;
use crate::cli::install::InstallArgs;
use crate::cli::start::StartArgs;
use crate::cli::status::StatusArgs;
use crate::cli::stop::StopArgs;
use crate::cli::uninstall::UninstallArgs;
use crate::messages::say;
use crate::text;

/// The service.
const NAME: &str = "hone";
/// Its file, from Windows' folder.
const FILE: &str = r"System32\drivers\hone.sys";
/// The same for the system's loader, which knows no drives' letters; as Windows' own drivers that start with it have it.
const IMAGE: &str = r"\SystemRoot\System32\drivers\hone.sys";
/// How long it may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Exit statuses of the Linux Standard Base.
const NOT_RUNNING: u8 = 3;
const UNKNOWN: u8 = 4;

/// Numbers of Windows (`winerror.h`).
const ERROR_FILE_NOT_FOUND: i32 = 2;
const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_INVALID_IMAGE_HASH: i32 = 577;
const ERROR_SERVICE_DOES_NOT_EXIST: i32 = 1060;
const ERROR_SERVICE_MARKED_FOR_DELETE: i32 = 1072;
const ERROR_DRIVER_BLOCKED: i32 = 1275;

/// What the user can do about an error, as the end of a message; empty if nothing.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(ERROR_FILE_NOT_FOUND) => {
            r": System32\drivers\hone.sys is missing (honeutil install --driver FILE)"
        }
        Some(ERROR_ACCESS_DENIED) => ": run this in a command prompt opened as administrator",
        Some(ERROR_SHARING_VIOLATION) => ": stop the driver first (honeutil stop)",
        Some(ERROR_INVALID_IMAGE_HASH) => {
            ": Windows does not accept its signature. For test certificates: \
             `bcdedit -set TESTSIGNING ON`, and restart the computer"
        }
        Some(ERROR_SERVICE_DOES_NOT_EXIST) => ": install it first (honeutil install)",
        Some(ERROR_SERVICE_MARKED_FOR_DELETE) => {
            ": it is being removed. Close programs that show services, or restart the computer"
        }
        Some(ERROR_DRIVER_BLOCKED) => ": a policy of this computer blocks the driver",
        _ => "",
    }
}

/// Adds to an error what was tried, and what to do.
fn failed(what: &str) -> impl Fn(io::Error) -> anyhow::Error {
    move |error| anyhow!("cannot {what}: {error}{}", remedy(&error))
}

/// Windows' folder.
fn windows() -> anyhow::Result<PathBuf> {
    env::var_os("SystemRoot").map(PathBuf::from).context("the variable SystemRoot is not set")
}

/// Starts the driver unless it runs.
///
/// # Errors
/// It cannot start.
pub fn start(_args: &StartArgs) -> anyhow::Result<ExitCode> {
    let before = service::status(NAME).map_err(failed("ask for the driver"))?;
    if before.is_some_and(|status| status.state == State::Running) {
        say("the driver runs already");
        return Ok(ExitCode::SUCCESS);
    }
    service::start(NAME).map_err(failed("start the driver"))?;
    say("the driver has started");
    Ok(ExitCode::SUCCESS)
}

/// Stops the driver if it runs.
///
/// # Errors
/// It goes on, with why.
pub fn stop(_args: &StopArgs) -> anyhow::Result<ExitCode> {
    let before = service::status(NAME).map_err(failed("ask for the driver"))?;
    if before.is_none_or(|status| status.state == State::Stopped) {
        say("the driver does not run");
        return Ok(ExitCode::SUCCESS);
    }
    end()?;
    say("the driver has stopped");
    Ok(ExitCode::SUCCESS)
}

fn end() -> anyhow::Result<()> {
    match service::stop(NAME, STOP_PATIENCE).map_err(failed("stop the driver"))? {
        Stop::Done => Ok(()),
        Stop::Refused => bail!("the driver does not stop while programs read from it: end them first"),
        Stop::Pending => bail!("the driver was asked to stop, and has not in {STOP_PATIENCE:?}"),
    }
}

/// Shows whether it runs on standard output; the exit status says the same.
///
/// # Errors
/// Standard output cannot be written.
pub fn status(_args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let (report, status) = look();
    io::stdout().write_all(report.as_bytes())?;
    Ok(ExitCode::from(status))
}

fn look() -> (String, u8) {
    let mut report = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(report, "{name:<9}{value}");
    };
    let installed = match service::status(NAME) {
        Ok(Some(installed)) => installed,
        Ok(None) => {
            row("driver", "is not installed");
            row("to do", "`honeutil install` installs it");
            return (report, NOT_RUNNING);
        }
        Err(error) => {
            row("driver", &format!("not known: {error}{}", remedy(&error)));
            return (report, UNKNOWN);
        }
    };
    let status = match installed.state {
        State::Running => {
            match driver::open().and_then(|device| driver::statistics(&device)) {
                Ok(statistics) => {
                    let since = text::utc(statistics.now.saturating_sub(statistics.loaded));
                    let for_long = text::duration(Duration::from_nanos(statistics.loaded));
                    row("driver", &format!("runs since {since}, for {for_long}"));
                    let [major, minor, micro, _] = statistics.version;
                    row("version", &format!("{major}.{minor}.{micro}"));
                    // This program was one while it asked.
                    row("readers", &statistics.readers.saturating_sub(1).to_string());
                }
                Err(error @ DriverError::Denied) => {
                    row("driver", "runs");
                    row("readers", &format!("not known: {error}"));
                }
                Err(error) => row("driver", &format!("runs, but {error}")),
            }
            0
        }
        State::Stopped => {
            row("driver", "does not run");
            row("to do", "`honeutil start` starts it");
            NOT_RUNNING
        }
        State::Other(number) => {
            row("driver", &format!("is about to start or stop (state {number})"));
            UNKNOWN
        }
    };
    row("file", &installed.path.display().to_string());
    row("starts", starts(installed.start));
    (report, status)
}

fn starts(start: Start) -> &'static str {
    match start {
        Start::Boot => "with the system",
        Start::System => "while the kernel starts",
        Start::Automatic => "with the service manager",
        Start::Demand => "when asked for",
        Start::Disabled => "never: it is disabled",
    }
}

/// Installs the driver's service and filters, or brings them up to date.
///
/// # Errors
/// What could not be done; it can be run again.
pub fn install(args: &InstallArgs) -> anyhow::Result<ExitCode> {
    let file = windows()?.join(FILE);
    let start = if args.on_demand { Start::Demand } else { Start::Boot };
    if args.dry_run {
        if let Some(driver) = &args.driver {
            say(format!("copy {} to {}", driver.display(), file.display()));
        }
        say(format!("register {} as the service {NAME}, started {}", file.display(), starts(start)));
        say("add the provider, sublayer, callouts and filters of the filtering platform");
        wireshark::install(true);
        return Ok(ExitCode::SUCCESS);
    }
    require_administrator("install")?;
    if let Some(driver) = &args.driver {
        fs::copy(driver, &file).map_err(|error| {
            anyhow!("cannot copy {} to {}: {error}{}", driver.display(), file.display(), copy_remedy(&error))
        })?;
    } else if !file.exists() {
        bail!("{} is missing: name a driver to be copied there (--driver FILE)", file.display());
    }
    let driver = service::Driver {
        name: NAME,
        display_name: "Hone",
        description: "Records which process sent or received every packet.",
        path: Path::new(IMAGE),
        start,
        group: service::CALLOUT_GROUP,
        dependencies: service::CALLOUT_DEPENDENCIES,
    };
    service::install(&driver).map_err(failed("install the driver's service"))?;
    filters::install()?;
    say("the driver is installed; `honeutil start` starts it");
    wireshark::install(false);
    Ok(ExitCode::SUCCESS)
}

fn copy_remedy(error: &io::Error) -> &'static str {
    // Of the file that is to be copied, something else is to be done than of the driver's own.
    if error.raw_os_error() == Some(ERROR_FILE_NOT_FOUND) { "" } else { remedy(error) }
}

/// Removes all that makes the driver run, and its file.
///
/// # Errors
/// What could not be done; it can be run again.
pub fn uninstall(args: &UninstallArgs) -> anyhow::Result<ExitCode> {
    let file = windows()?.join(FILE);
    if args.dry_run {
        say("stop the driver");
        say("remove its provider, sublayer, callouts and filters of the filtering platform");
        say(format!("remove the service {NAME} and {}", file.display()));
        wireshark::uninstall(true)?;
        return Ok(ExitCode::SUCCESS);
    }
    require_administrator("uninstall")?;
    let installed = service::status(NAME).map_err(failed("ask for the driver"))?;
    if installed.is_some_and(|status| status.state != State::Stopped) {
        end()?;
    }
    wireshark::uninstall(false)?;
    filters::uninstall()?;
    service::remove(NAME).map_err(failed("remove the driver's service"))?;
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(&format!("remove {}", file.display()))(error));
        }
        _ => say("the driver is uninstalled"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails for everybody else, with what to do.
fn require_administrator(command: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        process::is_elevated(),
        "this takes an administrator: run `honeutil {command}` in a command prompt opened as administrator"
    );
    Ok(())
}
