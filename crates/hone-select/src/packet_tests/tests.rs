use std::borrow::ToOwned as _;
use std::format;
use std::string::String;
use std::vec::Vec;

use hone_packet::Headers;

use super::*;
use crate::view::PacketView;

fn selection(arguments: &[&str]) -> Selection {
    let text =
        arguments.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect::<Vec<_>>();
    Selection::parse(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// Does what the kernel does with a packet that has plain headers: see bpf/selection.h in hone-linux.
fn accepts(tests: &[PacketTest], facts: &[u32; 16]) -> bool {
    let mut at = 0;
    loop {
        let test = tests[usize::from(at)];
        let value = facts[test.fact as usize] & test.mask;
        let next = if value.wrapping_sub(test.low) <= test.span { test.yes } else { test.no };
        match next {
            PacketTest::ACCEPT => return true,
            PacketTest::REJECT => return false,
            next => {
                assert!(next > at, "only later tests come next: {at} to {next}");
                at = next;
            }
        }
    }
}

/// A row of numbers that looks random and is always the same (splitmix64, public domain).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((mixed ^ mixed >> 31) >> 33).expect("31 bits are left") % end
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(u32::try_from(of.len()).expect("it is short")) as usize]
    }
}

const PORTS: [u16; 4] = [22, 53, 443, 5353];
const V4: [&str; 4] = ["10.0.0.1", "10.0.7.2", "224.0.0.251", "255.255.255.255"];
const V6: [&str; 4] = ["2001:db8::1", "2001:db8:0:7::2", "ff02::fb", "fe80::1"];

/// A packet with plain headers, its facts and its direction.
fn packet(numbers: &mut Numbers) -> (Vec<u8>, [u32; 16], Direction) {
    let is_v4 = numbers.below(2) == 0;
    let protocol = [TCP, UDP, SCTP, if is_v4 { 1 } else { 58 }][numbers.below(4) as usize];
    let ports = [(); 2].map(|()| PORTS[numbers.below(4) as usize]);
    let flags = u8::try_from(numbers.below(64)).expect("6 bits");
    let mut transport = Vec::from([0; 20]);
    transport[..2].copy_from_slice(&ports[0].to_be_bytes());
    transport[2..4].copy_from_slice(&ports[1].to_be_bytes());
    (transport[12], transport[13]) = (5 << 4, flags);
    transport.resize(20 + numbers.below(100) as usize, 7);
    let mut bytes;
    let mut facts = [0; 16];
    let words = |address: &[u8]| {
        address
            .chunks(4)
            .map(|word| u32::from_be_bytes(word.try_into().expect("4 bytes")))
            .collect::<Vec<_>>()
    };
    if is_v4 {
        let [from, to] =
            [(); 2].map(|()| V4[numbers.below(4) as usize].parse::<core::net::Ipv4Addr>().unwrap());
        bytes = Vec::from([0; 20]);
        (bytes[0], bytes[9]) = (0x45, protocol);
        bytes[2..4].copy_from_slice(&u16::try_from(20 + transport.len()).unwrap().to_be_bytes());
        bytes[12..16].copy_from_slice(&from.octets());
        bytes[16..].copy_from_slice(&to.octets());
        (facts[8], facts[12]) = (from.to_bits(), to.to_bits());
    } else {
        let [from, to] =
            [(); 2].map(|()| V6[numbers.below(4) as usize].parse::<core::net::Ipv6Addr>().unwrap());
        bytes = Vec::from([0; 40]);
        (bytes[0], bytes[6]) = (0x60, protocol);
        bytes[4..6].copy_from_slice(&u16::try_from(transport.len()).unwrap().to_be_bytes());
        bytes[8..24].copy_from_slice(&from.octets());
        bytes[24..].copy_from_slice(&to.octets());
        facts[8..12].copy_from_slice(&words(&from.octets()));
        facts[12..].copy_from_slice(&words(&to.octets()));
    }
    bytes.extend(transport);
    facts[..2].copy_from_slice(&[if is_v4 { 4 } else { 6 }, protocol.into()]);
    let direction = [Direction::Inbound, Direction::Outbound][numbers.below(2) as usize];
    facts[2] = if direction == Direction::Inbound { 1 } else { 2 };
    facts[3] = u32::try_from(bytes.len()).expect("it is short");
    if is_known(protocol) {
        (facts[4], facts[5], facts[7]) = (ports[0].into(), ports[1].into(), 1);
    }
    if protocol == TCP {
        facts[6] = flags.into();
    }
    (bytes, facts, direction)
}

const PRIMITIVES: &[&str] = &[
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "ip",
    "ip6",
    "port 53",
    "src port 22",
    "dst port 443",
    "tcp port 443",
    "udp portrange 50-60",
    "sctp",
    "host 10.0.0.1",
    "src host 2001:db8::1",
    "dst net 10.0.0.0/16",
    "net 2001:db8::/48",
    "net 2001:db8:0:7::/64",
    "src and dst net 10.0.0.0/8",
    "multicast",
    "inbound",
    "outbound",
    "less 80",
    "greater 80",
    "len > 100",
    "len != 60",
    "tcp[tcpflags] & tcp-syn != 0",
    "tcp[13] = 2",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[13] & 4 == 0",
    "tcp[13] >= 16",
    "tcp[13] < 0",
    "len >= 0",
    "portrange 60-50",
    "ip proto 17",
    "ip6 proto 6",
];

