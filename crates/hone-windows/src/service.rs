//! A kernel driver as the service manager knows it. Changes need an administrator; queries do not.
//!
//! Own code, as the crate `windows-service` (0.8) sets no load order group.

pub(crate) mod manager;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    ERROR_INVALID_SERVICE_CONTROL, ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_CANNOT_ACCEPT_CTRL,
    ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_EXISTS, ERROR_SERVICE_MARKED_FOR_DELETE,
    ERROR_SERVICE_NOT_ACTIVE, WIN32_ERROR,
};
use windows_sys::Win32::System::Services::{
    SC_MANAGER_CONNECT, SC_MANAGER_CREATE_SERVICE, SERVICE_AUTO_START, SERVICE_BOOT_START,
    SERVICE_CHANGE_CONFIG, SERVICE_DEMAND_START, SERVICE_DISABLED, SERVICE_QUERY_CONFIG,
    SERVICE_QUERY_STATUS, SERVICE_RUNNING, SERVICE_START, SERVICE_STOP, SERVICE_STOPPED,
    SERVICE_SYSTEM_START,
};

use manager::{Manager, Service};

/// Load order group of a callout driver that the system starts with: it is loaded after the group of the TCP/IP driver. So
/// it is in Microsoft's sample (Windows-driver-samples, `network/trans/WFPSampler/sys/WFPSamplerCalloutDriver.InX`:
/// `StartType = 0`, `LoadOrderGroup = NDIS`, `Dependencies = TCPIP`).
pub const CALLOUT_GROUP: &str = "NDIS";
/// What such a driver depends on; see [`CALLOUT_GROUP`].
pub const CALLOUT_DEPENDENCIES: &[&str] = &["TCPIP"];

/// `DELETE`, the standard right of that name.
const DELETE: u32 = 0x0001_0000;
/// How often the state of a stopping driver is checked.
const LOOK: Duration = Duration::from_millis(50);

/// A driver to be installed. Its errors at the system's start are noted in the event log, and the start goes on.
#[derive(Debug, Clone, Copy)]
pub struct Driver<'a> {
    /// The name under which it is registered.
    pub name: &'a str,
    /// The name that lists of services show.
    pub display_name: &'a str,
    /// Its description.
    pub description: &'a str,
    /// The path of its file. For a driver that starts with the system, relative to Windows' folder
    /// (`System32\drivers\hone.sys`), because the loader knows no drive letters.
    pub path: &'a Path,
    /// When it is started.
    pub start: Start,
    /// Its load order group; empty: none.
    pub group: &'a str,
    /// Services to be started before, and groups (`+` before the name).
    pub dependencies: &'a [&'a str],
}

/// When a driver is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Start {
    /// By the loader, with the system.
    Boot = SERVICE_BOOT_START,
    /// While the kernel starts.
    System = SERVICE_SYSTEM_START,
    /// By the service manager, when it starts.
    Automatic = SERVICE_AUTO_START,
    /// On request.
    Demand = SERVICE_DEMAND_START,
    /// Never.
    Disabled = SERVICE_DISABLED,
}

/// The state of an installed driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not loaded.
    Stopped,
    /// It is loaded.
    Running,
    /// It is starting, stopping or in any other state (`SERVICE_STATUS`, `dwCurrentState`).
    Other(u32),
}

/// An installed driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// When it is started.
    pub start: Start,
    /// Its file, as it was installed.
    pub path: PathBuf,
}

/// The result of a request to stop a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Stop {
    /// It does not run, or not any more.
    Done,
    /// It refuses to be unloaded and continues to run. Hone's driver does this while a reader is attached.
    Refused,
    /// It was still stopping when the time was over.
    Pending,
}

impl Start {
    fn from_number(number: u32) -> io::Result<Self> {
        let all = [Self::Boot, Self::System, Self::Automatic, Self::Demand, Self::Disabled];
        all.into_iter().find(|start| *start as u32 == number).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("a service's start type is {number}"))
        })
    }
}

/// Whether the error is that of Windows.
fn is(error: &io::Error, number: WIN32_ERROR) -> bool {
    error.raw_os_error() == Some(number.cast_signed())
}

