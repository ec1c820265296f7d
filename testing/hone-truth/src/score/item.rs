//! A recorded packet and its identity. The identity finds its counterparts: its record in the other direction, and the
//! same packet in tcpdump's output.

use std::collections::HashMap;

use super::Seen;
use super::truth::Truth;
use crate::packet::{Direction, Packet};
use crate::recording::Record;
use crate::tag::Tag;
use crate::told::Reason;

/// The identity of a packet. Both of its records have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A message, and whether this packet is the answer that repeats it.
    Message(Tag, bool),
    Other(u64),
}

/// A record with its identity.
pub(super) struct Item<'a> {
    pub(super) record: &'a Record,
    pub(super) direction: Direction,
    pub(super) packet: Packet<'a>,
    /// All messages of a datagram.
    pub(super) tags: Vec<Tag>,
    /// Set if the packet must not have a process: the reasons that are right.
    pub(super) nobody: Option<Vec<Reason>>,
}

impl Item<'_> {
    pub(super) fn keys(&self) -> Vec<Key> {
        keys(&self.packet, &self.tags)
    }
}

/// The keys of a datagram's messages, or the key of the packet itself if it has none.
fn keys(packet: &Packet<'_>, tags: &[Tag]) -> Vec<Key> {
    if tags.is_empty() {
        return vec![Key::Other(packet.identity(false))];
    }
    tags.iter().map(|tag| Key::Message(*tag, answers(packet))).collect()
}

/// Whether the packet is an echo reply, which repeats the message of the request.
pub(super) fn answers(packet: &Packet<'_>) -> bool {
    matches!((packet.source.is_ipv4(), packet.icmp), (true, Some((0, _))) | (false, Some((129, _))))
}

/// The messages of a datagram.
pub(super) fn tags(packet: &Packet<'_>) -> Vec<Tag> {
    if packet.tcp.is_some() || packet.reports() {
        return Vec::new();
    }
    Tag::all(packet.payload).into_iter().map(|(_, tag)| tag).collect()
}

/// The packets that tcpdump saw.
pub(super) struct Wire(pub(super) HashMap<(Key, Direction), (usize, String)>);

impl Wire {
    pub(super) fn new(truth: &Truth, seen: &[&Seen]) -> Self {
        let mut counts = HashMap::new();
        for seen in seen {
            let Some(packet) = Packet::parse(&seen.data) else { continue };
            // Fragments are recorded as one packet. Whether that packet was recorded is known from its messages.
            if packet.fragment || packet.housekeeping() || truth.single(&packet, seen.direction) {
                continue;
            }
            for key in keys(&packet, &tags(&packet)) {
                counts.entry((key, seen.direction)).or_insert_with(|| (0, packet.to_string())).0 += 1;
            }
        }
        Self(counts)
    }

    pub(super) fn count(&self, packet: &Packet<'_>, direction: Direction) -> usize {
        let key = (Key::Other(packet.identity(false)), direction);
        self.0.get(&key).map_or(0, |(count, _)| *count)
    }
}
