//! Seeds with names in them.

use std::net::Ipv4Addr;

use hone_packet::{Addresses, IpHeader, protocol};

/// The client's first packet of RFC 9001, appendix A.2, and of RFC 9369, appendix A.2.
const QUIC: [&str; 2] = [
    include_str!("../../../../crates/hone-names/tests/packets/quic/rfc9001-a2.hex"),
    include_str!("../../../../crates/hone-names/tests/packets/quic/rfc9369-a2.hex"),
];
/// A question for `a.example`, and its answer with an alias.
const QUESTION: &[u8] = b"\0\x05\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";
const ANSWER: &[u8] = b"\0\x05\x81\x80\0\x01\0\x02\0\0\0\0\x01a\x07example\0\0\x01\0\x01\
    \xC0\x0C\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xC0\x0E\xC0\x27\0\x01\0\x01\0\0\0\x3c\0\x04\xC0\0\x02\x01";
/// A TLS record with a hello: for `a.example`, ALPN `h2`, TLS 1.3.
const HELLO: &[u8] = b"\x16\x03\x01\0\x5b\x01\0\0\x57\x03\x03________________________________\0\0\x04\x13\x01\x0a\x0a\
    \x01\0\0\x2a\0\0\0\x0e\0\x0c\0\0\x09a.example\0\x10\0\x05\0\x03\x02h2\0\x2b\0\x03\x02\x03\x04\0\x0d\0\x04\0\x02\x04\x03";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// For [`packet_names`](crate::packet_names).
#[must_use]
pub fn packet_names() -> Vec<Vec<u8>> {
    let dns = [datagram(false, 53, QUESTION), datagram(true, 53, ANSWER), segment(443, 1, 2, b"")].concat();
    let framed = |message: &[u8]| {
        let length = u16::try_from(message.len()).expect("it is short");
        [&length.to_be_bytes()[..], message].concat()
    };
    let quic = QUIC.map(|digits| {
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
        let packet: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect();
        datagram(false, 443, &packet)
    });
    let [first, second] = [&HELLO[..30], &HELLO[30..]];
    let mut seeds = vec![
        dns,
        [segment(53, 0, 2, b""), segment(53, 1, 16, &framed(QUESTION))].concat(),
        [segment(443, 0, 2, b""), segment(443, 31, 16, second), segment(443, 1, 16, first)].concat(),
        [segment(80, 1, 16, REQUEST), segment(80, 36, 16, REQUEST)].concat(),
    ];
    seeds.extend(quic);
    seeds
}

fn record(is_inbound: bool, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let [client, server] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 1)];
    let (source, destination) = if is_inbound { (server, client) } else { (client, server) };
    let header = IpHeader::new(Addresses::V4 { source, destination }, protocol);
    let header = header.emit(transport.len()).expect("it is short");
    let packet = [&header[..], transport].concat();
    let length = u16::try_from(packet.len()).expect("it is short").to_be_bytes();
    [&[if is_inbound { 1 } else { 2 }, 7, 1, length[0], length[1]][..], &packet].concat()
}

fn ports(is_inbound: bool, port: u16) -> Vec<u8> {
    let ports = if is_inbound { [port, 40_000] } else { [40_000, port] };
    ports.map(u16::to_be_bytes).concat()
}

fn datagram(is_inbound: bool, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = ports(is_inbound, port);
    header.extend(u16::try_from(8 + payload.len()).expect("it is short").to_be_bytes());
    record(is_inbound, protocol::UDP, &[&header[..], &[0, 0], payload].concat())
}

fn segment(port: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let rest = [0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0];
    record(false, protocol::TCP, &[&ports(false, port)[..], &sequence.to_be_bytes(), &rest, payload].concat())
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_seed_has_a_name() {
        for seed in super::packet_names() {
            let said = crate::names::run(&seed, &mut hone_names::Names::default());
            assert!(said.iter().any(|name| matches!(name.as_str(), "a.example" | "example.com")), "{said:?}");
        }
    }
}
