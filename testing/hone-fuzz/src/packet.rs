//! Fuzz target: packets in pieces for `hone-packet`.

use hone_packet::{Headers, packet_checksums as checksums};

/// The first byte is the size of the pieces; the rest is the packet. The size of the pieces must make no difference. If
/// the packet's checksums can be computed, its headers can be read; and after the checksums are written, they must be
/// correct.
pub fn packet_checksums(input: &[u8]) {
    let Some((&piece, packet)) = input.split_first() else { return };
    let result = checksums(packet.chunks(usize::from(piece).max(1)));
    assert_eq!(result, checksums([packet]), "in pieces of {piece}");
    let headers = Headers::parse(packet);
    let _ = headers.map(|headers| (headers.ports(), headers.icmp()));
    let Ok(sums) = result else { return };
    assert!(headers.is_ok(), "what is whole can be read: {headers:?}");
    let mut packet = packet.to_vec();
    for field in [sums.header, sums.transport].into_iter().flatten() {
        assert_eq!(packet[field.offset..field.offset + 2], field.found);
        field.write(packet.chunks_mut(usize::from(piece).max(1)));
        assert_eq!(packet[field.offset..field.offset + 2], field.correct);
    }
    let again = checksums([&packet[..]]).expect("checksums do not make a packet unsound");
    for field in [again.header, again.transport].into_iter().flatten() {
        assert_eq!(field.found, field.correct);
    }
}