fn expression(numbers: &mut Numbers, depth: u32) -> String {
    match numbers.below(if depth == 0 { 1 } else { 4 }) {
        0 => numbers.one_of(PRIMITIVES).into(),
        1 => format!("not ({})", expression(numbers, depth - 1)),
        2 => format!("({}) and ({})", expression(numbers, depth - 1), expression(numbers, depth - 1)),
        _ => format!("({}) or ({})", expression(numbers, depth - 1), expression(numbers, depth - 1)),
    }
}

/// Some words, as arguments: each one that tests can express.
fn words(numbers: &mut Numbers) -> Vec<String> {
    let mut arguments = Vec::new();
    for _ in 0..=numbers.below(3) {
        let negated = numbers.one_of(&["", "not-"]);
        let (word, value) = match numbers.below(4) {
            0 => ("port", format!("{}", PORTS[numbers.below(4) as usize])),
            1 => (
                "host",
                numbers.one_of(&[V4[0], V6[1], "10.0.0.0/21", "2001:db8::/65", "::/0", "0.0.0.0/0"]).into(),
            ),
            2 => ("direction", numbers.one_of(&["in", "out"]).into()),
            _ => ("filter", expression(numbers, 3)),
        };
        arguments.push(format!("{negated}{word}={value}"));
    }
    arguments
}

fn parsed(arguments: &[String]) -> Selection {
    let mut selection = Selection::default();
    for argument in arguments {
        let (word, value) = argument.split_once('=').expect("it has a value");
        let (word, negated) = Word::read(word).expect("it is a word");
        selection.add(word, negated, value).unwrap_or_else(|error| panic!("{argument}: {error}"));
    }
    selection
}

#[test]
fn tests_agree_with_the_selections_of_all_readers() {
    let mut numbers = Numbers(16);
    let (mut made, mut wanted, mut unwanted) = (0, 0, 0);
    // Miri is slow.
    let tries = if cfg!(miri) { 10 } else { 3000 };
    for _ in 0..tries {
        let readers: Vec<_> = (0..=numbers.below(2)).map(|_| words(&mut numbers)).collect();
        let selections: Vec<_> = readers.iter().map(|words| parsed(words)).collect();
        assert!(selections.iter().flat_map(Selection::conditions).all(Condition::is_testable), "{readers:?}");
        let tests = match packet_tests(selections.iter()) {
            Ok(tests) => tests,
            Err(NoTests::TooMany) => continue,
            Err(error) => panic!("{readers:?}: {error:?}"),
        };
        made += 1;
        for _ in 0..30 {
            let (bytes, facts, direction) = packet(&mut numbers);
            let view = PacketView {
                ip: &bytes,
                headers: Headers::parse(&bytes).ok(),
                length: facts[3],
                direction: Some(direction),
                ..PacketView::default()
            };
            let is_wanted = selections.iter().any(|selection| selection.packet_matches(&view));
            assert_eq!(accepts(&tests, &facts), is_wanted, "{readers:?} {bytes:02x?}\n{tests:?}");
            *(if is_wanted { &mut wanted } else { &mut unwanted }) += 1;
        }
    }
    assert!(made > tries / 2 && wanted > 3 * tries && unwanted > 3 * tries, "{made} {wanted} {unwanted}");
}

#[test]
fn what_cannot_be_tested_is_left_to_the_selection() {
    let made = |arguments: &[&[&str]]| {
        let selections: Vec<_> = arguments.iter().map(|words| selection(words)).collect();
        packet_tests(selections.iter()).map(|tests| tests.len())
    };
    assert_eq!(made(&[]), Err(NoTests::Everything));
    assert_eq!(made(&[&["--name", "curl"]]), Err(NoTests::Everything));
    assert_eq!(made(&[&["--conn", "7"]]), Err(NoTests::Everything));
    assert_eq!(made(&[&["--filter", "udp[8] = 1"]]), Err(NoTests::Everything));
    let named = parsed(&["filter=tcp and domain a.example".to_owned()]);
    assert_eq!(packet_tests([named].iter()).map(|tests| tests.len()), Err(NoTests::Everything));
    assert_eq!(made(&[&["--port", "22"], &["--name", "curl"]]), Err(NoTests::Everything));
    // One value of a word that is not known makes the word unknown; another word stays.
    assert_eq!(made(&[&["--filter", "tcp", "--filter", "udp[8] = 1"]]), Err(NoTests::Everything));
    assert!(made(&[&["--name", "curl", "--port", "22"]]).is_ok_and(|tests| tests == 3));
    assert!(made(&[&["--not-filter", "udp[8] = 1", "--direction", "in"]]).is_ok_and(|tests| tests == 1));
    let many: Vec<String> = (0..90).map(|port| format!("{port}")).collect();
    let many: Vec<&str> = many.iter().flat_map(|port| ["--port", port]).collect();
    assert_eq!(made(&[&many]), Err(NoTests::TooMany));
}
