//! Tests what expressions mean, on packets made for it. `tests/show/stock.rs` of honeutil compares with tcpdump.

use std::string::ToString;
use std::vec;

use hone_packet::Headers;
use hone_packet::protocol::{ICMP, TCP, UDP};
use hone_types::Direction;

use super::*;

fn v4(protocol: u8, ends: [[u8; 4]; 2], transport: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20];
    (packet[0], packet[9]) = (0x45, protocol);
    packet[12..20].copy_from_slice(ends.as_flattened());
    packet.extend_from_slice(transport);
    packet
}

fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.resize(20, 0);
    (header[12], header[13]) = (0x50, flags);
    header
}

fn view(ip: &[u8]) -> PacketView<'_> {
    let length = u32::try_from(ip.len()).unwrap();
    let direction = Some(Direction::Outbound);
    PacketView { ip, headers: Headers::parse(ip).ok(), length, direction, ..PacketView::default() }
}

#[track_caller]
fn check(packet: &[u8], yes: &[&str], no: &[&str]) {
    let view = view(packet);
    for (texts, expected) in [(yes, true), (no, false)] {
        for text in texts {
            let expression: Expression = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(expression.matches(&view), expected, "{text}");
        }
    }
}

#[test]
fn a_tcp_packet() {
    let packet = v4(TCP, [[10, 0, 0, 1], [192, 0, 2, 1]], &tcp(40_000, 443, 0x12));
    let yes = [
        "tcp",
        "ip",
        "tcp port 443",
        "port 80 or 443",
        "port (80 or 443)",
        "dst port 443",
        "src port 40000",
        "src or dst port 443",
        "host 10.0.0.1",
        "10.0.0.1",
        "src host 10.0.0.1 and dst host 192.0.2.1",
        "net 10",
        "src net 10.0.0.0/8",
        "net 192.0.2.0 mask 255.255.255.0",
        "net 192.0.2",
        "not udp",
        "! udp && tcp",
        "tcp portrange 400-500",
        "portrange 500-400",
        "proto 6",
        "ip proto \\tcp",
        "ip proto tcp",
        "less 40",
        "greater 40",
        "len = 40",
        "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn | tcp-ack",
        "tcp[13] = 0x12",
        "tcp[2:2] = 443",
        "ip[9] = 6",
        "ip[12:4] = 0x0a000001",
        "tcp[(tcp[12] >> 4) * 2 + 3] = 0x12",
        "(ip[0] & 0xf) * 4 = 20",
        "len - 20 = 20",
        "1 + 2 * 3 = 7",
        "8 >> 1 = 4",
        "6 | 1 & 3 = 3",
        "not tcp[2:2] = 80",
        "outbound",
        "udp or tcp and port 443",
        "tcp port 443 or 80",
        "ip host 10.0.0.1",
        "-1 = 0xffffffff",
        "0 == 00",
        "udp port 53 or tcp port 443",
    ];
    let no = [
        "udp",
        "ip6",
        "icmp",
        "port 80",
        "udp port 443",
        "src port 443",
        "src and dst port 443",
        "host 10.0.0.2",
        "ip6 proto 6",
        "net 11.0.0.0/8",
        "not tcp",
        "less 39",
        "greater 41",
        "tcp[13] & tcp-fin != 0",
        "udp[0] = 0",
        "tcp[100] = 0",
        "not tcp[100] = 0",
        "1 / 0 = 1",
        "inbound",
        "multicast",
        "host ::1",
        "tcp or tcp and udp",
        "not (tcp or udp)",
        "dst host 10.0.0.1 or 10.0.0.2",
        "broadcast",
        "sctp",
    ];
    check(&packet, &yes, &no);
}

