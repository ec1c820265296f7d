//! The network monitor: turns what WFP indicates into events of the engine. It never changes or blocks traffic. WFP
//! calls it at up to DISPATCH_LEVEL, on several processors at once; it takes the lock once for each event.

use core::num::NonZeroU64;

use hone_engine::{ConnectionId, Direction, Engine, Event, Owner, Packet, ProcessKey};

use crate::Driver;
use crate::callouts::{Callout, Layer};
use crate::kernel::{Kernel, Purpose, log};
use crate::packet::{Prepared, prepare};

/// The value of a fixed field of an indication. Only the types that the driver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `FWP_UINT8`.
    U8(u8),
    /// `FWP_UINT16`: a port, in the processor's byte order.
    U16(u16),
    /// `FWP_UINT32`. An IPv4 address has its first byte in the highest bits.
    U32(u32),
    /// `FWP_BYTE_ARRAY16_TYPE`: an IPv6 address in network byte order.
    Bytes16([u8; 16]),
}

/// What WFP passes to a callout at every layer. `None` means that WFP did not include the value.
pub trait Indication {
    /// Handle of the endpoint. It links a packet to its connection. It is not 0: if WFP passes 0, there is no endpoint.
    fn endpoint(&self) -> Option<NonZeroU64>;
    /// The value of the layer's fixed field with this index.
    fn value(&self, index: usize) -> Option<Value>;
}

/// What WFP passes at the layers that report connections.
pub trait ConnectionIndication: Indication {
    /// Id of the process that owns the endpoint. It exists only at these layers ("Metadata fields at each filtering
    /// layer").
    fn process(&self) -> Option<u64>;
}

/// What WFP passes at the layers that report packets. A packet does not name its process: its endpoint's connection does.
pub trait PacketIndication: Indication {
    /// One packet.
    type Buffer<'a>: Buffer
    where
        Self: 'a;

    /// Lengths of the IP header and of the transport header in front of the data, in bytes. Outbound packets have no IP
    /// header yet.
    fn header_lengths(&self) -> (Option<usize>, Option<usize>);
    /// The IP header of a packet from a raw socket, if the program made the header itself.
    fn included_header(&self) -> Option<&[u8]>;
    /// Whether IPsec has not taken these arriving packets out of their tunnel yet. They come again when it has.
    fn is_tunnelled(&self) -> bool;
    /// The packets.
    fn buffers(&self) -> impl Iterator<Item = Self::Buffer<'_>>;
}

/// One packet as WFP indicates it.
pub trait Buffer {
    /// Number of bytes in front of the data that belong to the buffer.
    fn headroom(&self) -> usize;
    /// Bytes of data.
    fn length(&self) -> usize;
    /// The data in pieces, beginning `back` bytes before its start; `back` is at most the headroom. `None` if part of
    /// the memory cannot be read.
    fn segments(&self, back: usize) -> Option<impl Iterator<Item = &[u8]> + Clone + Sync>;
}

/// `FWP_CONDITION_FLAG_IS_REAUTHORIZE` (fwptypes.h): the connection was authorised before.
const IS_REAUTHORIZE: u32 = 4;

impl<K: Kernel> Driver<K> {
    /// Records what WFP indicates at a callout. The caller permits the packet or connection in every case.
    pub fn classify(&self, callout: &Callout, indication: &(impl ConnectionIndication + PacketIndication)) {
        match callout.layer {
            Layer::AuthConnect | Layer::AuthRecvAccept | Layer::ResourceAssignment => {
                self.opened(callout.layer, indication);
            }
            Layer::EndpointClosure | Layer::ResourceRelease => self.closed(callout.layer, indication),
            Layer::InboundTransport | Layer::OutboundTransport => {
                if self.readers() > 0 {
                    self.packets(callout, indication);
                }
            }
        }
    }

