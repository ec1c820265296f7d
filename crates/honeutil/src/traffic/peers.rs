//! The peers with which a process exchanged most bytes: a short list that contains the busiest ones, however many peers
//! there are.

use std::fmt;
use std::net::IpAddr;

use hone_rows::ip::{Headers, ICMP, ICMP6, SCTP, TCP, UDP};

/// Peers kept for each process.
const MAX_PEERS: usize = 16;
/// The lowest port that systems choose for a client by themselves.
const FIRST_EPHEMERAL: u16 = 32_768;
/// Somebody on the other end, as people would say it: a service that this host uses, or a host that uses a service
/// of this one. In the latter case the client's port is left out: it only distinguishes its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    address: IpAddr,
    protocol: u8,
    /// Of the service; 0 if there is none.
    port: u16,
    /// The service is on this host.
    served: bool,
}

impl Peer {
    /// The peer of a packet that begins with its IP header; `None` if it is not sound or cut too short.
    #[must_use]
    pub fn of(packet: &[u8], outbound: bool) -> Option<Self> {
        Some(Self::of_headers(&Headers::parse(packet).ok()?, outbound))
    }

    pub(crate) fn of_headers(headers: &Headers<'_>, outbound: bool) -> Self {
        let [source_port, destination_port] = headers.ports().unwrap_or_default();
        let (address, remote, local) = if outbound {
            (headers.destination, destination_port, source_port)
        } else {
            (headers.source, source_port, destination_port)
        };
        let served = remote >= FIRST_EPHEMERAL && (1..FIRST_EPHEMERAL).contains(&local);
        Self { address, protocol: headers.protocol, port: if served { local } else { remote }, served }
    }

    /// Its address.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// As it is displayed, with a name for its address.
    pub(crate) fn named(&self, name: &str) -> String {
        Named { peer: self, name: Some(name), local: None }.to_string()
    }

    /// As it is displayed, with the name by which it knows this host.
    pub(crate) fn calling(&self, local: &str) -> String {
        Named { peer: self, name: None, local: Some(local) }.to_string()
    }
}

/// A peer, and what its address and this host are called.
struct Named<'a> {
    peer: &'a Peer,
    name: Option<&'a str>,
    local: Option<&'a str>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Named { peer: self, name: None, local: None }.fmt(f)
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer;
        match (self.name, peer.address) {
            (Some(name), _) => f.write_str(name)?,
            (None, IpAddr::V6(address)) if peer.port > 0 && !peer.served => write!(f, "[{address}]")?,
            (None, address) => write!(f, "{address}")?,
        }
        match (peer.port, self.local) {
            (port, Some(name)) if peer.served => write!(f, " to {name}:{port}")?,
            (port, None) if peer.served => write!(f, " to local port {port}")?,
            (0, _) => {}
            (port, _) => write!(f, ":{port}")?,
        }
        match peer.protocol {
            TCP => f.write_str(" tcp"),
            UDP => f.write_str(" udp"),
            ICMP | ICMP6 => f.write_str(" icmp"),
            SCTP => f.write_str(" sctp"),
            other => write!(f, " protocol {other}"),
        }
    }
}

/// The busiest peers. When the list is full, a new peer takes the place of the least busy one and continues its count
/// ("space saving"). So every peer with more than a sixteenth of the traffic is in the list.
#[derive(Debug, Default)]
pub struct Peers {
    list: Vec<(Peer, u64)>,
    more: bool,
}

impl Peers {
    /// Counts bytes exchanged with a peer.
    pub fn count(&mut self, peer: Peer, bytes: u64) {
        if let Some(index) = self.list.iter().position(|(known, _)| *known == peer) {
            self.list[index].1 += bytes;
            // Packets of one peer often follow each other, so its entry is kept in front.
            self.list.swap(0, index);
        } else if self.list.len() < MAX_PEERS {
            self.list.push((peer, bytes));
        } else if let Some(least) = self.list.iter_mut().min_by_key(|(_, bytes)| *bytes) {
            *least = (peer, least.1 + bytes);
            self.more = true;
        }
    }

    /// Subtracts bytes that were counted for a peer, if it is still in the list.
    pub(crate) fn uncount(&mut self, peer: Peer, bytes: u64) {
        if let Some(index) = self.list.iter().position(|(known, _)| *known == peer) {
            let count = &mut self.list[index].1;
            *count = count.saturating_sub(bytes);
            if *count == 0 {
                self.list.remove(index);
            }
        }
    }

