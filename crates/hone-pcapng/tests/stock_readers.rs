//! A recording in the eyes of the tools that people have: Wireshark's and tcpdump. Each is skipped where it is missing.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

mod common;

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{emit, hex, interface};
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, EventCounts, HostId, Interface, Method, Packet,
    ProcessEvent, ProcessEventKind, ProcessThread, RawOption, Resolution, Section, Statistics,
};

const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];
/// 2024-01-01 00:00:00.123456789 UTC.
const START: u64 = 1_704_067_200_123_456_789;

/// 192.0.2.1 to 192.0.2.2, UDP 5353 to 53, 1 byte.
const IPV4: &str = "4500001D 00000000 4011 F6CC C0000201 C0000202  14E9 0035 0009 0000 41";
/// 2001:db8::1 to 2001:db8::2, UDP 5353 to 53, 1 byte.
const IPV6: &str = "60000000 0009 11 40 20010DB8000000000000000000000001 20010DB8000000000000000000000002
    14E9 0035 0009 0000 41";

/// A section with everything in it.
fn section(order: ByteOrder) -> Vec<u8> {
    let (ipv4, ipv6) = (hex(IPV4), hex(IPV6));
    let packet = |data, after, connection, process| {
        let data: &[u8] = data;
        Block::Packet(Packet {
            interface: 0,
            timestamp: START + after,
            original_length: u32::try_from(data.len()).unwrap(),
            data: Cow::Borrowed(data),
            flags: Some(2),
            process_thread: ProcessThread::of_process(process),
            connection,
            process,
            how: Some(Ok(Method::CurrentTask)),
            receiver: None,
            packet_id: Some(1 << 40),
            other: vec![RawOption { code: 1, value: Cow::Borrowed(b"seen by Hone") }],
        })
    };
    let blocks = [
        Block::Section(Section {
            hardware: Some(Cow::Borrowed(b"64-bit x86 server")),
            os: Some(Cow::Borrowed(b"Linux test")),
            application: Some(Cow::Borrowed(b"Hone 1.0")),
            host: Some(HostId::Guid([7; 16])),
            boot: Some([8; 16]),
            ..Default::default()
        }),
        Block::Interface(Interface {
            description: Some(Cow::Borrowed(b"all interfaces")),
            resolution: Resolution::NANOS,
            ..interface()
        }),
        Block::Process(ProcessEvent {
            process: 42,
            timestamp: START,
            kind: ProcessEventKind::Started,
            path: Some(Cow::Borrowed(b"/usr/bin/dig")),
            arguments: Some(Cow::Owned(vec![b'x'; 100_000])),
            parent: Some(1),
            user: Some(0),
            user_name: Some(Cow::Borrowed(b"root")),
            ..Default::default()
        }),
        Block::Connection(ConnectionEvent {
            connection: 7,
            process: 42,
            timestamp: START,
            ..Default::default()
        }),
        packet(&ipv4, 1, Some(7), Some(42)),
        packet(&ipv6, 2, Some(1 << 40), None),
        Block::Connection(ConnectionEvent {
            connection: 1 << 40,
            process: 42,
            timestamp: START + 3,
            kind: ConnectionEventKind::Closed,
            ..Default::default()
        }),
        Block::Statistics(Statistics {
            timestamp: START + 4,
            start_time: Some(START),
            end_time: Some(START + 4),
            received: Some(2),
            dropped_by_ring: Some(0),
            delivered: Some(2),
            processes: EventCounts { received: Some(1), ..Default::default() },
            ..Default::default()
        }),
    ];
    emit(&blocks, order)
}

/// What a tool says about a recording of so many sections in either byte order.
fn read_with(tool: &str, arguments: &[&str], sections: usize, check: impl Fn(&str)) {
    for order in ORDERS {
        let path: PathBuf =
            [env!("CARGO_TARGET_TMPDIR"), &format!("{tool}-{order:?}.pcapng")].iter().collect();
        std::fs::write(&path, section(order).repeat(sections)).expect("a file in the target directory");
        let output = Command::new(tool).args(arguments).arg(&path).stdin(Stdio::null()).output();
        let output = match output {
            Ok(output) => output,
            Err(error) => return println!("skipped: {tool} does not run here: {error}"),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool} fails on {}: {complaints}", path.display());
        check(&text);
    }
}

#[test]
fn tshark_shows_the_packets() {
    let fields = ["frame.number", "frame.time_epoch", "frame.len", "udp.dstport", "frame.comment"];
    let mut arguments = vec!["-n", "-T", "fields", "-E", "separator=/s"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    arguments.push("-r");
    read_with("tshark", &arguments, 2, |text| {
        let expected: String = (1..=4)
            .map(|number| {
                let (nanos, length) = if number % 2 == 1 { (790, 29) } else { (791, 49) };
                format!("{number} 1704067200.123456{nanos} {length} 53 seen by Hone\n")
            })
            .collect();
        assert_eq!(text, expected);
    });
}

#[test]
fn capinfos_knows_the_file() {
    read_with("capinfos", &["-M"], 2, |text| {
        let value = |key: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(key));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
        };
        assert_eq!(value("Number of packets:"), Some("4"));
        assert_eq!(value("File encapsulation"), Some("rawip"));
        assert_eq!(value("File timestamp precision"), Some("nanoseconds (9)"));
        assert_eq!(value("Capture hardware"), Some("64-bit x86 server"));
        assert_eq!(value("Capture oper-sys"), Some("Linux test"));
        assert_eq!(value("Capture application"), Some("Hone 1.0"));
    });
}

/// One section only. libpcap (1.10.3 and older at least) compares the link type of a second interface description, in
/// any section, with that of the first. It translates only the first one to its own number. For raw IP the two numbers
/// differ (101 and 12), so it stops with an error.
#[test]
fn tcpdump_shows_the_packets() {
    read_with("tcpdump", &["-n", "-t", "-r"], 1, |text| {
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("IP 192.0.2.1.5353 > 192.0.2.2.53:"), "{text}");
        assert!(lines[1].starts_with("IP6 2001:db8::1.5353 > 2001:db8::2.53:"), "{text}");
    });
}
