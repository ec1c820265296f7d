//! A panic is a bug check: the machine stops at once and shows the place in the driver's source.

use core::panic::PanicInfo;

use crate::{debug, sys};

/// The bug check's code: `HONE`. Its parameters: line, column, and address and length of the file's name.
const BUG_CHECK: u32 = u32::from_be_bytes(*b"HONE");

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    debug::show(0, format_args!("{info}"));
    let (line, column, file) =
        info.location().map_or((0, 0, ""), |place| (place.line(), place.column(), place.file()));
    // SAFETY: may be called at any IRQL with any numbers, and does not return. The file's name is in the driver's image.
    unsafe { sys::KeBugCheckEx(BUG_CHECK, line as usize, column as usize, file.as_ptr().addr(), file.len()) }
}
