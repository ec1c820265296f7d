//! Messages to the kernel debugger: `DbgPrintEx` as component `IHVDRIVER`. The component's mask selects what is shown.

use core::fmt::{self, Write};

use crate::sys;

/// `DPFLTR_IHVDRIVER_ID`.
const COMPONENT: u32 = 77;
/// Longest message in bytes, with its NUL. Longer messages are cut. The buffer is on the stack, which is small.
const LONGEST: usize = 256;

/// Whether the mask shows messages of this level; a level is one bit of the mask. At any IRQL.
#[must_use]
pub fn shows(level: u32) -> bool {
    // SAFETY: any numbers may be passed, at any IRQL: it reads the mask.
    unsafe { sys::DbgQueryDebugFilterState(COMPONENT, level) == 1 }
}

/// Shows a message. At any IRQL.
pub fn show(level: u32, message: fmt::Arguments<'_>) {
    struct Text {
        bytes: [u8; LONGEST],
        length: usize,
    }
    impl Write for Text {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = &mut self.bytes[self.length..LONGEST - 1];
            let fits = text.len().min(room.len());
            room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
            self.length += fits;
            if fits < text.len() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut text = Text { bytes: [0; LONGEST], length: 0 };
    // A message that is too long is shown up to its cut.
    let _ = text.write_fmt(message);
    // SAFETY: the format takes one text that ends with NUL, which `text` does: its last byte is never written.
    unsafe { sys::DbgPrintEx(COMPONENT, level, c"hone: %s\n".as_ptr().cast(), text.bytes.as_ptr()) };
}
