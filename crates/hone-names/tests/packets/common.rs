//! Packets as a recording has them, and a host that looks at them.

use std::net::{Ipv4Addr, SocketAddrV4};

use hone_names::{Found, NameSource, Names, Packet};
use hone_packet::Headers;
use hone_types::Direction;

pub(crate) const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 40_000);

/// The address with this port of a server.
pub(crate) fn server(last: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), port)
}

fn ip(protocol: u8, from: SocketAddrV4, to: SocketAddrV4, transport: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend(u16::try_from(20 + transport.len()).unwrap().to_be_bytes());
    out.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    out.extend(from.ip().octets());
    out.extend(to.ip().octets());
    out.extend(transport);
    out
}

pub(crate) fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut header =
        [from.port(), to.port(), u16::try_from(8 + payload.len()).unwrap(), 0].map(u16::to_be_bytes).concat();
    header.extend(payload);
    ip(17, from, to, &header)
}

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

pub(crate) fn tcp(from: SocketAddrV4, to: SocketAddrV4, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [from.port(), to.port()].map(u16::to_be_bytes).concat();
    header.extend(sequence.to_be_bytes());
    header.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    header.extend(payload);
    ip(6, from, to, &header)
}

/// A recording of [`CLIENT`]'s host.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) names: Names,
    pub(crate) nanos: u64,
    /// Bytes of each packet that are captured; 0: all.
    pub(crate) snap: usize,
}

/// What one packet said: what was found, and the name of the connection with its source.
pub(crate) type Said = (Vec<Found>, Option<(String, NameSource)>);

impl Host {
    /// The next packet, of this process.
    pub(crate) fn see(&mut self, process: u32, packet: &[u8]) -> Said {
        self.nanos += 1_000_000;
        let captured = if self.snap == 0 { packet } else { &packet[..packet.len().min(self.snap)] };
        let headers = Headers::parse(captured).unwrap();
        let sent = headers.source == *CLIENT.ip();
        let noted = self.names.note(&Packet {
            nanos: self.nanos,
            direction: Some(if sent { Direction::Outbound } else { Direction::Inbound }),
            process: (process != 0).then_some(process),
            connection: None,
            headers,
            length: u32::try_from(packet.len()).unwrap(),
        });
        let name = noted.name.map(|(named, _)| (named.name.to_string(), named.source));
        (noted.found.to_vec(), name)
    }

    /// Connections and streams that are kept.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        self.names.sizes()
    }

    /// The hello that the packets complete.
    pub(crate) fn hello(&mut self, packets: &[Vec<u8>]) -> Option<hone_names::ClientHello> {
        packets.iter().fold(None, |hello, packet| {
            let found = self.see(1, packet).0.into_iter().find_map(|found| match found {
                Found::Hello(hello) => Some(hello),
                _ => None,
            });
            hello.or(found)
        })
    }
}

/// Bytes of hexadecimal digits; blanks are skipped.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A handshake message with a client hello of these ciphers and extensions.
pub(crate) fn hello(ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let ciphers: Vec<u8> = ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
    let extensions =
        extensions.iter().flat_map(|(kind, body)| [kind.to_be_bytes().to_vec(), long(body)].concat());
    let extensions: Vec<u8> = extensions.collect();
    let body =
        [&[3, 3][..], &[7; 32], &short(b""), &long(&ciphers), &short(&[0]), &long(&extensions)].concat();
    [&[1, 0][..], &long(&body)].concat()
}

pub(crate) fn server_name(name: &str) -> (u16, Vec<u8>) {
    (0, long(&[&[0][..], &long(name.as_bytes())].concat()))
}

pub(crate) fn alpn(protocols: &[&str]) -> (u16, Vec<u8>) {
    (16, long(&protocols.iter().flat_map(|protocol| short(protocol.as_bytes())).collect::<Vec<_>>()))
}

pub(crate) fn numbers(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// TLS records of a handshake, with this many bytes each.
pub(crate) fn records(handshake: &[u8], each: usize) -> Vec<u8> {
    handshake.chunks(each).flat_map(|part| [&[22, 3, 1][..], &long(part)].concat()).collect()
}
