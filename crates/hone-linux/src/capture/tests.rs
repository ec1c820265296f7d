//! The loaded programs are run with packets of the test's own. They are not attached, so that nothing else runs them.

use std::os::fd::{AsFd as _, AsRawFd as _};

use hone_packet::Headers;
use hone_select::{PacketView, Selection, Word, packet_tests};
use hone_types::{Direction, Mechanism};
use libbpf_rs::libbpf_sys;
use libbpf_rs::skel::Skel as _;

use super::*;
use crate::abi::HoneSkel;
use crate::programs;
use crate::requirements::Kernel;

struct Loaded {
    skeleton: HoneSkel<'static>,
    capture: Capture,
}

impl Loaded {
    fn new() -> Option<Self> {
        if !hone_testing::ready(&[]) {
            return None;
        }
        let kernel = Kernel::look().expect("the kernel has BTF");
        let skeleton = programs::load(kernel, Mechanism::Tracepoints, 1 << 20, &mut Vec::new());
        let skeleton = skeleton.expect("the programs are loaded");
        let map = |map| MapHandle::try_from(map).expect("it has a descriptor");
        let maps = &skeleton.maps;
        let capture = Capture::new(map(&maps.data), map(&maps.selection), map(&maps.left_out));
        Some(Self { skeleton, capture })
    }

    /// Lets a packet pass; whether it was left out.
    fn leaves_out(&self, ip: &[u8], direction: Direction) -> bool {
        let name = if direction == Direction::Inbound { "packet_received" } else { "packet_sent" };
        let mut programs = self.skeleton.object().progs();
        let program = programs.find(|program| program.name() == name).expect("it is loaded");
        // What the kernel takes off before the program runs: an Ethernet header.
        let mut frame = vec![0; 12];
        frame.extend(if ip[0] >> 4 == 4 { [0x08, 0] } else { [0x86, 0xDD] });
        frame.extend(ip);
        let before = self.capture.left_out().expect("the count is read");
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
            data_in: frame.as_ptr().cast(),
            data_size_in: u32::try_from(frame.len()).expect("it is short"),
            repeat: 1,
            ..Default::default()
        };
        let program = program.as_fd().as_raw_fd();
        // SAFETY: the options say how long they and the frame are; both live through the call.
        let result = unsafe { libbpf_sys::bpf_prog_test_run_opts(program, &raw mut options) };
        assert_eq!(result, 0, "the program runs: {}", std::io::Error::last_os_error());
        assert_eq!(options.retval & 1, 1, "the packet passes");
        let counted = self.capture.left_out().expect("the count is read") - before;
        assert!(counted <= 1, "a packet is counted once");
        counted == 1
    }
}

fn v4(protocol: u8, [from, to]: [[u8; 4]; 2], fragment: u16, options: usize, transport: &[u8]) -> Vec<u8> {
    let mut ip = vec![0; 20 + options];
    (ip[0], ip[8], ip[9]) = (0x45 + u8::try_from(options / 4).expect("they are few"), 64, protocol);
    ip[2..4]
        .copy_from_slice(&u16::try_from(20 + options + transport.len()).expect("it is short").to_be_bytes());
    ip[6..8].copy_from_slice(&fragment.to_be_bytes());
    ip[12..16].copy_from_slice(&from);
    ip[16..20].copy_from_slice(&to);
    ip.extend(transport);
    ip
}

fn v6(protocol: u8, [from, to]: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0; 40];
    (ip[0], ip[6], ip[7]) = (0x60, protocol, 64);
    ip[4..6].copy_from_slice(&u16::try_from(payload.len()).expect("it is short").to_be_bytes());
    (ip[8], ip[9], ip[13], ip[23]) = (0x20, 1, from, 1);
    (ip[24], ip[25], ip[29], ip[39]) = (0x20, 1, to, 2);
    ip.extend(payload);
    ip
}

fn tcp([from, to]: [u16; 2], flags: u8, payload: usize) -> Vec<u8> {
    let mut header = vec![0; 20 + payload];
    header[..2].copy_from_slice(&from.to_be_bytes());
    header[2..4].copy_from_slice(&to.to_be_bytes());
    (header[12], header[13]) = (5 << 4, flags);
    header
}

