//! Indications as WFP makes them. A test that passes what Microsoft does not document for a layer fails.

use std::num::NonZeroU64;

use hone_documented::protocol;
use hone_documented::{Data, Direction, Field, Irql, Kind, Metadata, data, fields, has, index};
use hone_driver::callouts::{CALLOUTS, Callout, Family, Layer};
use hone_driver::{Buffer, ConnectionIndication, Driver, Indication, PacketIndication, Value};

use super::{Fake, irql};

/// The table's callout for a layer.
pub(crate) fn callout(layer: Layer, family: Family) -> &'static Callout {
    CALLOUTS
        .iter()
        .find(|callout| (callout.layer, callout.family) == (layer, family))
        .expect("it is in the table")
}

/// Calls the driver as WFP does at a layer, at the highest level at which WFP calls.
pub(crate) fn indicate(driver: &Driver<Fake>, layer: Layer, family: Family, indication: &FakeIndication) {
    indicate_at(Irql::Dispatch, driver, layer, family, indication);
}

/// Calls the driver as WFP does at a layer, at this level.
pub(crate) fn indicate_at(
    level: Irql,
    driver: &Driver<Fake>,
    layer: Layer,
    family: Family,
    indication: &FakeIndication,
) {
    indication.assert_documented(layer, family);
    irql::at(level, || driver.classify(callout(layer, family), indication));
}

/// A connection opens, reported when it is authorised.
pub(crate) fn connect(driver: &Driver<Fake>, endpoint: u64, process: u64) {
    let indication =
        FakeIndication { endpoint: Some(endpoint), process: Some(process), ..FakeIndication::default() };
    indicate(driver, Layer::AuthConnect, Family::V4, &indication);
}

/// One packet, in pieces; the first `headroom` bytes are in front of the data.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeBuffer {
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) headroom: usize,
    /// A piece that cannot be mapped into the kernel's address space.
    pub(crate) unmappable: Option<usize>,
}

impl FakeBuffer {
    pub(crate) fn new(bytes: &[u8], headroom: usize, piece: usize) -> Self {
        Self { pieces: bytes.chunks(piece).map(<[u8]>::to_vec).collect(), headroom, unmappable: None }
    }

    /// A packet, in one piece, that cannot be mapped.
    pub(crate) fn unreadable(bytes: &[u8]) -> Self {
        Self { unmappable: Some(0), ..Self::new(bytes, 0, usize::MAX) }
    }
}

impl Buffer for &FakeBuffer {
    fn headroom(&self) -> usize {
        self.headroom
    }

    fn length(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum::<usize>() - self.headroom
    }

