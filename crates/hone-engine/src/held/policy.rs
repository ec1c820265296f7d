//! When a packet is held and when it leaves. Called by the engine, under the embedder's one lock.
//!
//! A packet is held if its connection is open, there is a reader, and the sensor reports either [`Owner::Ask`], for a
//! connection without a known owner, or [`Owner::Wait`]. It leaves at the first of the following events. Packets that
//! wait for the same event leave in the order in which they came. The table shows the attribution that a packet gets;
//! the second part is that of [`Owner::Wait`], the attribution if the awaited event does not come:
//!
//! | event | `Ask` | `Wait` |
//! |---|---|---|
//! | an open event or another packet names the owner | [`Method::Connection`] | stays |
//! | a new open-connection list names the owner | [`Method::Connection`] | stays |
//! | the use that it waits for (`used`) | | the process that used the connection |
//! | the connection is closed, or the last reader detaches | [`NoOwner::UnknownSocket`] | the second part |
//! | it expires: it has waited for the hold time | [`NoOwner::HoldExpired`] | the second part |
//! | it is evicted, or there is no memory | [`NoOwner::HoldFull`] | the same, or `HoldFull` without a process |
//!
//! To make room, the oldest packet of the same connection is evicted first; if there is none, the oldest of all. So a
//! busy connection without an owner evicts its own packets before those of others.
//!
//! A packet that has expired is remembered for a while (`expired`): the event that it waited for may still come, and
//! then the packet is corrected.
//!
//! A packet that leaves is queued for the readers that are attached at that moment, with the filters that they have at
//! that moment. It goes into the section that blocks are queued for at that moment, though it may be older than the
//! section's beginning. A recording that must include all its last packets continues to read for the hold time.
//!
//! Packets of the same connection that the sensor itself attributes, to a process or to none, do not wait behind held
//! ones.
//!
//! In one call, the held packets of at most one connection leave, and as many others as are evicted to make room for
//! one packet: never more than [`Config::max_held_packets`](crate::Config::max_held_packets).

use crate::{
    Attribution, ConnectionId, Direction, EventError, Method, Nanos, NoOwner, Owner, Packet, ProcessKey,
    blocks::Role,
    held::{
        Policy,
        expired::Expired,
        queue::{Awaited, Cursor, HeldPacket},
    },
    statistics::Kind,
    tables::Tables,
};

/// Most packets that expire in one call, which keeps a call short. One call adds at most one held packet.
const EXPIRE_AT_ONCE: usize = 64;

impl Policy<'_> {
    /// Holds a packet of an open connection, or queues it at once if it cannot be held.
    pub(crate) fn hold(
        &mut self,
        packet: &Packet<'_>,
        connection: ConnectionId,
        awaited: Awaited,
    ) -> Result<(), EventError> {
        let kept = self.queues.kept(packet.data);
        if self.held.queue.can_hold(kept) {
            while !self.held.queue.has_room(kept) {
                let oldest = self.held.queue.oldest().map_or(connection, |(oldest, _)| oldest);
                let leaves = if self.held.queue.has(connection) { connection } else { oldest };
                self.give_up_first(leaves, NoOwner::HoldFull);
            }
            if let Ok(held) = HeldPacket::new(packet, connection, awaited, kept)
                && self.held.queue.push(held).is_ok()
            {
                self.held.counts.total += 1;
                return Ok(());
            }
        }
        self.give_up(connection, NoOwner::HoldFull);
        self.held.expired.forgot(connection, packet.at);
        let attribution = still_owned(awaited.given_up(NoOwner::HoldFull), packet.at, self.tables);
        self.queues.queue(packet, attribution, Role::Plain, self.tables)
    }

    /// Queues the packets of a connection with [`Owner::Ask`], now that the connection's owner is known.
    pub(crate) fn hand_over_asked(&mut self, connection: ConnectionId, owner: (ProcessKey, Method)) {
        self.hand_over(connection, Role::Plain, |held| held.awaited.wait.is_none().then_some(Ok(owner)));
    }

    /// Queues all held packets of a connection without waiting longer, for this reason.
    pub(crate) fn give_up(&mut self, connection: ConnectionId, reason: NoOwner) {
        self.hand_over(connection, Role::Plain, |held| Some(held.awaited.given_up(reason)));
        self.held.reads.settle(connection);
        self.held.expired.forget(connection);
    }

    /// Queues those held packets of a connection for which `known` returns an attribution. `role` is the [`Role`] of
    /// received packets; sent ones are [`Role::Plain`].
    pub(super) fn hand_over(
        &mut self,
        connection: ConnectionId,
        role: Role,
        known: impl Fn(&HeldPacket) -> Option<Attribution>,
    ) {
        let mut cursor = Cursor::start();
        while let Some(held) = self.held.queue.take(connection, &mut cursor, |held| known(held).is_some()) {
            if let Some(attribution) = known(&held) {
                self.leave(&held, attribution, role);
            }
        }
    }

    /// Expires packets that have waited long enough at `now`, at most [`EXPIRE_AT_ONCE`].
    pub(crate) fn expire(&mut self, now: Nanos) {
        for _ in 0..EXPIRE_AT_ONCE {
            match self.held.queue.oldest() {
                // The difference in both directions: a packet must not wait for ever when the clock was set back.
                Some((connection, at)) if now.abs_diff(at) >= self.held.hold_time => {
                    self.give_up_first(connection, NoOwner::HoldExpired);
                }
                _ => return,
            }
        }
    }

    /// Queues all held packets without waiting longer.
    pub(crate) fn give_up_all(&mut self) {
        while let Some((connection, _)) = self.held.queue.oldest() {
            self.give_up(connection, NoOwner::UnknownSocket);
        }
    }

    /// Queues the first held packet of a connection without waiting longer, and remembers it for a later correction.
    fn give_up_first(&mut self, connection: ConnectionId, reason: NoOwner) {
        if let Some(held) = self.held.queue.pop(connection) {
            if let Some(expired) = held.awaited.wait.and_then(|wait| Expired::new(&held, wait)) {
                self.held.expired.add(expired);
            }
            self.leave(&held, held.awaited.given_up(reason), Role::Plain);
        }
    }

    /// Queues a packet that was held, and counts it.
    pub(super) fn leave(&mut self, held: &HeldPacket, attribution: Attribution, role: Role) {
        let attribution = still_owned(attribution, held.at, self.tables);
        if attribution.is_ok() {
            self.held.counts.attributed += 1;
        } else {
            self.held.counts.unattributed += 1;
        }
        let &HeldPacket { at, connection, direction, flags, original_length, packet_id, ref data, .. } = held;
        let (connection, owner) = (Some(connection), Owner::Ask);
        let packet = Packet { at, connection, owner, direction, flags, original_length, packet_id, data };
        // A sent packet comes before any program that its process executed later.
        let role = if direction == Direction::Inbound { role } else { Role::Plain };
        if self.queues.queue(&packet, attribution, role, self.tables).is_err() {
            Kind::Packet.count(&mut self.queues.counts.lost);
        }
    }
}

/// The attribution of a packet that leaves now. A process that had ended before the packet came does not own it, unless
/// the packet answers one that the process sent.
fn still_owned(attribution: Attribution, at: Nanos, tables: &Tables) -> Attribution {
    let (process, method) = attribution?;
    let had_ended =
        tables.same_process(process).is_some_and(|known| known.ended().is_some_and(|ended| ended < at));
    if had_ended && method != Method::LastSender { Err(NoOwner::Shared) } else { attribution }
}
