//! Reads of datagrams from a socket that several processes read, if the system does not report which datagram a read
//! took. Owns the reads that are not matched to their datagrams yet. Called by `used`, under the embedder's one lock.
//!
//! Datagrams are read in the order in which they came, but the reads can be reported in another order. Each report has
//! the number of a datagram before which all datagrams have been read. While more datagrams have been read than reads
//! were reported, some reports are still to come. Once both numbers are equal, each datagram was taken by one of these
//! reads:
//!
//! * If all reads are by one process, it owns all the datagrams.
//! * Otherwise, if all reads of a datagram's length are by one process, it owns the datagram.
//! * Otherwise the owner cannot be known, and none is named.

use alloc::vec::Vec;

use crate::{ConnectionId, Nanos, ProcessKey, fallible};

/// Most reads that are remembered, of all connections together. One more makes the engine forget the oldest, and the
/// datagram of that read gets no process.
const MOST: usize = 128;

/// Nanoseconds between the arrival of a datagram and the earliest time at which it can be read. If less time has
/// passed, the read took an earlier datagram, and this one came while the read was returning.
pub(crate) const SOONEST: Nanos = 1000;

/// One read.
#[derive(Clone, Copy)]
pub(crate) struct DatagramRead {
    pub(crate) connection: ConnectionId,
    pub(crate) process: ProcessKey,
    /// Bytes that the read returned.
    pub(crate) length: u32,
    pub(crate) at: Nanos,
}

/// Most different lengths that [`Lengths`] counts separately.
const MOST_LENGTHS: usize = 16;

/// How many datagrams there are of each length of payload.
#[derive(Default)]
pub(crate) struct Lengths {
    /// Each length with its number of datagrams. `None` stands for the datagrams of unknown length.
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

    /// How many datagrams were added, of any length.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// How many datagrams have this length; 0 also for a length that is not counted separately.
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
        // Without memory the read is forgotten, and its datagram gets no process.
        let _ = fallible::push(&mut self.0, read);
    }

    /// How many reads of a connection are not matched to their datagrams yet.
    pub(crate) fn count(&self, connection: ConnectionId) -> usize {
        self.of(connection).count()
    }

    /// The process that read a datagram with `length` bytes of payload. `alike`: how many datagrams have that length.
    /// `None`: the process cannot be known.
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

    /// Forgets the reads of a connection, because their datagrams have been attributed or no longer can be.
    pub(crate) fn settle(&mut self, connection: ConnectionId) {
        self.0.retain(|read| read.connection != connection);
    }

    fn of(&self, connection: ConnectionId) -> impl Iterator<Item = &DatagramRead> + Clone {
        self.0.iter().filter(move |read| read.connection == connection)
    }
}
