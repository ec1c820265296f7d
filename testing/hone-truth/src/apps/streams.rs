//! TCP's streams as they were recorded: where in its stream a packet's first byte lies, and which bytes are there.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::packet::{Direction, Packet, SYN};

/// One direction of one connection.
#[derive(Debug, Default)]
struct Stream<'a> {
    /// The sequence numbers of first bytes; more than one if the ports were used again.
    bases: Vec<u32>,
    /// By direction, where each packet's bytes begin.
    segments: [BTreeMap<u64, &'a [u8]>; 2],
}

/// Every stream, by source and destination.
#[derive(Debug, Default)]
pub(super) struct Streams<'a>(HashMap<(SocketAddr, SocketAddr), Stream<'a>>);

impl<'a> Streams<'a> {
    pub(super) fn new(packets: impl Iterator<Item = (Packet<'a>, Direction)> + Clone) -> Self {
        let mut streams = Self::default();
        for (packet, _) in packets.clone() {
            let Some(tcp) = packet.tcp.filter(|tcp| tcp.flags & SYN != 0) else { continue };
            let bases = &mut streams.0.entry((packet.source, packet.destination)).or_default().bases;
            let base = tcp.sequence.wrapping_add(1);
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        for (packet, direction) in packets.filter(|(packet, _)| !packet.payload.is_empty()) {
            let Some(at) = streams.position(&packet) else { continue };
            let stream = streams.0.entry((packet.source, packet.destination)).or_default();
            let segment = stream.segments[direction as usize].entry(at).or_default();
            if segment.len() < packet.payload.len() {
                *segment = packet.payload;
            }
        }
        streams
    }

    /// Where a packet's first byte lies. `None` if its connection's first packet was not recorded, or the same ports
    /// were used for several.
    pub(super) fn position(&self, packet: &Packet<'_>) -> Option<u64> {
        let stream = self.0.get(&(packet.source, packet.destination))?;
        let [base] = stream.bases[..] else { return None };
        let at = packet.tcp?.sequence.wrapping_sub(base);
        // What is before the first byte is a probe that the other end is still there.
        (at < 1 << 31).then_some(at.into())
    }

    /// What was recorded from a byte on, in the first packet that has it.
    pub(super) fn at(
        &self,
        ends: (SocketAddr, SocketAddr),
        direction: Direction,
        byte: u64,
    ) -> Option<&'a [u8]> {
        let segments = &self.0.get(&ends)?.segments[direction as usize];
        let before = segments.range(..=byte).rev();
        // What was sent again may begin elsewhere, and be shorter.
        let bytes =
            before.take(64).filter_map(|(from, bytes)| bytes.get(usize::try_from(byte - from).ok()?..));
        bytes.into_iter().find(|bytes| !bytes.is_empty())
    }

    /// Whether these ends had one connection, whose beginning was recorded.
    pub(super) fn is_whole(&self, ends: (SocketAddr, SocketAddr)) -> bool {
        self.0.get(&ends).is_some_and(|stream| stream.bases.len() == 1)
    }
}
