//! Does what the driver must not do, to see that it makes the test fail.

use std::hint::black_box;

use hone_documented::Irql;

use crate::{classify, irql, memory, stack};

/// Has more on the stack than the driver may.
#[inline(never)]
fn use_stack() {
    black_box([1_u8; 13 << 10]);
}

/// Breaks one rule.
///
/// # Errors
/// There is no such rule, or it cannot be broken.
pub(crate) fn misuse(rule: &str) -> Result<(), String> {
    const PAGED_POOL: u32 = 1;
    // `KLOCK_QUEUE_HANDLE`
    let (mut lock, mut handle, mut other) = (0_usize, [0_usize; 3], [0_usize; 3]);
    let handle = handle.as_mut_ptr().cast();
    match rule {
        "level" => irql::call_too_high()?,
        "release" => irql::release(handle),
        "twice" => {
            irql::acquire(&raw mut lock, handle);
            irql::acquire(&raw mut lock, other.as_mut_ptr().cast());
            irql::release(handle);
        }
        "held" => {
            irql::as_classify(|| irql::acquire(&raw mut lock, handle));
            irql::release(handle);
        }
        "paged" => {
            let memory = memory::allocate(PAGED_POOL, 8, u32::from_le_bytes(*b"Hone"));
            if !memory.is_null() {
                memory::free(memory, 0);
            }
        }
        "stack" => stack::measured(Irql::Passive, use_stack),
        "stale" => classify::read_stale()?,
        _ => return Err(format!("no rule {rule}")),
    }
    Ok(())
}
