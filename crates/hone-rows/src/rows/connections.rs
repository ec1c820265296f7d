//! The connections of a section, from their first event to their rows. Memory is limited: if there is no room, the
//! connection that was not used for longest gets its rows early.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use hone_tables::{Endpoint, Rows, State, uid};

use super::LINGER;
use super::flow::{Began, Counted, Ends, Flow, empty_row};
use super::scope::{Owner, Scope};
use crate::event::Packet;

/// Most flows, and most connections, that are kept.
const MAX_KEPT: usize = 1 << 17;
/// Most flows of one connection that are kept.
const MAX_FLOWS: usize = 1 << 14;
/// Flows of a connection that are searched one by one.
const FEW_FLOWS: usize = 8;
/// After this silence, nanoseconds, the packets of the same ends are another flow if they name no connection.
const SILENCE: u64 = 300_000_000_000;

/// What a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A connection of the recording.
    Connection(u64),
    /// All packets of these ends.
    Ends(Ends),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) uid: Arc<str>,
    pub(super) id: Option<u64>,
    pub(super) opened: Option<u64>,
    pub(super) closed: Option<u64>,
    pub(super) owner: Option<Owner>,
    /// Whether it gets a row although it has no packets.
    is_wanted: bool,
    /// Whether a row of it was made.
    has_row: bool,
    flows: Vec<Flow>,
    /// If there are many: by their ends and process, and by their ends the latest.
    index: HashMap<(Ends, Option<u32>), usize>,
    /// The flow of the latest packet.
    latest: usize,
    /// Its entry in the order of the table.
    sequence: u64,
    is_used: bool,
}

/// The table.
#[derive(Debug)]
pub(super) struct Connections {
    /// Most flows, and most connections.
    most: usize,
    by_key: HashMap<Key, Connection>,
    /// In the order in which they came. An entry of a connection that is gone is passed over.
    order: VecDeque<(u64, Key)>,
    next: u64,
    flows: usize,
    /// The closed ones, by the time of that.
    closed: VecDeque<(u64, u64, Key)>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            most: MAX_KEPT,
            by_key: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            flows: 0,
            closed: VecDeque::new(),
        }
    }
}

impl Connections {
    /// A connection was opened, or was there when the section began.
    pub(super) fn open<R: Rows>(
        &mut self,
        id: u64,
        nanos: Option<u64>,
        owner: Option<Owner>,
        is_wanted: bool,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        let key = Key::Connection(id);
        // Forgotten and opened again, or restated.
        if self.by_key.get(&key).is_some_and(|known| known.closed.is_some()) {
            self.finish(key, State::Closed, scope, rows)?;
        }
        let connection = self.entry(key, nanos, scope, rows)?;
        connection.opened = connection.opened.or(nanos);
        connection.owner = owner.or(connection.owner.take());
        connection.is_wanted |= is_wanted;
        Ok(())
    }

    /// A connection was closed.
    pub(super) fn close<R: Rows>(
        &mut self,
        id: u64,
        nanos: Option<u64>,
        owner: Option<Owner>,
        is_wanted: bool,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        let key = Key::Connection(id);
        let connection = self.entry(key, None, scope, rows)?;
        connection.closed = nanos.or(connection.opened).or(Some(0));
        connection.owner = connection.owner.take().or(owner);
        connection.is_wanted |= is_wanted;
        let sequence = connection.sequence;
        if self.closed.len() > 2 * self.most {
            let known = &self.by_key;
            self.closed
                .retain(|(_, sequence, key)| known.get(key).is_some_and(|known| known.sequence == *sequence));
        }
        self.closed.push_back((nanos.unwrap_or(0), sequence, key));
        Ok(())
    }

    /// Counts a packet. Returns the id of its connection. `ends`: as seen from this host.
    pub(super) fn packet<R: Rows>(
        &mut self,
        packet: &Counted<'_>,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<Arc<str>, R::Error> {
        let Counted { packet: Packet { connection: id, .. }, nanos, ends, .. } = *packet;
        let key = id.map_or(Key::Ends(ends), Key::Connection);
        if let Key::Ends(_) = key
            && let Some(last) =
                self.by_key.get(&key).and_then(|known| known.flows.iter().map(|flow| flow.last).max()?)
            && nanos.is_some_and(|now| now.saturating_sub(last) > SILENCE)
        {
            self.finish(key, State::Silent, scope, rows)?;
        }
        if self.flows >= self.most {
            self.make_room(scope, rows)?;
        }
        if self.by_key.get(&key).is_some_and(|known| known.flows.len() >= MAX_FLOWS.min(self.most / 2)) {
            self.give_flows(key, State::NoRoom, scope, rows)?;
        }
        let connection = self.entry(key, nanos, scope, rows)?;
        let before = connection.flows.len();
        connection.flow(packet).count(packet);
        let (uid, added) = (Arc::clone(&connection.uid), connection.flows.len() - before);
        self.flows += added;
        Ok(uid)
    }

