//! Reads and writes registry values, at PASSIVE_LEVEL.

use core::ptr;

use crate::Passive;
use crate::sys::{self, HANDLE, NTSTATUS, OBJECT_ATTRIBUTES};
use crate::unicode::Unicode;

const KEY_QUERY_VALUE: u32 = 1;
const KEY_SET_VALUE: u32 = 2;
/// `KeyValuePartialInformation`.
const PARTIAL: u32 = 2;
const REG_BINARY: u32 = 3;
const REG_DWORD: u32 = 4;
const REG_OPTION_NON_VOLATILE: u32 = 0;

/// A handle of the kernel. It is closed when dropped.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is an open handle of the kernel's own table, closed once.
        unsafe { sys::ZwClose(self.0) };
    }
}

/// Describes the object to open: its name, and that the handle belongs to the kernel.
pub(crate) fn attributes(name: *const sys::UNICODE_STRING) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).unwrap_or(0),
        RootDirectory: ptr::null_mut(),
        ObjectName: name,
        Attributes: sys::OBJ_CASE_INSENSITIVE | sys::OBJ_KERNEL_HANDLE,
        SecurityDescriptor: ptr::null_mut(),
        SecurityQualityOfService: ptr::null_mut(),
    }
}

fn open(_: Passive, path: &[u16], access: u32) -> Result<Handle, NTSTATUS> {
    let path = Unicode::new(path);
    let attributes = attributes(path.as_ptr());
    let mut key = ptr::null_mut();
    // SAFETY: the attributes and the path they point to live until the call returns.
    let status = unsafe { sys::ZwOpenKey(&raw mut key, access, &raw const attributes) };
    crate::check(status).map(|()| Handle(key))
}

/// A value of at most `LONGEST` bytes, laid out as `KEY_VALUE_PARTIAL_INFORMATION`.
#[repr(C)]
struct Partial<const LONGEST: usize> {
    index: u32,
    kind: u32,
    length: u32,
    data: [u8; LONGEST],
}

/// Reads a value of this type and length. `None` if there is no such value.
fn query<const LENGTH: usize>(
    passive: Passive,
    path: &[u16],
    name: &[u16],
    kind: u32,
) -> Option<[u8; LENGTH]> {
    let key = open(passive, path, KEY_QUERY_VALUE).ok()?;
    let name = Unicode::new(name);
    let mut value = Partial { index: 0, kind: 0, length: 0, data: [0; LENGTH] };
    let size = u32::try_from(size_of::<Partial<LENGTH>>()).ok()?;
    let mut needed = 0;
    // SAFETY: the key is open, the name lives until the call returns, and the structure has the size that is said.
    let status = unsafe {
        sys::ZwQueryValueKey(key.0, name.as_ptr(), PARTIAL, (&raw mut value).cast(), size, &raw mut needed)
    };
    let is_sound = status == sys::STATUS_SUCCESS && value.kind == kind && value.length as usize == LENGTH;
    is_sound.then_some(value.data)
}

/// Reads a `REG_DWORD`. `None` if there is none with this name.
#[must_use]
pub fn number(passive: Passive, path: &[u16], name: &[u16]) -> Option<u32> {
    query(passive, path, name, REG_DWORD).map(u32::from_le_bytes)
}

/// Reads a `REG_BINARY` of exactly this length. `None` if there is none with this name and length.
#[must_use]
pub fn binary<const LENGTH: usize>(passive: Passive, path: &[u16], name: &[u16]) -> Option<[u8; LENGTH]> {
    query(passive, path, name, REG_BINARY)
}

/// Sets a `REG_BINARY`.
///
/// # Errors
/// The key does not exist, or must not be written.
pub fn set_binary<const LENGTH: usize>(
    passive: Passive,
    path: &[u16],
    name: &[u16],
    data: &[u8; LENGTH],
) -> Result<(), NTSTATUS> {
    set(&open(passive, path, KEY_SET_VALUE)?, name, REG_BINARY, data)
}

/// Sets a `REG_DWORD`. Makes the key if it is missing; the key above it must exist.
///
/// # Errors
/// The key above does not exist, or the key must not be written.
pub fn set_number(passive: Passive, path: &[u16], name: &[u16], number: u32) -> Result<(), NTSTATUS> {
    set(&create(passive, path, KEY_SET_VALUE)?, name, REG_DWORD, &number.to_le_bytes())
}

/// Makes a key unless it exists. The key above it must exist.
///
/// # Errors
/// The key above does not exist, or must not be written.
pub fn create_key(passive: Passive, path: &[u16]) -> Result<(), NTSTATUS> {
    create(passive, path, KEY_QUERY_VALUE).map(drop)
}

fn create(_: Passive, path: &[u16], access: u32) -> Result<Handle, NTSTATUS> {
    let path = Unicode::new(path);
    let attributes = attributes(path.as_ptr());
    let mut key = ptr::null_mut();
    // SAFETY: the attributes and the path they point to live until the call returns; the rest may be null or 0.
    let status = unsafe {
        sys::ZwCreateKey(
            &raw mut key,
            access,
            &raw const attributes,
            0,
            ptr::null(),
            REG_OPTION_NON_VOLATILE,
            ptr::null_mut(),
        )
    };
    crate::check(status).map(|()| Handle(key))
}

fn set(key: &Handle, name: &[u16], kind: u32, data: &[u8]) -> Result<(), NTSTATUS> {
    let name = Unicode::new(name);
    let length = u32::try_from(data.len()).map_err(|_| sys::STATUS_BUFFER_TOO_SMALL)?;
    // SAFETY: the key is open, name and data live until the call returns, and the data has that length.
    let status = unsafe { sys::ZwSetValueKey(key.0, name.as_ptr(), 0, kind, data.as_ptr().cast(), length) };
    crate::check(status)
}
