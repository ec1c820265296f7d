//! The block store: every block in memory, stored once for all readers that wait for it. Owns the blocks' bytes. Counts
//! the references to each block from the tables (an entry's latest start or open event), the snapshots and the readers'
//! rings.
//!
//! Called by the engine's tables and readers, under the embedder's one lock.

use alloc::vec::Vec;

use crate::{
    Nanos, ORDER_TIME, OutOfMemory,
    blocks::{buffers::Spares, slab::Slab},
    statistics::Kind,
};

/// Index of a block in the [`Store`].
pub(crate) type BlockIndex = u32;

/// In [`Block::process`]: no process.
const NONE: u32 = u32::MAX;
/// Most bytes of spare buffers kept for new blocks; less if a sixteenth of the store's bound is less.
const SPARE_TOTAL: usize = 4 << 20;

struct Block {
    /// The encoded block.
    bytes: Vec<u8>,
    at: Nanos,
    /// How many references there are to the block.
    references: u32,
    /// A packet's process; [`NONE`] for a packet without one, and for other blocks.
    process: u32,
    /// The process of a process event; the low half of the connection's id of a packet or connection event. 0: none.
    about: u32,
    kind: Kind,
    role: Role,
}

/// How other blocks' order depends on a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A block with none of the other roles.
    Plain,
    /// The first event of a connection or a process. Its packets come after it.
    Begins,
    /// A process that is known already executes another program, or more is known of it. Packets with the role `Read`
    /// come after it.
    Continues,
    /// A packet that the process was seen to read. It comes after the program that the process executed at that time.
    Read,
}

/// The process and connection that a block is about, which [`Store::goes_before`] needs.
#[derive(Clone, Copy)]
pub(crate) struct About {
    /// The process of a process event, the connection of other blocks; 0 is none.
    pub(crate) subject: u64,
    /// The process that a packet is attributed to.
    pub(crate) process: Option<u32>,
    pub(crate) role: Role,
}

impl About {
    /// For blocks that are about none, and are not put in order.
    pub(crate) const NONE: Self = Self::event(0, Role::Plain);

    pub(crate) const fn event(subject: u64, role: Role) -> Self {
        Self { subject, process: None, role }
    }
}

impl Block {
    /// Whether this block must stay after `earlier`. Events about one process or connection stay in the order in which
    /// they were reported, so that a connection does not close before it opens when the clock is set back. The event
    /// that opens a connection or begins a process stays before its packets.
    fn depends_on(&self, earlier: &Self) -> bool {
        match (self.kind, earlier.kind) {
            (Kind::Packet, Kind::Connection) => self.about == earlier.about && earlier.role == Role::Begins,
            (Kind::Packet, Kind::Process) => {
                self.process == earlier.about
                    && match earlier.role {
                        Role::Begins => true,
                        Role::Continues => self.role == Role::Read,
                        Role::Plain | Role::Read => false,
                    }
            }
            (Kind::Packet, _) => false,
            (kind, other) => kind == other && self.about == earlier.about,
        }
    }
}

pub(crate) struct Store {
    blocks: Slab<Block>,
    live: usize,
    /// Bytes that the blocks in use take, including their slots.
    used: usize,
    used_bound: usize,
    spares: Spares,
}

impl Store {
    /// A store that takes at most `bound` bytes.
    pub(crate) fn new(bound: usize) -> Self {
        let spare_bound = SPARE_TOTAL.min(bound / 16);
        let used_bound = bound - spare_bound;
        Self { blocks: Slab::new(), live: 0, used: 0, used_bound, spares: Spares::new(spare_bound) }
    }

    /// Allocates memory for `blocks` blocks, without their bytes.
    pub(crate) fn reserve(&mut self, blocks: usize) -> Result<(), OutOfMemory> {
        self.blocks.reserve(blocks)
    }

    /// An empty buffer with room for `length` bytes, for [`insert`](Self::insert). A spare buffer if there is one.
    pub(crate) fn buffer(&mut self, length: usize) -> Result<Vec<u8>, OutOfMemory> {
        self.spares.take(length)
    }

