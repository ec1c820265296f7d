//! Running processes: the list of all, and details of one. All at PASSIVE_LEVEL.

use core::ptr;

use crate::Passive;
use crate::pool::{Buffer, Tag};
use crate::registry::{Handle, attributes};
use crate::sys::{self, CLIENT_ID, NTSTATUS};
use crate::time;

/// `SystemProcessInformation`.
const PROCESSES: u32 = 5;
const PROCESS_QUERY_LIMITED_INFORMATION: u32 = 0x1000;
const TOKEN_QUERY: u32 = 8;
/// `TokenUser`.
const USER: u32 = 1;
/// Numbers of the information classes of a process.
mod class {
    pub(super) const TIMES: u32 = 4;
    pub(super) const IMAGE_FILE_NAME: u32 = 27;
    pub(super) const IMAGE_FILE_NAME_WIN32: u32 = 43;
    /// Exists since Windows 8.1.
    pub(super) const COMMAND_LINE: u32 = 60;
}

/// Most bytes of a buffer for one answer about a process.
const MOST: usize = 128 << 10;
/// Most bytes of the buffer for the list of all processes.
const MOST_LISTED: usize = 64 << 20;

/// Offsets in `SYSTEM_PROCESS_INFORMATION` of 64-bit Windows (winternl.h of mingw-w64; learn.microsoft.com,
/// "ZwQuerySystemInformation").
mod listed {
    pub(super) const NEXT: usize = 0;
    pub(super) const CREATED: usize = 0x20;
    /// A `UNICODE_STRING`: first the length; the address follows at offset 8.
    pub(super) const NAME: usize = 0x38;
    pub(super) const PID: usize = 0x50;
    pub(super) const PARENT: usize = 0x58;
    pub(super) const LENGTH: usize = 0x60;
}

/// One entry of the list of processes.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent. The parent may have ended, and its id may belong to another process now.
    pub parent: u32,
    /// When it was created, nanoseconds since 1970-01-01 UTC.
    pub created: u64,
    /// File name of the executable, or the kernel's name for a process without one, such as `System`.
    pub name: Option<&'a [u16]>,
}

/// Calls `each` for every running process except the idle process.
///
/// # Errors
/// There is not enough memory, or the kernel refuses.
pub fn list(_: Passive, tag: Tag, mut each: impl FnMut(Listed<'_>)) -> Result<(), NTSTATUS> {
    let list = query(tag, 256 << 10, MOST_LISTED, |buffer, needed| {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        // SAFETY: the buffer has that length.
        unsafe { sys::ZwQuerySystemInformation(PROCESSES, buffer.as_mut_ptr().cast(), length, needed) }
    })?;
    let mut entry = 0;
    while let Some(bytes) = list.bytes().get(entry..).filter(|bytes| bytes.len() >= listed::LENGTH) {
        let number = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        let id = |at| u32::try_from(number(at)).ok();
        if let (Some(pid @ 1..), Some(parent)) = (id(listed::PID), id(listed::PARENT)) {
            let length = usize::from(u16::from_le_bytes([bytes[listed::NAME], bytes[listed::NAME + 1]]));
            let name = offset(&list, entry + listed::NAME + 8).and_then(|start| list.units(start, length));
            let created = time::unix(number(listed::CREATED).cast_signed());
            each(Listed { pid, parent, created, name: name.filter(|name| !name.is_empty()) });
        }
        match bytes[listed::NEXT..].first_chunk().copied().map_or(0, u32::from_le_bytes) {
            0 => break,
            next => entry += next as usize,
        }
    }
    Ok(())
}

/// A process that the kernel is queried about. A detail is looked up only when it is requested, because some queries
/// access the file system or the process's own memory.
#[derive(Debug)]
pub struct Process {
    handle: Handle,
    tag: Tag,
    /// All details are looked up at PASSIVE_LEVEL.
    _passive: Passive,
}

impl Process {
    /// Opens the process with this id. `tag` is the pool tag of the memory for answers.
    ///
    /// # Errors
    /// There is no such process.
    pub fn open(passive: Passive, pid: u32, tag: Tag) -> Result<Self, NTSTATUS> {
        let id = CLIENT_ID {
            UniqueProcess: ptr::without_provenance_mut(pid as usize),
            UniqueThread: ptr::null_mut(),
        };
        let attributes = attributes(ptr::null());
        let mut process = ptr::null_mut();
        // SAFETY: attributes and id live until the call returns.
        let status = unsafe {
            sys::ZwOpenProcess(
                &raw mut process,
                PROCESS_QUERY_LIMITED_INFORMATION,
                &raw const attributes,
                &raw const id,
            )
        };
        crate::check(status).map(|()| Self { handle: Handle(process), tag, _passive: passive })
    }

    /// When it was created, nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn created(&self) -> Option<u64> {
        // `KERNEL_USER_TIMES`: time of creation, time of exit, time in the kernel, time in user mode.
        let mut times = [0_i64; 4];
        let length = u32::try_from(size_of_val(&times)).ok()?;
        let mut needed = 0;
        // SAFETY: the handle is open, and there is room for that many bytes.
        let status = unsafe {
            sys::ZwQueryInformationProcess(
                self.handle.0,
                class::TIMES,
                times.as_mut_ptr().cast(),
                length,
                &raw mut needed,
            )
        };
        crate::check(status).ok().map(|()| time::unix(times[0]))
    }

    /// Path of the executable, with its drive letter if it has one. Do not call it in a notify routine, because it
    /// asks the mount manager for the drive's letter.
    #[must_use]
    pub fn path(&self) -> Option<Text> {
        self.text(class::IMAGE_FILE_NAME_WIN32).or_else(|| self.device_path())
    }

    /// Path of the executable as the kernel's object manager names it.
    #[must_use]
    pub fn device_path(&self) -> Option<Text> {
        self.text(class::IMAGE_FILE_NAME)
    }

    /// The command line. `None` before Windows 8.1.
    #[must_use]
    pub fn command_line(&self) -> Option<Text> {
        self.text(class::COMMAND_LINE)
    }

    /// The owner's security identifier.
    #[must_use]
    pub fn owner(&self) -> Option<Sid> {
        let mut token = ptr::null_mut();
        // SAFETY: the handle is open, and there is room for another.
        let status = unsafe {
            sys::ZwOpenProcessTokenEx(self.handle.0, TOKEN_QUERY, sys::OBJ_KERNEL_HANDLE, &raw mut token)
        };
        crate::check(status).ok()?;
        let token = Handle(token);
        let buffer = query(self.tag, 128, MOST, |buffer, needed| {
            let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            // SAFETY: the handle is open, and the buffer has that length.
            unsafe { sys::ZwQueryInformationToken(token.0, USER, buffer.as_mut_ptr().cast(), length, needed) }
        })
        .ok()?;
        // `TOKEN_USER`: the identifier's address and attributes. The identifier follows: revision, count, 6 bytes, then
        // 4 bytes for each count.
        let start = offset(&buffer, 0)?;
        let count = *buffer.bytes().get(start + 1)?;
        Some(Sid { end: start + 8 + 4 * usize::from(count), start, buffer })
    }

    fn text(&self, class: u32) -> Option<Text> {
        let buffer = query(self.tag, 1 << 10, MOST, |buffer, needed| {
            let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            // SAFETY: the handle is open, and the buffer has that length.
            unsafe {
                sys::ZwQueryInformationProcess(
                    self.handle.0,
                    class,
                    buffer.as_mut_ptr().cast(),
                    length,
                    needed,
                )
            }
        })
        .ok()?;
        let length = u16::from_le_bytes(*buffer.bytes().first_chunk()?);
        let start = offset(&buffer, 8)?;
        Some(Text { start, length: length.into(), buffer })
    }
}

