//! What readers read is what the engine makes, on Linux, of the same things: byte for byte. And stock readers read it.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use hone_api::Operation;
use hone_engine::Filter;
use hone_wine_tests::{Driver, Native, Packet, Step, driver};

/// When tests happen, nanoseconds since 1970.
const NOW: u64 = 1_790_000_000_000_000_000;
const WIDE: u64 = 0x12_3456_789A;

fn address(text: &str) -> IpAddr {
    text.parse().expect("it is an address")
}

/// A segment without its checksum, as the stack hands it to the card.
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
        process: None,
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

/// An answer that has arrived, with right checksums.
fn inbound(endpoint: u64, pieces: usize) -> Step {
    let bytes = [
        0x45, 0, 0, 32, 0, 7, 0, 0, 64, 17, 0x66, 0xC4, 10, 0, 0, 2, 10, 0, 0, 1, // IP
        0x12, 0x34, 0x9C, 0x40, 0, 12, 0, 0, // UDP without a checksum
        1, 2, 3, 4,
    ];
    Step::Packet(Packet {
        endpoint: Some(endpoint),
        process: None,
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

/// A packet that has not left the machine, without any checksum.
fn loopback(endpoint: u64, pieces: usize) -> Step {
    let header = [0x45, 0, 0, 44, 0, 7, 0, 0, 64, 6, 0, 0, 127, 0, 0, 2, 127, 0, 0, 1];
    Step::Packet(Packet {
        endpoint: Some(endpoint),
        process: None,
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

/// Something of everything.
fn everything() -> Vec<Step> {
    let payload: Vec<u8> = (0..=255).cycle().take(1301).collect();
    vec![
        Step::Start {
            pid: 5000,
            parent: 4,
            path: r"\??\C:\Program Files\brows\u{e9}r.exe",
            command_line: r#""C:\Program Files\brows\u{e9}r.exe" --tab "a b" \"c"#,
            arguments: &[r"C:\Program Files\brows\u{e9}r.exe", "--tab", "a b", r#""c"#],
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
        outbound("10.0.0.1", "10.0.0.2", 6, 77, b"late", 1),
        Step::End(5000),
        Step::Close(8, WIDE),
        Step::End(4_000_000_000),
    ]
}

/// Has everything happen, a millisecond each, in the driver and on Linux.
fn happen(driver: &mut Driver, native: &mut Native, from: u64) {
    for (at, step) in (from..).step_by(1_000_000).zip(everything()) {
        driver.stand_in.step(at, &step);
        native.step(at, &step);
    }
}

fn assert_same(driver: &[u8], native: &[u8], what: &str) {
    let first = driver.iter().zip(native).position(|(one, other)| one != other);
    assert!(
        driver == native,
        "{what}: {} and {} bytes; first difference: {first:?}",
        driver.len(),
        native.len()
    );
}

#[test]
fn a_recording_is_the_engines_byte_for_byte() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let beginning = probe.read(file);
    let mut native = Native::like(&beginning);
    let reader = native.attach(0, NOW);
    assert_same(&beginning, &native.read(reader, NOW), "the beginning");

    happen(&mut driver, &mut native, NOW + 1_000_000);
    let later = NOW + 1_000_000_000;
    driver.stand_in.set_clock(later);
    probe.control(file, Operation::MarkRestart, &[]).expect("it is attached");
    native.mark_restart(reader, later);
    let (first, expected) = (probe.read(file), native.read(reader, later));
    assert_same(&first, &expected, "the first section");
    let (second, expected) = (probe.read(file), native.read(reader, later));
    assert_same(&second, &expected, "the second section's beginning");
    assert!(second.len() > 200 && probe.read(file).is_empty());
    stock_readers([beginning, first, second].concat());
}

/// tshark opens it, shows as many packets as there are, and finds every checksum right.
fn stock_readers(recording: Vec<u8>) {
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

#[test]
fn several_readers_have_their_own_filters_and_snap_lengths() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probes = [driver.probe(), driver.probe()];
    let files = [(0, 0), (0, 96), (1, 0), (1, 41)].map(|(probe, snap_length)| {
        let file = probes[probe].open().expect("it is opened");
        (probe, file, snap_length)
    });
    let mut native = Native::like(&probes[0].read(files[0].1));
    let readers = files.map(|(probe, file, snap_length)| {
        let input = u32::to_le_bytes(snap_length);
        probes[probe].control(file, Operation::SetSnapLength, &input).expect("it is in range");
        let reader = native.attach(snap_length, NOW);
        (probe, file, reader)
    });
    let mut set = |place: usize, operation, input: &[u8], filter: Filter<'_>| {
        let (probe, file, reader) = readers[place];
        probes[probe].control(file, operation, input).expect("it is in range");
        native.set_filter(reader, filter);
    };
    set(1, Operation::FilterConnections, &77_u32.to_le_bytes(), Filter::ExcludeConnections(&[77]));
    set(2, Operation::FilterConnections64, &WIDE.to_le_bytes(), Filter::ExcludeConnections(&[WIDE]));
    set(3, Operation::FilterProcesses, &5004_u32.to_le_bytes(), Filter::ExcludeProcesses(&[5004]));
    let [first, others @ ..] = readers;
    native.read(first.2, NOW);

    happen(&mut driver, &mut native, NOW + 1_000_000);
    let later = NOW + 1_000_000_000;
    driver.stand_in.set_clock(later);
    let mut lengths = Vec::new();
    for (probe, file, reader) in [first].into_iter().chain(others) {
        let (read, expected) = (probes[probe].read(file), native.read(reader, later));
        assert_same(&read, &expected, &format!("reader {reader:?}"));
        lengths.push(read.len());
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths.len(), 4, "each reads something else");
}
