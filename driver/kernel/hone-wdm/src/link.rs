//! Symbolic links of the object manager, looked up at PASSIVE_LEVEL.

use core::ptr;

use crate::Passive;
use crate::registry::{Handle, attributes};
use crate::sys::{self, UNICODE_STRING};
use crate::unicode::Unicode;

const GENERIC_READ: u32 = 0x8000_0000;

/// Writes the target of the link `name` to the start of `target`. Returns its length in UTF-16 units. `None` if there is
/// no such link, or if its target does not fit ("ZwQuerySymbolicLinkObject").
#[must_use]
pub fn target(_: Passive, name: &[u16], target: &mut [u16]) -> Option<usize> {
    let name = Unicode::new(name);
    let attributes = attributes(name.as_ptr());
    let mut link = ptr::null_mut();
    // SAFETY: the attributes and the name they point to live until the call returns.
    let status = unsafe { sys::ZwOpenSymbolicLinkObject(&raw mut link, GENERIC_READ, &raw const attributes) };
    crate::check(status).ok()?;
    let link = Handle(link);
    let room = u16::try_from(size_of_val(target)).unwrap_or(u16::MAX - 1);
    let mut text = UNICODE_STRING { Length: 0, MaximumLength: room, Buffer: target.as_mut_ptr() };
    // SAFETY: the handle is open, and the buffer has room for that many bytes.
    let status = unsafe { sys::ZwQuerySymbolicLinkObject(link.0, &raw mut text, ptr::null_mut()) };
    crate::check(status).ok()?;
    Some(usize::from(text.Length / 2).min(target.len()))
}
