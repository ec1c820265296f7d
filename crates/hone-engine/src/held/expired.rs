//! Expired packets: they have waited in vain until a process reads, or accepts, what they bring, and were recorded without
//! it. It may still happen: then they are corrected. Owns a note of each, no packet data. Called by `policy` and `used`,
//! under the embedder's one lock.

use alloc::collections::VecDeque;

use crate::{ConnectionId, Corrected, Direction, Nanos, Wait, fallible, held::queue::HeldPacket};

/// Most packets that are remembered, of all connections: the latest. So few that looking through them is cheap.
const MOST: usize = 512;

/// A datagram that is no longer in its socket is reported as read within this time, or never.
const REPORTED: Nanos = 100_000_000;

/// One packet.
#[derive(Clone, Copy)]
pub(crate) struct Expired {
    pub(crate) connection: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) at: Nanos,
    /// What it waited for.
    pub(crate) wait: Wait,
    /// Bytes of payload of a UDP datagram, if it is known.
    pub(crate) payload: Option<u32>,
    /// Since when it is known to have been read, though not by which process.
    gone: Option<Nanos>,
}

impl Expired {
    /// A packet that waited for this; `None` where any use of its connection would have done.
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

    /// The packet, for a correction.
    pub(crate) const fn packets(self) -> Corrected {
        match self.wait {
            // Up to its first byte: `Wait::Stream` says where the reader must have come to.
            Wait::Stream(end) => Corrected::Bytes { from: end.wrapping_sub(1), to: end },
            Wait::Use | Wait::Datagram(_) | Wait::Handshake(_) => Corrected::Time(self.at),
        }
    }
}

#[derive(Default)]
pub(crate) struct ExpiredPackets {
    packets: VecDeque<Expired>,
    /// The latest that was not remembered, for want of room or memory: its connection and time.
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

    /// Notes that a packet of this connection is not remembered.
    pub(crate) const fn forgot(&mut self, connection: ConnectionId, at: Nanos) {
        self.forgotten = Some((connection, at));
    }

    /// Whether a packet of this connection was forgotten since then.
    pub(crate) fn has_forgotten(&self, connection: ConnectionId, since: Nanos) -> bool {
        self.forgotten.is_some_and(|(forgotten, at)| forgotten == connection && at >= since)
    }

    /// Notes which datagrams of a connection are no longer there; forgets those of which it was known long before.
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

    /// How many packets of a connection are `wanted`.
    pub(crate) fn count(&self, connection: ConnectionId, mut wanted: impl FnMut(&Expired) -> bool) -> usize {
        self.packets.iter().filter(|expired| expired.connection == connection && wanted(expired)).count()
    }

    /// Takes out the first packet of a connection that is wanted.
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
