//! Packets: the hot path. Finds out whose a packet is, and queues it. Called by [`Engine::handle`], under the
//! embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng as pcapng;

use crate::{
    Attribution, ConnectionId, Direction, Engine, EventError, MAX_PACKET_BYTES, Method, Nanos, NoOwner,
    Owner, Packet, ProcessKey,
    blocks::{About, BYTE_ORDER, Role},
    held::queue::Awaited,
    readers::filter::Subject,
    statistics::Kind,
    tuple::Tuple,
};

/// The direction's bits of `epb_flags`.
pub(crate) const DIRECTION: u32 = 0b11;
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

impl Direction {
    /// Bits 0-1 of `epb_flags`.
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Self::Inbound => INBOUND,
            Self::Outbound => OUTBOUND,
        }
    }
}

/// Most bytes of a packet that are kept for a reader with this snap length.
pub(crate) const fn kept_bytes(snap_length: u32) -> u32 {
    if snap_length == 0 || snap_length > MAX_PACKET_BYTES { MAX_PACKET_BYTES } else { snap_length }
}

/// What is to be done with a packet.
enum Verdict {
    Queue(Attribution),
    /// It waits for what this connection's users do.
    Hold(ConnectionId, Awaited),
}

impl Engine {
    pub(crate) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), EventError> {
        self.counts.packet_bytes += u64::from(packet.original_length());
        match self.correlate(packet) {
            Verdict::Queue(attribution) => self.queue(packet, attribution, Role::Plain),
            Verdict::Hold(connection, awaited) => self.hold(packet, connection, awaited),
        }
    }

    /// Counts a packet by its attribution and queues it for the readers.
    pub(crate) fn queue(
        &mut self,
        packet: &Packet<'_>,
        attribution: Attribution,
        role: Role,
    ) -> Result<(), EventError> {
        match attribution {
            Ok((_, method)) => self.counts.methods.count(method),
            Err(reason) => self.counts.no_owner.count(reason),
        }
        if self.readers.is_empty() {
            return Ok(());
        }

        let process = attribution.ok().map(|(process, _)| process.pid);
        let subject = Subject { connection: packet.connection, process };
        let block = pcapng::Packet {
            interface: 0,
            timestamp: packet.at,
            original_length: packet.original_length(),
            data: Cow::Borrowed(&packet.data[..self.kept(packet.data)]),
            flags: Some(packet.flags & !DIRECTION | packet.direction.bits()),
            connection: packet.connection,
            process,
            how: Some(attribution.map_or_else(NoOwner::how, |(_, method)| method.how())),
            other: Vec::new(),
        };
        let length = block.emitted_length().map_err(|_| EventError::OutOfMemory)?;
        if !self.readers.iter().any(|reader| reader.takes(subject, length)) {
            self.readers.iter_mut().for_each(|reader| reader.refuse(subject));
            return Ok(());
        }
        let mut bytes = self.store.buffer(length)?;
        block.emit(BYTE_ORDER, &mut bytes).map_err(|_| EventError::OutOfMemory)?;
        let block = self.store.insert(bytes, Kind::Packet, packet.at)?;
        self.store.set_about(block, About { subject: packet.connection.unwrap_or(0), process, role });
        self.offer_packet(block, subject);
        self.store.release(block);
        Ok(())
    }

    /// How much of a packet's data is kept.
    pub(crate) fn kept(&self, data: &[u8]) -> usize {
        data.len().min(usize::try_from(self.keep).unwrap_or(usize::MAX))
    }

    /// Finds out whose a packet is.
    fn correlate(&mut self, packet: &Packet<'_>) -> Verdict {
        let (named, attribution) = match packet.owner {
            Owner::Process(process, method) => (Some(process), Ok((process, method))),
            Owner::None(reason) => (None, Err(reason)),
            Owner::Ask => return self.ask(packet),
            Owner::Wait(wait, otherwise) => {
                let Some(connection) = packet.connection else { return Verdict::Queue(otherwise) };
                self.learn(connection, otherwise.ok().map(|(process, _)| process), packet.at);
                let awaited = Awaited { wait: Some(wait), otherwise };
                return if self.waits(connection) {
                    Verdict::Hold(connection, awaited)
                } else {
                    Verdict::Queue(otherwise)
                };
            }
        };
        if let Some(connection) = packet.connection {
            self.learn(connection, named, packet.at);
        }
        Verdict::Queue(attribution)
    }

    /// The same, where the sensor does not say.
    fn ask(&mut self, packet: &Packet<'_>) -> Verdict {
        let known = packet.connection.and_then(|connection| self.connections.get(connection)?.identity);
        if let Some(process) = known {
            return Verdict::Queue(Ok((process, Method::Connection)));
        }
        let listed = (!self.open_list.is_empty())
            .then(|| Tuple::of(packet.data, packet.direction))
            .flatten()
            .and_then(|tuple| self.listed(&tuple));
        if let Some(connection) = packet.connection {
            self.learn(connection, listed, packet.at);
        }
        if let Some(process) = listed {
            return Verdict::Queue(Ok((process, Method::Listed)));
        }
        let Some(connection) = packet.connection else { return Verdict::Queue(Err(NoOwner::NoSocket)) };
        let otherwise = Err(NoOwner::UnknownSocket);
        if self.waits(connection) {
            Verdict::Hold(connection, Awaited { wait: None, otherwise })
        } else {
            Verdict::Queue(otherwise)
        }
    }

    /// Whether a packet of this connection may be held at all.
    fn waits(&self, connection: ConnectionId) -> bool {
        let is_open = self.connections.get(connection).is_some_and(|known| known.ended.is_none());
        is_open && self.hold_time > 0 && !self.readers.is_empty()
    }

    /// Opens a connection that is not known, so that every connection that a packet names has been opened, and gives
    /// an open one without an owner to `owner`.
    pub(crate) fn learn(&mut self, connection: ConnectionId, owner: Option<ProcessKey>, at: Nanos) {
        let is_new = self
            .connections
            .get(connection)
            .is_none_or(|known| owner.is_some() && known.identity.is_none() && known.ended.is_none());
        if is_new && self.connection_opened(connection, owner, at).is_err() {
            self.counts.unopened += 1;
        }
    }
}

impl Packet<'_> {
    /// Bytes on the wire: as told, but not less than there are.
    pub(crate) fn original_length(&self) -> u32 {
        self.original_length.max(u32::try_from(self.data.len()).unwrap_or(u32::MAX))
    }
}
