//! What one process exchanges with one remote end by one connection.

use std::borrow::Cow;
use std::sync::Arc;

use hone_names::Named;
use hone_pcapng::{How, words};
use hone_tables::{ConnectionRow, Endpoint, Evidence, State};

use super::connections::Connection;
use super::scope::{Owner, Scope};
use crate::community_id;
use crate::event::Packet;
use crate::ip::{Headers, TCP};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Both ends of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) protocol: u8,
    pub(super) local: Endpoint,
    pub(super) remote: Endpoint,
}

/// Sender and receiver of a packet.
pub(super) fn endpoints(headers: &Headers<'_>) -> [Endpoint; 2] {
    let ports = headers.ports();
    [
        Endpoint { address: headers.source, port: ports.map(|ports| ports[0]) },
        Endpoint { address: headers.destination, port: ports.map(|ports| ports[1]) },
    ]
}

/// The flags of a TCP header.
pub(super) fn tcp_flags(headers: &Headers<'_>) -> Option<u8> {
    headers.transport.get(13).copied().filter(|_| headers.protocol == TCP)
}

/// A packet to count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) headers: &'a Headers<'a>,
    pub(super) nanos: Option<u64>,
    /// As seen from this host.
    pub(super) ends: Ends,
    pub(super) owner: Option<&'a Owner>,
    pub(super) is_outbound: bool,
    /// The name of the connection.
    pub(super) named: Option<&'a Arc<Named>>,
}

/// Which side began a connection, as one of its packets says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Began {
    is_local: bool,
    evidence: Evidence,
    at: Option<u64>,
}

impl Began {
    fn of(packet: &Counted<'_>) -> Self {
        let Counted { headers, nanos, is_outbound, .. } = *packet;
        let (is_local, evidence) = match tcp_flags(headers).map(|flags| flags & (SYN | ACK)) {
            Some(SYN) => (is_outbound, Evidence::Syn),
            Some(flags) if flags == SYN | ACK => (!is_outbound, Evidence::Syn),
            _ => (is_outbound, Evidence::FirstPacket),
        };
        Self { is_local, evidence, at: nanos }
    }

    /// What says more of two: the handshake, or else the earlier packet. Packets whose reader was waited for come late.
    pub(super) fn or(self, other: Self) -> Self {
        let order = |it: &Self| (it.evidence != Evidence::Syn, it.at.unwrap_or(u64::MAX));
        if order(&other) < order(&self) { other } else { self }
    }
}

/// The counts.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) ends: Ends,
    pub(super) owner: Option<Owner>,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) began: Began,
    packets: [u64; 2],
    bytes: [u64; 2],
    unowned: (u64, u64),
    named: Option<Arc<Named>>,
    community: Option<community_id::Flow>,
    how: Option<How>,
    no_process: Option<How>,
}

impl Flow {
    /// A flow that begins with this packet, which is not counted yet.
    pub(super) fn new(packet: &Counted<'_>) -> Self {
        let Counted { headers, ends, .. } = *packet;
        Self {
            ends,
            owner: None,
            first: None,
            last: None,
            began: Began::of(packet),
            packets: [0; 2],
            bytes: [0; 2],
            unowned: (0, 0),
            named: None,
            community: community_id::Flow::of(headers),
            how: None,
            no_process: None,
        }
    }

    /// Counts a packet.
    pub(super) fn count(&mut self, counted: &Counted<'_>) {
        let Counted { packet, nanos, is_outbound, .. } = *counted;
        if let Some(named) = counted.named
            && !self.named.as_ref().is_some_and(|known| Arc::ptr_eq(known, named))
        {
            self.named = Some(Arc::clone(named));
        }
        self.began = self.began.or(Began::of(counted));
        self.first = self.first.or(nanos);
        self.last = self.last.max(nanos);
        self.packets[usize::from(is_outbound)] += 1;
        let length = u64::from(packet.original_length);
        self.bytes[usize::from(is_outbound)] += length;
        if packet.process.is_none() {
            self.unowned = (self.unowned.0 + 1, self.unowned.1 + length);
            self.no_process = packet.how.or(self.no_process);
        } else if self.how.is_none() {
            self.how = packet.how;
        }
    }

