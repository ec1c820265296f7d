//! Packets that have waited in vain for who reads, or accepts, what they bring, and were recorded without that. It may
//! still happen: then they are corrected. Owns a note of each, no packet. Called by `held`, under the embedder's one lock.

use alloc::collections::VecDeque;

use crate::{ConnectionId, Corrected, Direction, Nanos, OutOfMemory, Wait, grow};

/// Most packets that are remembered, of all connections: the latest. So few that looking through them is cheap.
const MOST: usize = 512;

/// One packet.
#[derive(Clone, Copy)]
pub(crate) struct Expired {
    pub(crate) connection: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) at: Nanos,
    /// What it waited for.
    pub(crate) wait: Wait,
}

impl Expired {
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
pub(crate) struct ExpiredPackets(VecDeque<Expired>);

impl ExpiredPackets {
    pub(crate) fn add(&mut self, expired: Expired) -> Result<(), OutOfMemory> {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        grow::push_back(&mut self.0, expired)
    }

    pub(crate) fn has(&self, connection: ConnectionId) -> bool {
        self.0.iter().any(|expired| expired.connection == connection)
    }

    /// How many packets of a connection are `wanted`.
    pub(crate) fn count(&self, connection: ConnectionId, wanted: impl Fn(&Expired) -> bool) -> usize {
        self.0.iter().filter(|expired| expired.connection == connection && wanted(expired)).count()
    }

    /// Takes out the first packet of a connection that is wanted.
    pub(crate) fn take(
        &mut self,
        connection: ConnectionId,
        wanted: impl Fn(&Expired) -> bool,
    ) -> Option<Expired> {
        let index = self.0.iter().position(|expired| expired.connection == connection && wanted(expired))?;
        self.0.remove(index)
    }

    /// Forgets the packets of a connection.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.0.retain(|expired| expired.connection != connection);
    }
}
