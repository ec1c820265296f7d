//! Packets: the hot path. Finds out whose a packet is, and queues it. Called by [`Engine::handle`], under the
//! embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng as pcapng;

use crate::{
    Direction, Engine, EventError, MAX_PACKET_BYTES, Method, NoOwner, Owner, Packet, ProcessKey,
    block::BYTE_ORDER, filter::Subject, statistics::Kind,
};

/// The direction's bits of `epb_flags`.
const DIRECTION: u32 = 0b11;
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Most bytes of a packet that are kept for a reader with this snap length.
pub(crate) const fn kept_bytes(snap_length: u32) -> u32 {
    if snap_length == 0 || snap_length > MAX_PACKET_BYTES { MAX_PACKET_BYTES } else { snap_length }
}

impl Engine {
    pub(crate) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), EventError> {
        let original_length =
            packet.original_length.max(u32::try_from(packet.data.len()).unwrap_or(u32::MAX));
        self.counts.packet_bytes += u64::from(original_length);
        let process = self.correlate(packet);
        if self.readers.is_empty() {
            return Ok(());
        }

        let direction = match packet.direction {
            Direction::Inbound => INBOUND,
            Direction::Outbound => OUTBOUND,
        };
        let kept = packet.data.len().min(usize::try_from(self.keep).unwrap_or(usize::MAX));
        let block = pcapng::Packet {
            interface: 0,
            timestamp: packet.at,
            original_length,
            data: Cow::Borrowed(&packet.data[..kept]),
            flags: Some(packet.flags & !DIRECTION | direction),
            connection: packet.connection,
            process: process.map(|process| process.pid),
            other: Vec::new(),
        };
        let length = block.emitted_length().map_err(|_| EventError::OutOfMemory)?;
        let subject = Subject { connection: block.connection, process: block.process };
        if !self.readers.iter().any(|reader| reader.takes(subject, length)) {
            self.readers.iter_mut().for_each(|reader| reader.refuse(subject));
            return Ok(());
        }
        let mut bytes = self.store.buffer(length)?;
        block.emit(BYTE_ORDER, &mut bytes).map_err(|_| EventError::OutOfMemory)?;
        let block = self.store.insert(bytes, Kind::Packet, packet.at)?;
        self.offer_packet(block, subject);
        self.store.release(block);
        Ok(())
    }

    /// The process of a packet. Opens the packet's connection if it is not known, so that every connection that a
    /// packet names has been opened.
    fn correlate(&mut self, packet: &Packet<'_>) -> Option<ProcessKey> {
        let named = match packet.owner {
            Owner::Process(process, _) => Some(process),
            Owner::None(_) | Owner::Ask => None,
        };
        let connections = packet.connection.map(|connection| {
            if let Some(known) = self.connections.get(connection) {
                return known.identity;
            }
            if self.connection_opened(connection, named, packet.at).is_err() {
                self.counts.unopened += 1;
            }
            named
        });
        match (packet.owner, connections) {
            (Owner::Process(process, method), _) => {
                self.counts.methods.count(method);
                Some(process)
            }
            (Owner::Ask, Some(Some(process))) => {
                self.counts.methods.count(Method::Connection);
                Some(process)
            }
            (Owner::None(reason), _) => {
                self.counts.no_owner.count(reason);
                None
            }
            (Owner::Ask, Some(None)) => {
                self.counts.no_owner.count(NoOwner::UnknownSocket);
                None
            }
            (Owner::Ask, None) => {
                self.counts.no_owner.count(NoOwner::NoSocket);
                None
            }
        }
    }
}
