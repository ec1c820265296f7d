//! The reference model's packets: their attribution, how they are held, and how they are queued for readers.

use std::borrow::Cow;

use hone_engine::{Corrected, Direction, Method, NoOwner, Owner, ProcessKey, Used, Wait};
use hone_pcapng::{Block, ConnectionEvent, ConnectionEventKind, Correction, Packet, ProcessThread};

use super::{
    Attribution, HEADERS, Kind, Listed, Model, ORIGINAL, Seen, Take, data, emit,
    reader::{Live, Reader},
};

impl Seen {
    /// Sequence number of the first payload byte, and the payload's length; `None`: the kept bytes end before.
    fn span(&self) -> Option<(u32, u32)> {
        (self.kept >= 34).then_some((self.port.into(), ORIGINAL - 20))
    }

    /// The attribution of a packet that cannot wait any longer, for `reason`.
    pub(super) fn given_up(&self, reason: NoOwner) -> Attribution {
        match self.waits {
            None => Err(reason),
            Some((_, Err(_))) if reason == NoOwner::HoldFull => Err(reason),
            Some((_, otherwise)) => otherwise,
        }
    }
}

impl Model {
    pub(super) fn packet(&mut self, mut seen: Seen, owner: Owner) {
        if owner == Owner::None(NoOwner::TimeWait) {
            seen.connection = seen.connection.filter(|id| self.connections.entries.contains_key(id));
        }
        if let Some(id) = seen.connection {
            self.make_room(id, seen.at);
            self.connections.hear(id, seen.at);
        }
        let attribution = match owner {
            Owner::Process(process, method) => Ok((process, method)),
            Owner::None(reason) => Err(reason),
            Owner::Ask => match self.asked(&seen) {
                Some(attribution) => attribution,
                None => return self.hold(seen, None),
            },
            Owner::Wait(wait, otherwise) => {
                let seen = Seen { waits: Some((wait, otherwise)), ..seen };
                if seen.connection.is_some_and(|id| self.may_wait(id)) {
                    return self.hold(seen, otherwise.ok().map(|(process, _)| process));
                }
                otherwise
            }
        };
        if let Some(id) = seen.connection {
            self.learn(id, attribution.ok().map(|(process, _)| process), seen.at);
        }
        self.queue(seen, attribution, false);
    }

    /// The attribution of a packet with [`Owner::Ask`]; `None`: it may be held.
    fn asked(&self, seen: &Seen) -> Option<Attribution> {
        let known = seen.connection.and_then(|id| self.connections.entries.get(&id));
        if let Some(owner) = known.and_then(|(known, _)| known.owner) {
            return Some(Ok((owner, Method::Connection)));
        }
        if let Some(owner) = self.listed(seen) {
            return Some(Ok((owner, Method::Listed)));
        }
        let Some(id) = seen.connection else { return Some(Err(NoOwner::NoSocket)) };
        (!self.may_wait(id)).then_some(Err(NoOwner::UnknownSocket))
    }

    fn may_wait(&self, id: u64) -> bool {
        let bounds = self.bounds;
        let is_closed = self.connections.entries.get(&id).is_some_and(|(_, ended)| ended.is_some());
        // A packet is not held if its connection cannot be recorded.
        let is_full = !self.connections.entries.contains_key(&id)
            && self.connections.live().count() >= bounds.table as usize;
        !is_closed && !is_full && bounds.hold_time > 0 && !self.readers.is_empty()
    }

    /// Forgets the reads and the expired packets of a connection.
    pub(super) fn settle(&mut self, connection: u64) {
        self.takes.retain(|take| take.connection != connection);
        self.expired.retain(|&(id, ..)| id != connection);
    }

