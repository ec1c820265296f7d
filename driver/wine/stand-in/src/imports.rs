//! Replaces entries in the driver's import table in memory.

use std::ffi::{CStr, c_void};

use crate::windows;

/// Offsets in an image of 64-bit Windows ("PE Format", learn.microsoft.com).
const PE_OFFSET: usize = 0x3C;
/// Counts from the PE signature: signature and file header (24), then the optional header's second directory.
const IMPORTS: usize = 24 + 112 + 8;
const DESCRIPTOR: usize = 20;

/// Asks `replace` about each import of the image at `image`: it gets the import's name and what the import's slot points
/// to, and returns what the slot shall point to.
///
/// # Safety
/// `image` is a loaded image with bound imports, and no thread runs in it.
pub(crate) unsafe fn replace(image: *mut u8, mut replace: impl FnMut(&str, *const c_void) -> *const c_void) {
    // SAFETY: the caller says that it is a loaded image; all offsets lead into it.
    let number =
        |offset: usize| unsafe { image.wrapping_add(offset).cast::<u32>().read_unaligned() } as usize;
    let mut descriptor = number(number(PE_OFFSET) + IMPORTS);
    while number(descriptor + 12) != 0 {
        let (mut name, mut slot) = (number(descriptor), number(descriptor + 16));
        loop {
            // SAFETY: as above; the table of names ends with 0.
            let entry = unsafe { image.wrapping_add(name).cast::<u64>().read_unaligned() };
            let Ok(entry) = usize::try_from(entry) else { break };
            if entry == 0 {
                break;
            }
            // The highest bit marks an import by number.
            if entry >> 63 == 0 {
                // SAFETY: a name comes after two bytes, and ends with NUL.
                let import = unsafe { CStr::from_ptr(image.wrapping_add(entry + 2).cast()) };
                let place = image.wrapping_add(slot).cast::<*const c_void>();
                // SAFETY: the slot is the import's.
                let bound = unsafe { place.read() };
                let function = replace(&import.to_string_lossy(), bound);
                if function != bound {
                    // SAFETY: as above, and nobody runs in the image.
                    unsafe { windows::overwrite(place, function) };
                }
            }
            name += 8;
            slot += 8;
        }
        descriptor += DESCRIPTOR;
    }
}