    /// Whether packets of these ends were counted that name no connection.
    pub(super) fn knows(&self, ends: &Ends) -> bool {
        self.by_key.contains_key(&Key::Ends(*ends))
    }

    /// Makes the rows of connections that were closed a while before `now`.
    pub(super) fn expire<R: Rows>(&mut self, now: u64, scope: &Scope, rows: &mut R) -> Result<(), R::Error> {
        while let Some(&(closed, sequence, key)) = self.closed.front() {
            if closed.saturating_add(LINGER) > now {
                return Ok(());
            }
            self.closed.pop_front();
            if self.by_key.get(&key).is_some_and(|known| known.sequence == sequence && known.closed.is_some())
            {
                self.finish(key, State::Closed, scope, rows)?;
            }
        }
        Ok(())
    }

    /// Makes the rows of all: the section ends here.
    pub(super) fn finish_all<R: Rows>(&mut self, scope: &Scope, rows: &mut R) -> Result<(), R::Error> {
        while let Some((sequence, key)) = self.order.pop_front() {
            if self.by_key.get(&key).is_some_and(|known| known.sequence == sequence) {
                self.finish(key, State::SectionEnd, scope, rows)?;
            }
        }
        *self = Self { most: self.most, ..Self::default() };
        Ok(())
    }

    /// Makes the rows of the one that was not used for longest.
    fn make_room<R: Rows>(&mut self, scope: &Scope, rows: &mut R) -> Result<(), R::Error> {
        while let Some((sequence, key)) = self.order.pop_front() {
            let Some(known) = self.by_key.get_mut(&key).filter(|known| known.sequence == sequence) else {
                continue;
            };
            if std::mem::take(&mut known.is_used) {
                self.order.push_back((sequence, key));
                continue;
            }
            return self.finish(key, State::NoRoom, scope, rows);
        }
        Ok(())
    }

    /// The connection, new if it is not known. `first`: the time of the event or packet that begins it.
    fn entry<R: Rows>(
        &mut self,
        key: Key,
        first: Option<u64>,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<&mut Connection, R::Error> {
        if self.by_key.len() >= self.most && !self.by_key.contains_key(&key) {
            self.make_room(scope, rows)?;
        }
        if self.order.len() > 4 * self.most {
            let known = &self.by_key;
            let is_known = |(sequence, key): &(u64, Key)| {
                known.get(key).is_some_and(|known| known.sequence == *sequence)
            };
            self.order.retain(is_known);
        }
        let connection = match self.by_key.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                self.next += 1;
                self.order.push_back((self.next, key));
                place.insert(Connection::new(key, first, self.next, scope))
            }
        };
        connection.is_used = true;
        Ok(connection)
    }

    fn finish<R: Rows>(
        &mut self,
        key: Key,
        state: State,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        self.give_flows(key, state, scope, rows)?;
        let Some(connection) = self.by_key.remove(&key) else { return Ok(()) };
        if connection.is_wanted && !connection.has_row {
            rows.connection(&empty_row(&connection, connection.owner.as_ref(), scope, state))?;
        }
        Ok(())
    }

    /// Makes the rows of a connection's flows.
    fn give_flows<R: Rows>(
        &mut self,
        key: Key,
        state: State,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        let Some(connection) = self.by_key.get_mut(&key) else { return Ok(()) };
        let flows = std::mem::take(&mut connection.flows);
        connection.index.clear();
        connection.latest = 0;
        connection.has_row |= !flows.is_empty();
        self.flows -= flows.len();
        let mut began = HashMap::new();
        for flow in &flows {
            began
                .entry(flow.ends)
                .and_modify(|known: &mut Began| *known = known.or(flow.began))
                .or_insert(flow.began);
        }
        for flow in &flows {
            flow.row(began[&flow.ends], connection, scope, state, |row| rows.connection(row))?;
        }
        Ok(())
    }
}

impl Connection {
    fn new(key: Key, first: Option<u64>, sequence: u64, scope: &Scope) -> Self {
        let (id, uid) = match key {
            Key::Connection(id) => (Some(id), uid::connection(&scope.host, scope.boot.as_deref(), first, id)),
            Key::Ends(ends) => (None, flow_uid(&scope.host, first, &ends)),
        };
        Self {
            uid,
            id,
            opened: None,
            closed: None,
            owner: None,
            is_wanted: false,
            has_row: false,
            flows: Vec::new(),
            index: HashMap::new(),
            latest: 0,
            sequence,
            is_used: true,
        }
    }

