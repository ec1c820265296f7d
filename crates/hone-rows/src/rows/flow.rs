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

/// The counts.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) ends: Ends,
    pub(super) owner: Option<Owner>,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    initiated: (bool, Evidence),
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
        let Counted { headers, ends, is_outbound, .. } = *packet;
        let initiated = match tcp_flags(headers).map(|flags| flags & (SYN | ACK)) {
            Some(SYN) => (is_outbound, Evidence::Syn),
            Some(flags) if flags == SYN | ACK => (!is_outbound, Evidence::Syn),
            _ => (is_outbound, Evidence::FirstPacket),
        };
        Self {
            ends,
            owner: None,
            first: None,
            last: None,
            initiated,
            packets: [0; 2],
            bytes: [0; 2],
            unowned: (0, 0),
            named: None,
            community: community_id::Flow::of(headers),
            how: None,
            no_process: None,
        }
    }

    /// The flow of another process, with these others of the same ends: which side began is the same for all of them. The handshake
    /// says it, or else the first packet of the first of them.
    pub(super) fn of_same_ends<'a>(mut self, others: impl Iterator<Item = &'a Self>) -> Self {
        if self.initiated.1 == Evidence::Syn {
            return self;
        }
        let said = others.map(|flow| flow.initiated);
        let known = said.reduce(
            |one, next| {
                if one.1 != Evidence::Syn && next.1 == Evidence::Syn { next } else { one }
            },
        );
        self.initiated = known.unwrap_or(self.initiated);
        self
    }

    /// Counts a packet.
    pub(super) fn count(&mut self, counted: &Counted<'_>) {
        let Counted { packet, nanos, is_outbound, .. } = *counted;
        if let Some(named) = counted.named
            && !self.named.as_ref().is_some_and(|known| Arc::ptr_eq(known, named))
        {
            self.named = Some(Arc::clone(named));
        }
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

    /// Its row.
    pub(super) fn row<T>(
        &self,
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
            is_local_initiated: Some(self.initiated.0),
            initiated_by: Some(self.initiated.1),
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
    fn which_side_began_is_the_same_for_each_process_of_a_connection() {
        // A TCP segment with these flags, and the flow that it begins.
        let begin = |flags: u8, is_outbound| {
            let mut data = [0; 40];
            (data[0], data[3], data[9], data[32], data[33]) = (0x45, 40, 6, 0x50, flags);
            let packet = Packet::new(101, &data, 40);
            let headers = packet.headers.as_ref().unwrap();
            let [local, remote] = endpoints(headers);
            let ends = Ends { protocol: TCP, local, remote };
            Flow::new(&Counted {
                packet: &packet,
                headers,
                nanos: None,
                ends,
                owner: None,
                is_outbound,
                named: None,
            })
        };
        let is_local = |flow: Flow| flow.initiated.0;
        // The child of a server receives a request; the server's own process sends no more than an acknowledgement.
        let child = || begin(ACK, false);
        assert!(!is_local(begin(ACK, true).of_same_ends([&child()].into_iter())));
        // The handshake says more than the first packet, wherever it is.
        let opened = || begin(SYN, true);
        assert!(is_local(begin(ACK, false).of_same_ends([&child(), &opened()].into_iter())));
        assert!(is_local(opened().of_same_ends([&child()].into_iter())));
        assert!(is_local(begin(ACK, true).of_same_ends([].into_iter())));
    }
}