/// Packets with plain headers, and others.
fn packets() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let ends = [[10, 0, 0, 1], [10, 0, 7, 2]];
    let mut plain = Vec::new();
    for ports in [[40_000, 443], [443, 40_000], [22, 22], [53, 5353]] {
        for flags in [2, 16, 0x12] {
            plain.push(v4(6, ends, 0, 0, &tcp(ports, flags, 10)));
            plain.push(v6(6, [0, 7], &tcp(ports, flags, 70)));
        }
        plain.push(v4(17, [ends[1], [224, 0, 0, 251]], 0, 0, &tcp(ports, 0, 0)));
        plain.push(v4(17, ends, 0x4000, 8, &tcp(ports, 0, 0)));
        plain.push(v4(132, [ends[0], [255; 4]], 0, 0, &tcp(ports, 0, 5)));
        plain.push(v6(17, [7, 0], &tcp(ports, 0, 200)));
    }
    plain.push(v4(1, ends, 0, 0, &[8, 0, 0, 0, 0, 0, 0, 0]));
    plain.push(v6(58, [0, 0], &[128, 0, 0, 0, 0, 0, 0, 0]));
    let ports = tcp([40_000, 443], 2, 0);
    let mut behind = vec![6, 0, 0, 0, 0, 0, 0, 0];
    behind.extend(&ports);
    let others = vec![
        v4(6, ends, 0x2000, 0, &ports),
        v4(6, ends, 0x00B9, 0, &ports),
        v4(6, ends, 0, 0, &ports[..10]),
        v4(17, ends, 0, 0, &ports[..2]),
        v4(33, ends, 0, 0, &ports),
        v4(47, ends, 0, 0, &ports),
        v6(0, [0, 7], &behind),
        v6(44, [0, 7], &behind),
        v6(17, [0, 7], &ports[..3]),
    ];
    (plain, others)
}

fn matches(selection: &Selection, ip: &[u8], direction: Direction) -> bool {
    selection.packet_matches(&PacketView {
        ip,
        headers: Headers::parse(ip).ok(),
        length: u32::try_from(ip.len()).expect("it is short"),
        direction: Some(direction),
        ..PacketView::default()
    })
}

fn selection(words: &[(&str, &str)]) -> Selection {
    let mut selection = Selection::default();
    for (word, value) in words {
        let (word, is_negated) = Word::read(word).expect("it is a word");
        selection.add(word, is_negated, value).unwrap_or_else(|error| panic!("{value}: {error}"));
    }
    selection
}

const SELECTIONS: &[&[(&str, &str)]] = &[
    &[("port", "443")],
    &[("port", "443"), ("port", "53")],
    &[("not-port", "22")],
    &[("host", "10.0.0.0/21"), ("direction", "in")],
    &[("host", "2001:0:0:0::/64"), ("not-direction", "out")],
    &[("not-host", "2001:0:7::/48")],
    &[("host", "2001:0:7::1")],
    &[("filter", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0")],
    &[("filter", "not (tcp and port 443) and less 60"), ("not-port", "5353")],
    &[("filter", "udp portrange 50-60 or icmp or icmp6 or multicast")],
    &[("not-filter", "greater 60 and not (sctp or inbound)")],
    &[("filter", "ip6 and dst port 443 or src and dst net 10.0.0.0/8")],
    &[("filter", "ip host 255.255.255.255 or not tcp[13] = 2")],
];

#[test]
fn the_kernel_leaves_out_what_no_reader_selects_and_nothing_else() {
    let Some(loaded) = Loaded::new() else { return };
    loaded.capture.set(Some(SnapLength::ALL)).expect("all is captured");
    let (plain, others) = packets();
    let (mut kept, mut left) = (0, 0);
    for (index, words) in SELECTIONS.iter().enumerate() {
        // Alone, and together with each of the next two.
        for more in [0, 1, 2] {
            let readers =
                [words, &SELECTIONS[(index + more) % SELECTIONS.len()]].map(|words| selection(words));
            loaded
                .capture
                .select(Some(&packet_tests(readers.iter()).expect("they can be tested")))
                .expect("it is set");
            for direction in [Direction::Inbound, Direction::Outbound] {
                let wants = |ip: &[u8]| readers.iter().any(|reader| matches(reader, ip, direction));
                for ip in &plain {
                    let left_out = loaded.leaves_out(ip, direction);
                    assert_eq!(left_out, !wants(ip), "{readers:?} {direction:?} {ip:02x?}");
                    *(if left_out { &mut left } else { &mut kept }) += 1;
                }
                for ip in &others {
                    assert!(!loaded.leaves_out(ip, direction), "it is left to the selection: {ip:02x?}");
                }
            }
        }
    }
    assert!(kept > 500 && left > 500, "{kept} {left}");
    println!("{kept} packets kept, {left} left out");
}

#[test]
fn nothing_is_left_out_without_tests_or_where_the_capture_cuts_the_headers_off() {
    let Some(loaded) = Loaded::new() else { return };
    let ip = v4(6, [[10, 0, 0, 1], [10, 0, 0, 2]], 0, 0, &tcp([1, 2], 2, 0));
    let tests = packet_tests([selection(&[("port", "443")])].iter()).expect("they can be tested");
    let left_out = |bytes: u32, tests: &[PacketTest]| {
        loaded.capture.set(Some(SnapLength::lenient(bytes))).expect("it is set");
        loaded.capture.select(Some(tests)).expect("they are set");
        loaded.leaves_out(&ip, Direction::Outbound)
    };
    assert!(left_out(34, &tests));
    assert!(!left_out(33, &tests), "as the selection does not see so far either");
    assert!(!left_out(34, &[]));
    assert!(left_out(34, &tests), "again");
    loaded.capture.set(None).expect("nothing is captured");
    assert!(!loaded.leaves_out(&ip, Direction::Outbound), "nobody reads, so nothing is left out of anything");
}
