//! One reader: its ring buffer, its position in its section, its counts. Owns a reference to each block in its ring
//! buffer and to the statistics block at its restart mark.
//!
//! A reader reads, in this order: the blocks that begin its section (header, interface, snapshot), its ring buffer, up
//! to the restart mark if there is one, and at the mark the statistics of the section. Then the next section begins.
//!
//! `order` decides at which position of the ring buffer a block is put, and corrects queued packets.
//!
//! Called by the queue manager, under the embedder's one lock. Reading allocates nothing.

mod order;
mod totals;

use core::fmt;

use hone_pcapng::view::{BlockView, Trimmed};

use crate::{
    ConnectionId, Nanos, PerKind, READ_BLOCKS, RING_SLOT_BYTES, ReaderStatistics, SnapLength,
    blocks::{BYTE_ORDER, BlockIndex, Store},
    readers::{
        filter::{Filters, Subject},
        ring::{Ring, Slot},
        section::Section,
        signal::Turn,
    },
    statistics::Kind,
    tables::timeline::Timeline,
};

pub(crate) use totals::Totals;

/// Identifies an attached reader. No other reader of the same engine ever gets the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReaderId(pub(crate) u64);

impl ReaderId {
    /// The reader with this [number](Self::get), attached or not.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The reader's number: how many readers were attached before it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What a read returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// How many bytes at the start of the buffer were filled; at least one.
    Bytes(usize),
    /// There is nothing to read now.
    Empty,
    /// The section up to the last restart mark has been read to its end; the next read begins the next section.
    SectionEnd,
}

/// The restart mark, at which the reader's section ends and the next begins.
struct Mark {
    /// The end of the ring buffer when the mark was set.
    position: u64,
    /// The old section's last block; `None` once it is read.
    statistics: Option<BlockIndex>,
    next: Section,
}

/// The rest of a detached reader. It has references to the blocks that were not read, which
/// [`Engine::release_blocks`](crate::Engine::release_blocks) must release, and memory, which is freed when this is
/// dropped.
#[must_use = "its blocks stay in memory until they are released"]
pub struct Detached {
    ring: Ring,
    _filters: Filters,
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached").field("blocks", &self.ring.len()).finish()
    }
}

impl Detached {
    /// Releases at most [`READ_BLOCKS`] blocks. Returns whether none are left.
    pub(crate) fn release(&mut self, store: &mut Store) -> bool {
        for _ in 0..READ_BLOCKS {
            let Some(slot) = self.ring.front() else { break };
            store.release(slot.block);
            self.ring.pop();
        }
        self.ring.len() == 0
    }
}

/// What a reader reads next.
enum Next {
    /// A block of the section's beginning: header, interface or snapshot.
    Restated(BlockIndex),
    Queued(Slot),
    Statistics(BlockIndex),
    SectionEnd,
    Nothing,
}

pub(crate) struct Reader {
    pub(crate) id: ReaderId,
    /// For packets that are queued from now on.
    pub(crate) snap_length: SnapLength,
    pub(crate) filters: Filters,
    pub(crate) wants_packet_ids: bool,
    /// The turn in which its signal was raised last.
    pub(crate) signalled: Turn,
    ring: Ring,
    /// No earlier than the time of the last block in the ring buffer, if there is any.
    last_at: Nanos,
    queued: PerKind,
    queued_bytes: usize,
    max_queued_bytes: usize,
    section: Section,
    mark: Option<Mark>,
    /// Bytes of the next block that have been read already.
    offset: usize,
    attached: Nanos,
    totals: Totals,
    /// The totals at the beginning of the newest section, which is the one that blocks are queued for.
    began: Totals,
    began_at: Nanos,
    /// The end of the ring buffer at the beginning of that section.
    began_position: u64,
}

impl Reader {
    pub(crate) fn new(
        id: ReaderId,
        ring: Ring,
        max_queued_bytes: usize,
        snap_length: SnapLength,
        at: Nanos,
    ) -> Self {
        Self {
            id,
            snap_length,
            filters: Filters::OFF,
            wants_packet_ids: false,
            signalled: 0,
            ring,
            last_at: 0,
            queued: PerKind::default(),
            queued_bytes: 0,
            max_queued_bytes,
            section: Section::default(),
            mark: None,
            offset: 0,
            attached: at,
            totals: Totals::default(),
            began: Totals::default(),
            began_at: at,
            began_position: 0,
        }
    }

