//! Safe wrappers of the service manager's functions.

use std::io;
use std::path::PathBuf;
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, ChangeServiceConfigW, CloseServiceHandle, ControlService, CreateServiceW,
    DeleteService, OpenSCManagerW, OpenServiceW, QUERY_SERVICE_CONFIGW, QueryServiceConfigW,
    QueryServiceStatus, SC_HANDLE, SERVICE_CHANGE_CONFIG, SERVICE_CONFIG_DESCRIPTION, SERVICE_CONTROL_STOP,
    SERVICE_DESCRIPTIONW, SERVICE_ERROR_NORMAL, SERVICE_KERNEL_DRIVER, SERVICE_STATUS, StartServiceW,
};

use super::Driver;
use crate::check;
use crate::text::{narrow, wide};

/// Most bytes that a service's configuration has (`QueryServiceConfigW`).
const MOST: u32 = 8 << 10;

/// A handle of the service manager's.
struct Handle(SC_HANDLE);

/// The service manager of this computer.
pub(crate) struct Manager(Handle);

/// An installed service.
pub(super) struct Service(Handle);

impl Handle {
    fn new(handle: SC_HANDLE) -> io::Result<Self> {
        if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is open, and closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// What creating and changing a driver take, with NUL.
struct Texts {
    display_name: Vec<u16>,
    path: Vec<u16>,
    group: Vec<u16>,
    dependencies: Vec<u16>,
}

impl Texts {
    fn of(driver: &Driver<'_>) -> io::Result<Self> {
        // Each with NUL, and one more at the end; without any, an empty text.
        let mut dependencies = Vec::new();
        for dependency in driver.dependencies {
            dependencies.extend(wide(dependency)?);
        }
        dependencies.push(0);
        Ok(Self {
            display_name: wide(driver.display_name)?,
            path: wide(driver.path)?,
            group: wide(driver.group)?,
            dependencies,
        })
    }
}

impl Manager {
    pub(crate) fn open(access: u32) -> io::Result<Self> {
        // SAFETY: this computer, its services.
        Handle::new(unsafe { OpenSCManagerW(null(), null(), access) }).map(Self)
    }

    pub(super) fn service(&self, name: &str, access: u32) -> io::Result<Service> {
        let name = wide(name)?;
        // SAFETY: the manager is open, and the name ends with NUL.
        Handle::new(unsafe { OpenServiceW(self.0.0, name.as_ptr(), access) }).map(Service)
    }

    pub(super) fn create(&self, driver: &Driver<'_>) -> io::Result<Service> {
        let (name, texts) = (wide(driver.name)?, Texts::of(driver)?);
        // SAFETY: the manager is open, all texts end with NUL, their list with one more; neither tag nor account.
        Handle::new(unsafe {
            CreateServiceW(
                self.0.0,
                name.as_ptr(),
                texts.display_name.as_ptr(),
                SERVICE_CHANGE_CONFIG,
                SERVICE_KERNEL_DRIVER,
                driver.start as u32,
                SERVICE_ERROR_NORMAL,
                texts.path.as_ptr(),
                texts.group.as_ptr(),
                null_mut(),
                texts.dependencies.as_ptr(),
                null(),
                null(),
            )
        })
        .map(Service)
    }
}

impl Service {
    pub(super) fn change(&self, driver: &Driver<'_>) -> io::Result<()> {
        let texts = Texts::of(driver)?;
        // SAFETY: the service is open, all texts end with NUL, their list with one more; neither tag nor account.
        check(unsafe {
            ChangeServiceConfigW(
                self.0.0,
                SERVICE_KERNEL_DRIVER,
                driver.start as u32,
                SERVICE_ERROR_NORMAL,
                texts.path.as_ptr(),
                texts.group.as_ptr(),
                null_mut(),
                texts.dependencies.as_ptr(),
                null(),
                null(),
                texts.display_name.as_ptr(),
            )
        })
    }

    pub(super) fn describe(&self, description: &str) -> io::Result<()> {
        let mut text = wide(description)?;
        let description = SERVICE_DESCRIPTIONW { lpDescription: text.as_mut_ptr() };
        let information = (&raw const description).cast();
        // SAFETY: the service is open; the structure, and the text, which ends with NUL, live until the call returns.
        check(unsafe { ChangeServiceConfig2W(self.0.0, SERVICE_CONFIG_DESCRIPTION, information) })
    }

    pub(super) fn start(&self) -> io::Result<()> {
        // SAFETY: the service is open; no arguments.
        check(unsafe { StartServiceW(self.0.0, 0, null()) })
    }

    /// Requests a stop. Returns the service's state.
    pub(super) fn stop(&self) -> io::Result<u32> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: the service is open, and there is room for the structure.
        check(unsafe { ControlService(self.0.0, SERVICE_CONTROL_STOP, &raw mut status) })?;
        Ok(status.dwCurrentState)
    }

    pub(super) fn state(&self) -> io::Result<u32> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: the service is open, and there is room for the structure.
        check(unsafe { QueryServiceStatus(self.0.0, &raw mut status) })?;
        Ok(status.dwCurrentState)
    }

    pub(super) fn delete(&self) -> io::Result<()> {
        // SAFETY: the service is open.
        check(unsafe { DeleteService(self.0.0) })
    }

    /// When it is started, as a number, and its path.
    pub(super) fn start_and_path(&self) -> io::Result<(u32, PathBuf)> {
        // Of numbers as long as pointers, for the structure's sake, which is at its beginning.
        let mut buffer = vec![0_usize; MOST as usize / size_of::<usize>()];
        let configuration = buffer.as_mut_ptr().cast::<QUERY_SERVICE_CONFIGW>();
        let mut needed = 0;
        // SAFETY: the service is open, and the buffer has that length.
        check(unsafe { QueryServiceConfigW(self.0.0, configuration, MOST, &raw mut needed) })?;
        // SAFETY: it has been written.
        let configuration = unsafe { configuration.read() };
        let mut path = Vec::new();
        let mut next = configuration.lpBinaryPathName.cast_const();
        while !next.is_null() {
            // SAFETY: it is in the buffer, where the text ends with NUL.
            match unsafe { next.read() } {
                0 => break,
                unit => path.push(unit),
            }
            next = next.wrapping_add(1);
        }
        Ok((configuration.dwStartType, narrow(&path).into()))
    }
}