fn open(name: &str, access: u32) -> io::Result<Service> {
    Manager::open(SC_MANAGER_CONNECT)?.service(name, access)
}

/// Installs a driver, or brings the one of that name up to date; that takes effect when it is started next
/// (`CreateServiceW`, `ChangeServiceConfigW`).
///
/// # Errors
/// 5: only administrators may. 1072: the last one is to be removed, but still runs, or somebody looks at it. Or the manager
/// refuses.
pub fn install(driver: &Driver<'_>) -> io::Result<()> {
    let manager = Manager::open(SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE)?;
    let service = match manager.create(driver) {
        Err(error) if is(&error, ERROR_SERVICE_EXISTS) => {
            let service = manager.service(driver.name, SERVICE_CHANGE_CONFIG)?;
            service.change(driver)?;
            service
        }
        made => made?,
    };
    service.describe(driver.description)
}

/// Removes a driver; one that runs is to be stopped before, else it is removed when it has stopped (`DeleteService`). What is
/// not installed is no error.
///
/// # Errors
/// 5: only administrators may. Or the manager refuses.
pub fn remove(name: &str) -> io::Result<()> {
    match open(name, DELETE).and_then(|service| service.delete()) {
        Err(error) if is(&error, ERROR_SERVICE_DOES_NOT_EXIST) => Ok(()),
        Err(error) if is(&error, ERROR_SERVICE_MARKED_FOR_DELETE) => Ok(()),
        removed => removed,
    }
}

/// Starts a driver, and waits until it has started; what runs already is no error (`StartServiceW`).
///
/// # Errors
/// 2: its file is missing. 5: only administrators may. 577: its signature is not one that Windows takes. 1060: it is not
/// installed. Or what the driver itself answers.
pub fn start(name: &str) -> io::Result<()> {
    match open(name, SERVICE_START)?.start() {
        Err(error) if is(&error, ERROR_SERVICE_ALREADY_RUNNING) => Ok(()),
        started => started,
    }
}

/// Stops a driver, and waits at most so long until it has stopped (`ControlService`).
///
/// # Errors
/// 5: only administrators may. 1060: it is not installed. Or the manager refuses.
pub fn stop(name: &str, patience: Duration) -> io::Result<Stop> {
    let begin = Instant::now();
    let service = open(name, SERVICE_STOP | SERVICE_QUERY_STATUS)?;
    let mut state = match service.stop() {
        Ok(state) => state,
        Err(error) if is(&error, ERROR_SERVICE_NOT_ACTIVE) => return Ok(Stop::Done),
        // A driver without a function to unload it, which it takes away for as long as it does not want to be.
        Err(error) if is(&error, ERROR_INVALID_SERVICE_CONTROL) => return Ok(Stop::Refused),
        // It is about to start or stop.
        Err(error) if is(&error, ERROR_SERVICE_CANNOT_ACCEPT_CTRL) => service.state()?,
        Err(error) => return Err(error),
    };
    while state != SERVICE_STOPPED {
        let Some(left) = patience.checked_sub(begin.elapsed()) else {
            // This happens on Wine: its manager sends the request to the driver and does not wait for the answer.
            return Ok(if state == SERVICE_RUNNING { Stop::Refused } else { Stop::Pending });
        };
        thread::sleep(LOOK.min(left));
        state = service.state()?;
    }
    Ok(Stop::Done)
}

