//! A scenario with every kind of event, and assertions about its recordings.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::{Driver, Native, Packet, Step};

/// The time at which tests take place, nanoseconds since 1970.
pub const NOW: u64 = 1_790_000_000_000_000_000;
/// A connection id that takes more than 32 bits.
pub const WIDE: u64 = 0x12_3456_789A;

/// A time after all events.
pub const LATER: u64 = NOW + 1_000_000_000;

fn address(text: &str) -> IpAddr {
    text.parse().expect("it is an address")
}

/// A segment without its checksum, as the network stack passes it to the network card.
fn segment(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header: &[u8] = match protocol {
        6 => &[0x9C, 0x40, 1, 0xBB, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 4, 0, 0xDE, 0xAD, 0, 0],
        17 => &[0x9C, 0x40, 0x12, 0x34, 0, 0, 0xDE, 0xAD],
        1 => &[8, 0, 0xDE, 0xAD, 0, 1, 0, 2],
        _ => &[128, 0, 0xDE, 0xAD, 0, 1, 0, 2],
    };
    let mut segment = [header, payload].concat();
    if protocol == 17 {
        let length = u16::try_from(segment.len()).expect("it is short");
        segment[4..6].copy_from_slice(&length.to_be_bytes());
    }
    segment
}

fn outbound(local: &str, remote: &str, protocol: u8, endpoint: u64, payload: &[u8], pieces: usize) -> Step {
    Step::Packet(Packet {
        endpoint: Some(endpoint),
        is_outbound: true,
        local: address(local),
        remote: address(remote),
        protocol,
        bytes: segment(protocol, payload),
        headers: (0, 0),
        is_loopback: false,
        pieces,
    })
}

/// An answer that has arrived, with correct checksums.
fn inbound(endpoint: u64, pieces: usize) -> Step {
    let bytes = [
        0x45, 0, 0, 32, 0, 7, 0, 0, 64, 17, 0x66, 0xC4, 10, 0, 0, 2, 10, 0, 0, 1, // IP
        0x12, 0x34, 0x9C, 0x40, 0, 12, 0, 0, // UDP without a checksum
        1, 2, 3, 4,
    ];
    Step::Packet(Packet {
        endpoint: Some(endpoint),
        is_outbound: false,
        local: address("10.0.0.1"),
        remote: address("10.0.0.2"),
        protocol: 17,
        bytes: bytes.to_vec(),
        headers: (20, 8),
        is_loopback: false,
        pieces,
    })
}

/// A loopback packet without any checksum.
fn loopback(endpoint: u64, pieces: usize) -> Step {
    let header = [0x45, 0, 0, 44, 0, 7, 0, 0, 64, 6, 0, 0, 127, 0, 0, 2, 127, 0, 0, 1];
    Step::Packet(Packet {
        endpoint: Some(endpoint),
        is_outbound: false,
        local: address("127.0.0.1"),
        remote: address("127.0.0.2"),
        protocol: 6,
        bytes: [&header[..], &segment(6, b"here")].concat(),
        headers: (20, 20),
        is_loopback: true,
        pieces,
    })
}

/// Every kind of event.
#[must_use]
pub fn everything() -> Vec<Step> {
    let payload: Vec<u8> = (0..=255).cycle().take(1301).collect();
    vec![
        Step::Start {
            pid: 5000,
            parent: 4,
            path: r"\??\C:\Program Files\browsér.exe",
            command_line: r#""C:\Program Files\browsér.exe" --tab "a b" \"c"#,
            arguments: &[r"C:\Program Files\browsér.exe", "--tab", "a b", r#""c"#],
        },
        Step::Start {
            pid: 5004,
            parent: 5000,
            path: r"\Device\x\y.exe",
            command_line: "y",
            arguments: &["y"],
        },
        Step::Open(6, 77, 5000),
        Step::Open(0, 77, 5000),
        Step::Open(0, WIDE, 5004),
        Step::Open(2, 79, 5004),
        Step::Open(2, 0, 5004),
        outbound("10.0.0.1", "10.0.0.2", 6, 77, &payload, 7),
        outbound("10.0.0.1", "10.0.0.2", 17, WIDE, b"question", 1),
        inbound(WIDE, 1),
        inbound(WIDE, 3),
        loopback(79, 1),
        loopback(79, 5),
        outbound("fd00::1", "fd00::2", 6, 79, &payload, 3),
        outbound("fd00::1", "fd00::2", 17, 79, b"", 1),
        outbound("fd00::1", "fd00::2", 58, 79, b"ping", 2),
        outbound("10.0.0.1", "10.0.0.2", 1, 79, b"ping", 2),
        Step::Close(4, 77),
        Step::Close(8, 77),
        Step::Close(4, 0),
        outbound("10.0.0.1", "10.0.0.2", 6, 77, b"late", 1),
        Step::End(5000),
        Step::Close(8, WIDE),
        Step::End(4_000_000_000),
    ]
}

/// Makes all events happen, one per millisecond, in the driver and on Linux.
pub fn happen(driver: &mut Driver, native: &mut Native, from: u64) {
    for (at, step) in (from..).step_by(1_000_000).zip(everything()) {
        driver.stand_in.step(at, &step);
        native.step(at, &step);
    }
}

/// Asserts that the driver's bytes are those of the engine on Linux.
///
/// # Panics
/// They differ.
pub fn assert_same(driver: &[u8], native: &[u8], what: &str) {
    let first = driver.iter().zip(native).position(|(one, other)| one != other);
    assert!(
        driver == native,
        "{what}: {} and {} bytes; first difference: {first:?}",
        driver.len(),
        native.len()
    );
}

/// tshark must open a recording of all events, show the right number of packets, and find every checksum correct.
///
/// # Panics
/// It does not.
pub fn stock_readers(recording: &[u8]) {
    let path = std::env::temp_dir().join(format!("hone-wine-{}.pcapng", std::process::id()));
    std::fs::write(&path, recording).expect("there is room");
    let fields = ["-T", "fields", "-e", "ip.proto", "-e", "ipv6.nxt"];
    let checks = ["ip", "tcp", "udp"].map(|protocol| format!("{protocol}.check_checksum:TRUE"));
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(fields).stderr(Stdio::null());
    checks.iter().for_each(|check| {
        command.arg("-o").arg(check);
    });
    let all = command.output();
    let wrong = command
        .args(["-Y", "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0"])
        .output();
    std::fs::remove_file(&path).expect("it was written");
    let (Ok(all), Ok(wrong)) = (all, wrong) else {
        assert!(std::env::var_os("HONE_LIVE").is_none_or(|live| live != "required"), "there is no tshark");
        eprintln!("skipped: there is no tshark");
        return;
    };
    assert!(all.status.success(), "tshark opens the recording");
    let lines = |output: &[u8]| {
        String::from_utf8_lossy(output).lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&all.stdout), ["6", "17", "17", "17", "6", "6", "6", "17", "58", "1", "6"]);
    assert!(lines(&wrong.stdout).is_empty(), "wrong checksums: {:?}", lines(&wrong.stdout));
}

/// Starts this number of processes, each with the same name and the next higher id.
pub fn start_processes(driver: &mut Driver, first: u32, count: u32) {
    let name = crate::hex(b"x");
    for pid in first..first + count {
        driver.stand_in.tell(&format!("start {pid} 4 {name} -"));
    }
}

/// A packet that leaves, with this number of payload bytes.
#[must_use]
pub fn packet(endpoint: u64, payload: usize) -> Step {
    outbound("10.0.0.1", "10.0.0.2", 17, endpoint, &vec![7; payload], 1)
}
