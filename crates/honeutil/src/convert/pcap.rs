//! libpcap files with nanoseconds, little-endian, and the PKTAP header of a packet in them, whose layout is described in
//! [`pktap`](crate::show::pktap).

use hone_pcapng::Direction;

use super::lost::Lost;
use crate::show::event::{Packet, Shown};
use crate::show::pktap::{DLT_RAW, LENGTH, LINKTYPE_RAW, NAME_LENGTH};

/// Seconds and nanoseconds.
const MAGIC: u32 = 0xA1B2_3C4D;
/// The longest packet that readers accept, and tcpdump's default.
const SNAP_LENGTH: u32 = 262_144;
/// macOS's numbers.
const AF_INET: u32 = 2;
const AF_INET6: u32 = 30;

/// The header of a file.
pub(super) fn header(link_type: u32, out: &mut Vec<u8>) {
    // Version 2.4.
    out.extend([MAGIC, 4 << 16 | 2, 0, 0, SNAP_LENGTH, link_type].map(u32::to_le_bytes).as_flattened());
}

/// A packet, behind `before`.
pub(super) fn record(
    packet: &Packet<'_>,
    nanos: Option<u64>,
    before: &[u8],
    lost: &mut Lost,
    out: &mut Vec<u8>,
) {
    let time = nanos.and_then(|nanos| {
        let seconds = u32::try_from(nanos / 1_000_000_000).ok()?;
        Some([seconds, u32::try_from(nanos % 1_000_000_000).ok()?])
    });
    lost.timeless += u64::from(time.is_none());
    let [seconds, fraction] = time.unwrap_or_default();
    let more = u32::try_from(before.len()).unwrap_or(u32::MAX);
    // No block is longer than 16 MiB.
    let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX).saturating_add(more);
    let words = [seconds, fraction, captured, packet.original_length.saturating_add(more)];
    out.extend(words.map(u32::to_le_bytes).as_flattened());
    out.extend(before);
    out.extend(packet.data);
}

/// The PKTAP header of a packet.
pub(super) fn pktap(shown: &Shown<'_>, packet: &Packet<'_>, lost: &mut Lost) -> Vec<u8> {
    let direction = packet.direction();
    let flags = match direction {
        Some(Direction::Inbound) => 1,
        Some(Direction::Outbound) => 2,
        None => 0,
    };
    let family = match packet.ip.first().map(|byte| byte >> 4) {
        Some(4) => AF_INET,
        Some(6) => AF_INET6,
        _ => 0,
    };
    let link_type = if packet.link_type == LINKTYPE_RAW { DLT_RAW } else { packet.link_type };
    let link_length = u32::try_from(packet.link_length).unwrap_or(u32::MAX);
    let own = shown.process.map_or(&[][..], |process| process.name());
    let (effective, effective_name) = packet.effective.unwrap_or((u32::MAX, &[]));
    let [(own, is_cut), (effective_name, _)] = [own, effective_name].map(name);
    lost.cut_names += u64::from(is_cut);
    let mut out = [LENGTH, 1, link_type].map(u32::to_le_bytes).concat();
    out.extend([0; 24]);
    let pid = shown.pid().unwrap_or(u32::MAX);
    out.extend([flags, family, link_length, 0, pid].map(u32::to_le_bytes).as_flattened());
    out.extend(own);
    out.extend([0, 0, effective].map(u32::to_le_bytes).as_flattened());
    out.extend(effective_name);
    out
}

/// A name in its field, and whether it was cut.
fn name(name: &[u8]) -> ([u8; NAME_LENGTH], bool) {
    let name = String::from_utf8_lossy(name);
    let mut most = name.len().min(NAME_LENGTH - 1);
    while !name.is_char_boundary(most) {
        most -= 1;
    }
    let mut field = [0; NAME_LENGTH];
    field[..most].copy_from_slice(&name.as_bytes()[..most]);
    (field, most < name.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::event::Event;
    use crate::show::processes::Process;

    fn shown<'a>(data: &'a [u8], process: &'a Process) -> Shown<'a> {
        let packet = Packet { process: Some(7), flags: Some(2), ..Packet::new(101, data, 99) };
        Shown {
            nanos: Some(1_500_000_007),
            event: Event::Packet(packet),
            number: 1,
            process: Some(process),
            receiver: None,
            had_mark: None,
            packet_nanos: None,
        }
    }

    #[test]
    fn a_packet_has_its_process_in_front() {
        let process =
            Process { path: "/bin/nineteen-bytes-ab\u{e9}".as_bytes().into(), ..Process::default() };
        let data = b"\x60\0\0\0";
        let shown = shown(data, &process);
        let Event::Packet(packet) = &shown.event else { unreachable!() };
        let mut lost = Lost::default();
        let before = pktap(&shown, packet, &mut lost);
        let expected = [
            &b"\x6c\0\0\0\x01\0\0\0\x0c\0\0\0"[..],
            &[0; 24],
            b"\x02\0\0\0\x1e\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0",
            "nineteen-bytes-ab\u{e9}\0".as_bytes(),
            b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
            &[0; 20],
        ]
        .concat();
        assert_eq!((before.len(), &before), (108, &expected));
        assert_eq!(lost.cut_names, 0, "it has 19 bytes");
        let mut out = Vec::new();
        header(258, &mut out);
        record(packet, shown.nanos, &before, &mut lost, &mut out);
        let head = b"\x4d\x3c\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x02\x01\0\0\
            \x01\0\0\0\x07\x65\xcd\x1d\x70\0\0\0\xcf\0\0\0";
        assert_eq!(out, [&head[..], &before, data].concat());
        assert_eq!(lost.timeless, 0);
    }

    #[test]
    fn a_longer_name_is_cut_between_characters_and_counted() {
        let process = Process { path: "abcdefghijklmnopqr\u{e9}".as_bytes().into(), ..Process::default() };
        let shown = shown(b"", &process);
        let Event::Packet(packet) = &shown.event else { unreachable!() };
        let mut lost = Lost::default();
        assert_eq!(&pktap(&shown, packet, &mut lost)[56..76], b"abcdefghijklmnopqr\0\0");
        assert_eq!(lost.cut_names, 1);
        let mut out = Vec::new();
        record(packet, Some(u64::MAX), b"", &mut lost, &mut out);
        assert_eq!((&out[..8], lost.timeless), (&[0; 8][..], 1), "after 2106");
    }
}
