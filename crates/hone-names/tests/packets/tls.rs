//! Client hellos of TLS, whole, in pieces and cut off.

use super::common::*;
use hone_names::{ClientHello, NameSource};

/// The hello of the example in JA4's specification, with GREASE as Chrome sends it.
fn chrome() -> Vec<u8> {
    let ciphers = [
        0x0A0A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014,
        0x009C, 0x009D, 0x002F, 0x0035,
    ];
    let signatures = numbers(&[16, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]);
    let plain = |kind| (kind, vec![0]);
    hello(
        &ciphers,
        &[
            (0x1A1A, vec![]),
            server_name("WWW.Example.com"),
            plain(0x17),
            plain(0xFF01),
            plain(0x0A),
            plain(0x0B),
            plain(0x23),
            alpn(&["h2", "http/1.1"]),
            plain(5),
            (13, signatures),
            plain(0x12),
            plain(0x33),
            plain(0x2D),
            (43, [&[6][..], &numbers(&[0xDADA, 0x0304, 0x0303])].concat()),
            plain(0x1B),
            plain(0x4469),
            (0x2A2A, vec![0]),
            (0x15, vec![0; 400]),
        ],
    )
}

const CHROME: &str = "t13d1516h2_8daaf6152771_e5627efa2ab1";

fn segments(stream: &[u8], ends: &[usize]) -> Vec<Vec<u8>> {
    let to = server(1, 443);
    let mut packets = vec![tcp(CLIENT, to, u32::MAX - 5, SYN, b"")];
    let mut begin = 0;
    for end in ends.iter().copied().chain([stream.len()]) {
        let sequence = (u32::MAX - 4).wrapping_add(u32::try_from(begin).unwrap());
        packets.push(tcp(CLIENT, to, sequence, ACK, &stream[begin..end]));
        begin = end;
    }
    packets
}

fn is_chrome(hello: &ClientHello) {
    assert_eq!(hello.server_name.as_deref(), Some("www.example.com"));
    assert_eq!(hello.alpn, ["h2", "http/1.1"]);
    assert_eq!((hello.version, hello.ja4.as_deref()), (0x0304, Some(CHROME)));
    assert!(!hello.is_cut && !hello.is_quic);
}

#[test]
fn a_hello_is_found_in_one_segment_in_many_and_in_any_order() {
    for each in [60, 10_000] {
        let stream = records(&chrome(), each);
        is_chrome(&Host::default().hello(&segments(&stream, &[])).unwrap());
        let mut pieces = segments(&stream, &[1, 5, 6, 100, 300]);
        is_chrome(&Host::default().hello(&pieces).unwrap());
        pieces[1..].reverse();
        is_chrome(&Host::default().hello(&pieces).unwrap());
        pieces.extend(segments(&stream, &[50]));
        is_chrome(&Host::default().hello(&pieces).unwrap());
        // Without the handshake of TCP: the recording began later.
        is_chrome(&Host::default().hello(&segments(&stream, &[100])[1..]).unwrap());
    }
}

#[test]
fn the_connection_has_the_name_from_then_on_in_both_directions() {
    let mut host = Host::default();
    let packets = segments(&records(&chrome(), 10_000), &[]);
    assert_eq!(host.see(1, &packets[0]).1, None);
    let name = Some(("www.example.com".to_owned(), NameSource::Tls));
    assert_eq!(host.see(1, &packets[1]).1, name);
    assert_eq!(host.see(1, &tcp(server(1, 443), CLIENT, 9, ACK, b"x")).1, name);
    // The same ends, but another connection.
    assert_eq!(host.see(1, &tcp(CLIENT, server(1, 443), 77, SYN, b"")).1, None);
}

#[test]
fn fingerprints_are_those_of_the_specification() {
    let of = |hello: Vec<u8>| {
        Host::default().hello(&segments(&records(&hello, 10_000), &[])).unwrap().ja4.unwrap()
    };
    // Nothing but what must be: zeros stand for empty lists.
    assert_eq!(of(hello(&[], &[])), "t12i000000_000000000000_000000000000");
    assert!(of(hello(&[0x1301], &[alpn(&["http/1.1"])])).starts_with("t12i0101h1_"));
    // What is neither a letter nor a digit counts by its hexadecimal digits.
    for (protocol, ends) in [("\u{1}b", "02"), ("a", "aa"), ("a-", "6d")] {
        assert!(
            of(hello(&[0x1301], &[alpn(&[protocol])])).starts_with(&format!("t12i0101{ends}_")),
            "{protocol}"
        );
    }
    let many: Vec<(u16, Vec<u8>)> = (100..250).map(|kind| (kind, vec![])).collect();
    assert!(of(hello(&(1..200).collect::<Vec<u16>>(), &many)).starts_with("t12i999900_"));
}

#[test]
fn a_hello_that_was_cut_off_has_what_was_captured_and_says_so() {
    let packets = segments(&records(&chrome(), 10_000), &[]);
    let cut = |snap| Host { snap, ..Host::default() }.hello(&packets).unwrap();
    let enough = cut(150);
    assert_eq!(
        (enough.server_name.as_deref(), enough.ja4, enough.is_cut),
        (Some("www.example.com"), None, true)
    );
    for snap in 40..100 {
        let hello = cut(snap);
        assert!(hello.server_name.is_none() && hello.is_cut, "{snap}");
    }
}

#[test]
fn what_is_no_hello_is_left_alone() {
    for stream in [
        &b"\x16\x03\x01\0\x04\x02\0\0\0"[..],
        b"SSH-2.0-x\r\n",
        &[0; 100],
        b"\x16\x03\x01\xff\xff\x01\xff\xff\xff",
    ] {
        assert_eq!(Host::default().hello(&segments(stream, &[3])), None);
    }
}
