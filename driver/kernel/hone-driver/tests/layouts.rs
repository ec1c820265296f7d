//! Packets in arbitrary layouts, the same on each run: headers cut off or changed, sizes that are wrong, memory that cannot
//! be mapped. What is recorded is the packet, or its segment behind a header that the driver made. Else it is counted.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use common::{
    FakeBuffer, FakeIndication, arriving, driver, indicate, lost_packets, open, read, segment, tell, values,
    whole,
};
use hone_driver::callouts::{Family, Layer};
use hone_packet::{PacketHead, protocol};

/// Generic routing encapsulation: a protocol that the driver does not know, without ports.
const GRE: u8 = 47;

/// Xorshift (Marsaglia): the same numbers on each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("it has 31 bits") % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

struct Case {
    family: Family,
    indication: FakeIndication,
    /// The packet as it is in memory, from its IP header on, and the length of the header.
    packet: Vec<u8>,
    ip: usize,
    protocol: u8,
}

/// A packet that arrives. Its layout is as documented, until something is cut off, changed or wrong.
fn case(random: &mut Random) -> Case {
    let (family, icmp) = [(Family::V4, protocol::ICMP), (Family::V6, protocol::ICMPV6)][random.below(2)];
    let protocol = [protocol::TCP, protocol::UDP, icmp, GRE][random.below(4)];
    let transport = match protocol {
        protocol::TCP => 20,
        GRE => 0,
        _ => 8,
    };
    let extra: Vec<u8> = match family {
        Family::V4 => vec![1; random.below(11) * 4],
        Family::V6 => {
            let count = random.below(4);
            let next = |index: usize| if index + 1 == count { protocol } else { 60 };
            (0..count).flat_map(|index| [next(index), 0, 1, 4, 0, 0, 0, 0]).collect()
        }
    };
    let segment = segment(protocol, random.below(70));
    let mut packet = whole(family, protocol, &extra, &segment);
    let ip = packet.len() - segment.len();
    if random.one_in(2) {
        packet[random.below(ip)] = u8::try_from(random.below(256)).expect("it is a byte");
    }
    let piece = 1 + random.below(60);
    let mut indication = arriving(family, protocol, &packet, (ip, transport), piece);
    let [buffer] = &mut indication.buffers[..] else { panic!("there is one packet") };
    if random.one_in(3) {
        // The beginning is no longer in the buffer.
        let cut = random.below(buffer.headroom + 1);
        let bytes = buffer.pieces.concat();
        *buffer = FakeBuffer::new(&bytes[cut..], buffer.headroom - cut, piece);
    }
    if random.one_in(8) {
        buffer.unmappable = Some(random.below(buffer.pieces.len().max(1)));
    }
    let mut size = |right: usize| match random.below(8) {
        0 => None,
        1 => Some(random.below(100)),
        2 => Some([usize::MAX, 0, right + 8, right.saturating_sub(8)][random.below(4)]),
        _ => Some(right),
    };
    indication.ip = size(ip);
    // A protocol that the driver does not know is taken at the layer's word.
    indication.transport = if protocol == GRE { Some(0) } else { size(transport) };
    Case { family, indication, packet, ip, protocol }
}

impl Case {
    /// The packet, if its header in memory is right. The checksum of the header is filled in.
    fn true_packet(&self) -> Option<Vec<u8>> {
        let mut packet = self.packet.clone();
        let head = PacketHead::parse([packet.as_slice()]).ok()?;
        if let Some(checksum) = head.checksum {
            checksum.write([packet.as_mut_slice()]);
        }
        let right = PacketHead::parse([whole(self.family, self.protocol, &[], &[]).as_slice()]).ok()?;
        let (length, total) = (self.ip, self.packet.len());
        let right = PacketHead { length, total, checksum: head.checksum, ..right };
        (head == right).then_some(packet)
    }

    /// Whether a recorded packet is the segment behind a header that the driver made.
    fn is_made(&self, recorded: &[u8]) -> bool {
        let segment = &self.packet[self.ip..];
        let Some(header) = recorded.len().checked_sub(segment.len()) else { return false };
        let made = whole(self.family, self.protocol, &[], segment);
        PacketHead::parse([recorded]).is_ok_and(|head| {
            let right = PacketHead::parse([made.as_slice()]).expect("it is whole");
            head == PacketHead { checksum: head.checksum, ..right }
                && head.checksum.is_none_or(|checksum| checksum.found == checksum.correct)
        }) && recorded[header..] == *segment
    }
}

#[test]
fn in_every_layout_a_packet_is_true_or_made_or_counted() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let (mut unchanged, mut made, mut lost) = (0, 0, 0);
    for index in 0..20_000 {
        let case = case(&mut random);
        let indication = FakeIndication { endpoint: None, ..case.indication.clone() };
        indicate(&driver, Layer::InboundTransport, case.family, &indication);
        let told = tell(&read(&driver, reader));
        match &told[..] {
            [] => lost += 1,
            [(_, recorded)] if case.true_packet().as_ref() == Some(recorded) => unchanged += 1,
            [(_, recorded)] if case.is_made(recorded) => made += 1,
            other => panic!("{index}: {other:x?} of {:x?} in {:?}", case.packet, case.indication),
        }
    }
    assert_eq!(lost_packets(&driver, reader), lost);
    assert!(unchanged > 2000 && made > 2000 && lost > 1000, "{unchanged} {made} {lost}");
}

#[test]
fn what_leaves_is_recorded_whole_or_counted() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut lost = 0;
    for _ in 0..2000 {
        let protocol = [protocol::TCP, protocol::UDP, protocol::ICMP, GRE][random.below(4)];
        let mut segment = segment(protocol, random.below(70));
        // A raw socket may send fewer bytes than its protocol's header has.
        segment.truncate(random.below(segment.len() * 4 + 1));
        let headroom = random.below(60);
        let bytes = [&vec![0x45; headroom], &segment[..]].concat();
        let mut buffer = FakeBuffer::new(&bytes, headroom, 1 + random.below(60));
        if random.one_in(8) {
            buffer.unmappable = Some(random.below(buffer.pieces.len().max(1)));
        }
        let included = random.one_in(4).then(|| vec![0x45; random.below(60)]);
        let header = included.as_ref().map_or(20, Vec::len);
        let values = values(Layer::OutboundTransport, Family::V4, protocol);
        let indication = FakeIndication {
            included: included.clone(),
            values,
            buffers: vec![buffer],
            ..FakeIndication::default()
        };
        indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
        let told = tell(&read(&driver, reader));
        let [(_, recorded)] = &told[..] else {
            lost += 1;
            continue;
        };
        assert_eq!(recorded.len(), header + segment.len());
        assert!(included.is_none_or(|header| recorded.starts_with(&header)));
        // Up to two bytes are the checksum.
        let differ = recorded[header..].iter().zip(&segment).filter(|(one, other)| one != other).count();
        assert!(differ <= 2, "{differ}");
    }
    assert_eq!(lost_packets(&driver, reader), lost);
    assert!((50..500).contains(&lost), "{lost}");
}
