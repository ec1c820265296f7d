//! The example on the front page is the one that is compiled, and does what the page says.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

#[path = "../examples/packets.rs"]
#[expect(dead_code, reason = "its main function reads a file")]
mod packets;

use std::borrow::Cow;

use hone_pcapng::{ByteOrder, Interface, Method, NoOwner, Packet, ProcessEvent, Resolution, Section};

#[test]
fn the_front_page_shows_the_example() {
    let (readme, example) = (include_str!("../README.md"), include_str!("../examples/packets.rs"));
    let (_, code) = example.split_once("\n\n").expect("its first line says what it is");
    assert!(readme.contains(&format!("```rust,no_run\n{code}```\n")), "README.md has another example");
}

#[test]
fn each_packet_is_printed_with_its_process() {
    let mut recording = Vec::new();
    let emit = |block: Result<(), hone_pcapng::EmitError>| block.expect("there is memory");
    emit(Section::default().emit(ByteOrder::Big, &mut recording));
    let interface = Interface {
        link_type: 101,
        snap_length: 0,
        description: None,
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    };
    emit(interface.emit(ByteOrder::Big, &mut recording));
    let path = Some(Cow::Borrowed(b"/usr/bin/curl".as_slice()));
    let curl = ProcessEvent { process: 8, path, ..ProcessEvent::default() };
    emit(curl.emit(ByteOrder::Big, &mut recording));
    const NOON: u64 = 1_785_412_800_000_000_000;
    for (at, original_length, flags, process, how) in [
        (8_000, 140, 2, Some(8), Ok(Method::CurrentTask)),
        (9_000, 1040, 1, Some(8), Ok(Method::LastReceiver)),
        (10_000, 60, 1, None, Err(NoOwner::NoSocket)),
    ] {
        let packet = Packet {
            timestamp: NOON + at,
            original_length,
            flags: Some(flags),
            process,
            how: Some(how),
            ..Packet::default()
        };
        emit(packet.emit(ByteOrder::Big, &mut recording));
    }

    let mut printed = Vec::new();
    packets::print_packets(recording.as_slice(), &mut printed).expect("it is sound");
    let printed = String::from_utf8(printed).expect("it is text");
    let readme = include_str!("../README.md");
    assert!(readme.contains(&format!("```text\n{printed}```\n")), "README.md says otherwise than: {printed}");
}