    fn opened(&self, layer: Layer, indication: &impl ConnectionIndication) {
        let Some(connection) = indication.endpoint().map(NonZeroU64::get) else { return };
        let process = process_id(indication);
        // Such a connection is recorded only if it is not known yet, or if it has no owner yet, like an entry of a
        // listing: what the driver has seen of the connection is newer.
        let existed = is_reauthorized(layer, indication);
        let what = if existed { "is open" } else { "opens" };
        log!(self, Verbose, "{layer:?}: connection {connection:#x} of process {process:?} {what}");
        self.locked(Purpose::Connection, |state| {
            let at = state.now;
            let owner = process.map(|pid| key(&state.queue.engine, pid));
            let event = Event::ConnectionOpened { connection, owner, at };
            // The engine has counted it if it was lost.
            let _ = if existed { state.restate(&event) } else { state.handle(&event) };
        });
    }

    fn closed(&self, layer: Layer, indication: &impl ConnectionIndication) {
        let Some(connection) = indication.endpoint().map(NonZeroU64::get) else { return };
        let process = process_id(indication);
        log!(self, Verbose, "{layer:?}: connection {connection:#x} of process {process:?} closes");
        self.locked(Purpose::Connection, |state| {
            let at = state.now;
            let process = process.map(|pid| key(&state.queue.engine, pid));
            // The engine has counted it if it was lost.
            let _ = state.handle(&Event::ConnectionClosed { connection, process, at });
        });
    }

    /// Records one block for each buffer: a transmission that leaves as several packets is recorded as several packets.
    fn packets(&self, callout: &Callout, indication: &impl PacketIndication) {
        let direction = match callout.layer {
            Layer::InboundTransport => Direction::Inbound,
            _ => Direction::Outbound,
        };
        if direction == Direction::Inbound && indication.is_tunnelled() {
            return;
        }
        let connection = indication.endpoint().map(NonZeroU64::get);
        for buffer in indication.buffers() {
            match prepare(callout, indication, &buffer) {
                Some(packet) => self.packet(&packet, direction, connection),
                None => {
                    log!(self, Warning, "a packet of connection {connection:?} cannot be read");
                    self.locked(Purpose::Packet, |state| state.lose_packet());
                }
            }
        }
    }

    fn packet<'a>(
        &self,
        prepared: &Prepared<'_, impl Iterator<Item = &'a [u8]> + Clone + Sync>,
        direction: Direction,
        connection: Option<ConnectionId>,
    ) {
        self.locked(Purpose::Packet, |state| {
            let at = state.now;
            let mut data = core::mem::take(&mut state.packet);
            prepared.copy(&mut data, state.queue.capture.0);
            let packet = Packet {
                at,
                connection,
                owner: Owner::Ask,
                direction,
                flags: 0,
                original_length: u32::try_from(prepared.length()).unwrap_or(u32::MAX),
                packet_id: None,
                data: &data,
            };
            // The engine has counted it if it was lost.
            let _ = state.handle(&Event::Packet(packet));
            state.packet = data;
        });
    }
}

/// Whether WFP authorises a connection again that it had authorised before. Only two layers do ("ALE Reauthorization"): a
/// policy changed, and this is the connection's next packet, in either direction.
fn is_reauthorized(layer: Layer, indication: &impl Indication) -> bool {
    let flags = match layer {
        // `FWPS_FIELD_ALE_AUTH_CONNECT_V4_FLAGS` and `_V6_` (fwpsk.h).
        Layer::AuthConnect => 12,
        // `FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_V4_FLAGS` and `_V6_`.
        Layer::AuthRecvAccept => 11,
        _ => return false,
    };
    matches!(indication.value(flags), Some(Value::U32(flags)) if flags & IS_REAUTHORIZE != 0)
}

/// The key of the running process with this id. If its start was not seen, a key for a process of which only the id is
/// known.
fn key(engine: &Engine, pid: u32) -> ProcessKey {
    engine.process(pid).unwrap_or(ProcessKey { pid, start: 0 })
}

/// The process id as 32 bits. WFP has room for 64, but process ids need only 32.
fn process_id(indication: &impl ConnectionIndication) -> Option<u32> {
    u32::try_from(indication.process()?).ok()
}
