//! The ring buffer's callback, lent to whoever polls; and a look at the records behind the one that it has got.
//!
//! libbpf wants its callback when the ring is opened, but the sensor hands records to a different closure at each
//! poll. [`Lender`] holds that closure for the length of one poll.

use std::cell::Cell;
use std::ptr::{NonNull, with_exposed_provenance};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use libbpf_rs::{AsRawLibbpf as _, RingBuffer, libbpf_sys};

/// What a poll does with each record's bytes; `false` stops it.
type Handler<'a> = dyn FnMut(&[u8]) -> bool + 'a;

/// The place where the closure of the running poll stands, shared with libbpf's callback. Of one thread (`Rc`).
#[derive(Clone, Default)]
pub(crate) struct Lender(Rc<Cell<Option<NonNull<Handler<'static>>>>>);

impl Lender {
    /// Runs `poll` while `handler` is lent.
    pub(crate) fn lend<T>(&self, handler: &mut Handler<'_>, poll: impl FnOnce() -> T) -> T {
        /// Takes the closure back, even when `poll` unwinds.
        struct Return<'a>(&'a Lender);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.0.0.set(None);
            }
        }
        let pointer = NonNull::from(handler);
        // SAFETY: only the lifetime is changed, not the type's layout. The pointer is used only by `call`, which finds
        // it only until `Return` is dropped at the end of this function, while `handler` is borrowed by us.
        let pointer =
            unsafe { std::mem::transmute::<NonNull<Handler<'_>>, NonNull<Handler<'static>>>(pointer) };
        let _return = Return(self);
        self.0.set(Some(pointer));
        poll()
    }

    /// Hands one record to the lent closure; 0 goes on, else the poll stops (libbpf's convention).
    pub(crate) fn call(&self, bytes: &[u8]) -> i32 {
        // Taken while it runs, so that it cannot be entered twice.
        let Some(mut pointer) = self.0.take() else { return -libc::ECANCELED };
        // SAFETY: set by `lend`, which has not returned yet (it clears the cell first), so the closure lives; taken
        // out of the cell, so this is the only reference to it.
        let handler = unsafe { pointer.as_mut() };
        let go_on = handler(bytes);
        self.0.set(Some(pointer));
        if go_on { 0 } else { -libc::ECANCELED }
    }
}

/// What stands before each record in the ring buffer: its length with two flags, and a page number (`kernel/bpf/ringbuf.c`).
const HEAD: usize = 8;
/// `BPF_RINGBUF_BUSY_BIT` and `BPF_RINGBUF_DISCARD_BIT` of `linux/bpf.h`: it is not finished yet; it is to be skipped.
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;

/// Calls `look` with the first `N` bytes of each record that is at hand, at most `most`: those of `record`, which libbpf's
/// callback has just got, and of those behind it. None of them is consumed. Shorter records are left out.
pub(crate) fn ahead<const N: usize>(
    ring: &RingBuffer<'_>,
    record: &[u8],
    most: usize,
    mut look: impl FnMut([u8; N]),
) {
    let rings = ring.as_libbpf_object().as_ptr();
    // SAFETY: the object lives as long as `ring`, and has at least one ring: the one that `record` came from.
    let first = unsafe { libbpf_sys::ring_buffer__ring(rings, 0) };
    // SAFETY: it belongs to the object, and so lives as long. Reads one number.
    let consumed = unsafe { libbpf_sys::ring__consumer_pos(first) };
    // SAFETY: as above.
    let produced = unsafe { libbpf_sys::ring__producer_pos(first) };
    // libbpf counts a record as consumed when the callback has returned: so `consumed` is where this one's head is.
    let begin = record.as_ptr().expose_provenance() - HEAD;
    let filled = usize::try_from(produced.wrapping_sub(consumed)).unwrap_or_default();
    let mut at = 0;
    for _ in 0..most {
        if at + HEAD + N > filled {
            return;
        }
        let head = with_exposed_provenance::<AtomicU32>(begin + at);
        // SAFETY: records begin at multiples of 8. The ring's memory is mapped twice, one behind the other, so what is filled
        // is in one piece from `begin` on. The kernel changes a head only as an atomic number.
        let head = unsafe { &*head }.load(Ordering::Acquire);
        if head & BUSY != 0 {
            return;
        }
        let length = (head & !DISCARDED) as usize;
        if head & DISCARDED == 0 && length >= N {
            let bytes = with_exposed_provenance::<[u8; N]>(begin + at + HEAD);
            // SAFETY: the record is finished and has `N` bytes, which do not change until it is consumed.
            look(unsafe { bytes.read() });
        }
        at += (HEAD + length).next_multiple_of(HEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closure_is_reached_while_lent_and_not_after() {
        let lender = Lender::default();
        let mut seen = 0;
        lender.lend(
            &mut |bytes| {
                seen += bytes.len();
                seen < 4
            },
            || {
                assert_eq!(lender.call(b"ab"), 0);
                assert_ne!(lender.call(b"cd"), 0);
            },
        );
        assert_eq!(seen, 4);
        assert_ne!(lender.call(b"ef"), 0);
    }
}
