//! The network monitor: what WFP indicates, as events of the engine. Looks, and changes nothing. Called by WFP at up to
//! DISPATCH_LEVEL, on several processors at once; takes the lock for each event.

use hone_engine::{ConnectionId, Direction, Engine, Event, Method, NoOwner, Owner, Packet, ProcessKey};

use crate::Driver;
use crate::callouts::{Callout, Layer};
use crate::kernel::{Kernel, Purpose, log};
use crate::packet::{Prepared, prepare};

/// A fixed value of an indication, as far as the driver looks at any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `FWP_UINT8`.
    U8(u8),
    /// `FWP_UINT32`; an IPv4 address is a number, its first byte the highest.
    U32(u32),
    /// `FWP_BYTE_ARRAY16_TYPE`: an IPv6 address in network order.
    Bytes16([u8; 16]),
}

/// What WFP indicates to a callout. What it does not say is `None`.
pub trait Indication {
    /// One packet.
    type Buffer<'a>: Buffer
    where
        Self: 'a;

    /// The endpoint's handle, by which packets find their connection.
    fn endpoint(&self) -> Option<u64>;
    /// Id of the process that owns the endpoint.
    fn process(&self) -> Option<u64>;
    /// Length of the IP header and of the transport header in front of the data, bytes.
    fn header_lengths(&self) -> (Option<usize>, Option<usize>);
    /// The IP header that a program made itself, on a raw socket.
    fn included_header(&self) -> Option<&[u8]>;
    /// The layer's fixed value with this index.
    fn value(&self, index: usize) -> Option<Value>;
    /// The packets; none at the layers of connections.
    fn buffers(&self) -> impl Iterator<Item = Self::Buffer<'_>>;
}

/// One packet as WFP indicates it.
pub trait Buffer {
    /// Bytes in front of the data that belong to the buffer.
    fn headroom(&self) -> usize;
    /// Bytes of data.
    fn length(&self) -> usize;
    /// Data in its pieces, from `back` bytes before its start, which is at most the headroom; `None` if not all of its
    /// memory can be looked at.
    fn segments(&self, back: usize) -> Option<impl Iterator<Item = &[u8]> + Clone>;
}

/// The process of all drivers. WFP names it for packets of others, too, such as `IcmpSendEcho`'s.
const SYSTEM: u32 = 4;

impl<K: Kernel> Driver<K> {
    /// Takes in what WFP indicates at a callout. The caller permits the packet or connection, whatever this does.
    pub fn classify(&self, callout: &Callout, indication: &impl Indication) {
        match callout.layer {
            Layer::AuthConnect | Layer::AuthRecvAccept | Layer::ResourceAssignment => self.opened(indication),
            Layer::EndpointClosure | Layer::ResourceRelease => self.closed(indication),
            Layer::InboundTransport | Layer::OutboundTransport => {
                if self.readers() > 0 {
                    self.packets(callout, indication);
                }
            }
        }
    }

    fn opened(&self, indication: &impl Indication) {
        let Some(connection) = indication.endpoint() else { return };
        let process = process_id(indication);
        log!(K, Verbose, "connection {connection:#x} of process {process:?} opens");
        self.locked(Purpose::Connection, |state| {
            let at = state.now;
            let owner = process.map(|pid| key(&state.queue.engine, pid));
            // Losses are counted by the engine.
            let _ = state.handle(&Event::ConnectionOpened { connection, owner, at });
        });
    }

    fn closed(&self, indication: &impl Indication) {
        let Some(connection) = indication.endpoint() else { return };
        let process = process_id(indication);
        log!(K, Verbose, "connection {connection:#x} of process {process:?} closes");
        self.locked(Purpose::Connection, |state| {
            let at = state.now;
            let process = process.map(|pid| key(&state.queue.engine, pid));
            // Losses are counted by the engine.
            let _ = state.handle(&Event::ConnectionClosed { connection, process, at });
        });
    }

    /// One block for each buffer: what leaves as several packets is recorded as several.
    fn packets(&self, callout: &Callout, indication: &impl Indication) {
        let direction = match callout.layer {
            Layer::InboundTransport => Direction::Inbound,
            _ => Direction::Outbound,
        };
        let (connection, process) = (indication.endpoint(), process_id(indication));
        for buffer in indication.buffers() {
            match prepare(callout, indication, &buffer) {
                Some(packet) => self.packet(&packet, direction, connection, process),
                None => {
                    log!(K, Warning, "a packet of connection {connection:?} cannot be read");
                    self.locked(Purpose::Packet, |state| state.lose_packet());
                }
            }
        }
    }

    fn packet<'a>(
        &self,
        prepared: &Prepared<'_, impl Iterator<Item = &'a [u8]> + Clone>,
        direction: Direction,
        connection: Option<ConnectionId>,
        process: Option<u32>,
    ) {
        self.locked(Purpose::Packet, |state| {
            let at = state.now;
            let mut data = core::mem::take(&mut state.packet);
            prepared.copy(&mut data, state.queue.capture.0);
            let packet = Packet {
                at,
                connection,
                owner: owner(&state.queue.engine, connection, process),
                direction,
                flags: 0,
                original_length: u32::try_from(prepared.length()).unwrap_or(u32::MAX),
                data: &data,
            };
            // Losses are counted by the engine.
            let _ = state.handle(&Event::Packet(packet));
            state.packet = data;
        });
    }
}

/// Whose packet it is. A process that WFP names with the packet is right, unless it is the one that stands for all
/// drivers: then the connection's owner may be somebody else.
fn owner(engine: &Engine, connection: Option<ConnectionId>, process: Option<u32>) -> Owner {
    match process {
        Some(pid) if pid != SYSTEM => Owner::Process(key(engine, pid), Method::Creator),
        Some(_) if connection.is_none() => Owner::None(NoOwner::Kernel),
        _ => Owner::Ask,
    }
}

/// The running process with this id; or, if its start was not seen, one of which nothing but the id is known.
fn key(engine: &Engine, pid: u32) -> ProcessKey {
    engine.process(pid).unwrap_or(ProcessKey { pid, start: 0 })
}

/// Process ids have 32 bits, whatever room there is for them.
fn process_id(indication: &impl Indication) -> Option<u32> {
    u32::try_from(indication.process()?).ok()
}