#[test]
fn fragments_icmp_and_ipv6() {
    let mut fragment = v4(UDP, [[10, 0, 0, 1], [224, 0, 0, 1]], &[0, 53, 0, 53]);
    fragment[7] = 1;
    check(
        &fragment,
        &["udp", "ip multicast", "multicast", "ip[6:2] & 0x1fff != 0"],
        &["port 53", "udp[0] = 0"],
    );
    let echo = v4(ICMP, [[10, 0, 0, 1], [10, 0, 0, 2]], &[8, 0]);
    check(&echo, &["icmp", "icmp[icmptype] = icmp-echo"], &["icmp6", "icmp[icmpcode] != 0"]);
    let mut packet = vec![0; 40];
    (packet[0], packet[6], packet[39]) = (0x60, 60, 1);
    // Behind destination options.
    packet.extend([TCP, 0, 0, 0, 0, 0, 0, 0]);
    packet.extend(tcp(40_000, 443, 2));
    let yes = [
        "ip6",
        "tcp",
        "port 443",
        "ip6 host ::1",
        "ip6 proto 60",
        "net ::/64",
        "tcp[tcpflags] = tcp-syn",
        "ip6[6] = 60",
    ];
    check(&packet, &yes, &["ip", "icmp6", "ip host ::1", "ip6 multicast", "ip[0] = 0x60"]);
    check(&[], &["not ip", "less 10"], &["ip", "tcp", "ip[0] = 0"]);
}

