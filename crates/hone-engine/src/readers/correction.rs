//! Corrections: packets that were queued before are another process's, or nobody's. Called by the queue manager and by
//! readers, under the embedder's one lock.
//!
//! A held packet leaves with its right attribution. A queued one is replaced in the ring of each reader that has not read
//! it. Only a reader that may have read one of them as it was is queued a correction, a connection event.

use alloc::vec::Vec;

use hone_pcapng::{
    Block, ConnectionEvent, ConnectionEventKind, Correction as Told, Packet as Recorded, packet::direction,
    view::BlockView,
};

use crate::{
    Attribution, ConnectionId, Corrected, Direction, Nanos, OutOfMemory,
    blocks::{About, BYTE_ORDER, BlockIndex, Role, Store, encode},
    fallible,
    held::queue::HeldPacket,
    statistics::Kind,
    tuple::payload_of_tcp,
};

/// Most blocks of a reader's ring that are looked at, the latest: so that no call takes long.
pub(crate) const RECALL_BLOCKS: u64 = 1024;
/// Most of them that are parsed, as they may be packets of the connection: a process that hands sockets on all the time must
/// not delay others' packets.
pub(crate) const RECALL_PACKETS: usize = 64;

/// What was wrong, and is right.
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
        let block = store.insert(encode(&Block::Connection(event))?, Kind::Connection, timestamp)?;
        store.set_about(block, About::event(self.connection, Role::Plain));
        Ok(block)
    }
}

/// Packets that were made anew, beside what they were; shared by the readers. Refers to both, so that neither's index is
/// used again meanwhile.
#[derive(Default)]
pub(crate) struct Renewed(Vec<(BlockIndex, BlockIndex)>);

/// What a queued packet has to do with a correction.
pub(crate) enum Found {
    /// Nothing.
    Other,
    /// It has these bytes of the stream, and is right, or not what is corrected.
    Right(Span),
    /// The same, and this is to stand in its place.
    Wrong(Span, BlockIndex),
}

/// A packet's bytes in its stream: from a sequence number on, so many; nothing of other protocols.
pub(crate) type Span = Option<(u32, u32)>;

impl Renewed {
    pub(crate) fn release(self, store: &mut Store) {
        for (queued, renewed) in self.0 {
            store.release(queued);
            store.release(renewed);
        }
    }

    /// Looks at a queued packet of the same connection, as far as the store knows.
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
        packet.how = Some(correction.attribution.map(|(_, method)| method));
        let (at, process) = (packet.timestamp, packet.process);
        let renewed = encode(&Block::Packet(packet))?;
        let renewed = store.insert(renewed, Kind::Packet, at)?;
        store.set_about(renewed, About { subject: correction.connection, process, role: Role::Read });
        if fallible::push(&mut self.0, (queued, renewed)).is_err() {
            store.release(renewed);
            return Err(OutOfMemory);
        }
        store.hold(queued);
        Ok(Found::Wrong(span, renewed))
    }
}

/// How far back, from the end of what is corrected, the packets have been found.
pub(crate) struct Coverage {
    packets: Corrected,
    /// All bytes from here on to the end have been found.
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

    /// Takes in the next earlier packet. `corrected`: it is one of them.
    pub(crate) fn add(&mut self, span: Span, corrected: bool) {
        self.found |= corrected;
        if let Some((first, length)) = span {
            let back = self.found_from.wrapping_sub(first);
            if back <= length && back <= u32::MAX / 2 {
                self.found_from = first;
            }
        }
    }

    /// Whether nothing that is to be corrected can lie further back.
    pub(crate) const fn is_complete(&self) -> bool {
        match self.packets {
            Corrected::Time(_) => self.found,
            Corrected::Bytes { from, .. } => from.wrapping_sub(self.found_from) <= u32::MAX / 2,
        }
    }
}
