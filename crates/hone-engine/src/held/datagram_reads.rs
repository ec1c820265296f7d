//! Reads of datagrams from a socket that several processes read, where the system does not report which datagram a read
//! took. Owns the reads that are not settled yet. Called by `used`, under the embedder's one lock.
//!
//! Datagrams are read in the order in which they came, but the reads can be reported in another order. Each report names a
//! datagram before which all have been read. As long as more datagrams have been read than reads are reported, some reports
//! are still under way. Once there are as many, each datagram belongs to one of the reads:
//!
//! * all reads are by one process: it owns all the datagrams;
//! * else, only one process's reads have the datagram's length: that process owns it;
//! * else the owner cannot be known, and none is named.

use alloc::vec::Vec;

use crate::{ConnectionId, Nanos, ProcessKey, fallible};

/// Most reads that are remembered, of all connections. Beyond, the oldest is forgotten, and its datagram has no process.
const MOST: usize = 128;

/// No datagram is read sooner than this after it came. Where less time lies between, the read took another datagram, and
/// this one came while that read was returning.
pub(crate) const SOONEST: Nanos = 1000;

/// One read.
#[derive(Clone, Copy)]
pub(crate) struct DatagramRead {
    pub(crate) connection: ConnectionId,
    pub(crate) process: ProcessKey,
    /// Bytes returned.
    pub(crate) length: u32,
    pub(crate) at: Nanos,
}

/// Most different lengths of datagrams that are distinguished at once.
const MOST_LENGTHS: usize = 16;

/// How many datagrams there are of each length of payload.
#[derive(Default)]
pub(crate) struct Lengths {
    /// A length that is not known is one of its own.
    known: [(Option<u32>, usize); MOST_LENGTHS],
    lengths: usize,
    count: usize,
}

impl Lengths {
    pub(crate) fn add(&mut self, length: Option<u32>) {
        self.count += 1;
        let known = &mut self.known[..self.lengths];
        if let Some((_, alike)) = known.iter_mut().find(|(other, _)| *other == length) {
            *alike += 1;
        } else if let Some(free) = self.known.get_mut(self.lengths) {
            *free = (length, 1);
            self.lengths += 1;
        }
    }

    /// Datagrams added.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// How many have this length; 0 for a length beyond those that are distinguished.
    pub(crate) fn alike(&self, length: Option<u32>) -> usize {
        self.known[..self.lengths].iter().find(|(other, _)| *other == length).map_or(0, |(_, alike)| *alike)
    }
}

#[derive(Default)]
pub(crate) struct DatagramReads(Vec<DatagramRead>);

impl DatagramReads {
    /// Remembers a read; forgets those that are older than `oldest`.
    pub(crate) fn add(&mut self, read: DatagramRead, oldest: Nanos) {
        self.0.retain(|known| known.at >= oldest);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        // Without memory its datagram has no process.
        let _ = fallible::push(&mut self.0, read);
    }

    /// How many reads of a connection are not settled.
    pub(crate) fn count(&self, connection: ConnectionId) -> usize {
        self.of(connection).count()
    }

    /// The process that read a datagram with `length` bytes of payload, of which there are `alike`; `None`: it cannot be
    /// known.
    pub(crate) fn reader(
        &self,
        connection: ConnectionId,
        length: Option<u32>,
        alike: usize,
    ) -> Option<ProcessKey> {
        let first = self.of(connection).next()?.process;
        if self.of(connection).all(|read| read.process == first) {
            return Some(first);
        }
        let mut same = self.of(connection).filter(|read| Some(read.length) == length);
        let count = same.clone().count();
        let first = same.next()?.process;
        (count == alike && same.all(|read| read.process == first)).then_some(first)
    }

    /// Forgets the reads of a connection: they are settled.
    pub(crate) fn settle(&mut self, connection: ConnectionId) {
        self.0.retain(|read| read.connection != connection);
    }

    fn of(&self, connection: ConnectionId) -> impl Iterator<Item = &DatagramRead> + Clone {
        self.0.iter().filter(move |read| read.connection == connection)
    }
}