#[test]
fn what_is_wrong_is_said() {
    for (text, words) in [
        ("", "found the end"),
        ("port", "a port by its number"),
        ("port http", "found \"http\""),
        ("port 65536", "0 to 65535"),
        ("host example.com", "names are not looked up"),
        ("host 10.0.0.0/8", "an IPv4 or IPv6 address"),
        ("net 10.0.0.0/33", "such as 10.0.0.0/8"),
        ("net 10.0.0.1/8", "write 10.0.0.0/8 for the network, or 10.0.0.1 for this address"),
        ("net 10.0.0.1 mask 255.0.0.0", "write 10.0.0.0/8"),
        ("net 2001:db8::1/32", "write 2001:db8::/32"),
        ("net 1.2.3.4.5", "such as 10.0.0.0/8"),
        ("portrange 1", "the last port"),
        ("tcp and", "found the end"),
        ("(tcp", "or )"),
        ("tcp)", "found \")\""),
        ("tcp udp", "found \"udp\""),
        ("ether host 1:2:3:4:5:6", "ether is not supported"),
        ("vlan 5", "vlan is not supported"),
        ("icmp port 5", "icmp cannot be combined with port"),
        ("tcp host 1.2.3.4", "tcp cannot be combined with host"),
        ("tcp[0", "found"),
        ("tcp[0:3] = 1", "expected 1, 2 or 4: the size in bytes, found \"3\""),
        ("tcp[0:2 = 1", "expected ], found \"=\""),
        ("len > 99999999999", "expected a number, 0 to 4294967295"),
        ("tcp[0] = 4294967296", "found \"4294967296\""),
        ("less 99999999999", "0 to 4294967295"),
        ("len > 08", "0 an octal one), found \"08\""),
        ("proto 256", "0 to 255"),
        ("less x", "a number"),
        ("port 80;", "';' has no meaning"),
        ("domain", "expected a name such as example.com, found the end"),
        ("domain and tcp", "expected a name such as example.com, found \"and\""),
        ("domain *.a.example", "the domain must be a name without *"),
        ("domain b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("tcp domain a.example", "tcp cannot be combined with domain"),
        ("dst domain a.example", "src and dst cannot be combined with domain"),
        ("host a.example", "names are not looked up"),
    ] {
        let message = text.parse::<Expression>().unwrap_err().to_string();
        assert!(message.contains(words), "{text}: {message}");
    }
    for (text, at) in [
        ("tcp prot 80", 5),
        ("tcp and\tport http or udp", 14),
        ("not (tcp or udp", 16),
        ("port 80;", 8),
        ("len > 99999999999", 7),
        ("udp or tcp[0:3] = 1", 14),
        ("", 1),
        ("tcp and  ", 10),
        ("udp and icmp port 5", 9),
        ("udp or ether host 1", 8),
        ("tcp and net 10.0.0.1/8", 13),
        ("host 10.0.0.1 or 10.0.0.0/8", 18),
        ("tcp and domain .a", 16),
        ("domain \u{fc}.a or port x", 8),
    ] {
        let error = text.parse::<Expression>().unwrap_err();
        assert!(matches!(error, ExpressionError::At(found, _) if found == at), "{text}: {error}");
    }
    for deep in ["(", "!", "not ", "-", "((len) + ", "tcp["] {
        assert!(deep.repeat(300).parse::<Expression>().is_err(), "{deep}");
    }
    let long = vec!["tcp"; 900].join(" or ");
    assert!(long.parse::<Expression>().is_ok());
}

#[test]
fn a_domain_is_a_condition_like_others() {
    let packet = v4(TCP, [[10, 0, 0, 1], [192, 0, 2, 1]], &tcp(40_000, 443, 0x12));
    let names = ["www.a-1.example", "host-1"];
    let packet = PacketView { names: &names, ..view(&packet) };
    for (text, expected) in [
        ("domain a-1.example", true),
        ("domain A-1.Example.", true),
        ("domain 1.example", false),
        ("ip domain a-1.example", true),
        ("ip6 domain a-1.example", false),
        ("domain host-1&&tcp", true),
        ("domain b.example or a-1.example", true),
        ("not domain (b.example or a-1.example)", false),
        ("domain(host-1)and port 443", true),
        ("port 443 and !domain c.example", true),
        ("domain www.a-1.example and tcp[tcpflags] & tcp-syn != 0 and len-4 > 1", true),
    ] {
        let expression: Expression = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(expression.needs_names());
        assert_eq!(expression.matches(&packet), expected, "{text}");
    }
    assert!(!"tcp port 443".parse::<Expression>().unwrap().needs_names());
}

/// The stack of a kernel has 12 KiB. Here, checks of a build for tests need some, too.
#[test]
#[cfg_attr(miri, ignore = "Miri has no stack of that size")]
fn parsing_needs_no_more_stack_for_deep_nesting() {
    let deep = [("(", ")"), ("not ", ""), ("port (", ")"), ("tcp or (", ")")];
    let mut texts: Vec<_> =
        deep.into_iter().map(|(open, close)| open.repeat(98) + "port 80" + &close.repeat(98)).collect();
    let deep = [("-", ""), ("(", ")"), ("tcp[", "]"), ("1+(", ")")];
    texts.extend(deep.into_iter().map(|(open, close)| open.repeat(45) + "len" + &close.repeat(45) + " = 0"));
    let parse = move || {
        for text in texts {
            assert!(text.parse::<Expression>().is_ok(), "{text}");
        }
    };
    std::thread::Builder::new().stack_size(32 << 10).spawn(parse).unwrap().join().unwrap();
}

/// Words in any order make an expression or an error, and no packet makes an expression panic.
#[test]
fn any_row_of_words_is_an_expression_or_an_error() {
    let words = [
        "tcp",
        "udp",
        "ip",
        "ip6",
        "icmp",
        "port",
        "host",
        "net",
        "src",
        "dst",
        "and",
        "or",
        "not",
        "(",
        ")",
        "[",
        "]",
        "0",
        "443",
        "10.0.0.1",
        "::1",
        "/",
        "8",
        "-",
        ":",
        "2",
        "=",
        "<",
        "+",
        ">>",
        "len",
        "less",
        "proto",
        "portrange",
        "4294967295",
        "*",
        "multicast",
        "tcpflags",
        "mask",
        "domain",
        "a-1.example",
    ];
    let packet = v4(TCP, [[10, 0, 0, 1], [192, 0, 2, 1]], &tcp(40_000, 443, 0x12));
    let mut seed = 1_u32;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    // Miri is slow.
    let (mut sound, tries) = (0, if cfg!(miri) { 200 } else { 20_000 });
    for _ in 0..tries {
        let count = 1 + random(8);
        let text = (0..count).map(|_| words[random(words.len())]).collect::<Vec<_>>().join(" ");
        if let Ok(expression) = text.parse::<Expression>() {
            sound += 1;
            for length in [0, 1, 19, 20, 33, packet.len()] {
                let _ = expression.matches(&view(&packet[..length]));
            }
        }
    }
    assert!(sound > tries / 200, "{sound}");
}
