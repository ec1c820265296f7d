//! Checksums of whole packets.

use crate::{ChecksumField, PacketError, PacketHead, cursor::Cursor, transport_checksum};

/// The checksums of a packet; offsets count from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketChecksums {
    /// The IPv4 header's checksum; IPv6 has none.
    pub header: Option<ChecksumField>,
    /// The transport segment's checksum, if its protocol is known here.
    pub transport: Option<ChecksumField>,
}

/// The checksums of a packet in pieces. Together they are the whole packet, from its IP header on. Bytes after the end
/// that the header states, such as a frame's padding, do not matter.
///
/// Two rare cases that change an address for the checksum are not handled: source routes in IPv4 options, and home
/// addresses in IPv6 destination options.
///
/// # Errors
/// The packet is incomplete, or its fields contradict each other. [`PacketError`] explains which.
pub fn packet_checksums<'a>(
    segments: impl IntoIterator<Item = &'a [u8]>,
) -> Result<PacketChecksums, PacketError> {
    let mut cursor = Cursor::new(segments.into_iter());
    let head = PacketHead::read(&mut cursor)?;
    let transport = transport(&head, &mut cursor)?;
    Ok(PacketChecksums { header: head.checksum, transport })
}

/// The segment behind the headers, to the packet's end. All of it must be there.
fn transport<'a>(
    head: &PacketHead,
    cursor: &mut Cursor<'a, impl Iterator<Item = &'a [u8]>>,
) -> Result<Option<ChecksumField>, PacketError> {
    let mut missing = head.total - head.length;
    let mut segment = core::iter::from_fn(|| {
        let piece = cursor.piece(missing)?;
        missing -= piece.len();
        Some(piece)
    });
    let field = transport_checksum(&head.addresses, head.protocol, &mut segment);
    // Where no checksum was computed, not all of the segment was looked at.
    segment.for_each(drop);
    if missing > 0 {
        return Err(too_short(head.what(), head.total - missing, head.total));
    }
    Ok(field?.map(|field| field.moved(head.length)))
}

pub(crate) const fn too_short(what: &'static str, length: usize, minimum: usize) -> PacketError {
    PacketError::TooShort { what, length, minimum }
}