    fn segments(&self, back: usize) -> Option<impl Iterator<Item = &[u8]> + Clone + Sync> {
        let mut skip = self.headroom.checked_sub(back).expect("not beyond the headroom");
        // Only the pieces from the first byte on are mapped.
        let first = skip;
        let end_of = |piece: usize| self.pieces[..=piece].iter().map(Vec::len).sum::<usize>();
        let can_map = self.unmappable.is_none_or(|piece| end_of(piece) <= first);
        can_map.then(|| {
            self.pieces.iter().map(move |piece| {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                &piece[skipped..]
            })
        })
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeIndication {
    /// Windows may say that there is a handle, and pass 0.
    pub(crate) endpoint: Option<u64>,
    pub(crate) process: Option<u64>,
    pub(crate) ip: Option<usize>,
    pub(crate) transport: Option<usize>,
    pub(crate) included: Option<Vec<u8>>,
    /// IPsec has not taken the packets out of their tunnel yet.
    pub(crate) is_tunnelled: bool,
    pub(crate) values: Vec<Option<Value>>,
    pub(crate) buffers: Vec<FakeBuffer>,
}

impl FakeIndication {
    /// Sets a fixed value.
    pub(crate) fn set(&mut self, layer: Layer, field: Field, value: Value) {
        self.values[index(layer, field).expect("the layer has it")] = Some(value);
    }

    /// Asserts that the documentation lists everything in this indication for the layer.
    fn assert_documented(&self, layer: Layer, family: Family) {
        for (field, is_present) in [
            (Metadata::TransportEndpointHandle, self.endpoint.is_some()),
            (Metadata::ProcessId, self.process.is_some()),
            (Metadata::IpHeaderSize, self.ip.is_some()),
            (Metadata::TransportHeaderSize, self.transport.is_some()),
            (Metadata::TransportHeaderIncludeHeader, self.included.is_some()),
        ] {
            assert!(!is_present || has(layer, field), "{layer:?} has no {field:?}");
        }
        for (index, value) in self.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let kind = match value {
                Value::U8(_) => Kind::U8,
                Value::U16(_) => Kind::U16,
                Value::U32(_) => Kind::U32,
                Value::Bytes16(_) => Kind::Bytes16,
            };
            let field = fields(layer).get(index).map(|field| field.kind(family));
            assert_eq!(field, Some(kind), "field {index} of {layer:?}");
        }
        let protocol = index(layer, Field::IpProtocol).and_then(|index| self.values.get(index).copied()?);
        let Some(Value::U8(protocol)) = protocol else { return };
        if data(layer, direction(layer), protocol) == Data::None {
            assert!(self.buffers.is_empty(), "{layer:?} has no packets");
        }
    }
}

/// The direction of a layer's packets, if they are not those of a connection that is authorised again.
fn direction(layer: Layer) -> Direction {
    match layer {
        Layer::InboundTransport | Layer::AuthRecvAccept => Direction::Inbound,
        _ => Direction::Outbound,
    }
}

impl Indication for FakeIndication {
    fn endpoint(&self) -> Option<NonZeroU64> {
        self.endpoint.and_then(NonZeroU64::new)
    }

    fn value(&self, index: usize) -> Option<Value> {
        self.values.get(index).copied().flatten()
    }
}

impl ConnectionIndication for FakeIndication {
    fn process(&self) -> Option<u64> {
        self.process
    }
}

impl PacketIndication for FakeIndication {
    type Buffer<'a> = &'a FakeBuffer;

    fn header_lengths(&self) -> (Option<usize>, Option<usize>) {
        (self.ip, self.transport)
    }

    fn included_header(&self) -> Option<&[u8]> {
        self.included.as_deref()
    }

    fn is_tunnelled(&self) -> bool {
        self.is_tunnelled
    }