    /// Corrects packets that came before.
    pub(super) fn corrected(
        &mut self,
        connection: u64,
        packets: Corrected,
        attribution: Attribution,
        at: u64,
    ) {
        self.release(connection, true, |seen| {
            packets.includes(seen.at, seen.span().map(|(first, _)| first)).then_some(attribution)
        });
        self.corrections += 1;
        let event = emit(&Block::Connection(ConnectionEvent {
            connection,
            process: attribution.map_or(0, |(process, _)| process.pid),
            timestamp: at,
            kind: ConnectionEventKind::Correction,
            correction: Some(Correction {
                packets,
                direction: Direction::Inbound,
                how: Some(attribution.map(|(_, method)| method)),
            }),
            other: Vec::new(),
        }));
        let (kind, about, opens, continues) = (Kind::Connection, connection, false, false);
        let (process, read, stored, span, renewed) = (None, false, event.len(), None, 0);
        let live = Live { kind, about, opens, continues, process, read, at, stored, span, renewed };
        for reader in &mut self.readers {
            if reader.filters.pass_connection(connection)
                && !reader.correct(connection, packets, attribution, self.corrections)
            {
                reader.offer(live, event.clone());
            }
        }
    }

    /// A process used a connection: corrects the expired packets that waited for that use.
    fn used_late(&mut self, connection: u64, process: ProcessKey, used: Used, at: u64) {
        let settles = |wait| match (used, wait) {
            (Used::Alone, Wait::Datagram(_) | Wait::Stream(_)) => true,
            (Used::Handshake(one), Wait::Handshake(other)) => one == other,
            (Used::Datagram(one), Wait::Datagram(other)) => one == other,
            (Used::Stream(read), Wait::Stream(end)) => read.wrapping_sub(end) as i32 >= 0,
            _ => false,
        };
        let method = if matches!(used, Used::Handshake(_)) { Method::Accepted } else { Method::Reader };
        while let Some(found) =
            self.expired.iter().position(|&(id, _, wait)| id == connection && settles(wait))
        {
            let (_, came, wait) = self.expired.remove(found).expect("it is there");
            let packets = match wait {
                Wait::Stream(end) => Corrected::Bytes { from: end.wrapping_sub(1), to: end },
                _ => Corrected::Time(came),
            };
            self.corrected(connection, packets, Ok((process, method)), at);
        }
    }

    /// A process used a connection: queues the held packets that waited for that use.
    pub(super) fn used(&mut self, connection: u64, process: ProcessKey, used: Used, at: u64) {
        let held = self.held.iter().any(|seen| seen.connection == Some(connection));
        if !held && !self.expired.iter().any(|&(id, ..)| id == connection) {
            return;
        }
        if let Used::NextDatagram { before, .. } = used {
            self.taken(Take { connection, process, at }, before);
        } else {
            self.used_late(connection, process, used, at);
        }
        if used == Used::Accepted {
            for seen in self.held.iter_mut().filter(|seen| seen.connection == Some(connection)) {
                seen.waits = seen.waits.map(|(wait, _)| (wait, Ok((process, Method::Accepted))));
            }
        }
        self.release(connection, true, |seen| {
            let method = match (used, seen.waits?.0) {
                (Used::Accepted, _) => return None,
                (Used::Handshake(one), Wait::Handshake(other)) if one == other => Method::Accepted,
                (Used::Handshake(_), _) | (_, Wait::Handshake(_)) => return None,
                (Used::Alone, _) | (_, Wait::Use) => Method::LastReceiver,
                (Used::Datagram(one), Wait::Datagram(other)) if one == other => Method::Reader,
                (Used::Stream(read), Wait::Stream(end)) if (read.wrapping_sub(end) as i32) >= 0 => {
                    Method::Reader
                }
                _ => return None,
            };
            Some(Ok((process, method)))
        });
    }

