//! TCP streams as they were recorded: the position of each packet's first byte in its stream, and the recorded bytes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::packet::{Direction, Packet, SYN};

/// One direction of one connection.
#[derive(Debug, Default)]
struct Stream<'a> {
    /// The sequence numbers of first bytes. There are several if the ports were reused.
    bases: Vec<u32>,
    /// For each direction, the position of each packet's bytes.
    segments: [BTreeMap<u64, &'a [u8]>; 2],
}

/// All streams, by source and destination.
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

    /// The position of a packet's first byte. `None` if the first packet of its connection was not recorded, or if
    /// several connections used the same ports.
    pub(super) fn position(&self, packet: &Packet<'_>) -> Option<u64> {
        let stream = self.0.get(&(packet.source, packet.destination))?;
        let [base] = stream.bases[..] else { return None };
        let at = packet.tcp?.sequence.wrapping_sub(base);
        // A byte before the first one is a keep-alive probe.
        (at < 1 << 31).then_some(at.into())
    }

    /// The recorded bytes from a position on, in the first packet that contains it.
    pub(super) fn at(
        &self,
        ends: (SocketAddr, SocketAddr),
        direction: Direction,
        byte: u64,
    ) -> Option<&'a [u8]> {
        let segments = &self.0.get(&ends)?.segments[direction as usize];
        let before = segments.range(..=byte).rev();
        // A retransmission may begin at another byte and be shorter.
        let bytes =
            before.take(64).filter_map(|(from, bytes)| bytes.get(usize::try_from(byte - from).ok()?..));
        bytes.into_iter().find(|bytes| !bytes.is_empty())
    }

    /// Whether these two ends had exactly one connection, and its beginning was recorded.
    pub(super) fn is_whole(&self, ends: (SocketAddr, SocketAddr)) -> bool {
        self.0.get(&ends).is_some_and(|stream| stream.bases.len() == 1)
    }
}
