//! The driver's entry function, with a measurement of its stack: the function's first instructions are replaced by a jump
//! to the stand-in, which puts them back and calls the function.

use std::ffi::c_void;
use std::sync::Mutex;

use hone_documented::Irql;

use crate::irql;
use crate::windows::{self, NtStatus};

type Entry = unsafe extern "system" fn(*mut c_void, *const c_void) -> NtStatus;

/// Offsets in an image of 64-bit Windows ("PE Format", learn.microsoft.com). The second counts from the PE signature:
/// signature and file header (24), then the optional header's `AddressOfEntryPoint`.
const PE_OFFSET: usize = 0x3C;
const ENTRY_POINT: usize = 24 + 16;

/// The first two words of the function at this address.
struct Saved {
    address: usize,
    words: [usize; 2],
}

static SAVED: Mutex<Option<Saved>> = Mutex::new(None);

/// Lets the driver's entry function be measured when it is called.
///
/// # Safety
/// `image` is the driver, which is loaded but does not run yet.
pub(crate) unsafe fn measure(image: *mut u8) {
    // SAFETY: the caller says that it is an image, and these offsets lead into it.
    let number = |offset: usize| unsafe { image.wrapping_add(offset).cast::<u32>().read() } as usize;
    let entry = image.wrapping_add(number(number(PE_OFFSET) + ENTRY_POINT)).cast::<usize>();
    assert!(entry.is_aligned(), "functions are aligned to 16 bytes");
    // SAFETY: the function has more than 16 bytes.
    let words = unsafe { entry.cast::<[usize; 2]>().read() };
    // mov rax, ADDRESS; jmp rax: 12 bytes. The last four stay.
    let mut jump: [u8; 16] =
        [words[0].to_le_bytes(), words[1].to_le_bytes()].concat().try_into().expect("16 bytes");
    jump[..2].copy_from_slice(&[0x48, 0xB8]);
    jump[2..10].copy_from_slice(&(run as Entry as usize).to_le_bytes());
    jump[10..12].copy_from_slice(&[0xFF, 0xE0]);
    *SAVED.lock().expect("nothing else uses it") = Some(Saved { address: entry.expose_provenance(), words });
    let jump = jump.as_chunks::<8>().0;
    // SAFETY: the caller says that the driver does not run.
    unsafe { write(entry, [jump[0], jump[1]].map(usize::from_le_bytes)) };
}

/// Writes the first two words of the function.
///
/// # Safety
/// It is a function of a loaded module, and no thread runs in it.
unsafe fn write(entry: *mut usize, words: [usize; 2]) {
    for (index, word) in words.into_iter().enumerate() {
        let place = entry.wrapping_add(index).cast::<*const c_void>();
        // SAFETY: the caller says so.
        unsafe { windows::overwrite(place, std::ptr::with_exposed_provenance(word)) };
    }
}

// SAFETY: Wine alone calls it, with what the driver's function expects.
unsafe extern "system" fn run(driver: *mut c_void, registry: *const c_void) -> NtStatus {
    let Saved { address, words } =
        SAVED.lock().expect("nothing else uses it").take().expect("it is called once");
    let entry = std::ptr::with_exposed_provenance_mut::<usize>(address);
    // SAFETY: the driver does not run yet.
    unsafe { write(entry, words) };
    // SAFETY: it is the driver's entry function.
    let entry = unsafe { std::mem::transmute::<*mut usize, Entry>(entry) };
    // SAFETY: with Wine's own arguments.
    irql::at(Irql::Passive, || unsafe { entry(driver, registry) })
}
