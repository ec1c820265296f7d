//! Attributes held and expired packets when a process uses their connection or the sensor corrects them. Called by the
//! engine, under the embedder's one lock.

use crate::{
    ConnectionId, Direction, EventError, Method, Nanos, ProcessKey, Used, Wait,
    blocks::Role,
    held::{
        Policy,
        datagram_reads::{DatagramRead, Lengths, SOONEST},
        expired::Expired,
        queue::{Cursor, HeldPacket},
    },
    readers::correction::Correction,
    statistics::Kind,
};

impl Policy<'_> {
    /// A process used a connection: it owns the packets that waited for that use.
    pub(crate) fn used(&mut self, connection: ConnectionId, process: ProcessKey, used: Used, at: Nanos) {
        let late = self.held.expired.has(connection);
        if !late && !self.held.queue.has(connection) {
            return;
        }
        if let Used::NextDatagram { before, length } = used {
            self.datagram_read(DatagramRead { connection, process, length, at }, before);
        } else if late {
            self.used_late(connection, process, used, at);
        }
        let born = self.tables.same_process(process).map(|known| known.identity.born);
        // No process sends before it exists. (A receiver may be younger than what it reads.)
        let unborn = |held: &HeldPacket| {
            held.direction == Direction::Outbound && born.is_some_and(|born| born > held.at)
        };
        if used == Used::Accepted {
            self.held.queue.for_each(connection, |held| {
                if held.awaited.wait.is_some() && !unborn(held) {
                    held.awaited.otherwise = Ok((process, Method::Accepted));
                }
            });
        }
        self.hand_over(connection, Role::Read, |held| {
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

    /// A process used a connection of which packets have expired: corrects those that waited for that use.
    fn used_late(&mut self, connection: ConnectionId, process: ProcessKey, used: Used, at: Nanos) {
        let settles = |expired: &Expired| match (used, expired.wait) {
            (Used::Alone, Wait::Datagram(_) | Wait::Stream(_)) => true,
            (Used::Handshake(accepted), Wait::Handshake(number)) => accepted == number,
            (Used::Datagram(read), Wait::Datagram(number)) => read == number,
            (Used::Stream(read), Wait::Stream(end)) => !is_after(end, read),
            _ => false,
        };
        let method = if matches!(used, Used::Handshake(_)) { Method::Accepted } else { Method::Reader };
        while let Some(expired) = self.held.expired.take(connection, settles) {
            self.correct_late(expired, (process, method), at);
        }
    }

    /// Corrects packets. Held ones leave with the right attribution; for queued ones see
    /// [`Queues::correct`](crate::readers::queues::Queues::correct).
    pub(crate) fn correct(&mut self, correction: &Correction, at: Nanos) -> Result<(), EventError> {
        let &Correction { connection, attribution, .. } = correction;
        let known = |held: &HeldPacket| correction.is_about_held(held).then_some(attribution);
        self.hand_over(connection, Role::Read, known);
        self.queues.correct(correction, at)
    }

    /// Corrects an expired packet: this process owns it.
    fn correct_late(&mut self, expired: Expired, owner: (ProcessKey, Method), at: Nanos) {
        let Expired { connection, direction, .. } = expired;
        let correction =
            Correction { connection, direction, packets: expired.packets(), attribution: Ok(owner) };
        if self.correct(&correction, at).is_err() {
            Kind::Connection.count(&mut self.queues.counts.lost);
        }
    }

    /// A process read a datagram; see [`datagram_reads`](crate::held::datagram_reads).
    fn datagram_read(&mut self, new: DatagramRead, before: u64) {
        let DatagramRead { connection, at, .. } = new;
        self.held.reads.add(new, at.saturating_sub(self.held.hold_time));
        let gone = move |wait: Option<Wait>, came: Nanos| {
            matches!(wait, Some(Wait::Datagram(number)) if number < before)
                && came.saturating_add(SOONEST) <= at
        };
        let held_gone = move |held: &HeldPacket| gone(held.awaited.wait, held.at);
        let late_gone = move |late: &Expired| gone(Some(late.wait), late.at);
        // A datagram that was read long ago is forgotten: its read is never reported.
        self.held.expired.see_gone(connection, at, late_gone);
        let mut lengths = Lengths::default();
        let count = self.held.expired.count(connection, late_gone);
        self.held.queue.for_each(connection, |held| {
            if held_gone(held) {
                lengths.add(held.payload());
            }
        });
        let count = count + lengths.count();
        let is_known = !self.held.expired.has_forgotten(connection, at.saturating_sub(self.held.hold_time));
        if is_known && count > self.held.reads.count(connection) {
            return;
        }
        self.held.expired.count(connection, |late| {
            if late_gone(late) {
                lengths.add(late.payload);
            }
            false
        });
        let reads = core::mem::take(&mut self.held.reads);
        let reader = |length: Option<u32>| {
            let reader = reads.reader(connection, length, lengths.alike(length));
            Some((reader.filter(|_| is_known)?, Method::Reader))
        };
        let mut cursor = Cursor::start();
        while let Some(held) = self.held.queue.take(connection, &mut cursor, held_gone) {
            let attribution = reader(held.payload()).map_or(held.awaited.otherwise, Ok);
            self.leave(&held, attribution, Role::Read);
        }
        while let Some(late) = self.held.expired.take(connection, late_gone) {
            if let Some(reader) = reader(late.payload) {
                self.correct_late(late, reader, at);
            }
        }
        self.held.reads = reads;
        self.held.reads.settle(connection);
    }

    /// A datagram was dropped, so no process will read it. Its packet leaves if it is held.
    pub(crate) fn datagram_dropped(&mut self, connection: ConnectionId, dropped: u64) {
        self.held.expired.take(connection, |expired| expired.wait == Wait::Datagram(dropped));
        self.hand_over(connection, Role::Plain, |held| match held.awaited.wait {
            Some(Wait::Datagram(number)) if number == dropped => Some(held.awaited.otherwise),
            _ => None,
        });
    }
}

/// Whether the sequence number `one` is greater than `other`, modulo 2^32 (RFC 9293, section 3.4).
const fn is_after(one: u32, other: u32) -> bool {
    other.wrapping_sub(one) > u32::MAX / 2
}
