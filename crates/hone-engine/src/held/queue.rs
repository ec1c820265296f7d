//! The queue of held packets. Owns copies of them in two kinds of lists: one of all packets, and one for each
//! connection, both in the order of arrival. `policy` decides when a packet enters or leaves. Called under the
//! embedder's one lock.
//!
//! ```text
//!  all:           oldest ► a1 ◄► b1 ◄► a2 ◄► c1 ◄ newest
//!  connection a:  first  ► a1 ───────► a2 ◄ last
//! ```
//!
//! Packets that wait for the same event leave in the order of arrival.

use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::{
    Attribution, ConnectionId, Direction, Nanos, NoOwner, OutOfMemory, Packet, Wait, fallible,
    tuple::{Tuple, payload_of_udp},
};

/// What a packet waits for.
#[derive(Clone, Copy)]
pub(crate) struct Awaited {
    /// `None`: for an event or an open-connection list that names its connection's owner.
    pub(crate) wait: Option<Wait>,
    /// The attribution if the awaited event does not come.
    pub(crate) otherwise: Attribution,
}

impl Awaited {
    /// The attribution of a packet that cannot wait any longer, for `reason`.
    pub(crate) fn given_up(self, reason: NoOwner) -> Attribution {
        match (self.wait, reason) {
            (None, _) => Err(reason),
            // A packet evicted early reports HoldFull; only one that waited its full time keeps its own reason.
            (Some(_), NoOwner::HoldFull) => self.otherwise.map_err(|_| reason),
            (Some(_), _) => self.otherwise,
        }
    }
}

/// A packet that is held.
pub(crate) struct HeldPacket {
    pub(crate) at: Nanos,
    pub(crate) connection: ConnectionId,
    pub(crate) awaited: Awaited,
    pub(crate) direction: Direction,
    pub(crate) flags: u32,
    pub(crate) original_length: u32,
    pub(crate) packet_id: Option<u64>,
    /// Read from the whole packet before it was cut; `data` may be too short for it.
    pub(crate) tuple: Option<Tuple>,
    pub(crate) data: Vec<u8>,
}

impl HeldPacket {
    /// Copies the first `kept` bytes of a packet; `kept` must not exceed the packet's data.
    pub(crate) fn new(
        packet: &Packet<'_>,
        connection: ConnectionId,
        awaited: Awaited,
        kept: usize,
    ) -> Result<Self, OutOfMemory> {
        let Packet { at, direction, flags, packet_id, data, .. } = *packet;
        let (original_length, tuple) = (packet.original_length(), Tuple::of(data, direction));
        let data = fallible::copied(&data[..kept])?;
        Ok(Self { at, connection, awaited, direction, flags, original_length, packet_id, tuple, data })
    }
}

impl HeldPacket {
    /// A UDP datagram's payload, bytes; `None`: another protocol, or the kept bytes do not include its header.
    pub(crate) fn payload(&self) -> Option<u32> {
        payload_of_udp(&self.data, self.original_length)
    }
}

/// Index of a slot in [`HeldQueue`].
type Index = u32;
const NONE: Index = Index::MAX;

struct Slot {
    /// `None`: the slot is free.
    held: Option<HeldPacket>,
    /// The neighbours in the order of arrival. In a free slot, `newer` is the next free slot.
    older: Index,
    newer: Index,
    /// The next packet of the same connection.
    next: Index,
}

/// The packets of one connection.
struct Line {
    first: Index,
    last: Index,
}

/// A position in the packets of one connection: after the packet in this slot, or at the beginning.
pub(crate) struct Cursor(Index);

impl Cursor {
    pub(crate) const fn start() -> Self {
        Self(NONE)
    }
}

pub(crate) struct HeldQueue {
    slots: Vec<Slot>,
    free: Index,
    oldest: Index,
    newest: Index,
    lines: HashMap<ConnectionId, Line>,
    count: usize,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
}

