//! The header that macOS puts in front of each packet of link type 258 (PKTAP): the process, the interface, the direction.
//!
//! ```text
//! 108 bytes or more, little-endian
//!   0 length of the header   4 type: 1, a packet follows   8 link type of the packet (DLT)   12 interface [24]
//!  36 flags: 1 received, 2 sent   40 address family of macOS   44 length of the link header   48 of the trailer
//!  52 process id (-1: none)   56 name [20]   76 service class   80 interface type (u16)   82 its unit (u16)
//!  84 effective process id (-1: none): the process that it was sent for   88 its name [20]
//!  from 156 bytes on: 108 flow   112 protocol   116 time [8]   124 UUID of the program [16]   140 of the effective one [16]
//! ```
//!
//! From <https://www.tcpdump.org/linktypes/LINKTYPE_PKTAP.html>; what follows after 108 bytes, and who the effective process
//! is, from `struct pktap_header` in Apple's `bsd/net/pktap.h`.

use hone_pcapng::{Direction, ProcessEvent};

use super::processes::Processes;

/// The link type of packets with this header.
pub const LINK_TYPE: u32 = 258;
/// Bytes of the shortest header.
pub const LENGTH: u32 = 108;
/// Bytes of a name, with the NUL at its end.
pub const NAME_LENGTH: usize = 20;
/// Packets that begin with their IP header: the numbers that systems have for it, and the one of files.
pub const DLT_RAW: u32 = 12;
const DLT_RAW_OPENBSD: u32 = 14;
/// The number of files.
pub const LINKTYPE_RAW: u32 = 101;
/// The type of a header that a packet follows.
const PACKET: u32 = 1;
const RECEIVED: u32 = 1;
const SENT: u32 = 2;
const NO_PROCESS: u32 = u32::MAX;

/// A packet, and what its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pktap<'a> {
    /// The link type of the packet, as files number it.
    pub link_type: u32,
    /// The name of the interface; empty if it has none.
    pub interface: &'a [u8],
    /// Whether it was received or sent.
    pub direction: Option<Direction>,
    /// The process that sent or received it: its id, and its name, which may be empty.
    pub process: Option<(u32, &'a [u8])>,
    /// The process for which that one did it, likewise.
    pub effective: Option<(u32, &'a [u8])>,
    /// The UUID of the program of the process.
    pub uuid: Option<[u8; 16]>,
    /// The packet.
    pub data: &'a [u8],
}

impl<'a> Pktap<'a> {
    /// Parses the header of a packet of this link type; `None` if it is another type, or the header is not whole or not
    /// in front of a packet.
    pub fn parse(link_type: u32, bytes: &'a [u8]) -> Option<Self> {
        if link_type != LINK_TYPE {
            return None;
        }
        let word = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        let length = word(0).filter(|length| *length >= LENGTH)?;
        let (header, data) = bytes.split_at_checked(length as usize)?;
        if word(4)? != PACKET {
            return None;
        }
        let process = |at: usize| {
            let pid = word(at).filter(|pid| *pid != NO_PROCESS)?;
            Some((pid, text(&header[at + 4..][..NAME_LENGTH])))
        };
        let flags = word(36)?;
        Some(Self {
            link_type: match word(8)? {
                DLT_RAW | DLT_RAW_OPENBSD => LINKTYPE_RAW,
                other => other,
            },
            interface: text(&header[12..36]),
            direction: match flags & (RECEIVED | SENT) {
                RECEIVED => Some(Direction::Inbound),
                SENT => Some(Direction::Outbound),
                _ => None,
            },
            process: process(52),
            effective: process(84),
            uuid: header.get(124..140).and_then(|uuid| uuid.try_into().ok()).filter(|uuid| *uuid != [0; 16]),
            data,
        })
    }

    /// The event that describes the process; `None` if there is no process.
    pub fn event(&self) -> Option<ProcessEvent<'a>> {
        let (process, name) = self.process?;
        let path = (!name.is_empty()).then_some(name.into());
        Some(ProcessEvent { process, path, ..ProcessEvent::default() })
    }

    /// Takes note of the process; returns its id.
    pub(super) fn note(&self, processes: &mut Processes) -> Option<u32> {
        let event = self.event()?;
        if !processes.get(event.process).is_some_and(|process| process.is_as_in(&event)) {
            processes.replace(&event, self.uuid, None);
        }
        Some(event.process)
    }
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of this length with `packet` behind it.
    fn header(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut set = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        set(0, &u32::try_from(length).unwrap().to_le_bytes());
        set(4, &1_u32.to_le_bytes());
        set(8, &12_u32.to_le_bytes());
        set(12, b"en0");
        set(36, &(2_u32 | 0x80).to_le_bytes());
        set(52, &77_u32.to_le_bytes());
        set(56, b"mDNSResponder");
        set(84, &12_u32.to_le_bytes());
        set(88, b"a-name-of-20-bytes-x");
        if length >= 156 {
            set(124, b"uuid-of-one-prog");
        }
        bytes.extend(b"packet");
        bytes
    }

    #[test]
    fn old_and_new_headers_are_read() {
        for (length, uuid) in [(108, None), (112, None), (156, Some(*b"uuid-of-one-prog"))] {
            let bytes = header(length);
            let expected = Pktap {
                link_type: 101,
                interface: b"en0",
                direction: Some(Direction::Outbound),
                process: Some((77, b"mDNSResponder")),
                effective: Some((12, b"a-name-of-20-bytes-x")),
                uuid,
                data: b"packet",
            };
            assert_eq!(Pktap::parse(258, &bytes), Some(expected), "{length}");
            assert_eq!(Pktap::parse(1, &bytes), None);
        }
    }

    #[test]
    fn no_process_is_minus_one() {
        let mut bytes = header(108);
        for at in [52, 84] {
            bytes[at..at + 4].fill(0xFF);
        }
        let found = Pktap::parse(258, &bytes).unwrap();
        assert_eq!((found.process, found.effective, found.event()), (None, None, None));
    }

    #[test]
    fn a_header_that_lies_is_none() {
        let whole = header(156);
        for end in 0..156 {
            assert_eq!(Pktap::parse(258, &whole[..end]), None, "cut off at {end}");
        }
        assert_eq!(Pktap::parse(258, &whole[..156]).unwrap().data, b"");
        for length in [0, 4, 107, 163, u32::MAX] {
            let mut bytes = whole.clone();
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(Pktap::parse(258, &bytes), None, "{length}");
        }
        let mut nothing_follows = whole;
        nothing_follows[4] = 0;
        assert_eq!(Pktap::parse(258, &nothing_follows), None);
    }
}