    /// Begins the first section.
    pub(crate) fn begin(&mut self, section: Section, dropped_before: PerKind) {
        self.section = section;
        self.began.dropped_before = dropped_before;
    }

    /// The beginning of the section that blocks are queued for, and the totals that it will have once all queued blocks
    /// are read.
    pub(crate) fn section_totals(&self, dropped_before: PerKind) -> (Nanos, Totals) {
        (self.began_at, self.totals_at_mark(dropped_before).minus(self.began))
    }

    fn totals_at_mark(&self, dropped_before: PerKind) -> Totals {
        let Totals { received, dropped_by_ring, filtered, .. } = self.totals;
        let delivered = received.minus(filtered).minus(dropped_by_ring);
        Totals { received, delivered, dropped_by_ring, filtered, dropped_before }
    }

    pub(crate) const fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    /// Ends the section after the last queued block: the reader then reads the block `statistics`, and then section
    /// `next`.
    pub(crate) fn mark(&mut self, statistics: BlockIndex, next: Section, dropped_before: PerKind, at: Nanos) {
        debug_assert!(self.mark.is_none());
        self.began = self.totals_at_mark(dropped_before);
        self.began_at = at;
        self.began_position = self.ring.tail();
        self.mark = Some(Mark { position: self.ring.tail(), statistics: Some(statistics), next });
    }

    /// Sets the snap length of packets that are queued from now on.
    pub(crate) fn set_snap_length(&mut self, snap_length: SnapLength) {
        self.snap_length = snap_length;
        let bare = self.ring.tail() == self.began_position;
        match &mut self.mark {
            Some(mark) => mark.next.change_snap_length(snap_length, bare, 0),
            None => self.section.change_snap_length(snap_length, bare, self.offset),
        }
    }

    /// Sets the bound of `queued_bytes`. Blocks that are queued already stay.
    pub(crate) const fn set_max_queued_bytes(&mut self, bytes: usize) {
        self.max_queued_bytes = bytes;
    }