/// A text that the kernel has returned: a `UNICODE_STRING` followed by its text.
#[derive(Debug)]
pub struct Text {
    buffer: Buffer,
    start: usize,
    length: usize,
}

impl Text {
    /// The text. `None` if it is empty.
    #[must_use]
    pub fn units(&self) -> Option<&[u16]> {
        self.buffer.units(self.start, self.length).filter(|units| !units.is_empty())
    }
}

/// A security identifier.
#[derive(Debug)]
pub struct Sid {
    buffer: Buffer,
    start: usize,
    end: usize,
}

impl Sid {
    /// The identifier's bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        self.buffer.bytes().get(self.start..self.end)
    }
}

/// Reads the address at `place` in the buffer and returns its offset in the buffer. `None` if it is outside.
fn offset(buffer: &Buffer, place: usize) -> Option<usize> {
    let address = usize::from_le_bytes(*buffer.bytes().get(place..)?.first_chunk()?);
    let offset = address.checked_sub(buffer.bytes().as_ptr().addr())?;
    (offset < buffer.bytes().len()).then_some(offset)
}

/// Queries with a buffer of `first` bytes, then with larger ones while the kernel reports that it needs more.
fn query(
    tag: Tag,
    first: usize,
    most: usize,
    mut ask: impl FnMut(&mut [u8], *mut u32) -> NTSTATUS,
) -> Result<Buffer, NTSTATUS> {
    let mut length = first;
    loop {
        let mut buffer = Buffer::new(length, tag).ok_or(sys::STATUS_INSUFFICIENT_RESOURCES)?;
        let mut needed = 0;
        match ask(buffer.bytes_mut(), &raw mut needed) {
            sys::STATUS_INFO_LENGTH_MISMATCH | sys::STATUS_BUFFER_TOO_SMALL | sys::STATUS_BUFFER_OVERFLOW => {
                // Doubles the length, because the answer may grow meanwhile.
                length = (length * 2).max(usize::try_from(needed).unwrap_or(0));
                if length > most {
                    return Err(sys::STATUS_INSUFFICIENT_RESOURCES);
                }
            }
            status => return crate::check(status).map(|()| buffer),
        }
    }
}
