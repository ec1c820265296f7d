//! Rebuilds TCP byte streams from the recorded segments, to find the message that contains each segment's first byte.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::packet::{Direction, FIN, Packet, RST, SYN};
use crate::tag::{LENGTH, Tag};

/// Largest number of bytes that are kept of a stream: more than any generator sends.
const LONGEST: usize = 64 << 20;

/// One direction of one connection.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of the first byte.
    base: Option<u32>,
    /// Whether `base` is known from the handshake.
    certain: bool,
    segments: Vec<(Direction, u32, Vec<u8>)>,
    /// Where messages begin.
    messages: Vec<(usize, Tag)>,
    /// When the end of the stream, or a reset of the connection, was first recorded.
    ended: Option<u64>,
    /// The byte ranges that were recorded, inbound and outbound.
    seen: [Vec<(usize, usize)>; 2],
}

/// All streams of a scenario.
#[derive(Debug, Default)]
pub(super) struct Streams(HashMap<(SocketAddr, SocketAddr), Stream>);

impl Streams {
    pub(super) fn add(&mut self, packet: &Packet<'_>, direction: Direction, nanos: u64) {
        let Some(tcp) = packet.tcp else { return };
        let ends = [(packet.source, packet.destination), (packet.destination, packet.source)];
        // A reset ends both directions.
        let ended = if tcp.flags & RST != 0 { 2 } else { usize::from(tcp.flags & FIN != 0) };
        for ends in &ends[..ended] {
            let stream = self.0.entry(*ends).or_default();
            stream.ended = Some(stream.ended.map_or(nanos, |ended| ended.min(nanos)));
        }
        let stream = self.0.entry(ends[0]).or_default();
        if tcp.flags & SYN != 0 {
            stream.base = Some(tcp.sequence.wrapping_add(1));
            stream.certain = true;
        }
        if packet.payload.is_empty() {
            return;
        }
        let first = *stream.base.get_or_insert(tcp.sequence);
        if !stream.certain && before(tcp.sequence, first) {
            stream.base = Some(tcp.sequence);
        }
        stream.segments.push((direction, tcp.sequence, packet.payload.to_vec()));
    }

    /// Joins the recorded ranges. Call it after all segments were added.
    pub(super) fn join(&mut self) {
        for stream in self.0.values_mut() {
            stream.join();
        }
    }

    /// The message that contains a segment's first byte.
    pub(super) fn message(&self, packet: &Packet<'_>) -> Option<Tag> {
        let stream = self.0.get(&(packet.source, packet.destination))?;
        let at = packet.tcp?.sequence.wrapping_sub(stream.base?) as usize;
        let after = stream.messages.partition_point(|(begin, _)| *begin <= at);
        stream.messages.get(after.checked_sub(1)?).map(|(_, tag)| *tag)
    }

    /// Whether both ends had already closed the connection, so that its sockets may no longer exist.
    pub(super) fn over(&self, packet: &Packet<'_>, nanos: u64) -> bool {
        self.ended(packet, Direction::In, nanos) && self.ended(packet, Direction::Out, nanos)
    }

    /// Whether the local end of a packet's connection had already closed its sending direction. `direction` is the
    /// packet's.
    pub(super) fn ended(&self, packet: &Packet<'_>, direction: Direction, nanos: u64) -> bool {
        let (local, remote) = packet.ends(direction);
        self.0.get(&(local, remote)).and_then(|stream| stream.ended).is_some_and(|ended| ended < nanos)
    }

    /// Every message with a completely recorded tag in that direction.
    pub(super) fn recorded(&self, direction: Direction) -> impl Iterator<Item = Tag> {
        self.0.values().flat_map(move |stream| {
            let seen = &stream.seen[direction as usize];
            let whole = |at: usize| seen.iter().any(|(from, to)| *from <= at && at + LENGTH <= *to);
            stream.messages.iter().filter(move |(at, _)| whole(*at)).map(|(_, tag)| *tag)
        })
    }
}

impl Stream {
    fn join(&mut self) {
        let Some(base) = self.base else { return };
        let mut bytes = Vec::new();
        for (direction, sequence, data) in self.segments.drain(..) {
            let from = sequence.wrapping_sub(base) as usize;
            let to = from + data.len();
            if to > LONGEST {
                continue;
            }
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            bytes[from..to].copy_from_slice(&data);
            self.seen[direction as usize].push((from, to));
        }
        for seen in &mut self.seen {
            seen.sort_unstable();
            // Ranges that overlap or touch become one.
            let mut joined: Vec<(usize, usize)> = Vec::new();
            for (from, to) in seen.drain(..) {
                match joined.last_mut() {
                    Some(last) if from <= last.1 => last.1 = last.1.max(to),
                    _ => joined.push((from, to)),
                }
            }
            *seen = joined;
        }
        self.messages = Tag::all(&bytes);
    }
}

/// Whether sequence number `one` comes before `other`, with wrap-around.
fn before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) > u32::MAX / 2
}
