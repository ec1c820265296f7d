//! What becomes of packets that wait until it shows whose they are, and of the open-connection list that can name him.
//! Called by [`Engine::handle`] and by whoever sends that list, under the embedder's one lock.
//!
//! A packet waits if its connection is open, somebody reads, and the sensor says either [`Owner::Ask`], of a connection
//! that nobody is known to own, or [`Owner::Wait`]. Packets that wait for the same leave in order, at the first of these:
//!
//! | what happens | asked | waiting |
//! |---|---|---|
//! | an open event or another packet names the owner | [`Method::Connection`] | stays |
//! | a new open-connection list names the owner | [`Method::Connection`] | stays |
//! | what it waits for | | that process, by the method or [`Method::Reader`] |
//! | the connection is closed, or the last reader detaches | [`NoOwner::UnknownSocket`] | the second part of [`Owner::Wait`] |
//! | it has waited for [`Config::hold_time`](crate::Config::hold_time) | [`NoOwner::HoldExpired`] | the same |
//! | another needs the room, or there is no memory | [`NoOwner::HoldFull`] | the same, or [`NoOwner::HoldFull`] |
//!
//! To make room, the oldest packet of the same connection leaves first, then the oldest of all: a busy connection without
//! an owner pushes out its own packets before others'.
//!
//! A packet that left because its time was over is remembered for a while (`expired`): what it waited for may still
//! happen, and then it is corrected.
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
    Attribution, ConnectionId, Direction, Engine, EventError, Method, Nanos, NoOwner, OpenConnection,
    OpenList, OpenListError, Owner, Packet, ProcessKey, Used, Wait,
    blocks::Role,
    held::datagram_reads::{Lengths, SOONEST, Take},
    held::expired::Expired,
    held::queue::{Awaited, Held, Place},
    readers::correction::Correction,
    statistics::Kind,
    tuple::Tuple,
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
        let mut list = OpenList::new(records, self.max_open_connections)?;
        self.exchange_open_connections(&mut list, now);
        Ok(())
    }

    /// The same with a list that is made already. `list` is then the former one, to be freed without the lock. Takes time in
    /// proportion to the packets held.
    pub fn exchange_open_connections(&mut self, list: &mut OpenList, now: Nanos) {
        self.forget(now);
        core::mem::swap(&mut self.open_list, list);
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
    }

    /// The process that the open-connection list names for packets with this tuple, if it is known as it was then.
    pub(crate) fn listed(&self, tuple: &Tuple) -> Option<ProcessKey> {
        let owner = self.open_list.owner(tuple)?;
        self.processes.get(owner.pid).filter(|known| known.identity.start == owner.start).map(|_| owner)
    }

    /// Lets a packet of an open connection wait.
    pub(crate) fn hold(
        &mut self,
        packet: &Packet<'_>,
        connection: ConnectionId,
        awaited: Awaited,
    ) -> Result<(), EventError> {
        let kept = self.kept(packet.data);
        if self.hold.can_hold(kept) {
            while !self.hold.has_room(kept) {
                let oldest = self.hold.oldest().map_or(connection, |(oldest, _)| oldest);
                let leaves = if self.hold.has(connection) { connection } else { oldest };
                self.give_up_first(leaves, NoOwner::HoldFull);
            }
            if let Ok(held) = Held::new(packet, connection, awaited, kept)
                && self.hold.push(held).is_ok()
            {
                self.counts.held_total += 1;
                return Ok(());
            }
        }
        self.give_up(connection, NoOwner::HoldFull);
        self.expired.forgot(connection, packet.at);
        let attribution = self.still(awaited.given_up(NoOwner::HoldFull), packet.at);
        self.queue(packet, attribution, Role::Plain)
    }

    /// Gives the packets of a connection that wait for its owner to the readers.
    pub(crate) fn release_asked(&mut self, connection: ConnectionId, owner: (ProcessKey, Method)) {
        self.release(connection, Role::Plain, |held| held.awaited.wait.is_none().then_some(Ok(owner)));
    }

    /// Gives up waiting for all packets of a connection.
    pub(crate) fn give_up(&mut self, connection: ConnectionId, reason: NoOwner) {
        self.release(connection, Role::Plain, |held| Some(held.awaited.given_up(reason)));
        self.takes.settle(connection);
        self.expired.forget(connection);
    }

    /// A process used a connection: the packets that waited for just that are its own.
    pub(crate) fn used(&mut self, connection: ConnectionId, process: ProcessKey, used: Used, at: Nanos) {
        let late = self.expired.has(connection);
        if !late && !self.hold.has(connection) {
            return;
        }
        if let Used::NextDatagram { before, length } = used {
            self.datagram_taken(Take { connection, process, length, at }, before);
        } else if late {
            self.used_late(connection, process, used, at);
        }
        let born = self.born(process);
        // Nobody sends before he exists. (Who receives may be younger than what he reads.)
        let unborn =
            |held: &Held| held.direction == Direction::Outbound && born.is_some_and(|born| born > held.at);
        if used == Used::Accepted {
            self.hold.for_each(connection, |held| {
                if held.awaited.wait.is_some() && !unborn(held) {
                    held.awaited.otherwise = Ok((process, Method::Accepted));
                }
            });
        }
        self.release(connection, Role::Read, |held| {
            let method = match (used, held.awaited.wait?) {
                (Used::Accepted, _) => return None,
                (Used::Handshake(accepted), Wait::Handshake(number)) if accepted == number => {
                    Method::Accepted
                }
                (Used::Handshake(_), _) | (_, Wait::Handshake(_)) => return None,
                (Used::Alone, _) | (_, Wait::Use) => Method::LastReceiver,
                (Used::Datagram(read), Wait::Datagram(number)) if read == number => Method::Reader,
                (Used::Stream(read), Wait::Stream(end)) if !is_after(end, read) => Method::Reader,
                _ => return None,
            };
            Some(if unborn(held) { held.awaited.otherwise } else { Ok((process, method)) })
        });
    }

    /// The same, for packets that have waited in vain: they are corrected.
    fn used_late(&mut self, connection: ConnectionId, process: ProcessKey, used: Used, at: Nanos) {
        let settles = |expired: &Expired| match (used, expired.wait) {
            (Used::Alone, Wait::Datagram(_) | Wait::Stream(_)) => true,
            (Used::Handshake(accepted), Wait::Handshake(number)) => accepted == number,
            (Used::Datagram(read), Wait::Datagram(number)) => read == number,
            (Used::Stream(read), Wait::Stream(end)) => !is_after(end, read),
            _ => false,
        };
        let method = if matches!(used, Used::Handshake(_)) { Method::Accepted } else { Method::Reader };
        while let Some(expired) = self.expired.take(connection, settles) {
            self.correct_late(expired, (process, method), at);
        }
    }

    /// What has waited in vain is this process's after all.
    fn correct_late(&mut self, expired: Expired, owner: (ProcessKey, Method), at: Nanos) {
        let Expired { connection, direction, .. } = expired;
        let correction =
            Correction { connection, direction, packets: expired.packets(), attribution: Ok(owner) };
        if self.corrected(&correction, at).is_err() {
            self.counts.lost.add(Kind::Connection);
        }
    }

    /// A process took a datagram out; see [`takes`](crate::held::datagram_reads).
    fn datagram_taken(&mut self, take: Take, before: u64) {
        let Take { connection, at, .. } = take;
        self.takes.add(take, at.saturating_sub(self.hold_time));
        let gone = move |wait: Option<Wait>, came: Nanos| {
            matches!(wait, Some(Wait::Datagram(number)) if number < before)
                && came.saturating_add(SOONEST) <= at
        };
        let held_gone = move |held: &Held| gone(held.awaited.wait, held.at);
        let late_gone = move |late: &Expired| gone(Some(late.wait), late.at);
        // Where it was read long ago, the read was not reported.
        self.expired.see_gone(connection, at, late_gone);
        let mut lengths = Lengths::default();
        let count = self.expired.count(connection, late_gone);
        self.hold.for_each(connection, |held| {
            if held_gone(held) {
                lengths.add(held.payload());
            }
        });
        let count = count + lengths.count();
        let is_known = !self.expired.has_forgotten(connection, at.saturating_sub(self.hold_time));
        if is_known && count > self.takes.count(connection) {
            return;
        }
        self.expired.count(connection, |late| {
            if late_gone(late) {
                lengths.add(late.payload);
            }
            false
        });
        let takes = core::mem::take(&mut self.takes);
        let reader = |length: Option<u32>| {
            let reader = takes.reader(connection, length, lengths.alike(length));
            Some((reader.filter(|_| is_known)?, Method::Reader))
        };
        let mut place = Place::begin();
        while let Some(held) = self.hold.take(connection, &mut place, held_gone) {
            let attribution = reader(held.payload()).map_or(held.awaited.otherwise, Ok);
            self.leave(&held, attribution, Role::Read);
        }
        while let Some(late) = self.expired.take(connection, late_gone) {
            if let Some(reader) = reader(late.payload) {
                self.correct_late(late, reader, at);
            }
        }
        self.takes = takes;
        self.takes.settle(connection);
    }

    /// Nobody will read a datagram.
    pub(crate) fn datagram_dropped(&mut self, connection: ConnectionId, dropped: u64) {
        self.expired.take(connection, |expired| expired.wait == Wait::Datagram(dropped));
        self.release(connection, Role::Plain, |held| match held.awaited.wait {
            Some(Wait::Datagram(number)) if number == dropped => Some(held.awaited.otherwise),
            _ => None,
        });
    }

    /// Gives those packets held of a connection to the readers whose attribution is known. `role`: what they are to the
    /// order of blocks, if they are received.
    pub(crate) fn release(
        &mut self,
        connection: ConnectionId,
        role: Role,
        known: impl Fn(&Held) -> Option<Attribution>,
    ) {
        let mut place = Place::begin();
        while let Some(held) = self.hold.take(connection, &mut place, |held| known(held).is_some()) {
            if let Some(attribution) = known(&held) {
                self.leave(&held, attribution, role);
            }
        }
    }

    /// When the first event of a process was; `None` if it is not known.
    fn born(&self, process: ProcessKey) -> Option<Nanos> {
        let known = self.processes.get(process.pid)?.identity;
        (known.start == process.start).then_some(known.born)
    }

    /// The attribution of a packet that has waited in vain: a process that had ended before cannot have it, unless it is an
    /// answer to what that process has sent.
    fn still(&self, attribution: Attribution, at: Nanos) -> Attribution {
        let (process, method) = attribution?;
        match self.processes.get(process.pid) {
            Some(known)
                if method != Method::LastSender
                    && known.identity.start == process.start
                    && known.ended.is_some_and(|ended| ended < at) =>
            {
                Err(NoOwner::Shared)
            }
            _ => attribution,
        }
    }

    /// Gives up packets that have waited too long at `now`, some at a time.
    pub(crate) fn expire_held(&mut self, now: Nanos) {
        for _ in 0..EXPIRE_AT_ONCE {
            match self.hold.oldest() {
                // A clock set back must not make anything wait for ever.
                Some((connection, at)) if now.abs_diff(at) >= self.hold_time => {
                    self.give_up_first(connection, NoOwner::HoldExpired);
                }
                _ => return,
            }
        }
    }

    /// Gives up waiting for all packets held: for the end of a recording, so that they are still in it. Also done when
    /// nobody reads any more.
    pub fn release_held(&mut self) {
        while let Some((connection, _)) = self.hold.oldest() {
            self.give_up(connection, NoOwner::UnknownSocket);
        }
    }

    /// Gives up the first packet of a connection.
    fn give_up_first(&mut self, connection: ConnectionId, reason: NoOwner) {
        if let Some(held) = self.hold.pop(connection) {
            if let Some(expired) = held.awaited.wait.and_then(|wait| Expired::new(&held, wait)) {
                self.expired.add(expired);
            }
            self.leave(&held, held.awaited.given_up(reason), Role::Plain);
        }
    }

    /// A packet that was held goes to the readers.
    fn leave(&mut self, held: &Held, attribution: Attribution, role: Role) {
        let attribution = self.still(attribution, held.at);
        if attribution.is_ok() {
            self.counts.held_attributed += 1;
        } else {
            self.counts.held_unattributed += 1;
        }
        let &Held { at, connection, direction, flags, original_length, ref data, .. } = held;
        let (connection, owner) = (Some(connection), Owner::Ask);
        let packet = Packet { at, connection, owner, direction, flags, original_length, data };
        // What is sent was sent before, whatever its process has executed since.
        let role = if direction == Direction::Inbound { role } else { Role::Plain };
        if self.queue(&packet, attribution, role).is_err() {
            self.counts.lost.add(Kind::Packet);
        }
    }
}

/// Whether one sequence number is behind another, modulo 2^32 (RFC 9293, section 3.4).
const fn is_after(one: u32, other: u32) -> bool {
    other.wrapping_sub(one) > u32::MAX / 2
}
