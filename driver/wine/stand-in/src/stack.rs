//! How much stack the driver uses. A kernel stack has about three pages ("Using the Kernel Stack"), and the network stack
//! or the file system is on it already when the driver is called.

use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hone_documented::Irql;

/// Most bytes that one call of the driver may use, at PASSIVE_LEVEL and at DISPATCH_LEVEL: three quarters of a kernel stack for
/// loading, requests and process starts, and half of one for packets, under which the whole network stack is. What the stand-in and
/// Wine use in the functions that the driver calls counts, too.
const BOUNDS: [usize; 2] = [9216, 6144];
/// Bytes that are watched. Whoever uses all of them uses perhaps more.
const WATCHED: usize = 24 << 10;
/// What unused stack contains.
const PAINT: u64 = 0xDB5A_F157_AC4D_B5A7;

/// At PASSIVE_LEVEL and at DISPATCH_LEVEL.
static MOST: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Calls the driver. If it uses too much stack, the test fails.
#[inline(never)]
pub(crate) fn measured<R>(level: Irql, work: impl FnOnce() -> R) -> R {
    paint();
    let result = work();
    let used = used();
    let place = usize::from(level != Irql::Passive);
    MOST[place].fetch_max(used, Relaxed);
    let bound = BOUNDS[place];
    if used > bound {
        crate::fail(&format!(
            "a call at {level} uses {used} bytes of stack, but at most {bound} are allowed"
        ));
    }
    result
}

/// The most bytes that a call has used, at PASSIVE_LEVEL and at DISPATCH_LEVEL.
pub(crate) fn most() -> [usize; 2] {
    MOST.each_ref().map(|most| most.load(Relaxed))
}

/// Paints the stack below this frame.
#[inline(always)]
fn paint() {
    // SAFETY: nothing is in use below the stack pointer, since there is no red zone in this ABI. It is written from the top
    // down, as the guard page wants it.
    unsafe {
        asm!(
            "mov {at}, rsp",
            "lea {end}, [rsp - {watched}]",
            "2:",
            "sub {at}, 8",
            "mov [{at}], {paint}",
            "cmp {at}, {end}",
            "ja 2b",
            at = out(reg) _,
            end = out(reg) _,
            paint = in(reg) PAINT,
            watched = const WATCHED,
        );
    }
}

/// Bytes below this frame that are not as they were painted.
#[inline(always)]
fn used() -> usize {
    let used;
    // SAFETY: it reads what `paint` has written, in the same frame.
    unsafe {
        asm!(
            "lea {at}, [rsp - {watched}]",
            "2:",
            "cmp [{at}], {paint}",
            "jne 3f",
            "add {at}, 8",
            "cmp {at}, rsp",
            "jb 2b",
            "3:",
            "mov {used}, rsp",
            "sub {used}, {at}",
            at = out(reg) _,
            used = out(reg) used,
            paint = in(reg) PAINT,
            watched = const WATCHED,
        );
    }
    used
}