impl HeldQueue {
    /// An empty queue for at most `max_count` packets, which take at most `max_bytes` bytes including their slots.
    pub(crate) fn new(max_count: u32, max_bytes: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            lines: HashMap::new(),
            count: 0,
            bytes: 0,
            max_count: usize::try_from(max_count).unwrap_or(usize::MAX),
            max_bytes,
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a packet with `data` bytes fits into an empty queue.
    pub(crate) const fn can_hold(&self, data: usize) -> bool {
        self.max_count > 0 && Self::cost(data) <= self.max_bytes
    }

    /// Whether a packet with `data` bytes fits into the queue as it is now.
    pub(crate) const fn has_room(&self, data: usize) -> bool {
        self.count < self.max_count && Self::cost(data) <= self.max_bytes.saturating_sub(self.bytes)
    }

    pub(crate) fn has(&self, connection: ConnectionId) -> bool {
        self.count > 0 && self.lines.contains_key(&connection)
    }

    /// Connection and time of the packet that has waited longest; `None`: the queue is empty.
    pub(crate) fn oldest(&self) -> Option<(ConnectionId, Nanos)> {
        self.get(self.oldest).map(|held| (held.connection, held.at))
    }

    /// Adds a packet as the newest one. The caller has checked that it [has room](Self::has_room).
    pub(crate) fn push(&mut self, held: HeldPacket) -> Result<(), OutOfMemory> {
        self.lines.try_reserve(1)?;
        let (connection, cost) = (held.connection, Self::cost(held.data.len()));
        let slot = Slot { held: Some(held), older: self.newest, newer: NONE, next: NONE };
        let index = self.free;
        let index = if let Some(free) = self.slots.get_mut(index as usize) {
            self.free = free.newer;
            *free = slot;
            index
        } else {
            let index = Index::try_from(self.slots.len()).map_err(|_| OutOfMemory)?;
            fallible::push(&mut self.slots, slot)?;
            index
        };
        match self.slots.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
        if let Some(line) = self.lines.get_mut(&connection) {
            self.slots[line.last as usize].next = index;
            line.last = index;
        } else {
            fallible::insert(&mut self.lines, connection, Line { first: index, last: index })?;
        }
        self.count += 1;
        self.bytes += cost;
        Ok(())
    }

    /// Takes out the first packet of a connection.
    pub(crate) fn pop(&mut self, connection: ConnectionId) -> Option<HeldPacket> {
        self.take(connection, &mut Cursor::start(), |_| true)
    }

    /// Takes out the first packet of a connection, from the cursor on, that satisfies `wanted`. Moves the cursor to the
    /// place where that packet was.
    pub(crate) fn take(
        &mut self,
        connection: ConnectionId,
        cursor: &mut Cursor,
        wanted: impl Fn(&HeldPacket) -> bool,
    ) -> Option<HeldPacket> {
        if self.count == 0 {
            return None;
        }
        let line = self.lines.get_mut(&connection)?;
        let mut index = self.slots.get(cursor.0 as usize).map_or(line.first, |before| before.next);
        loop {
            let slot = self.slots.get(index as usize)?;
            if slot.held.as_ref().is_some_and(&wanted) {
                break;
            }
            (*cursor, index) = (Cursor(index), slot.next);
        }
        let slot = &mut self.slots[index as usize];
        let (held, older, newer, next) = (slot.held.take()?, slot.older, slot.newer, slot.next);
        slot.newer = self.free;
        self.free = index;
        match self.slots.get_mut(cursor.0 as usize) {
            Some(before) => before.next = next,
            None => line.first = next,
        }
        if next == NONE {
            line.last = cursor.0;
        }
        if line.first == NONE {
            self.lines.remove(&connection);
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        self.count -= 1;
        self.bytes -= Self::cost(held.data.len());
        Some(held)
    }

    /// Calls `visit` for each packet of a connection, in the order of arrival.
    pub(crate) fn for_each(&mut self, connection: ConnectionId, mut visit: impl FnMut(&mut HeldPacket)) {
        let mut index = self.lines.get(&connection).map_or(NONE, |line| line.first);
        while let Some(slot) = self.slots.get_mut(index as usize) {
            if let Some(held) = &mut slot.held {
                visit(held);
            }
            index = slot.next;
        }
    }

    /// Begins a walk through all packets in the order of arrival, at the oldest.
    pub(crate) const fn walk(&self) -> Walk {
        Walk(self.oldest)
    }

    /// The packet at the walk's position; `None`: the walk is at its end.
    pub(crate) fn at(&self, cursor: &Walk) -> Option<&HeldPacket> {
        self.get(cursor.0)
    }

    /// Moves the walk to the next packet that is not of connection `skip`. Then the packets of `skip` can be taken out.
    pub(crate) fn step(&self, cursor: &mut Walk, skip: Option<ConnectionId>) {
        while let Some(slot) = self.slots.get(cursor.0 as usize) {
            cursor.0 = slot.newer;
            if skip.is_none() || self.at(cursor).map(|held| held.connection) != skip {
                return;
            }
        }
    }

    fn get(&self, index: Index) -> Option<&HeldPacket> {
        self.slots.get(index as usize)?.held.as_ref()
    }

    /// Bytes that count for a packet with `data` bytes: its data and its slot.
    const fn cost(data: usize) -> usize {
        data.saturating_add(size_of::<Slot>())
    }
}

/// A position among the held packets; see [`HeldQueue::walk`].
pub(crate) struct Walk(Index);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;

    fn hold(max_count: u32, packets: &[(ConnectionId, Nanos)]) -> HeldQueue {
        let mut hold = HeldQueue::new(max_count, 10_000);
        for &(connection, at) in packets {
            let packet = Packet {
                at,
                connection: Some(connection),
                owner: Owner::Ask,
                direction: Direction::Inbound,
                flags: 0,
                original_length: 10,
                packet_id: None,
                data: &[0; 10],
            };
            let awaited = Awaited { wait: None, otherwise: Err(NoOwner::UnknownSocket) };
            let held = HeldPacket::new(&packet, connection, awaited, 10).expect("there is memory");
            hold.push(held).expect("there is memory");
        }
        hold
    }

    fn walk(hold: &HeldQueue) -> impl Iterator<Item = Nanos> {
        let mut place = hold.walk();
        core::iter::from_fn(move || {
            let at = hold.at(&place)?.at;
            hold.step(&mut place, None);
            Some(at)
        })
    }

    #[test]
    fn packets_leave_in_order_from_anywhere() {
        let mut hold = hold(9, &[(1, 1), (2, 2), (1, 3), (3, 4), (2, 5)]);
        let mut pop = |connection| (hold.pop(connection).map(|held| held.at), hold.oldest());
        assert_eq!(pop(2), (Some(2), Some((1, 1))));
        assert_eq!(pop(1), (Some(1), Some((1, 3))));
        assert_eq!(pop(1), (Some(3), Some((3, 4))));
        assert_eq!(pop(1), (None, Some((3, 4))));
        assert!(walk(&hold).eq([4, 5]));
        assert_eq!((hold.pop(2).map(|held| held.at), hold.newest), (Some(5), hold.oldest));
        assert!(hold.pop(3).is_some());
        assert_eq!((hold.count(), hold.bytes(), hold.lines.len(), hold.oldest()), (0, 0, 0, None));
        assert_eq!((hold.oldest, hold.newest, hold.slots.len()), (NONE, NONE, 5));
    }

    #[test]
    fn room_is_bounded_in_number_and_bytes() {
        let hold = hold(3, &[(1, 1), (1, 2)]);
        let left = hold.max_bytes - hold.bytes() - size_of::<Slot>();
        assert_eq!(
            (hold.has_room(left), hold.has_room(left + 1), hold.can_hold(left + 1)),
            (true, false, true)
        );
        assert_eq!((hold.can_hold(10_000), HeldQueue::new(0, 10_000).can_hold(0)), (false, false));
        assert!(!super::tests::hold(2, &[(1, 1), (1, 2)]).has_room(0));
    }

    #[test]
    fn a_walk_goes_round_what_is_taken_out() {
        let mut hold = hold(9, &[(1, 1), (1, 2), (2, 3), (1, 4), (2, 5)]);
        let mut place = hold.walk();
        hold.step(&mut place, Some(1));
        while hold.pop(1).is_some() {}
        assert_eq!(hold.at(&place).map(|held| held.at), Some(3));
        hold.step(&mut place, Some(2));
        assert!(hold.at(&place).is_none());
        assert!(walk(&hold).eq([3, 5]));
    }
}
