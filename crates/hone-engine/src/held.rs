//! What becomes of packets that wait for their connection's owner, and of the open-connection list that can name him.
//! Called by [`Engine::handle`] and by whoever sends that list, under the embedder's one lock.
//!
//! A packet waits if the sensor says [`Owner::Ask`], its connection is open, nobody is known to own
//! it, and somebody reads. It leaves, in the order of its connection, at the first of these:
//!
//! | what happens | how it is attributed |
//! |---|---|
//! | an open event or another packet names the owner | [`Method::Connection`](crate::Method::Connection) |
//! | a new open-connection list names the owner | [`Method::Connection`](crate::Method::Connection) |
//! | the connection is closed, or the last reader detaches | [`NoOwner::UnknownSocket`] |
//! | it has waited for [`Config::hold_time`](crate::Config::hold_time) | [`NoOwner::HoldExpired`] |
//! | another needs the room, or there is no memory | [`NoOwner::HoldFull`] |
//!
//! To make room, the oldest packet of the same connection leaves first, then the oldest of all: a busy connection without
//! an owner pushes out its own packets before others'.
//!
//! A packet that leaves goes to the readers attached then, with the filters they have then, and into the section that is
//! being queued then, though it may be older than the section's beginning. A recording that is to miss none of its last
//! packets goes on reading for the hold time.
//!
//! Packets of the connection that the sensor itself attributes, to nobody for example, do not wait behind those held.
//!
//! A call releases at most the packets held of one connection, and as many others as it takes to make room for one:
//! never more than [`Config::max_held_packets`](crate::Config::max_held_packets).

use crate::{
    ConnectionId, Engine, EventError, Nanos, NoOwner, OpenConnection, OpenListError, Owner, Packet,
    ProcessKey, hold::Held, packet::Attribution, statistics::Kind, tuple::Tuple,
};

/// Most packets given up in one call because their time is over, so that no call takes long. One call holds at most one.
const EXPIRE_AT_ONCE: usize = 64;

impl Engine {
    /// Replaces the open-connection list with `records` and gives the connections of the packets held their owners.
    /// The list names the process of packets for which the sensor says [`Owner::Ask`] and whose
    /// connection has no owner; the connection is then that process's. Takes time in proportion to the records and the
    /// packets held.
    ///
    /// # Errors
    /// There are more than [`Config::max_open_connections`](crate::Config::max_open_connections) records, or there is no memory. The list stays as it was.
    pub fn set_open_connections(
        &mut self,
        records: &[OpenConnection],
        now: Nanos,
    ) -> Result<(), OpenListError> {
        self.expire(now);
        self.open_list.replace(records)?;
        let mut place = self.hold.walk();
        while let Some(held) = self.hold.at(&place) {
            let connection = held.connection;
            let Some(owner) = held.tuple.and_then(|tuple| self.listed(&tuple)) else {
                self.hold.step(&mut place, None);
                continue;
            };
            self.hold.step(&mut place, Some(connection));
            self.learn(connection, Some(owner), now);
        }
        Ok(())
    }

    /// The process that the open-connection list names for packets with this tuple, if it is known as it was then.
    pub(crate) fn listed(&self, tuple: &Tuple) -> Option<ProcessKey> {
        let owner = self.open_list.owner(tuple)?;
        self.processes.get(owner.pid).filter(|known| known.identity == owner.start).map(|_| owner)
    }

    /// Lets a packet of an open connection wait.
    pub(crate) fn hold(&mut self, packet: &Packet<'_>, connection: ConnectionId) -> Result<(), EventError> {
        let kept = self.kept(packet.data);
        if self.hold.can_hold(kept) {
            while !self.hold.has_room(kept) {
                let oldest = self.hold.oldest().map_or(connection, |(oldest, _)| oldest);
                let leaves = if self.hold.has(connection) { connection } else { oldest };
                self.release_first(leaves, Err(NoOwner::HoldFull));
            }
            if let Ok(held) = Held::new(packet, connection, kept)
                && self.hold.push(held).is_ok()
            {
                self.counts.held_total += 1;
                return Ok(());
            }
        }
        self.release(connection, Err(NoOwner::HoldFull));
        self.queue(packet, Err(NoOwner::HoldFull))
    }

    /// Gives all packets held of a connection to the readers.
    pub(crate) fn release(&mut self, connection: ConnectionId, attribution: Attribution) {
        while self.release_first(connection, attribution) {}
    }

    /// Gives up packets that have waited too long at `now`, some at a time.
    pub(crate) fn expire_held(&mut self, now: Nanos) {
        for _ in 0..EXPIRE_AT_ONCE {
            match self.hold.oldest() {
                // A clock set back must not make anything wait for ever.
                Some((connection, at)) if now.abs_diff(at) >= self.hold_time => {
                    self.release_first(connection, Err(NoOwner::HoldExpired));
                }
                _ => return,
            }
        }
    }

    /// Gives up all packets held, because nobody reads any more.
    pub(crate) fn release_all(&mut self) {
        while let Some((connection, _)) = self.hold.oldest() {
            self.release(connection, Err(NoOwner::UnknownSocket));
        }
    }

    /// Whether there was one.
    fn release_first(&mut self, connection: ConnectionId, attribution: Attribution) -> bool {
        let Some(held) = self.hold.pop(connection) else { return false };
        if attribution.is_ok() {
            self.counts.held_attributed += 1;
        } else {
            self.counts.held_unattributed += 1;
        }
        let Held { at, connection, direction, flags, original_length, ref data, .. } = held;
        let (connection, owner) = (Some(connection), Owner::Ask);
        let packet = Packet { at, connection, owner, direction, flags, original_length, data };
        if self.queue(&packet, attribution).is_err() {
            self.counts.lost.add(Kind::Packet);
        }
        true
    }
}
