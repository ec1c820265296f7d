//! Named pipes that a test reads.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Storage::FileSystem::PIPE_ACCESS_INBOUND;
use windows_sys::Win32::System::Pipes::{ConnectNamedPipe, CreateNamedPipeW};

/// A pipe to read from: the probe's own, or another program's.
pub(crate) enum Pipe {
    Own(File),
    Other(File),
}

impl Pipe {
    /// Makes a pipe. Its writer connects later.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
        // SAFETY: the name ends with NUL. All else is plain: one instance, of bytes, that waits.
        let pipe = unsafe { CreateNamedPipeW(name.as_ptr(), PIPE_ACCESS_INBOUND, 0, 1, 0, 65536, 0, null()) };
        if pipe == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and nobody else's.
        Ok(Self::Own(unsafe { File::from_raw_handle(pipe) }))
    }

    /// Opens an existing pipe.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        File::open(name).map(Self::Other)
    }

    /// Reads once. Waits for the writer and for its data; returns nothing if the writer has closed the pipe.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Own(file) => {
                // SAFETY: it is open. Whether the writer is there already, or gone again, does not matter.
                unsafe { ConnectNamedPipe(file.as_raw_handle(), null_mut()) };
                file.read(buffer)
            }
            Self::Other(file) => file.read(buffer),
        }
    }
}