    /// Whether a snapshot has not been read to its end yet. Until then its blocks stay in memory.
    pub(crate) fn keeps_state(&self) -> bool {
        self.section.keeps_state() || self.mark.as_ref().is_some_and(|mark| mark.next.keeps_state())
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.next(), Next::Nothing)
    }

    /// Whether a packet of `bytes` bytes passes the reader's filters and has room.
    pub(crate) fn takes(&self, packet: Subject, bytes: usize) -> bool {
        self.has_room(Kind::Packet, bytes) && self.filters.pass(packet)
    }

    fn has_room(&self, kind: Kind, bytes: usize) -> bool {
        self.ring.len() < kind.share(self.ring.slots())
            && bytes <= kind.share(self.max_queued_bytes).saturating_sub(self.queued_bytes)
    }

    /// Counts a packet that is not encoded as a block, because no reader takes it.
    pub(crate) fn refuse(&mut self, packet: Subject) {
        self.totals.received.packets += 1;
        if self.filters.pass(packet) {
            self.totals.dropped_by_ring.packets += 1;
        } else {
            self.totals.filtered.packets += 1;
        }
    }

    /// Counts packets that were left out before they reached the engine.
    pub(crate) const fn filter_unseen(&mut self, packets: u64) {
        self.totals.received.packets += packets;
        self.totals.filtered.packets += packets;
    }

    /// Queues a packet of `bytes` bytes if it passes the filters. Returns whether the reader had nothing to read before
    /// and has something now.
    pub(crate) fn offer_packet(
        &mut self,
        block: BlockIndex,
        packet: Subject,
        bytes: usize,
        store: &mut Store,
    ) -> bool {
        if self.filters.pass(packet) {
            return self.offer(block, Kind::Packet, bytes, store);
        }
        self.totals.received.packets += 1;
        self.totals.filtered.packets += 1;
        false
    }

    /// Queues a block of `bytes` bytes, or drops it if the ring is full. Returns whether the reader had nothing to read
    /// before and has something now.
    pub(crate) fn offer(&mut self, block: BlockIndex, kind: Kind, bytes: usize, store: &mut Store) -> bool {
        kind.count(&mut self.totals.received);
        if !self.has_room(kind, bytes) {
            kind.count(&mut self.totals.dropped_by_ring);
            return false;
        }
        let was_empty = self.is_empty();
        let at = store.hold(block);
        kind.count(&mut self.queued);
        self.queued_bytes += bytes;
        self.queue(Slot { block, snap_length: self.snap_length }, at, store);
        was_empty
    }

    /// Whether packets of this connection may pass the reader's filters.
    pub(crate) fn takes_connection(&self, connection: ConnectionId) -> bool {
        self.filters.pass_connection(connection)
    }

    fn next(&self) -> Next {
        if let Some(block) = self.section.front {
            return Next::Restated(block);
        }
        match &self.mark {
            Some(mark) if mark.position == self.ring.head() => {
                mark.statistics.map_or(Next::SectionEnd, Next::Statistics)
            }
            _ => self.ring.front().map_or(Next::Nothing, Next::Queued),
        }
    }

    /// Fills `buffer`, which is not empty, with as many whole blocks as fit, at most [`READ_BLOCKS`]. A block larger
    /// than the whole buffer is returned in parts.
    pub(crate) fn read(&mut self, buffer: &mut [u8], store: &mut Store, timeline: &mut Timeline) -> Read {
        let mut filled = 0;
        for _ in 0..READ_BLOCKS {
            let next = self.next();
            let (block, snap_length) = match next {
                // Of these blocks, only the interface uses the snap length.
                Next::Restated(block) | Next::Statistics(block) => (block, self.section.snap_length()),
                Next::Queued(slot) => (slot.block, slot.snap_length),
                Next::SectionEnd if filled == 0 => {
                    self.section = self.mark.take().map(|mark| mark.next).unwrap_or_default();
                    return Read::SectionEnd;
                }
                Next::Nothing if filled == 0 => return Read::Empty,
                Next::SectionEnd | Next::Nothing => return Read::Bytes(filled),
            };
            let (kind, bytes) = store.kind_and_bytes(block);
            let trimmed = Trimmed::new(BlockView::new(bytes, BYTE_ORDER), snap_length);
            let room = &mut buffer[filled..];
            if filled > 0 && trimmed.len() - self.offset > room.len() {
                return Read::Bytes(filled);
            }
            let copied = trimmed.copy(self.offset, room);
            filled += copied;
            self.offset += copied;
            if self.offset < trimmed.len() {
                return Read::Bytes(filled);
            }
            self.offset = 0;
            match next {
                Next::Queued(_) => {
                    kind.uncount(&mut self.queued);
                    self.queued_bytes -= bytes.len();
                    self.ring.pop();
                    kind.count(&mut self.totals.delivered);
                    store.release(block);
                }
                Next::Statistics(_) => {
                    if let Some(mark) = &mut self.mark {
                        mark.statistics = None;
                    }
                    store.release(block);
                }
                _ => self.section.advance(timeline),
            }
        }
        Read::Bytes(filled)
    }

    /// Releases the blocks and snapshots of its sections. The blocks in its ring buffer are released later, by
    /// [`Detached::release`].
    pub(crate) fn detach(self, store: &mut Store, timeline: &mut Timeline) -> Detached {
        self.section.release(timeline);
        if let Some(mark) = self.mark {
            mark.statistics.into_iter().for_each(|block| store.release(block));
            mark.next.release(timeline);
        }
        Detached { ring: self.ring, _filters: self.filters }
    }

    pub(crate) const fn statistics(&self) -> ReaderStatistics {
        let Totals { received, delivered, dropped_by_ring, filtered, .. } = self.totals;
        let slots = self.ring.slots();
        ReaderStatistics {
            id: self.id.get(),
            attached: self.attached,
            received,
            delivered,
            dropped_by_ring,
            filtered,
            queued: self.queued,
            queued_bytes: self.queued_bytes as u64,
            ring_slots: slots as u64,
            ring_bytes: (slots * RING_SLOT_BYTES) as u64,
            snap_length: self.snap_length,
        }
    }
}