    /// The busiest `most`, busiest first.
    #[must_use]
    pub fn busiest(&self, most: usize) -> Vec<Peer> {
        let mut list = self.list.clone();
        list.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        list.into_iter().take(most).map(|(peer, _)| peer).collect()
    }

    /// How many peers there are, while all are in the list.
    #[must_use]
    pub fn known(&self) -> Option<usize> {
        (!self.more).then_some(self.list.len())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn v4(protocol: u8, ports: [u16; 2], fragment: u16) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        packet[12..20].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        packet
    }

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[6] = next;
        packet[23] = 1;
        packet[39] = 2;
        packet.extend_from_slice(rest);
        packet
    }

    fn shown(packet: &[u8], outbound: bool) -> String {
        Peer::of(packet, outbound).map_or_else(String::new, |peer| peer.to_string())
    }

    #[test]
    fn peers_are_named_from_this_hosts_side() {
        let request = v4(TCP, [50_000, 443], 0);
        assert_eq!(shown(&request, true), "192.0.2.2:443 tcp");
        assert_eq!(shown(&request, false), "192.0.2.1 to local port 443 tcp");
        let answer = v4(UDP, [53, 40_000], 0);
        assert_eq!(shown(&answer, false), "192.0.2.1:53 udp");
        assert_eq!(shown(&answer, true), "192.0.2.2 to local port 53 udp");
        assert_eq!(shown(&v4(UDP, [50_000, 60_000], 0), true), "192.0.2.2:60000 udp");
        assert_eq!(shown(&v4(ICMP, [0x800, 0], 0), true), "192.0.2.2 icmp");
        assert_eq!(shown(&v4(47, [0, 0], 0), true), "192.0.2.2 protocol 47");
        let (server, client) = (Peer::of(&request, true).unwrap(), Peer::of(&request, false).unwrap());
        assert_eq!(server.named("a.test"), "a.test:443 tcp");
        assert_eq!(client.named("b.test"), "b.test to local port 443 tcp");
        assert_eq!(client.calling("a.test"), "192.0.2.1 to a.test:443 tcp");
    }

    #[test]
    fn later_fragments_and_short_captures_have_no_port() {
        assert_eq!(shown(&v4(UDP, [1, 2], 100), true), "192.0.2.2 udp");
        assert_eq!(shown(&v4(UDP, [1, 2], 0)[..22], true), "192.0.2.2 udp");
        assert_eq!(shown(&v4(UDP, [1, 2], 0)[..19], true), "");
        assert_eq!(shown(&[], true), "");
        assert_eq!(shown(&[0x50; 64], true), "");
    }

    #[test]
    fn extension_headers_are_looked_through() {
        let ports = [0xc3, 0x50, 0x01, 0xbb];
        assert_eq!(shown(&v6(TCP, &ports), true), "[::2]:443 tcp");
        let hop_by_hop = [&[TCP, 0, 0, 0, 0, 0, 0, 0], ports.as_slice()].concat();
        assert_eq!(shown(&v6(0, &hop_by_hop), true), "[::2]:443 tcp");
        let first_fragment = [&[TCP, 0, 0, 1, 0, 0, 0, 0], ports.as_slice()].concat();
        assert_eq!(shown(&v6(44, &first_fragment), true), "[::2]:443 tcp");
        let later_fragment = [&[TCP, 0, 0, 8, 0, 0, 0, 0], ports.as_slice()].concat();
        assert_eq!(shown(&v6(44, &later_fragment), true), "::2 tcp");
        assert_eq!(shown(&v6(0, &[0; 4000]), true), "::2 protocol 0");
        assert_eq!(shown(&v6(ICMP6, &[128, 0]), true), "::2 icmp");
    }

    #[test]
    fn any_bytes_are_taken() {
        for first in 0..=255 {
            for length in 0..80 {
                let mut packet = vec![0xff; length];
                if let Some(byte) = packet.first_mut() {
                    *byte = first;
                }
                let _ = Peer::of(&packet, length % 2 == 0);
            }
        }
    }

    #[test]
    fn the_busiest_peer_is_found_among_any_number() {
        let mut peers = Peers::default();
        let peer = |n: u32| Peer { address: Ipv4Addr::from(n).into(), protocol: UDP, port: 1, served: false };
        for n in 1..=10_000 {
            peers.count(peer(n), 100);
            peers.count(peer(0), 30);
        }
        assert_eq!(peers.busiest(1), [peer(0)]);
        assert_eq!(peers.known(), None);
        assert_eq!(peers.list.len(), MAX_PEERS);
    }
}
