//! The order of a reader's ring buffer: a block that comes late goes before those that are later and not yet read, within the
//! bounds of [`ORDER_BLOCKS`] and [`ORDER_TIME`](crate::ORDER_TIME). Corrected packets are put in order again.

use crate::{
    ORDER_BLOCKS, OutOfMemory,
    blocks::{BlockIndex, Store},
    readers::{
        correction::{Correction, Coverage, Found, RECALL_BLOCKS, RECALL_PACKETS, Renewed},
        reader::Reader,
        ring::Slot,
    },
};

impl Reader {
    /// Queues packets anew that are corrected; whether the reader will read none of them as it was.
    pub(crate) fn correct(
        &mut self,
        correction: &Correction,
        renewed: &mut Renewed,
        store: &mut Store,
    ) -> bool {
        let mut coverage = Coverage::new(correction.packets);
        let first = self.first_movable().max(self.ring.tail().saturating_sub(RECALL_BLOCKS));
        let mut at = self.ring.tail();
        let mut looks = 0;
        while at > first && !coverage.is_complete() {
            at -= 1;
            let slot = self.ring.slot(at);
            if !store.may_be_packet_of(slot.block, correction.connection) {
                continue;
            }
            looks += 1;
            if looks > RECALL_PACKETS {
                return false;
            }
            match renewed.look(correction, slot.block, store) {
                Err(OutOfMemory) => return false,
                Ok(Found::Other) => {}
                Ok(Found::Right(span)) => coverage.add(span, false),
                Ok(Found::Wrong(span, block)) => {
                    coverage.add(span, true);
                    self.ring.remove(at);
                    self.queued_bytes += store.bytes(block).len();
                    self.queued_bytes -= store.bytes(slot.block).len();
                    store.release(slot.block);
                    store.hold(block);
                    // It comes late now: behind the start of its process.
                    self.ring.insert(self.place(block, store), Slot { block, ..slot });
                }
            }
        }
        coverage.is_complete()
    }

    /// The first position in the ring whose block can still be moved.
    fn first_movable(&self) -> u64 {
        match &self.mark {
            // What is behind the mark is in another section.
            Some(mark) => mark.position,
            // The front has been read in part.
            None if self.section.front.is_none() && self.offset > 0 => self.ring.head() + 1,
            None => self.ring.head(),
        }
    }

    /// The position in the ring where a block goes: behind all that must stay before it, at most [`ORDER_BLOCKS`] back.
    pub(super) fn place(&self, block: BlockIndex, store: &Store) -> u64 {
        let first = self.first_movable().max(self.ring.tail().saturating_sub(ORDER_BLOCKS as u64));
        let mut place = self.ring.tail();
        while place > first && store.goes_before(block, self.ring.block(place - 1)) {
            place -= 1;
        }
        place
    }
}
