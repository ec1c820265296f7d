//! The order of a reader's ring buffer. A block that comes late is put before later blocks that are not read yet,
//! within the bounds of [`ORDER_BLOCKS`] and [`ORDER_TIME`](crate::ORDER_TIME). A corrected packet is put in order
//! again.

use crate::{
    Nanos, ORDER_BLOCKS, OutOfMemory,
    blocks::{BlockIndex, Store},
    readers::{
        correction::{Correction, Coverage, Found, RECALL_BLOCKS, RECALL_PACKETS, Renewed},
        reader::Reader,
        ring::Slot,
    },
};

impl Reader {
    /// Replaces the packets in the ring that `correction` is about. Returns whether these were all of them: then the
    /// reader has read none of them, and needs no correction event.
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
                    let at = store.hold(block);
                    // The new packet is put in like a late block, and so stays after the start of its process.
                    self.queue(Slot { block, ..slot }, at, store);
                }
            }
        }
        coverage.is_complete()
    }

    /// The first position in the ring from which blocks can still be moved.
    fn first_movable(&self) -> u64 {
        match &self.mark {
            // Blocks before the mark belong to the earlier section.
            Some(mark) => mark.position,
            // The front has been read in part.
            None if self.section.front.is_none() && self.offset > 0 => self.ring.head() + 1,
            None => self.ring.head(),
        }
    }

    /// Puts a block of this time into the ring, in its place.
    #[inline]
    pub(super) fn queue(&mut self, slot: Slot, at: Nanos, store: &Store) {
        // Nearly all: it is not late.
        let place = if at >= self.last_at { self.ring.tail() } else { self.place(slot.block, store) };
        if place == self.ring.tail() {
            self.last_at = at;
        }
        self.ring.insert(place, slot);
    }

    /// The position in the ring where a block is put: after all blocks that must stay before it, and before at most
    /// [`ORDER_BLOCKS`] others.
    fn place(&self, block: BlockIndex, store: &Store) -> u64 {
        let first = self.first_movable().max(self.ring.tail().saturating_sub(ORDER_BLOCKS as u64));
        let mut place = self.ring.tail();
        while place > first && store.goes_before(block, self.ring.block(place - 1)) {
            place -= 1;
        }
        place
    }
}
