//! The driver object, its one device, and the device's name for programs.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use crate::Passive;
use crate::irp::{Requests, dispatch};
use crate::registry::Handle;
use crate::sys::{self, DEVICE_OBJECT, DRIVER_OBJECT, NTSTATUS};
use crate::unicode::Unicode;

const DACL_SECURITY_INFORMATION: u32 = 4;
const WRITE_DAC: u32 = 0x0004_0000;
const KERNEL_MODE: i8 = 0;

/// The driver object, which the I/O manager keeps as long as the driver is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Driver(NonNull<DRIVER_OBJECT>);

// SAFETY: after `serve`, only `DriverUnload` is written, which is an atomic.
unsafe impl Send for Driver {}
// SAFETY: as above.
unsafe impl Sync for Driver {}

impl Driver {
    /// Wraps the object that `DriverEntry` receives.
    ///
    /// # Safety
    /// `driver` is that object, and is not used after the driver is unloaded.
    #[must_use]
    pub unsafe fn new(driver: *mut DRIVER_OBJECT) -> Option<Self> {
        NonNull::new(driver).map(Self)
    }

    /// Lets `R` serve the requests. Only `DriverEntry` calls this.
    pub fn serve<R: Requests>(self) {
        for function in [
            sys::IRP_MJ_CREATE,
            sys::IRP_MJ_CLEANUP,
            sys::IRP_MJ_CLOSE,
            sys::IRP_MJ_READ,
            sys::IRP_MJ_DEVICE_CONTROL,
        ] {
            // SAFETY: the object is the driver's, which nobody calls before `DriverEntry` returns.
            let place = unsafe { &raw mut (*self.0.as_ptr()).MajorFunction[function] };
            // SAFETY: as above.
            unsafe { place.write(Some(dispatch::<R>)) };
        }
    }

    /// Sets the unload function. With `None`, the I/O manager refuses to stop the driver
    /// (`ERROR_INVALID_SERVICE_CONTROL`).
    pub fn set_unload(self, unload: Option<sys::DRIVER_UNLOAD>) {
        let unload = unload.map_or(ptr::null_mut(), |unload| unload as *mut c_void);
        // SAFETY: the object is there as long as the driver is loaded.
        let place = unsafe { &(*self.0.as_ptr()).DriverUnload };
        place.store(unload, Ordering::Release);
    }
}

/// A device with a name for programs. Both are deleted when dropped.
#[derive(Debug)]
pub struct Device {
    device: NonNull<DEVICE_OBJECT>,
    link: Option<&'static [u16]>,
}

// SAFETY: it is only created and deleted here, and passed on as an address.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Creates a device with buffered reads. Only those whom `security` allows may open it; `security` is a
    /// self-relative security descriptor. The I/O manager does not open the device before `DriverEntry` has returned,
    /// so the descriptor is set before the first program can open it.
    ///
    /// # Errors
    /// Such a device already exists, or the kernel refuses a step.
    pub fn create(
        _: Passive,
        driver: Driver,
        name: &'static [u16],
        link: &'static [u16],
        security: &'static [u8],
    ) -> Result<Self, NTSTATUS> {
        let name = Unicode::new(name);
        let mut device = ptr::null_mut();
        // SAFETY: the driver's object is the I/O manager's, the name lives until the call returns.
        let status = unsafe {
            sys::IoCreateDevice(
                driver.0.as_ptr(),
                0,
                name.as_ptr(),
                sys::FILE_DEVICE_UNKNOWN,
                sys::FILE_DEVICE_SECURE_OPEN,
                0,
                &raw mut device,
            )
        };
        crate::check(status)?;
        let device = NonNull::new(device).ok_or(sys::STATUS_INSUFFICIENT_RESOURCES)?;
        let mut device = Self { device, link: None };
        device.secure(security)?;
        let text = Unicode::new(link);
        // SAFETY: both names live until the call returns.
        let status = unsafe { sys::IoCreateSymbolicLink(text.as_ptr(), name.as_ptr()) };
        crate::check(status)?;
        device.link = Some(link);
        // SAFETY: the device is new; nobody opens it while it is being initialized.
        let flags = unsafe { &raw mut (*device.device.as_ptr()).Flags };
        // SAFETY: as above.
        unsafe { *flags |= sys::DO_BUFFERED_IO };
        Ok(device)
    }

    fn secure(&self, security: &'static [u8]) -> Result<(), NTSTATUS> {
        let mut handle = ptr::null_mut();
        // SAFETY: the device is there; the handle is the kernel's own.
        let status = unsafe {
            sys::ObOpenObjectByPointer(
                self.device.as_ptr().cast(),
                sys::OBJ_KERNEL_HANDLE,
                ptr::null_mut(),
                WRITE_DAC,
                ptr::null_mut(),
                KERNEL_MODE,
                &raw mut handle,
            )
        };
        crate::check(status)?;
        let handle = Handle(handle);
        // SAFETY: the handle is open, and the descriptor a constant.
        let status = unsafe {
            sys::ZwSetSecurityObject(handle.0, DACL_SECURITY_INFORMATION, security.as_ptr().cast())
        };
        crate::check(status)
    }

    pub(crate) const fn as_ptr(&self) -> *mut DEVICE_OBJECT {
        self.device.as_ptr()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(link) = self.link {
            let link = Unicode::new(link);
            // SAFETY: the name lives until the call returns.
            unsafe { sys::IoDeleteSymbolicLink(link.as_ptr()) };
        }
        // SAFETY: it was created by `create`, and is deleted once.
        unsafe { sys::IoDeleteDevice(self.device.as_ptr()) };
    }
}
