//! Named pipes that are made before their reader opens them.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_NO_DATA, ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED, ERROR_PIPE_LISTENING,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_ACCESS_OUTBOUND};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_NOWAIT, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_WAIT, SetNamedPipeHandleState,
};

use crate::check;
use crate::files::Descriptor;
use crate::text::wide_path;

/// Size of the pipe's buffer, bytes.
const BUFFER: u32 = 64 << 10;

/// Makes a named pipe, to be written, with the rights of [`files::create_new`](crate::files::create_new)'s files. One
/// program of this computer can read it, which opens it like a file (`CreateNamedPipeW`). It is gone with the [`File`].
/// It must not be written before [`has_reader`] says so.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`]: somebody has made it before. Or it can't be made.
pub fn create_new(path: &Path) -> io::Result<File> {
    let descriptor = Descriptor::private()?;
    let attributes = descriptor.attributes();
    let path = wide_path(path)?;
    let mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_NOWAIT | PIPE_REJECT_REMOTE_CLIENTS;
    // Never make a further instance of another program's pipe: that program's reader could get the data.
    let access = PIPE_ACCESS_OUTBOUND | FILE_FLAG_FIRST_PIPE_INSTANCE;
    // SAFETY: the path ends with NUL; it, the attributes and their descriptor live until the call returns.
    let pipe =
        unsafe { CreateNamedPipeW(path.as_ptr(), access, mode, 1, BUFFER, 0, 0, &raw const attributes) };
    if pipe == INVALID_HANDLE_VALUE {
        let error = io::Error::last_os_error();
        // So Windows says that it is not the first instance, or would be one too many.
        let exists = [ERROR_ACCESS_DENIED, ERROR_PIPE_BUSY].map(u32::cast_signed);
        return Err(match error.raw_os_error() {
            Some(code) if exists.contains(&code) => io::ErrorKind::AlreadyExists.into(),
            _ => error,
        });
    }
    // SAFETY: it is open, and nobody else's.
    Ok(unsafe { File::from_raw_handle(pipe) })
}

/// Whether a reader has opened the pipe that [`create_new`] has made, even if it has closed it since. From then on a
/// write waits until there is room (`ConnectNamedPipe`, `SetNamedPipeHandleState`).
///
/// # Errors
/// Windows does not know it.
pub fn has_reader(pipe: &File) -> io::Result<bool> {
    // SAFETY: it is open, and of a pipe that does not wait there is nothing that goes on after the call.
    if unsafe { ConnectNamedPipe(pipe.as_raw_handle(), null_mut()) } != 0 {
        // It can be opened from now on, and nothing more.
        return Ok(false);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_PIPE_LISTENING) => return Ok(false),
        // ERROR_NO_DATA: opened and closed.
        Some(ERROR_PIPE_CONNECTED | ERROR_NO_DATA) => {}
        _ => return Err(error),
    }
    let mode = PIPE_READMODE_BYTE | PIPE_WAIT;
    // SAFETY: it is open; the mode lives until the call returns, and nothing else is set.
    check(unsafe { SetNamedPipeHandleState(pipe.as_raw_handle(), &raw const mode, null(), null()) })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::PathBuf;

    use super::*;

    fn name(test: &str) -> PathBuf {
        format!(r"\\.\pipe\hone-test-{}-{test}", std::process::id()).into()
    }

    #[test]
    fn what_is_written_is_read_to_its_end_after_the_writers() {
        let name = name("read");
        let mut pipe = create_new(&name).expect("it is made");
        assert!(!has_reader(&pipe).expect("it is a pipe"));
        assert!(!has_reader(&pipe).expect("it is a pipe"));
        let mut reader = File::open(&name).expect("it is there");
        assert!(has_reader(&pipe).expect("it is a pipe"));
        pipe.write_all(b"text").expect("there is room");
        drop(pipe);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("it is a pipe");
        assert_eq!(text, "text");
        assert!(File::open(&name).is_err(), "it is gone");
    }

    #[test]
    fn it_is_made_once_and_read_by_one() {
        let name = name("once");
        let pipe = create_new(&name).expect("it is made");
        let exists = Err(io::ErrorKind::AlreadyExists);
        assert_eq!(create_new(&name).map(drop).map_err(|error| error.kind()), exists);
        let _reader = File::open(&name).expect("it is there");
        assert!(has_reader(&pipe).expect("it is a pipe"));
        let busy = File::open(&name).map(drop).map_err(|error| error.raw_os_error());
        assert_eq!(busy, Err(Some(ERROR_PIPE_BUSY.cast_signed())));
        assert_eq!(create_new(&name).map(drop).map_err(|error| error.kind()), exists);
    }

    #[test]
    fn a_reader_that_has_gone_is_told_by_the_first_write() {
        let name = name("gone");
        let mut pipe = create_new(&name).expect("it is made");
        drop(File::open(&name).expect("it is there"));
        assert!(has_reader(&pipe).expect("it is a pipe"));
        assert_eq!(pipe.write(b"text").map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
    }
}
