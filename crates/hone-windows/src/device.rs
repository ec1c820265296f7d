//! The device and its event.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::time::Duration;

use hone_api::{DataEvent, LogLevels, Operation, Request, Statistics};
use windows_sys::Win32::Foundation::{
    GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING, ReadFile,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Threading::{CreateEventW, WaitForSingleObject};

/// The device's name.
const NAME: &str = r"\\.\HoneOut";

/// A reader of the driver; detached when dropped.
#[derive(Debug)]
pub struct Device(OwnedHandle);

/// An event that is set when there is something to read again. A wait resets it.
#[derive(Debug)]
pub struct Event(OwnedHandle);

/// A length as Windows' functions take it.
fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a buffer beyond 4 GiB"))
}

impl Device {
    /// Opens the device. From here on, events are queued for this reader.
    ///
    /// # Errors
    /// 2: the driver does not run. 5: only administrators may.
    pub fn open() -> io::Result<Self> {
        Self::open_below("")
    }

    /// Opens the device with this name after its own. The driver refuses every name but an empty one.
    ///
    /// # Errors
    /// As [`open`](Self::open), or the driver refuses the name.
    pub fn open_below(name: &str) -> io::Result<Self> {
        let name: Vec<u16> = NAME.encode_utf16().chain(name.encode_utf16()).chain([0]).collect();
        // SAFETY: the name ends with NUL.
        let file = unsafe {
            CreateFileW(
                name.as_ptr(),
                GENERIC_READ | GENERIC_WRITE,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                null(),
                OPEN_EXISTING,
                0,
                null_mut(),
            )
        };
        if file == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and nobody else's.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(file) }))
    }

    /// Reads the waiting blocks; complete ones if the buffer has room for the next. Returns 0 if nothing waits, or if
    /// the section ends.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        let room = length(buffer.len())?;
        // SAFETY: the file is open, and the buffer has that length.
        let done = unsafe {
            ReadFile(self.0.as_raw_handle(), buffer.as_mut_ptr(), room, &raw mut filled, null_mut())
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(filled as usize) }
    }

    /// Sends a control request with this code. Returns how many bytes of `output` were filled.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> io::Result<usize> {
        let (given, room) = (length(input.len())?, length(output.len())?);
        let mut filled = 0;
        // SAFETY: the file is open, and both buffers have these lengths.
        let done = unsafe {
            DeviceIoControl(
                self.0.as_raw_handle(),
                code,
                input.as_ptr().cast(),
                given,
                output.as_mut_ptr().cast(),
                room,
                &raw mut filled,
                null_mut(),
            )
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(filled as usize) }
    }

    /// Sends a request that has no reply.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn request(&self, request: &Request<'_>) -> io::Result<()> {
        let mut input = Vec::new();
        if let Err(needs) = request.encode(&mut input) {
            input.resize(needs.needed, 0);
        }
        request.encode(&mut input).map_err(io::Error::other)?;
        self.control(request.operation().control_code().0, &input, &mut []).map(drop)
    }

    /// What the driver counts.
    ///
    /// # Errors
    /// The driver refuses, or has another version.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let mut reply = [0; Statistics::REPLY_LENGTH];
        let filled = self.control(Operation::GetStatistics2.control_code().0, &[], &mut reply)?;
        Statistics::parse(&reply[..filled]).map_err(io::Error::other)
    }

    /// Which messages the driver writes.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn log_levels(&self) -> io::Result<LogLevels> {
        let mut reply = [0; 4];
        let filled = self.control(Operation::GetLogLevels.control_code().0, &[], &mut reply)?;
        hone_api::log_levels(&reply[..filled]).map_err(io::Error::other)
    }

    /// Makes the driver set this event when there is something to read again; `None`: no event any more. The event is
    /// also set once now.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn set_event(&self, event: Option<&Event>) -> io::Result<()> {
        let handle = event.map_or(0, Event::handle);
        self.request(&Request::SetDataEvent(DataEvent::Bits64(handle)))
    }
}

impl Event {
    /// A new event.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new() -> io::Result<Self> {
        // SAFETY: an event without name and attributes, which resets itself and is not set.
        let event = unsafe { CreateEventW(null(), 0, 0, null()) };
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and nobody else's.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(event) }))
    }

    /// The event's handle as a number.
    #[must_use]
    pub fn handle(&self) -> u64 {
        self.0.as_raw_handle().addr() as u64
    }

    /// Waits until the event is set, or until the time is over. Returns whether it was set.
    ///
    /// # Errors
    /// The wait failed.
    pub fn wait(&self, longest: Duration) -> io::Result<bool> {
        // The largest number would mean no limit.
        let milliseconds = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX).min(u32::MAX - 1);
        // SAFETY: it is open.
        match unsafe { WaitForSingleObject(self.0.as_raw_handle(), milliseconds) } {
            WAIT_OBJECT_0 => Ok(true),
            WAIT_TIMEOUT => Ok(false),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