    /// The flow of a packet. One without an owner belongs to any flow of its ends; one with an owner may be the first of
    /// a flow that has none yet.
    fn flow(&mut self, packet: &Counted<'_>) -> &mut Flow {
        let Counted { ends, owner, .. } = *packet;
        let is_it = |flow: &Flow| {
            let is_owner = |it: &Owner| owner.is_none_or(|owner| owner.uid == it.uid);
            flow.ends == ends && flow.owner.as_ref().is_none_or(is_owner)
        };
        let pid = owner.map(|owner| owner.pid);
        let found = if self.flows.get(self.latest).is_some_and(is_it) {
            Some(self.latest)
        } else if self.flows.len() <= FEW_FLOWS {
            self.flows.iter().position(is_it)
        } else {
            let indexed = [pid, None].into_iter().filter_map(|pid| self.index.get(&(ends, pid)).copied());
            indexed.into_iter().find(|at| self.flows.get(*at).is_some_and(is_it))
        };
        let at = found.unwrap_or_else(|| {
            self.flows.push(Flow::new(packet));
            self.flows.len() - 1
        });
        if self.flows.len() > FEW_FLOWS {
            if self.index.is_empty() {
                for (at, flow) in self.flows.iter().enumerate() {
                    self.index.insert((flow.ends, flow.owner.as_ref().map(|owner| owner.pid)), at);
                    self.index.insert((flow.ends, None), at);
                }
            }
            if found.is_none() || pid.is_some() && self.flows[at].owner.is_none() {
                self.index.insert((ends, pid), at);
                self.index.insert((ends, None), at);
            }
        }
        self.latest = at;
        let flow = &mut self.flows[at];
        if flow.owner.is_none() {
            flow.owner = owner.cloned();
        }
        flow
    }
}

fn flow_uid(host: &str, first: Option<u64>, ends: &Ends) -> Arc<str> {
    let text = |end: Endpoint| match end.port {
        Some(port) => SocketAddr::new(end.address, port).to_string(),
        None => end.address.to_string(),
    };
    uid::flow(host, first, ends.protocol, [&text(ends.local), &text(ends.remote)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use hone_tables::{ConnectionRow, Table};

    use super::*;
    use crate::rows::flow::endpoints;

    /// Packets by the state of their rows.
    #[derive(Default)]
    struct Packets(BTreeMap<&'static str, u64>);

    impl Rows for Packets {
        type Error = Infallible;

        fn wants(&self, _: Table) -> bool {
            true
        }

        fn connection(&mut self, row: &ConnectionRow<'_>) -> Result<(), Infallible> {
            *self.0.entry(row.state.word()).or_default() += row.packets_out;
            Ok(())
        }
    }

    /// A datagram without a process, as it leaves.
    fn sent<'a>(packet: &'a Packet<'a>, nanos: u64) -> Counted<'a> {
        let headers = packet.headers.as_ref().unwrap();
        let [local, remote] = endpoints(headers);
        let ends = Ends { protocol: 17, local, remote };
        Counted { packet, headers, nanos: Some(nanos), ends, owner: None, is_outbound: true, named: None }
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost_by_that() {
        for ids in [0, 1, 100] {
            let mut connections = Connections { most: 64, ..Connections::default() };
            let (scope, mut rows) = (Scope::default(), Packets::default());
            for number in 0..1000_u64 {
                let mut data = [0; 28];
                (data[0], data[3], data[9]) = (0x45, 28, 17);
                data[16..20].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
                let packet = Packet { connection: number.checked_rem(ids), ..Packet::new(101, &data, 28) };
                let counted = sent(&packet, number * 1_000_000_000);
                let Ok(_) = connections.packet(&counted, &scope, &mut rows);
                assert!(connections.flows <= 64 && connections.by_key.len() <= 64);
                assert!(connections.order.len() <= 4 * 64 + 1, "{}", connections.order.len());
            }
            let Ok(()) = connections.finish_all(&scope, &mut rows);
            assert_eq!(rows.0.values().sum::<u64>(), 1000);
            assert!(rows.0["no room"] > 900, "{:?}", rows.0);
        }
    }

    #[test]
    fn ends_that_were_silent_begin_another_row() {
        let (scope, mut rows) = (Scope::default(), Packets::default());
        let mut connections = Connections::default();
        let mut data = [0; 28];
        (data[0], data[3], data[9]) = (0x45, 28, 17);
        let packet = Packet::new(101, &data, 28);
        for nanos in [0, SILENCE, 2 * SILENCE + 1] {
            let Ok(_) = connections.packet(&sent(&packet, nanos), &scope, &mut rows);
        }
        let Ok(()) = connections.finish_all(&scope, &mut rows);
        assert_eq!(rows.0, [("silent", 2), ("section end", 1)].into());
    }
}