    /// Its row. `began`: which side began, by all flows of these ends.
    pub(super) fn row<T>(
        &self,
        began: Began,
        connection: &Connection,
        scope: &Scope,
        state: State,
        take: impl FnOnce(&ConnectionRow<'_>) -> T,
    ) -> T {
        let community = self.community.as_ref().map(community_id::Flow::id);
        let owner = self.owner.as_ref().or(connection.owner.as_ref());
        take(&ConnectionRow {
            first: self.first,
            last: self.last,
            protocol: Some(self.ends.protocol),
            local: Some(self.ends.local),
            remote: Some(self.ends.remote),
            is_local_initiated: Some(began.is_local),
            initiated_by: Some(began.evidence),
            packets_out: self.packets[1],
            packets_in: self.packets[0],
            bytes_out: self.bytes[1],
            bytes_in: self.bytes[0],
            packets_unowned: self.unowned.0,
            bytes_unowned: self.unowned.1,
            name: self.named.as_ref().map(|named| &*named.name),
            name_source: self.named.as_ref().map(|named| named.source.word()),
            community_id: community.as_deref(),
            how: self.how.map(words),
            no_process: self.no_process.map(words),
            ..empty_row(connection, owner, scope, state)
        })
    }
}

/// The row of a connection without packets.
pub(super) fn empty_row<'a>(
    connection: &'a Connection,
    owner: Option<&'a Owner>,
    scope: &'a Scope,
    state: State,
) -> ConnectionRow<'a> {
    ConnectionRow {
        connection_uid: &connection.uid,
        host: &scope.host,
        boot: scope.boot.as_deref(),
        connection_id: connection.id,
        process_uid: owner.map(|owner| &*owner.uid),
        pid: owner.map(|owner| owner.pid),
        process_name: owner.map(|owner| Cow::Borrowed(&*owner.name)).filter(|name| !name.is_empty()),
        opened: connection.opened,
        closed: connection.closed,
        first: None,
        last: None,
        protocol: None,
        local: None,
        remote: None,
        is_local_initiated: None,
        initiated_by: None,
        packets_out: 0,
        packets_in: 0,
        bytes_out: 0,
        bytes_in: 0,
        packets_unowned: 0,
        bytes_unowned: 0,
        name: None,
        name_source: None,
        community_id: None,
        how: None,
        no_process: None,
        state: if connection.closed.is_some() { State::Closed } else { state },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_says_who_began_or_else_the_earliest_packet() {
        let began = |flags: u8, nanos, is_outbound| {
            let mut data = [0; 40];
            (data[0], data[3], data[9], data[32], data[33]) = (0x45, 40, 6, 0x50, flags);
            let packet = Packet::new(101, &data, 40);
            let headers = packet.headers.as_ref().unwrap();
            let [local, remote] = endpoints(headers);
            let ends = Ends { protocol: TCP, local, remote };
            let named = None;
            Began::of(&Counted { packet: &packet, headers, nanos, ends, owner: None, is_outbound, named })
        };
        // A server that forks: its own process acknowledges, which comes first in the stream, but its child received the request before.
        let (request, answer) = (began(ACK, Some(1), false), began(ACK, Some(2), true));
        assert_eq!((answer.or(request), request.or(answer)), (request, request));
        let syn = began(SYN, Some(3), true);
        assert_eq!((request.or(syn), syn.or(request)), (syn, syn));
        assert!(syn.is_local && !began(SYN | ACK, Some(3), true).is_local);
        let untimed = began(ACK, None, true);
        assert_eq!((untimed.or(request), untimed.or(untimed)), (request, untimed));
    }
}
