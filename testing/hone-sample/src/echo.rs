//! Echo requests (RFC 792, RFC 4443). Uses a ping socket or a raw socket, whichever this user may open.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::id;
use std::time::Instant;

use hone_packet::{Addresses, transport_checksum};
use rustix::net::{AddressFamily, SocketType, ipproto, socket};

use crate::PATIENCE;

/// Protocol number of ICMP in an IPv4 header.
const ICMP: u8 = 1;
/// Length of a request's data after the header, in bytes.
const DATA: usize = 1000;

/// A socket for echo requests to one host.
pub(crate) struct Echo {
    /// The standard library has no ICMP sockets, but the functions that are used here also work for them.
    socket: UdpSocket,
    host: IpAddr,
    raw: bool,
}

impl Echo {
    /// Opens a ping socket if `net.ipv4.ping_group_range` permits it, otherwise a raw socket, which needs
    /// `CAP_NET_RAW`.
    pub(crate) fn new(host: IpAddr) -> io::Result<Self> {
        let (family, protocol) = match host {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let (fd, raw) = match socket(family, SocketType::DGRAM, Some(protocol)) {
            Ok(fd) => (fd, false),
            Err(_) => (socket(family, SocketType::RAW, Some(protocol))?, true),
        };
        let socket = UdpSocket::from(fd);
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, host, raw })
    }

    /// Sends a request and waits for the answer.
    pub(crate) fn ask(&self, sequence: u16) -> io::Result<()> {
        let request = self.request(sequence);
        let (kind, identifier) = (if self.host.is_ipv4() { 0 } else { 129 }, [request[4], request[5]]);
        self.socket.send_to(&request, SocketAddr::new(self.host, 0))?;
        let started = Instant::now();
        let mut buffer = [0; 2 * DATA];
        // A raw socket gets a copy of every ICMP message, including the request itself.
        while started.elapsed() < PATIENCE {
            let length = self.socket.recv(&mut buffer)?;
            let message = &buffer[..length];
            let header = if self.raw && self.host.is_ipv4() {
                message.first().map_or(0, |first| usize::from(first & 0xf) * 4)
            } else {
                0
            };
            let Some([k, _, _, _, id0, id1, sequence0, sequence1]) =
                message.get(header..).and_then(<[u8]>::first_chunk)
            else {
                continue;
            };
            // The kernel chooses the identifier of a ping socket, and delivers only answers with this identifier to it.
            let ours = !self.raw || [*id0, *id1] == identifier;
            if *k == kind && ours && [*sequence0, *sequence1] == sequence.to_be_bytes() {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Makes a request: type, code, checksum, identifier, sequence number, data.
    fn request(&self, sequence: u16) -> Vec<u8> {
        let kind = if self.host.is_ipv4() { 8 } else { 128 };
        let mut message = vec![kind, 0, 0, 0];
        message.extend_from_slice(&id().to_be_bytes()[2..]);
        message.extend_from_slice(&sequence.to_be_bytes());
        message.resize(message.len() + DATA, b'.');
        // The kernel computes the other checksums: those of ping sockets and those of ICMPv6.
        if self.raw && self.host.is_ipv4() {
            // ICMP's checksum does not include addresses.
            let anywhere = Ipv4Addr::UNSPECIFIED;
            let addresses = Addresses::V4 { source: anywhere, destination: anywhere };
            if let Ok(Some(checksum)) = transport_checksum(&addresses, ICMP, [message.as_slice()]) {
                checksum.write([message.as_mut_slice()]);
            }
        }
        message
    }
}
