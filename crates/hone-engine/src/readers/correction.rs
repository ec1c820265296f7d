//! Corrections: packets that were queued before have another owner than was thought, or none. Called by the queue
//! manager and by readers, under the embedder's one lock.
//!
//! A held packet leaves with its right attribution. A queued packet is replaced in the ring of each reader that has not
//! read it. A correction, which is a connection event, is queued only for a reader that may have read one of the
//! packets before.

use alloc::vec::Vec;

use hone_pcapng::{
    Block, ConnectionEvent, ConnectionEventKind, Correction as Told, Packet as Recorded, ProcessThread,
    packet::direction, view::BlockView,
};

use crate::{
    Attribution, ConnectionId, Corrected, Direction, Nanos, OutOfMemory,
    blocks::{About, BYTE_ORDER, BlockIndex, Role, Store, encode},
    fallible,
    held::queue::HeldPacket,
    statistics::Kind,
    tuple::payload_of_tcp,
};

/// Most blocks of a reader's ring that one correction looks at, from the newest on. Keeps the call short.
pub(crate) const RECALL_BLOCKS: u64 = 1024;
/// Most blocks that one correction parses, because they may be packets of its connection. So a process that passes
/// sockets to other processes all the time does not delay other packets.
pub(crate) const RECALL_PACKETS: usize = 64;

/// The packets with a wrong attribution, and the right one.
pub(crate) struct Correction {
    pub(crate) connection: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) packets: Corrected,
    pub(crate) attribution: Attribution,
}

impl Correction {
    pub(crate) fn is_about_held(&self, held: &HeldPacket) -> bool {
        let first = payload_of_tcp(&held.data, held.original_length).map(|(first, _)| first);
        held.direction == self.direction && self.packets.includes(held.at, first)
    }

    /// The connection event for readers.
    pub(crate) fn event(&self, timestamp: Nanos, store: &mut Store) -> Result<BlockIndex, OutOfMemory> {
        let told = Told {
            packets: self.packets,
            direction: self.direction,
            how: Some(self.attribution.map(|(_, method)| method)),
        };
        let event = ConnectionEvent {
            connection: self.connection,
            process: self.attribution.map_or(0, |(process, _)| process.pid),
            timestamp,
            kind: ConnectionEventKind::Correction,
            correction: Some(told),
            other: Vec::new(),
        };
        let about = About::event(self.connection, Role::Plain);
        store.insert(encode(&Block::Connection(event))?, Kind::Connection, timestamp, about)
    }
}

/// Queued packets, each with the corrected packet that replaces it; shared by the readers. Owns a reference to both, so
/// that no other block gets one of their indices meanwhile.
#[derive(Default)]
pub(crate) struct Renewed(Vec<(BlockIndex, BlockIndex)>);

/// How a queued packet is related to a correction.
pub(crate) enum Found {
    /// It is of another connection or direction.
    Other,
    /// It is right already, or not one of the packets to be corrected. It has these bytes of the stream.
    Right(Span),
    /// It is to be replaced by the block with this index. It has these bytes of the stream.
    Wrong(Span, BlockIndex),
}

/// A TCP packet's bytes in its stream: the sequence number of the first one, and how many. `None`: another protocol.
pub(crate) type Span = Option<(u32, u32)>;

impl Renewed {
    pub(crate) fn release(self, store: &mut Store) {
        for (queued, renewed) in self.0 {
            store.release(queued);
            store.release(renewed);
        }
    }

    /// Looks at a queued block that may be a packet of the correction's connection; makes the corrected packet if
    /// needed.
    pub(crate) fn look(
        &mut self,
        correction: &Correction,
        queued: BlockIndex,
        store: &mut Store,
    ) -> Result<Found, OutOfMemory> {
        let queued_block = BlockView::new(store.bytes(queued), BYTE_ORDER);
        let Ok(mut packet) = Recorded::parse(queued_block.body(), BYTE_ORDER) else {
            return Ok(Found::Other);
        };
        let direction = packet.flags.and_then(direction);
        if packet.connection != Some(correction.connection) || direction != Some(correction.direction) {
            return Ok(Found::Other);
        }
        let span = payload_of_tcp(&packet.data, packet.original_length);
        if !correction.packets.includes(packet.timestamp, span.map(|(first, _)| first)) {
            return Ok(Found::Right(span));
        }
        if let Some(&(_, renewed)) = self.0.iter().find(|(old, new)| [*old, *new].contains(&queued)) {
            return Ok(if renewed == queued { Found::Right(span) } else { Found::Wrong(span, renewed) });
        }
        packet.process = correction.attribution.ok().map(|(process, _)| process.pid);
        packet.process_thread = ProcessThread::of_process(packet.process);
        packet.how = Some(correction.attribution.map(|(_, method)| method));
        let (at, process) = (packet.timestamp, packet.process);
        let renewed = encode(&Block::Packet(packet))?;
        let about = About { subject: correction.connection, process, role: Role::Read };
        let renewed = store.insert(renewed, Kind::Packet, at, about)?;
        if fallible::push(&mut self.0, (queued, renewed)).is_err() {
            store.release(renewed);
            return Err(OutOfMemory);
        }
        store.hold(queued);
        Ok(Found::Wrong(span, renewed))
    }
}

/// How many of the packets to be corrected have been found in a ring, from the last one backwards.
pub(crate) struct Coverage {
    packets: Corrected,
    /// All bytes from this sequence number to the last one to be corrected have been found.
    found_from: u32,
    found: bool,
}

impl Coverage {
    pub(crate) const fn new(packets: Corrected) -> Self {
        let found_from = match packets {
            Corrected::Bytes { to, .. } => to,
            Corrected::Time(_) => 0,
        };
        Self { packets, found_from, found: false }
    }

    /// Adds the next earlier packet of the connection. `corrected`: it is one of those to be corrected.
    pub(crate) fn add(&mut self, span: Span, corrected: bool) {
        self.found |= corrected;
        if let Some((first, length)) = span {
            let back = self.found_from.wrapping_sub(first);
            if back <= length && back <= u32::MAX / 2 {
                self.found_from = first;
            }
        }
    }

    /// Whether all packets to be corrected have been found, so that the search can end.
    pub(crate) const fn is_complete(&self) -> bool {
        match self.packets {
            Corrected::Time(_) => self.found,
            Corrected::Bytes { from, .. } => from.wrapping_sub(self.found_from) <= u32::MAX / 2,
        }
    }
}