    /// Adds a block. The caller gets the one reference to it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "two ids that look alike only keep their order of arrival"
    )]
    pub(crate) fn insert(
        &mut self,
        bytes: Vec<u8>,
        kind: Kind,
        at: Nanos,
        about: About,
    ) -> Result<BlockIndex, OutOfMemory> {
        let cost = Self::cost(&bytes);
        if cost > kind.share(self.used_bound).saturating_sub(self.used) {
            return Err(OutOfMemory);
        }
        let About { subject, process, role } = about;
        let process = process.unwrap_or(NONE);
        let block = Block { bytes, at, references: 1, process, about: subject as u32, kind, role };
        let index = self.blocks.insert(block)?;
        self.used += cost;
        self.live += 1;
        Ok(index)
    }

    /// Whether a block may be a packet of this connection. Compares only the low half of the id.
    #[expect(clippy::cast_possible_truncation, reason = "the caller looks at the block itself")]
    pub(crate) fn may_be_packet_of(&self, index: BlockIndex, connection: u64) -> bool {
        let block = self.blocks.get(index);
        block.kind == Kind::Packet && block.about == connection as u32
    }

    /// Adds a reference to the block. Returns the block's time.
    pub(crate) fn hold(&mut self, index: BlockIndex) -> Nanos {
        let block = self.blocks.get_mut(index);
        block.references += 1;
        block.at
    }

    /// Releases one reference; the last one frees the block.
    pub(crate) fn release(&mut self, index: BlockIndex) {
        let block = self.blocks.get_mut(index);
        block.references -= 1;
        if block.references > 0 {
            return;
        }
        let Block { bytes, .. } = self.blocks.remove(index);
        self.live -= 1;
        self.used -= Self::cost(&bytes);
        self.spares.give(bytes);
    }

    pub(crate) fn bytes(&self, index: BlockIndex) -> &[u8] {
        &self.blocks.get(index).bytes
    }

    pub(crate) fn kind_and_bytes(&self, index: BlockIndex) -> (Kind, &[u8]) {
        let block = self.blocks.get(index);
        (block.kind, &block.bytes)
    }

    /// Whether a live block that comes late is put before a block that was queued earlier. It is, if it is older by at
    /// most [`ORDER_TIME`] and need not stay after that block.
    pub(crate) fn goes_before(&self, late: BlockIndex, queued: BlockIndex) -> bool {
        let (late, queued) = (self.blocks.get(late), self.blocks.get(queued));
        late.at < queued.at && queued.at - late.at <= ORDER_TIME && !late.depends_on(queued)
    }

    /// The sort key of a block in a snapshot. Blocks are sorted by time, at the same time processes before connections,
    /// and otherwise by their bytes. So the order does not depend on the blocks' indices.
    pub(crate) fn order(&self, index: BlockIndex) -> (Nanos, Kind, &[u8]) {
        let block = self.blocks.get(index);
        (block.at, block.kind, &block.bytes)
    }

    /// Blocks in use.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// Bytes that the store takes, including spare buffers.
    pub(crate) const fn bytes_taken(&self) -> usize {
        self.used + self.spares.bytes()
    }

    fn cost(bytes: &Vec<u8>) -> usize {
        bytes.capacity().saturating_add(size_of::<Block>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fallible;

    fn block(store: &mut Store, length: usize, kind: Kind) -> Result<BlockIndex, OutOfMemory> {
        let bytes = fallible::filled(7, length)?;
        store.insert(bytes, kind, 0, About::NONE)
    }

    #[test]
    fn the_last_reference_frees_a_block_and_its_slot_is_used_again() {
        let mut store = Store::new(1 << 20);
        let first = block(&mut store, 100, Kind::Packet).expect("there is memory");
        let second = block(&mut store, 100, Kind::Process).expect("there is memory");
        store.hold(first);
        store.release(first);
        assert_eq!((store.live(), store.bytes(first)), (2, [7; 100].as_slice()));
        store.release(first);
        assert_eq!(store.live(), 1);
        assert_eq!(block(&mut store, 50, Kind::Connection), Ok(first));
        let kind = |index| store.kind_and_bytes(index).0;
        assert_eq!((kind(first), kind(second)), (Kind::Connection, Kind::Process));
    }

    #[test]
    fn a_freed_buffer_is_recycled_and_counted() {
        let mut store = Store::new(1 << 20);
        let index = block(&mut store, 100, Kind::Packet).expect("there is memory");
        let buffer = store.bytes(index).as_ptr();
        store.release(index);
        assert_eq!(store.bytes_taken(), 100 + size_of::<Vec<u8>>());
        let recycled = store.buffer(80).expect("there is memory");
        assert_ne!(recycled.as_ptr(), buffer, "it is kept for up to 96 bytes");
        let recycled = store.buffer(90).expect("there is memory");
        assert_eq!((recycled.as_ptr(), recycled.len(), store.bytes_taken()), (buffer, 0, 0));
    }

    #[test]
    fn the_bound_holds_and_packets_leave_an_eighth() {
        let mut store = Store::new(16_000);
        while block(&mut store, 100, Kind::Packet).is_ok() {}
        let packets = store.bytes_taken();
        assert!((15_000 * 7 / 8 - 200..=15_000 * 7 / 8).contains(&packets), "{packets}");
        while block(&mut store, 100, Kind::Process).is_ok() {}
        assert!((15_000 - 200..=15_000).contains(&store.bytes_taken()));
        for index in 0..u32::try_from(store.live()).expect("a small number") {
            store.release(index);
        }
        assert!(store.bytes_taken() <= 1000, "spare buffers are bounded too");
    }
}