    fn buffers(&self) -> impl Iterator<Item = &FakeBuffer> {
        self.buffers.iter()
    }
}

/// The fixed values of a packet between this host (10.0.0.1 or fd00::1) and 10.0.0.2 or fd00::2. Those that the driver
/// never reads are empty.
pub(crate) fn values(layer: Layer, family: Family, protocol: u8) -> Vec<Option<Value>> {
    let (local, remote) = match family {
        Family::V4 => (Value::U32(0x0A00_0001), Value::U32(0x0A00_0002)),
        Family::V6 => (Value::Bytes16(v6(1)), Value::Bytes16(v6(2))),
    };
    let value = |field: &Field| match field {
        Field::IpProtocol => Some(Value::U8(protocol)),
        Field::IpLocalAddress => Some(local),
        Field::IpRemoteAddress => Some(remote),
        Field::Flags => Some(Value::U32(0)),
        _ => None,
    };
    fields(layer).iter().map(value).collect()
}

pub(crate) fn v6(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    address[0] = 0xFD;
    address[15] = last;
    address
}

/// Families and protocols that have checksums.
pub(crate) const CHECKED: [(Family, u8); 6] = [
    (Family::V4, protocol::TCP),
    (Family::V4, protocol::UDP),
    (Family::V4, protocol::ICMP),
    (Family::V6, protocol::TCP),
    (Family::V6, protocol::UDP),
    (Family::V6, protocol::ICMPV6),
];

/// A segment with a wrong checksum, as the network stack passes it on before the network card computes the checksum.
pub(crate) fn segment(protocol: u8, payload: usize) -> Vec<u8> {
    let header: &[u8] = match protocol {
        protocol::TCP => &[0x9C, 0x40, 1, 0xBB, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 4, 0, 0xAB, 0xCD, 0, 0],
        protocol::UDP => &[0x9C, 0x40, 0, 53, 0, 0, 0xAB, 0xCD],
        protocol::ICMP => &[8, 0, 0xAB, 0xCD, 0, 1, 0, 2],
        _ => &[128, 0, 0xAB, 0xCD, 0, 1, 0, 2],
    };
    let mut segment = header.to_vec();
    segment.extend((0..payload).map(|index| u8::try_from(index % 251).unwrap_or(0)));
    if protocol == protocol::UDP {
        let length = u16::try_from(segment.len()).unwrap_or(0);
        segment[4..6].copy_from_slice(&length.to_be_bytes());
    }
    segment
}

/// Bytes in front of an arriving packet that do not belong to it: the link layer's header.
pub(crate) const LINK: [u8; 14] = [0xEE; 14];

/// A packet that arrives, from its IP header on, and as WFP passes it: the data begins where the documentation says. The
/// lengths are those of its IP header, with options and extension headers, and of its transport header.
pub(crate) fn arriving(
    family: Family,
    protocol: u8,
    packet: &[u8],
    (ip, transport): (usize, usize),
    piece: usize,
) -> FakeIndication {
    const LAYER: Layer = Layer::InboundTransport;
    let in_front = match data(LAYER, Direction::Inbound, protocol) {
        Data::AtTransportHeader => ip,
        Data::BehindTransportHeader => ip + transport,
        Data::None => unreachable!("there is a packet"),
    };
    let mut indication = FakeIndication {
        endpoint: Some(5),
        ip: Some(ip),
        transport: Some(transport),
        values: values(LAYER, family, protocol),
        buffers: vec![FakeBuffer::new(&[&LINK, packet].concat(), LINK.len() + in_front, piece)],
        ..FakeIndication::default()
    };
    // For ICMP, these fields have type and code ("FWPS_FIELDS_INBOUND_TRANSPORT_V4", remarks).
    let [local, remote] = match (protocol, &packet[ip..]) {
        (protocol::TCP | protocol::UDP, &[a, b, c, d, ..]) => {
            [u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b])]
        }
        (protocol::ICMP | protocol::ICMPV6, &[kind, code, ..]) => [kind.into(), code.into()],
        _ => [0, 0],
    };
    indication.set(LAYER, Field::IpLocalPort, Value::U16(local));
    indication.set(LAYER, Field::IpRemotePort, Value::U16(remote));
    indication
}

/// A packet from 10.0.0.2 or fd00::2 to this host. `extra` are IPv4 options, or IPv6 extension headers that begin with
/// hop-by-hop options.
pub(crate) fn whole(family: Family, protocol: u8, extra: &[u8], segment: &[u8]) -> Vec<u8> {
    let behind = u8::try_from(extra.len()).expect("it is short");
    let short = |length: usize| u16::try_from(length).expect("it is short").to_be_bytes();
    match family {
        Family::V4 => {
            let mut header = vec![0x45 + behind / 4, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0];
            header.extend([10, 0, 0, 2, 10, 0, 0, 1]);
            header.extend(extra);
            let total = short(header.len() + segment.len());
            header[2..4].copy_from_slice(&total);
            let sum = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
            let sum = !u16::try_from((sum & 0xFFFF) + (sum >> 16)).expect("it is short");
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            [&header, segment].concat()
        }
        Family::V6 => {
            let next = if extra.is_empty() { protocol } else { 0 };
            let mut header = vec![0x60, 0, 0, 0, 0, 0, next, 64];
            header[4..6].copy_from_slice(&short(extra.len() + segment.len()));
            [&header, &v6(2)[..], &v6(1), extra, segment].concat()
        }
    }
}
