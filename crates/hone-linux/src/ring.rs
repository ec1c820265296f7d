//! The ring buffer's callback, lent to whoever polls.
//!
//! libbpf wants its callback when the ring is opened, but the sensor hands records to a different closure at each
//! poll. [`Lender`] holds that closure for the length of one poll.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

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
