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
    Attribution, Config, ConnectionId, Direction, EventError, Method, Nanos, NoOwner, Owner, Packet,
    ProcessKey, Statistics, Used, Wait,
    blocks::Role,
    held::{
        datagram_reads::{DatagramRead, DatagramReads, Lengths, SOONEST},
        expired::{Expired, ExpiredPackets},
        queue::{Awaited, Cursor, HeldPacket, HeldQueue},
    },
    readers::{correction::Correction, queues::Queues},
    statistics::Kind,
    tables::Tables,
};

/// Most packets given up in one call because their time is over, so that no call takes long. One call holds at most one.
const EXPIRE_AT_ONCE: usize = 64;

/// The packets that wait, and what is remembered of those that have waited.
pub(crate) struct HeldPackets {
    queue: HeldQueue,
    /// How long a packet is held at most.
    hold_time: Nanos,
    /// Packets that have waited in vain.
    expired: ExpiredPackets,
    /// Reads of datagrams of which it is not known yet which datagrams they took.
    reads: DatagramReads,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    total: u64,
    attributed: u64,
    unattributed: u64,
}

impl HeldPackets {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            queue: HeldQueue::new(config.max_held_packets, config.max_held_bytes),
            hold_time: config.hold_time,
            expired: ExpiredPackets::default(),
            reads: DatagramReads::default(),
            counts: Counts::default(),
        }
    }

    /// `counts`, with what was and is held.
    pub(crate) const fn statistics(&self, counts: Statistics) -> Statistics {
        Statistics {
            held_total: self.counts.total,
            held_attributed: self.counts.attributed,
            held_unattributed: self.counts.unattributed,
            held: self.queue.count() as u64,
            held_bytes: self.queue.bytes() as u64,
            ..counts
        }
    }

    /// Whether packets are held at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.hold_time > 0
    }

    pub(crate) const fn queue(&self) -> &HeldQueue {
        &self.queue
    }

    /// When the next packet has waited for its time; `None` if none is held.
    pub(crate) fn next_expiry(&self) -> Option<Nanos> {
        self.queue.oldest().map(|(_, at)| at.saturating_add(self.hold_time))
    }

    /// Lets a packet of an open connection wait.
    pub(crate) fn hold(
        &mut self,
        packet: &Packet<'_>,
        connection: ConnectionId,
        awaited: Awaited,
        tables: &Tables,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let kept = queues.kept(packet.data);
        if self.queue.can_hold(kept) {
            while !self.queue.has_room(kept) {
                let oldest = self.queue.oldest().map_or(connection, |(oldest, _)| oldest);
                let leaves = if self.queue.has(connection) { connection } else { oldest };
                self.give_up_first(leaves, NoOwner::HoldFull, tables, queues);
            }
            if let Ok(held) = HeldPacket::new(packet, connection, awaited, kept)
                && self.queue.push(held).is_ok()
            {
                self.counts.total += 1;
                return Ok(());
            }
        }
        self.give_up(connection, NoOwner::HoldFull, tables, queues);
        self.expired.forgot(connection, packet.at);
        let attribution = still_owned(awaited.given_up(NoOwner::HoldFull), packet.at, tables);
        queues.queue(packet, attribution, Role::Plain)
    }

    /// Gives the packets of a connection that wait for its owner to the readers.
    pub(crate) fn hand_over_asked(
        &mut self,
        connection: ConnectionId,
        owner: (ProcessKey, Method),
        tables: &Tables,
        queues: &mut Queues,
    ) {
        self.hand_over(
            connection,
            Role::Plain,
            |held| held.awaited.wait.is_none().then_some(Ok(owner)),
            tables,
            queues,
        );
    }

    /// Gives up waiting for all packets of a connection.
    pub(crate) fn give_up(
        &mut self,
        connection: ConnectionId,
        reason: NoOwner,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        self.hand_over(connection, Role::Plain, |held| Some(held.awaited.given_up(reason)), tables, queues);
        self.reads.settle(connection);
        self.expired.forget(connection);
    }

    /// A process used a connection: the packets that waited for just that are its own.
    pub(crate) fn used(
        &mut self,
        connection: ConnectionId,
        process: ProcessKey,
        used: Used,
        at: Nanos,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        let late = self.expired.has(connection);
        if !late && !self.queue.has(connection) {
            return;
        }
        if let Used::NextDatagram { before, length } = used {
            self.datagram_taken(DatagramRead { connection, process, length, at }, before, tables, queues);
        } else if late {
            self.used_late(connection, process, used, at, tables, queues);
        }
        let born = tables.same_process(process).map(|known| known.identity.born);
        // Nobody sends before he exists. (Who receives may be younger than what he reads.)
        let unborn = |held: &HeldPacket| {
            held.direction == Direction::Outbound && born.is_some_and(|born| born > held.at)
        };
        if used == Used::Accepted {
            self.queue.for_each(connection, |held| {
                if held.awaited.wait.is_some() && !unborn(held) {
                    held.awaited.otherwise = Ok((process, Method::Accepted));
                }
            });
        }
        self.hand_over(
            connection,
            Role::Read,
            |held| {
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
            },
            tables,
            queues,
        );
    }

    /// The same, for packets that have waited in vain: they are corrected.
    fn used_late(
        &mut self,
        connection: ConnectionId,
        process: ProcessKey,
        used: Used,
        at: Nanos,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        let settles = |expired: &Expired| match (used, expired.wait) {
            (Used::Alone, Wait::Datagram(_) | Wait::Stream(_)) => true,
            (Used::Handshake(accepted), Wait::Handshake(number)) => accepted == number,
            (Used::Datagram(read), Wait::Datagram(number)) => read == number,
            (Used::Stream(read), Wait::Stream(end)) => !is_after(end, read),
            _ => false,
        };
        let method = if matches!(used, Used::Handshake(_)) { Method::Accepted } else { Method::Reader };
        while let Some(expired) = self.expired.take(connection, settles) {
            self.correct_late(expired, (process, method), at, tables, queues);
        }
    }

    /// Corrects packets: held ones leave with the right attribution, queued ones are queued anew.
    pub(crate) fn correct(
        &mut self,
        correction: &Correction,
        at: Nanos,
        tables: &Tables,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let &Correction { connection, attribution, .. } = correction;
        let known = |held: &HeldPacket| correction.is_about_held(held).then_some(attribution);
        self.hand_over(connection, Role::Read, known, tables, queues);
        queues.correct(correction, at)
    }

    /// A packet that has waited in vain is this process's after all.
    fn correct_late(
        &mut self,
        expired: Expired,
        owner: (ProcessKey, Method),
        at: Nanos,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        let Expired { connection, direction, .. } = expired;
        let correction =
            Correction { connection, direction, packets: expired.packets(), attribution: Ok(owner) };
        if self.correct(&correction, at, tables, queues).is_err() {
            queues.counts.lost.add(Kind::Connection);
        }
    }

    /// A process took a datagram out; see [`takes`](crate::held::datagram_reads).
    fn datagram_taken(&mut self, taken: DatagramRead, before: u64, tables: &Tables, queues: &mut Queues) {
        let DatagramRead { connection, at, .. } = taken;
        self.reads.add(taken, at.saturating_sub(self.hold_time));
        let gone = move |wait: Option<Wait>, came: Nanos| {
            matches!(wait, Some(Wait::Datagram(number)) if number < before)
                && came.saturating_add(SOONEST) <= at
        };
        let held_gone = move |held: &HeldPacket| gone(held.awaited.wait, held.at);
        let late_gone = move |late: &Expired| gone(Some(late.wait), late.at);
        // Where it was read long ago, the read was not reported.
        self.expired.see_gone(connection, at, late_gone);
        let mut lengths = Lengths::default();
        let count = self.expired.count(connection, late_gone);
        self.queue.for_each(connection, |held| {
            if held_gone(held) {
                lengths.add(held.payload());
            }
        });
        let count = count + lengths.count();
        let is_known = !self.expired.has_forgotten(connection, at.saturating_sub(self.hold_time));
        if is_known && count > self.reads.count(connection) {
            return;
        }
        self.expired.count(connection, |late| {
            if late_gone(late) {
                lengths.add(late.payload);
            }
            false
        });
        let reads = core::mem::take(&mut self.reads);
        let reader = |length: Option<u32>| {
            let reader = reads.reader(connection, length, lengths.alike(length));
            Some((reader.filter(|_| is_known)?, Method::Reader))
        };
        let mut cursor = Cursor::start();
        while let Some(held) = self.queue.take(connection, &mut cursor, held_gone) {
            let attribution = reader(held.payload()).map_or(held.awaited.otherwise, Ok);
            self.leave(&held, attribution, Role::Read, tables, queues);
        }
        while let Some(late) = self.expired.take(connection, late_gone) {
            if let Some(reader) = reader(late.payload) {
                self.correct_late(late, reader, at, tables, queues);
            }
        }
        self.reads = reads;
        self.reads.settle(connection);
    }

    /// Nobody will read a datagram.
    pub(crate) fn datagram_dropped(
        &mut self,
        connection: ConnectionId,
        dropped: u64,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        self.expired.take(connection, |expired| expired.wait == Wait::Datagram(dropped));
        self.hand_over(
            connection,
            Role::Plain,
            |held| match held.awaited.wait {
                Some(Wait::Datagram(number)) if number == dropped => Some(held.awaited.otherwise),
                _ => None,
            },
            tables,
            queues,
        );
    }

    /// Gives those packets held of a connection to the readers whose attribution is known. `role`: what they are to the
    /// order of blocks, if they are received.
    pub(crate) fn hand_over(
        &mut self,
        connection: ConnectionId,
        role: Role,
        known: impl Fn(&HeldPacket) -> Option<Attribution>,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        let mut cursor = Cursor::start();
        while let Some(held) = self.queue.take(connection, &mut cursor, |held| known(held).is_some()) {
            if let Some(attribution) = known(&held) {
                self.leave(&held, attribution, role, tables, queues);
            }
        }
    }

    /// Gives up packets that have waited too long at `now`, some at a time.
    pub(crate) fn expire(&mut self, now: Nanos, tables: &Tables, queues: &mut Queues) {
        for _ in 0..EXPIRE_AT_ONCE {
            match self.queue.oldest() {
                // A clock set back must not make anything wait for ever.
                Some((connection, at)) if now.abs_diff(at) >= self.hold_time => {
                    self.give_up_first(connection, NoOwner::HoldExpired, tables, queues);
                }
                _ => return,
            }
        }
    }

    /// Gives up waiting for all packets.
    pub(crate) fn give_up_all(&mut self, tables: &Tables, queues: &mut Queues) {
        while let Some((connection, _)) = self.queue.oldest() {
            self.give_up(connection, NoOwner::UnknownSocket, tables, queues);
        }
    }

    /// Gives up waiting for the first packet of a connection.
    fn give_up_first(
        &mut self,
        connection: ConnectionId,
        reason: NoOwner,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        if let Some(held) = self.queue.pop(connection) {
            if let Some(expired) = held.awaited.wait.and_then(|wait| Expired::new(&held, wait)) {
                self.expired.add(expired);
            }
            self.leave(&held, held.awaited.given_up(reason), Role::Plain, tables, queues);
        }
    }

    /// A packet that was held goes to the readers.
    fn leave(
        &mut self,
        held: &HeldPacket,
        attribution: Attribution,
        role: Role,
        tables: &Tables,
        queues: &mut Queues,
    ) {
        let attribution = still_owned(attribution, held.at, tables);
        if attribution.is_ok() {
            self.counts.attributed += 1;
        } else {
            self.counts.unattributed += 1;
        }
        let &HeldPacket { at, connection, direction, flags, original_length, ref data, .. } = held;
        let (connection, owner) = (Some(connection), Owner::Ask);
        let packet = Packet { at, connection, owner, direction, flags, original_length, data };
        // What is sent was sent before, whatever its process has executed since.
        let role = if direction == Direction::Inbound { role } else { Role::Plain };
        if queues.queue(&packet, attribution, role).is_err() {
            queues.counts.lost.add(Kind::Packet);
        }
    }
}

/// Whether one sequence number is behind another, modulo 2^32 (RFC 9293, section 3.4).
const fn is_after(one: u32, other: u32) -> bool {
    other.wrapping_sub(one) > u32::MAX / 2
}

/// The attribution of a packet that leaves now: a process that had ended before the packet came does not own it, unless the
/// packet answers what that process has sent.
fn still_owned(attribution: Attribution, at: Nanos, tables: &Tables) -> Attribution {
    let (process, method) = attribution?;
    let had_ended =
        tables.same_process(process).is_some_and(|known| known.ended.is_some_and(|ended| ended < at));
    if had_ended && method != Method::LastSender { Err(NoOwner::Shared) } else { attribution }
}
