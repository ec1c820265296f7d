//! Expired packets: no process read or accepted them in time, so they were recorded without that owner. If a process
//! does so later, they are corrected. Owns a note of each packet, without its data. Called by `policy` and `used`,
//! under the embedder's one lock.

use alloc::collections::VecDeque;

use crate::{ConnectionId, Corrected, Direction, Nanos, Wait, fallible, held::queue::HeldPacket};

/// Most packets that are remembered, of all connections together; older ones are forgotten. Small enough to search them
/// all.
const MOST: usize = 512;

/// Longest time between the moment when a datagram is known to have left its socket and the report of its read,
/// nanoseconds. A read that is not reported by then is never reported.
const REPORTED: Nanos = 100_000_000;

/// The note of one packet.
#[derive(Clone, Copy)]
pub(crate) struct Expired {
    pub(crate) connection: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) at: Nanos,
    /// What it waited for.
    pub(crate) wait: Wait,
    /// A UDP datagram's payload, bytes; `None`: not known, or another protocol.
    pub(crate) payload: Option<u32>,
    /// Since when the packet is known to have been read, though not by which process.
    gone: Option<Nanos>,
}

impl Expired {
    /// The note of a packet that waited for `wait`; `None` for [`Wait::Use`], as such a packet is not corrected later.
    pub(crate) fn new(held: &HeldPacket, wait: Wait) -> Option<Self> {
        let &HeldPacket { connection, direction, at, .. } = held;
        (wait != Wait::Use).then(|| Self {
            connection,
            direction,
            at,
            wait,
            payload: held.payload(),
            gone: None,
        })
    }

    /// Names this packet in a correction.
    pub(crate) const fn packets(self) -> Corrected {
        match self.wait {
            // `end` is one past the packet's first byte: a process that has read up to there has read from this packet.
            Wait::Stream(end) => Corrected::Bytes { from: end.wrapping_sub(1), to: end },
            Wait::Use | Wait::Datagram(_) | Wait::Handshake(_) => Corrected::Time(self.at),
        }
    }
}

#[derive(Default)]
pub(crate) struct ExpiredPackets {
    packets: VecDeque<Expired>,
    /// Connection of the packet that was forgotten last, for lack of room or memory, and the time when that happened.
    forgotten: Option<(ConnectionId, Nanos)>,
}

impl ExpiredPackets {
    pub(crate) fn add(&mut self, expired: Expired) {
        if self.packets.len() >= MOST
            && let Some(oldest) = self.packets.pop_front()
        {
            self.forgot(oldest.connection, expired.at);
        }
        if fallible::push_back(&mut self.packets, expired).is_err() {
            self.forgot(expired.connection, expired.at);
        }
    }

    /// Notes that a packet of this connection was forgotten at `at`.
    pub(crate) const fn forgot(&mut self, connection: ConnectionId, at: Nanos) {
        self.forgotten = Some((connection, at));
    }

    /// Whether the packet that was forgotten last is of this connection and was forgotten at `since` or later.
    pub(crate) fn has_forgotten(&self, connection: ConnectionId, since: Nanos) -> bool {
        self.forgotten.is_some_and(|(forgotten, at)| forgotten == connection && at >= since)
    }

    /// Notes which datagrams of a connection have left their socket at `at`. Forgets those that had left it
    /// [`REPORTED`] earlier or longer ago: their reads are never reported.
    pub(crate) fn see_gone(&mut self, connection: ConnectionId, at: Nanos, gone: impl Fn(&Expired) -> bool) {
        self.packets.retain_mut(|expired| {
            if expired.connection != connection || !gone(expired) {
                return true;
            }
            at.saturating_sub(*expired.gone.get_or_insert(at)) < REPORTED
        });
    }

    pub(crate) fn has(&self, connection: ConnectionId) -> bool {
        self.packets.iter().any(|expired| expired.connection == connection)
    }

    /// How many packets of a connection satisfy `wanted`.
    pub(crate) fn count(&self, connection: ConnectionId, mut wanted: impl FnMut(&Expired) -> bool) -> usize {
        self.packets.iter().filter(|expired| expired.connection == connection && wanted(expired)).count()
    }

    /// Takes out the first packet of a connection that satisfies `wanted`.
    pub(crate) fn take(
        &mut self,
        connection: ConnectionId,
        wanted: impl Fn(&Expired) -> bool,
    ) -> Option<Expired> {
        let index =
            self.packets.iter().position(|expired| expired.connection == connection && wanted(expired))?;
        self.packets.remove(index)
    }

    /// Forgets the packets of a connection.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.packets.retain(|expired| expired.connection != connection);
    }
}
