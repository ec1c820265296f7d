//! DNS and HTTP, and the names that connections get from them.

use super::common::*;
use hone_names::{Data, DnsMessage, Found, NameSource};

fn question(id: u16, name: &str, is_response: bool, answers: u8) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend([if is_response { 0x81 } else { 1 }, 0, 0, 1, 0, answers, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    out
}

fn answer(id: u16, name: &str, address: [u8; 4]) -> Vec<u8> {
    let mut out = question(id, name, true, 1);
    out.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
    out.extend(address);
    out
}

fn messages(said: Said) -> Vec<DnsMessage> {
    let dns = |found| if let Found::Dns(message) = found { Some(message) } else { None };
    said.0.into_iter().filter_map(dns).collect()
}

/// Process 7 asks for a name and gets the address of `server(9, ..)`.
fn look_up(host: &mut Host, name: &str) {
    let resolver = server(53, 53);
    assert_eq!(messages(host.see(7, &udp(CLIENT, resolver, &question(5, name, false, 0)))).len(), 1);
    let said = messages(host.see(7, &udp(resolver, CLIENT, &answer(5, name, [192, 0, 2, 9]))));
    assert_eq!(said[0].answers[0].data, Data::Address([192, 0, 2, 9].into()));
}

#[test]
fn a_connection_has_the_name_that_was_looked_up_before_it_began() {
    let mut host = Host::default();
    let to = server(9, 4433);
    assert_eq!(host.see(7, &tcp(CLIENT, to, 1, SYN, b"")).1, None, "nothing was looked up yet");
    look_up(&mut host, "Server.example");
    let name = Some(("server.example".to_owned(), NameSource::Dns));
    assert_eq!(host.see(7, &tcp(CLIENT, to, 9, SYN, b"")).1, name);
    assert_eq!(host.see(7, &tcp(to, CLIENT, 1, ACK, b"x")).1, name, "the other end has it");
    assert_eq!(host.see(7, &tcp(CLIENT, server(8, 4433), 9, SYN, b"")).1, None, "another address");
}

#[test]
fn an_answer_that_nobody_asked_for_names_nothing() {
    let mut host = Host::default();
    let forged = udp(server(53, 53), CLIENT, &answer(5, "bank.example", [192, 0, 2, 9]));
    assert_eq!(messages(host.see(0, &forged)).len(), 1, "it is shown");
    assert_eq!(host.see(7, &tcp(CLIENT, server(9, 443), 9, SYN, b"")).1, None);
}

#[test]
fn dns_over_tcp_is_read_message_by_message() {
    let framed =
        |message: Vec<u8>| [u16::try_from(message.len()).unwrap().to_be_bytes().to_vec(), message].concat();
    let names = ["a.example", "b.example", "c.example"];
    let stream: Vec<u8> =
        names.iter().zip(1..).flat_map(|(name, id)| framed(question(id, name, false, 0))).collect();
    for each in [1, 2, 7, 40, 1000] {
        let mut host = Host::default();
        host.see(7, &tcp(CLIENT, server(53, 53), 99, SYN, b""));
        let mut asked = Vec::new();
        for (at, part) in stream.chunks(each).enumerate() {
            let sequence = 100 + u32::try_from(at * each).unwrap();
            asked.extend(messages(host.see(7, &tcp(CLIENT, server(53, 53), sequence, ACK, part))));
        }
        let asked: Vec<_> = asked.iter().map(|message| message.questions[0].name.as_str()).collect();
        assert_eq!(asked, names, "in pieces of {each}");
    }
}

#[test]
fn each_request_of_a_connection_is_found_once() {
    let mut host = Host::default();
    let to = server(1, 8080);
    host.see(7, &tcp(CLIENT, to, 99, SYN, b""));
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}:8080\r\n\r\n").into_bytes();
    let (first, second) = (request("a.example"), request("b.example"));
    let mut at = 100;
    let mut hosts = Vec::new();
    for (packet, again) in [(&first, false), (&first, true), (&second, false)] {
        let sequence = if again { at - u32::try_from(packet.len()).unwrap() } else { at };
        let (found, name) = host.see(7, &tcp(CLIENT, to, sequence, ACK, packet));
        assert_eq!(found.is_empty(), again, "sent again");
        hosts.push(name.unwrap().0);
        at = sequence + u32::try_from(packet.len()).unwrap();
    }
    assert_eq!(hosts, ["a.example", "a.example", "b.example"]);
}

#[test]
fn names_that_were_not_captured_are_known_to_be_missing() {
    let query = udp(CLIENT, server(53, 53), &question(5, "a.example", false, 0));
    let quic = udp(CLIENT, server(1, 443), &[0; 1200]);
    let syn = tcp(CLIENT, server(1, 80), 9, SYN, b"");
    let web = tcp(CLIENT, server(1, 80), 10, ACK, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    for snap in [28, 40] {
        let mut host = Host { snap, ..Host::default() };
        let (mut found, name) = host.see(7, &query);
        assert!(found.pop().unwrap().is_cut() && name.is_none());
    }
    let mut host = Host { snap: 28, ..Host::default() };
    assert!(host.see(7, &quic).0[0].is_cut());
    assert!(host.see(7, &quic).0.is_empty(), "said once");
    for snap in [40, 50] {
        let mut host = Host { snap, ..Host::default() };
        assert_eq!(host.see(7, &syn).0, []);
        assert!(host.see(7, &web).0[0].is_cut());
    }
    assert!(!Host::default().see(7, &query).0[0].is_cut());
}

#[test]
fn memory_stays_bounded_under_any_number_of_connections() {
    let mut host = Host::default();
    // Each keeps a stream open with a hello that never ends.
    for at in 0..70_000_u32 {
        let from =
            std::net::SocketAddrV4::new([10, 0, (at >> 16).to_be_bytes()[3], 1].into(), (at & 0xFFFF) as u16);
        host.see(7, &tcp(from, server(1, 443), 1, ACK, b"\x16\x03\x01\x40\x00\x01\x00\x3f\xf0"));
    }
    let (flows, streams) = host.sizes();
    assert!(flows <= hone_names::MAX_FLOWS && streams <= hone_names::MAX_STREAMS, "{flows} {streams}");
}

/// A server's handshake is recorded with the connection of its listener.
#[test]
fn the_handshake_of_a_listener_has_the_number_of_the_connection_that_it_makes() {
    let mut names = hone_names::Names::default();
    let mut number = |connection, packet: &[u8]| {
        let headers = hone_packet::Headers::parse(packet).unwrap();
        let length = u32::try_from(packet.len()).unwrap();
        let direction = Some(hone_types::Direction::Inbound);
        let connection = Some(connection);
        names
            .note(&hone_names::Packet { nanos: 0, direction, process: None, connection, headers, length })
            .flow
    };
    let to = server(1, 80);
    let first = number(7, &tcp(CLIENT, to, 1, SYN, b""));
    assert_eq!(number(8, &tcp(CLIENT, to, 2, ACK, b"GET")), first);
    assert_eq!(number(8, &tcp(CLIENT, to, 5, ACK, b" /")), first);
    assert_ne!(number(7, &tcp(CLIENT, to, 99, SYN, b"")), first, "the next connection");
    assert_ne!(number(9, &tcp(CLIENT, server(2, 80), 2, ACK, b"GET")), first);
}
