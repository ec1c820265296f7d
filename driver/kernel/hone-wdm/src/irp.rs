//! Requests of programs: the I/O manager's packets, decoded.

use core::ffi::c_void;
use core::num::NonZeroUsize;
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::{self, DEVICE_OBJECT, IO_STACK_LOCATION, IRP, NTSTATUS};

/// A control request.
#[derive(Debug)]
pub struct Control<'a> {
    /// The control code.
    pub code: u32,
    /// The buffer of `METHOD_BUFFERED`, input and then output; empty for other methods, whose addresses are not looked at.
    pub buffer: &'a mut [u8],
    /// Bytes of input.
    pub input: usize,
    /// Most bytes of output.
    pub output: usize,
}

/// Who serves requests. Each open file has a number of its own. All at PASSIVE_LEVEL, in the context of the program.
pub trait Requests: 'static {
    /// A file is opened; gives its number.
    ///
    /// # Errors
    /// It can't be.
    fn open() -> Result<NonZeroUsize, NTSTATUS>;
    /// A file's last handle is closed. Called once for each number.
    fn close(file: NonZeroUsize);
    /// Fills the buffer; gives how many bytes.
    ///
    /// # Errors
    /// It can't be read.
    fn read(file: NonZeroUsize, buffer: &mut [u8]) -> Result<usize, NTSTATUS>;
    /// Carries out a control request; gives how many bytes of the buffer are output.
    ///
    /// # Errors
    /// It can't be done.
    fn control(file: NonZeroUsize, control: Control<'_>) -> Result<usize, NTSTATUS>;
}

/// What the I/O manager calls for every kind of request.
///
/// # Safety
/// The I/O manager's: `irp` is a packet for this driver, which is the driver's until it is completed.
pub(crate) unsafe extern "system" fn dispatch<R: Requests>(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the packet is the driver's alone until it is completed.
    let packet = unsafe { &mut *irp };
    // SAFETY: the I/O manager sets the stack location before it calls.
    let location = unsafe { &*packet.CurrentStackLocation };
    let result = serve::<R>(packet, location);
    let (status, information) = match result {
        Ok(bytes) => (sys::STATUS_SUCCESS, bytes),
        Err(status) => (status, 0),
    };
    // As `NTSTATUS`, which is the lower half of the field.
    packet.IoStatus.Status = status.cast_unsigned() as usize;
    packet.IoStatus.Information = information;
    // SAFETY: it is completed once, and not looked at afterwards.
    unsafe { sys::IofCompleteRequest(irp, 0) };
    status
}

fn serve<R: Requests>(packet: &mut IRP, location: &IO_STACK_LOCATION) -> Result<usize, NTSTATUS> {
    // SAFETY: every request that this driver serves comes through an open file, whose object is there meanwhile.
    let file = unsafe { location.FileObject.as_ref() }.ok_or(sys::STATUS_INVALID_HANDLE)?;
    let file: &AtomicUsize = &file.FsContext;
    let number = || NonZeroUsize::new(file.load(Ordering::Acquire)).ok_or(sys::STATUS_INVALID_HANDLE);
    match usize::from(location.MajorFunction) {
        sys::IRP_MJ_CREATE => {
            file.store(R::open()?.get(), Ordering::Release);
            Ok(0)
        }
        // The last handle is closed; then, nothing uses the file any more. Whichever comes first.
        sys::IRP_MJ_CLEANUP | sys::IRP_MJ_CLOSE => {
            if let Some(number) = NonZeroUsize::new(file.swap(0, Ordering::AcqRel)) {
                R::close(number);
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
            R::control(number()?, control)
        }
        _ => Err(sys::STATUS_INVALID_DEVICE_REQUEST),
    }
}

/// The buffer that the I/O manager has made for a request of `length` bytes; none for none.
fn system_buffer<'a>(buffer: *mut c_void, length: usize) -> &'a mut [u8] {
    if buffer.is_null() || length == 0 {
        return &mut [];
    }
    // SAFETY: for buffered requests, the I/O manager makes a buffer of non-paged pool of this length, which belongs to the
    // packet, whose only user this driver is until it is completed. What nobody has written yet is whatever the pool held;
    // any bytes are bytes, and only what is written here is copied back.
    unsafe { slice::from_raw_parts_mut(buffer.cast(), length) }
}