    /// A process read one of the datagrams before number `before`: attributes them if their owner is known now. (The
    /// model has no UDP, so lengths are never known.)
    fn taken(&mut self, take: Take, before: u64) {
        let since = take.at.saturating_sub(self.bounds.hold_time);
        self.takes.retain(|known| known.at >= since);
        self.takes.push(take);
        let is_gone = |id: Option<u64>, came: u64, wait: Wait| {
            let is_before = matches!(wait, Wait::Datagram(number) if number < before);
            id == Some(take.connection) && is_before && came + 1000 <= take.at
        };
        let held_gone =
            |seen: &Seen| seen.waits.is_some_and(|(wait, _)| is_gone(seen.connection, seen.at, wait));
        let late_gone = |&(id, came, wait): &(u64, u64, Wait)| is_gone(Some(id), came, wait);
        let gone = self.held.iter().filter(|seen| held_gone(seen)).count()
            + self.expired.iter().filter(|late| late_gone(late)).count();
        let takes = self.takes.iter().filter(|known| known.connection == take.connection);
        let (count, alone) =
            (takes.clone().count(), takes.clone().all(|known| known.process == take.process));
        let is_known = self.forgotten.is_none_or(|(id, at)| id != take.connection || at < since);
        if is_known && gone > count {
            return;
        }
        let reader = (alone && is_known).then_some((take.process, Method::Reader));
        while let Some(at) = self.held.iter().position(held_gone) {
            let otherwise = self.held[at].waits.expect("it waits").1;
            self.release_at(at, reader.map_or(otherwise, Ok), true);
        }
        while let Some(at) = self.expired.iter().position(late_gone) {
            let (id, came, _) = self.expired.remove(at).expect("it is there");
            if let Some(reader) = reader {
                self.corrected(id, Corrected::Time(came), Ok(reader), take.at);
            }
        }
        self.takes.retain(|known| known.connection != take.connection);
    }

    /// The attribution of a packet that leaves: a process that had ended before the packet came does not own it.
    fn still(&self, attribution: Attribution, at: u64) -> Attribution {
        let (process, method) = attribution?;
        if method == Method::LastSender {
            return attribution;
        }
        match self.processes.entries.get(&process.pid) {
            Some((known, Some(ended))) if known.start == process.start && *ended < at => Err(NoOwner::Shared),
            _ => attribution,
        }
    }

    fn listed(&self, seen: &Seen) -> Option<ProcessKey> {
        if seen.length < HEADERS {
            return None;
        }
        let says = |full| {
            self.open_list.iter().filter(move |record| record.port == seen.port && record.full == full)
        };
        let full = says(true).count() > 0;
        let first = says(full).next()?.process;
        let is_known =
            self.processes.entries.get(&first.pid).is_some_and(|known| known.0.start == first.start);
        (is_known && says(full).all(|record| record.process == first)).then_some(first)
    }

    pub(crate) fn set_open_list(&mut self, list: Vec<Listed>) {
        self.forget(self.now);
        self.open_list = list;
        for seen in self.held.clone() {
            let still = self.held.iter().any(|held| held.connection == seen.connection);
            if let (true, Some(owner), Some(id)) = (still, self.listed(&seen), seen.connection) {
                self.learn(id, Some(owner), self.now);
            }
        }
    }

    fn learn(&mut self, id: u64, owner: Option<ProcessKey>, at: u64) {
        self.connections.hear(id, at);
        match self.connections.entries.get(&id) {
            None => {}
            Some((known, None)) if known.owner.is_none() && owner.is_some() => {}
            Some(_) => return,
        }
        self.opened(id, owner, at);
    }

    /// Holds a packet, or queues it at once if it cannot be held.
    fn hold(&mut self, seen: Seen, owner: Option<ProcessKey>) {
        let connection = seen.connection;
        self.learn(connection.expect("it has one"), owner, seen.at);
        let limit = |reader: &Reader| if reader.snap == 0 { usize::MAX } else { reader.snap as usize };
        let kept = seen.length.min(self.readers.iter().map(limit).max().unwrap_or(0));
        let bounds = self.bounds;
        let cost = |kept: usize| kept + bounds.held_overhead;
        if bounds.held == 0 || cost(kept) > bounds.held_bytes {
            let id = connection.expect("it has one");
            self.release(id, false, |seen| Some(seen.given_up(NoOwner::HoldFull)));
            self.settle(id);
            self.forgotten = Some((id, seen.at));
            let attribution = self.still(seen.given_up(NoOwner::HoldFull), seen.at);
            return self.queue(seen, attribution, false);
        }
        loop {
            let bytes: usize = self.held.iter().map(|held| cost(held.kept)).sum();
            if self.held.len() < bounds.held && bytes + cost(kept) <= bounds.held_bytes {
                break;
            }
            let own = self.held.iter().position(|held| held.connection == connection);
            self.give_up_at(own.unwrap_or(0), NoOwner::HoldFull);
        }
        self.counts.held_total += 1;
        self.held.push_back(Seen { kept, ..seen });
    }

