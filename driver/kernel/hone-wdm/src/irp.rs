//! Decodes the I/O manager's packets: requests of programs.

use core::ffi::c_void;
use core::num::NonZeroUsize;
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::Passive;
use crate::sys::{self, DEVICE_OBJECT, IO_STACK_LOCATION, IRP, NTSTATUS};

/// A control request.
#[derive(Debug)]
pub struct Control<'a> {
    /// The control code.
    pub code: u32,
    /// The buffer of `METHOD_BUFFERED`: first the input, then the output. Empty for other methods; their addresses are
    /// never used.
    pub buffer: &'a mut [u8],
    /// Length of the input, in bytes.
    pub input: usize,
    /// Most bytes that the output may have.
    pub output: usize,
}

/// Serves the requests. Each open file has its own number. All calls are at PASSIVE_LEVEL, in the program's context
/// ("Dispatch Routines and IRQLs").
pub trait Requests: 'static {
    /// Opens a file and returns its number.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn open(passive: Passive) -> Result<NonZeroUsize, NTSTATUS>;
    /// The last handle of a file is closed. Called once for each number.
    fn close(passive: Passive, file: NonZeroUsize);
    /// Fills the buffer and returns the number of bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(file: NonZeroUsize, buffer: &mut [u8]) -> Result<usize, NTSTATUS>;
    /// Carries out a control request and returns the number of output bytes in the buffer.
    ///
    /// # Errors
    /// The request cannot be carried out.
    fn control(passive: Passive, file: NonZeroUsize, control: Control<'_>) -> Result<usize, NTSTATUS>;
}

/// The function that the I/O manager calls for every kind of request.
///
/// # Safety
/// The I/O manager guarantees it: `irp` is a packet for this driver, and belongs to the driver until it is completed.
pub(crate) unsafe extern "system" fn dispatch<R: Requests>(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the packet is the driver's alone until it is completed.
    let packet = unsafe { &mut *irp };
    // SAFETY: the I/O manager sets the stack location before it calls.
    let location = unsafe { &*packet.CurrentStackLocation };
    // SAFETY: the I/O manager calls a highest-level driver at PASSIVE_LEVEL ("Dispatch Routines and IRQLs").
    let passive = unsafe { Passive::new() };
    let result = serve::<R>(passive, packet, location);
    let (status, information) = match result {
        Ok(bytes) => (sys::STATUS_SUCCESS, bytes),
        Err(status) => (status, 0),
    };
    // The lower half of the field is the `NTSTATUS`.
    packet.IoStatus.Status = status.cast_unsigned() as usize;
    packet.IoStatus.Information = information;
    // SAFETY: it is completed once, and not looked at afterwards.
    unsafe { sys::IofCompleteRequest(irp, 0) };
    status
}

fn serve<R: Requests>(
    passive: Passive,
    packet: &mut IRP,
    location: &IO_STACK_LOCATION,
) -> Result<usize, NTSTATUS> {
    // SAFETY: every request that this driver serves comes through an open file, whose object is there meanwhile.
    let file = unsafe { location.FileObject.as_ref() }.ok_or(sys::STATUS_INVALID_HANDLE)?;
    // The device has no files of its own. If a name follows the device's name, there is no such file ("Controlling Device
    // Namespace Access").
    if usize::from(location.MajorFunction) == sys::IRP_MJ_CREATE && file.FileName.Length > 0 {
        return Err(sys::STATUS_OBJECT_NAME_NOT_FOUND);
    }
    let file: &AtomicUsize = &file.FsContext;
    let number = || NonZeroUsize::new(file.load(Ordering::Acquire)).ok_or(sys::STATUS_INVALID_HANDLE);
    match usize::from(location.MajorFunction) {
        sys::IRP_MJ_CREATE => {
            file.store(R::open(passive)?.get(), Ordering::Release);
            Ok(0)
        }
        // Cleanup comes when the last handle is closed, close when nothing uses the file any more. The first of the two
        // closes it here.
        sys::IRP_MJ_CLEANUP | sys::IRP_MJ_CLOSE => {
            if let Some(number) = NonZeroUsize::new(file.swap(0, Ordering::AcqRel)) {
                R::close(passive, number);
            }
            Ok(0)
        }
        sys::IRP_MJ_READ => {
            // SAFETY: the kind of request says which member of the union is set.
            let length = unsafe { location.Parameters.Read }.Length as usize;
            R::read(number()?, system_buffer(packet.SystemBuffer, length))
        }
        sys::IRP_MJ_DEVICE_CONTROL => {
            // SAFETY: as above.
            let parameters = unsafe { location.Parameters.DeviceIoControl };
            let (input, output) =
                (parameters.InputBufferLength as usize, parameters.OutputBufferLength as usize);
            let is_buffered = parameters.IoControlCode & 3 == 0;
            let length = if is_buffered { input.max(output) } else { 0 };
            let buffer = system_buffer(packet.SystemBuffer, length);
            let control = Control { code: parameters.IoControlCode, buffer, input, output };
            R::control(passive, number()?, control)
        }
        _ => Err(sys::STATUS_INVALID_DEVICE_REQUEST),
    }
}

/// The buffer that the I/O manager has made for a request of `length` bytes. Empty if there is none.
fn system_buffer<'a>(buffer: *mut c_void, length: usize) -> &'a mut [u8] {
    if buffer.is_null() || length == 0 {
        return &mut [];
    }
    // SAFETY: for buffered requests, the I/O manager makes a buffer of non-paged pool of this length, which belongs to the
    // packet, whose only user this driver is until it is completed. What nobody has written yet is whatever the pool held;
    // any bytes are bytes, and only what is written here is copied back.
    unsafe { slice::from_raw_parts_mut(buffer.cast(), length) }
}