/// What is known of a driver; `None`: it is not installed (`QueryServiceStatus`, `QueryServiceConfigW`).
///
/// # Errors
/// The manager can't be asked.
pub fn status(name: &str) -> io::Result<Option<Status>> {
    let service = match open(name, SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG) {
        Err(error) if is(&error, ERROR_SERVICE_DOES_NOT_EXIST) => return Ok(None),
        service => service?,
    };
    let state = match service.state()? {
        SERVICE_STOPPED => State::Stopped,
        SERVICE_RUNNING => State::Running,
        other => State::Other(other),
    };
    let (start, path) = service.start_and_path()?;
    Ok(Some(Status { state, start: Start::from_number(start)?, path }))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// One test at a time asks the manager. Wine 8 takes threads of a process that ask for the first time at once for
    /// several processes, and then each one's handles may be invalid to it.
    static MANAGER: Mutex<()> = Mutex::new(());

    /// A name of which there is no service; what has been made is removed when dropped.
    struct Name(&'static str, #[expect(dead_code, reason = "it is a guard")] MutexGuard<'static, ()>);

    impl Name {
        fn new(name: &'static str) -> Self {
            Self(name, MANAGER.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl Drop for Name {
        fn drop(&mut self) {
            let _ = remove(self.0);
        }
    }

    fn driver<'a>(name: &Name) -> Driver<'a> {
        Driver {
            name: name.0,
            display_name: name.0,
            description: "Does not exist",
            path: Path::new(r"System32\drivers\hone-test-that-is-missing.sys"),
            start: Start::Boot,
            group: CALLOUT_GROUP,
            dependencies: CALLOUT_DEPENDENCIES,
        }
    }

    /// Whether services can be made here; else it says so.
    fn may() -> bool {
        let may = crate::process::is_elevated();
        if !may {
            eprintln!("skipped: services are made by administrators only");
        }
        may
    }

    /// What the registry says of a service: each line a value.
    fn registry(name: &Name) -> String {
        let key = format!(r"HKLM\SYSTEM\CurrentControlSet\Services\{}", name.0);
        let output = Command::new("reg").args(["query", &key]).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(words).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_driver_is_installed_for_the_systems_start_and_removed() {
        let name = Name::new("hone-test-boot");
        if !may() {
            return;
        }
        assert_eq!(status(name.0).expect("the manager answers"), None);
        let driver = driver(&name);
        install(&driver).expect("it is installed");
        let registry = registry(&name);
        for line in [
            "Type REG_DWORD 0x1",
            "Start REG_DWORD 0x0",
            "ErrorControl REG_DWORD 0x1",
            "Group REG_SZ NDIS",
            "DependOnService REG_MULTI_SZ TCPIP",
            "DisplayName REG_SZ hone-test-boot",
            "Description REG_SZ Does not exist",
        ] {
            assert!(registry.lines().any(|known| known == line), "{line}:\n{registry}");
        }
        let path = driver.path.to_owned();
        let expected = Status { state: State::Stopped, start: Start::Boot, path };
        assert_eq!(status(name.0).expect("the manager answers"), Some(expected));
        remove(name.0).expect("it is removed");
        assert_eq!(status(name.0).expect("the manager answers"), None);
    }

    #[test]
    fn what_is_installed_is_brought_up_to_date() {
        let name = Name::new("hone-test-change");
        if !may() {
            return;
        }
        install(&driver(&name)).expect("it is installed");
        let path = Path::new(r"\??\C:\elsewhere\hone.sys");
        let changed = Driver {
            path,
            start: Start::Demand,
            description: "Changed",
            group: "",
            dependencies: &[],
            ..driver(&name)
        };
        install(&changed).expect("it is changed");
        let registry = registry(&name);
        assert!(registry.contains("Description REG_SZ Changed"), "{registry}");
        assert!(!registry.contains("NDIS") && !registry.contains("TCPIP"), "{registry}");
        let expected = Status { state: State::Stopped, start: Start::Demand, path: path.to_owned() };
        assert_eq!(status(name.0).expect("the manager answers"), Some(expected));
    }

    #[test]
    fn what_is_not_installed_or_does_not_run() {
        let name = Name::new("hone-test-none");
        let missing = Some(ERROR_SERVICE_DOES_NOT_EXIST.cast_signed());
        assert_eq!(start(name.0).map_err(|error| error.raw_os_error()), Err(missing));
        assert_eq!(stop(name.0, Duration::ZERO).map_err(|error| error.raw_os_error()), Err(missing));
        remove(name.0).expect("there is nothing to be removed");
        if !may() {
            return;
        }
        install(&Driver { start: Start::Demand, ..driver(&name) }).expect("it is installed");
        assert_eq!(stop(name.0, Duration::ZERO).expect("it need not be stopped"), Stop::Done);
        assert!(start(name.0).is_err(), "its file is missing");
        assert_eq!(status(name.0).expect("it is installed").map(|status| status.state), Some(State::Stopped));
    }
}
