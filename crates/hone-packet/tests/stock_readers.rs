//! tshark, with all checksum checks enabled, reads synthesised packets. Skipped where it is missing.
#![cfg(not(miri))]

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{packet, v4, v6};
use hone_packet::protocol;

/// A classic capture file of raw IP packets (link type 101): the simplest that tshark reads.
fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut file = words(&[0xA1B2_C3D4, 0x0004_0002, 0, 0, 0x4_0000, 101]);
    for packet in packets {
        let length = u32::try_from(packet.len()).unwrap();
        file.extend(words(&[1_704_067_200, 0, length, length]));
        file.extend(packet);
    }
    file
}

#[test]
fn tshark_calls_every_checksum_good() {
    let mut packets = vec![];
    for length in [0, 1, 2, 3, 511, 1400] {
        let body: Vec<u8> = (0..=u8::MAX).cycle().skip(length).take(length).collect();
        for piece in [1, 3, 8, 4096] {
            for (addresses, protocol) in [
                (v4(), protocol::TCP),
                (v4(), protocol::UDP),
                (v4(), protocol::ICMP),
                (v6(), protocol::TCP),
                (v6(), protocol::UDP),
                (v6(), protocol::ICMPV6),
            ] {
                packets.push(packet(addresses, protocol, &body, piece));
            }
        }
    }
    let path: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "checksums.pcap"].iter().collect();
    std::fs::write(&path, capture(&packets)).expect("a file in the target directory");
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r"]).arg(&path).args(["-T", "fields", "-E", "separator=,"]);
    for preference in ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"] {
        tshark.args(["-o", &format!("{preference}:TRUE")]);
    }
    for field in ["ip", "tcp", "udp", "icmp", "icmpv6"] {
        tshark.args(["-e", &format!("{field}.checksum.status")]);
    }
    let output = match tshark.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => return println!("skipped: tshark does not run here: {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), packets.len());
    // Status 1 is "good", 0 "bad", 2 "unverified".
    let expected = ["1,1,,,", "1,,1,,", "1,,,1,", ",1,,,", ",,1,,", ",,,,1"];
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, expected[number % expected.len()], "packet {}", number + 1);
    }
}