    /// Queues those held packets of a connection for which the function returns an attribution.
    pub(super) fn release(
        &mut self,
        connection: u64,
        read: bool,
        whose: impl Fn(&Seen) -> Option<Attribution>,
    ) {
        let mut at = 0;
        while at < self.held.len() {
            match whose(&self.held[at]).filter(|_| self.held[at].connection == Some(connection)) {
                Some(attribution) => self.release_at(at, attribution, read),
                None => at += 1,
            }
        }
    }

    pub(super) fn give_up_at(&mut self, at: usize, reason: NoOwner) {
        let seen = self.held[at];
        if let (Some(id), Some((wait, _))) = (seen.connection, seen.waits)
            && wait != Wait::Use
        {
            self.expired.push_back((id, seen.at, wait));
            if self.expired.len() > 512 {
                let forgotten = self.expired.pop_front().map(|(id, ..)| (id, seen.at));
                self.forgotten = forgotten;
            }
        }
        self.release_at(at, self.held[at].given_up(reason), false);
    }

    fn release_at(&mut self, at: usize, attribution: Attribution, read: bool) {
        let seen = self.held.remove(at).expect("it is held");
        let attribution = self.still(attribution, seen.at);
        *if attribution.is_ok() {
            &mut self.counts.held_attributed
        } else {
            &mut self.counts.held_unattributed
        } += 1;
        self.queue(seen, attribution, read);
    }

    pub(crate) fn detach(&mut self, reader: usize) {
        self.readers.remove(reader);
        while let (true, Some(first)) = (self.readers.is_empty(), self.held.front()) {
            let id = first.connection.expect("it has one");
            self.release(id, false, |seen| Some(seen.given_up(NoOwner::UnknownSocket)));
            self.settle(id);
        }
    }

    fn queue(&mut self, seen: Seen, attribution: Attribution, read: bool) {
        *match attribution {
            Ok((_, method)) => self.counts.methods.entry(method).or_default(),
            Err(reason) => self.counts.reasons.entry(reason).or_default(),
        } += 1;
        let process = attribution.ok().map(|(process, _)| process.pid);
        let data = data(seen.port);
        let packet = |length: usize| {
            emit(&Block::Packet(Packet {
                interface: 0,
                timestamp: seen.at,
                original_length: ORIGINAL,
                data: Cow::Borrowed(&data[..length]),
                flags: Some(1),
                process_thread: ProcessThread::of_process(process),
                connection: seen.connection,
                process,
                how: Some(attribution.map(|(_, method)| method)),
                receiver: None,
                packet_id: None,
                other: Vec::new(),
            }))
        };
        let limit = |snap: u32| if snap == 0 { usize::MAX } else { snap as usize };
        let keep = self.readers.iter().map(|reader| limit(reader.snap)).max().unwrap_or(0);
        let stored = packet(seen.kept.min(keep)).len();
        let about = seen.connection.unwrap_or(0);
        let (kind, opens, continues, at) = (Kind::Packet, false, false, seen.at);
        let span = Seen { kept: seen.kept.min(keep), ..seen }.span();
        let live = Live { kind, about, opens, continues, process, read, at, stored, span, renewed: 0 };
        for reader in &mut self.readers {
            let block = packet(seen.kept.min(limit(reader.snap)));
            reader.offer_packet(seen.connection, live, block);
        }
    }
}
