//! Checksums of transport segments.

use crate::{Addresses, PacketError, cursor::Cursor, protocol, sum::Sum};

/// A checksum: its place in the packet, the present value and the correct one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChecksumField {
    /// Offset of its two bytes from the first byte of the input, bytes.
    pub offset: usize,
    /// The present value. In a UDP datagram over IPv4, zero means that the sender computed none (RFC 768).
    pub found: [u8; 2],
    /// The correct value.
    pub correct: [u8; 2],
}

impl ChecksumField {
    /// Writes the checksum into a copy of the input, in the same or other pieces. If the copy ends before or within the
    /// field, only the bytes that fit are written.
    pub fn write<'a>(&self, copy: impl IntoIterator<Item = &'a mut [u8]>) {
        let mut offset = self.offset;
        let mut correct: &[u8] = &self.correct;
        for piece in copy {
            let Some(room) = piece.get_mut(offset..) else {
                offset -= piece.len();
                continue;
            };
            let (now, later) = correct.split_at(room.len().min(correct.len()));
            room[..now.len()].copy_from_slice(now);
            (offset, correct) = (0, later);
            if later.is_empty() {
                return;
            }
        }
    }

    pub(crate) const fn moved(self, by: usize) -> Self {
        Self { offset: self.offset + by, ..self }
    }
}

/// The parts of a protocol's header that matter for its checksum.
struct Layout {
    what: &'static str,
    /// The header's fixed part, bytes; at most [`MAX_FIXED`].
    fixed: usize,
    /// Offset of the checksum, bytes.
    offset: usize,
    pseudo_header: bool,
}

/// The longest fixed part, TCP's.
const MAX_FIXED: usize = 20;

impl Layout {
    /// `None`: no checksum of this kind. ICMP belongs to IPv4 and ICMPv6 to IPv6; over the other they are just bytes.
    const fn of(addresses: &Addresses, protocol: u8) -> Option<Self> {
        Some(match (protocol, addresses) {
            (protocol::TCP, _) => Self { what: "TCP segment", fixed: 20, offset: 16, pseudo_header: true },
            (protocol::UDP, _) => Self { what: "UDP datagram", fixed: 8, offset: 6, pseudo_header: true },
            // Four bytes are common to all ICMP messages; the next four mean something in each of them.
            (protocol::ICMP, Addresses::V4 { .. }) => {
                Self { what: "ICMP message", fixed: 8, offset: 2, pseudo_header: false }
            }
            // RFC 4443, section 2.1: four bytes are common; a message need not have a body.
            (protocol::ICMPV6, Addresses::V6 { .. }) => {
                Self { what: "ICMPv6 message", fixed: 4, offset: 2, pseudo_header: true }
            }
            _ => return None,
        })
    }
}

/// The checksum of a transport segment in pieces. Together they are the whole segment without padding, from the first
/// byte of its header on. `None` if the protocol has no checksum that is known here.
///
/// The present content of the checksum field does not matter. For UDP a checksum is always computed: over IPv6 there
/// must be one (RFC 8200, section 8.1); over IPv4, [`ChecksumField::found`] shows whether the sender left it out. A UDP
/// checksum that would be 0 becomes `FF FF` (RFC 768).
///
/// # Errors
/// [`PacketError::TooShort`] for the protocol's header; [`PacketError::HeaderLength`] of TCP;
/// [`PacketError::LengthsDiffer`] of UDP.
pub fn transport_checksum<'a>(
    addresses: &Addresses,
    protocol: u8,
    segments: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<ChecksumField>, PacketError> {
    let Some(Layout { what, fixed, offset, pseudo_header }) = Layout::of(addresses, protocol) else {
        return Ok(None);
    };
    let mut cursor = Cursor::new(segments.into_iter());
    // The fixed part is copied, so that the field can be set to zero.
    let mut buffer = [0; MAX_FIXED];
    let mut length = 0;
    while let Some(piece) = cursor.piece(fixed - length) {
        buffer[length..][..piece.len()].copy_from_slice(piece);
        length += piece.len();
    }
    if length < fixed {
        return Err(PacketError::TooShort { what, length, minimum: fixed });
    }
    let head = &mut buffer[..fixed];
    let found = [head[offset], head[offset + 1]];
    head[offset..][..2].fill(0);

    let mut sum = Sum::default();
    sum.add(head);
    while let Some(piece) = cursor.piece(usize::MAX) {
        sum.add(piece);
        length = length.saturating_add(piece.len());
    }
    match protocol {
        protocol::TCP => {
            let says = usize::from(head[12] >> 4) * 4;
            if says < fixed || says > length {
                return Err(PacketError::HeaderLength { what: "TCP", says, minimum: fixed, maximum: length });
            }
        }
        protocol::UDP => {
            let says = usize::from(u16::from_be_bytes([head[4], head[5]]));
            if says != length {
                return Err(PacketError::LengthsDiffer { what, says, length });
            }
        }
        _ => {}
    }
    if pseudo_header {
        sum.add_sum(addresses.pseudo_header(protocol, length));
    }
    let correct = match sum.checksum() {
        [0, 0] if protocol == protocol::UDP => [0xFF, 0xFF],
        checksum => checksum,
    };
    Ok(Some(ChecksumField { offset, found, correct }))
}
