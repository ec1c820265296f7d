//! Walking the stream that the engine hands out, without parsing it: block by block, and the few fields of a packet
//! that the tally needs. The stream is little-endian on every machine
//! ([`hone_engine::BYTE_ORDER`]).

use hone_engine::BYTE_ORDER;
use hone_pcapng::block::{self, FRAME_LENGTH};
use hone_pcapng::{ConnectionEvent, ConnectionId, Correction, Dialect, Direction, How, attribution, packet};

const FLAGS: u16 = 2;
const CONNECTION: u16 = 257;
const PROCESS: u16 = 258;
const HOW: u16 = 259;
const TIME_OFFSET: usize = packet::CAPTURED_LENGTH_OFFSET - 8;
const ORIGINAL_LENGTH_OFFSET: usize = packet::CAPTURED_LENGTH_OFFSET + 4;
/// Bytes of a correction's block, at least: a connection event's, and options for kind, direction and packets. Other
/// connection events are shorter.
const MIN_CORRECTION: usize = 60;
/// How a foreign sensor says that it does not know the process.
const UNKNOWN_PROCESS: u32 = u32::MAX;

/// The whole blocks at the start of `bytes`, in order.
pub fn blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 4)?).ok()?;
        let (block, after) = rest.split_at_checked(length).filter(|_| length >= FRAME_LENGTH)?;
        rest = after;
        Some(block)
    })
}

/// How many bytes the whole blocks at the start of `bytes` take.
#[must_use]
pub fn whole(bytes: &[u8]) -> usize {
    blocks(bytes).map(<[u8]>::len).sum()
}

/// A block's type code.
#[must_use]
pub fn kind(block: &[u8]) -> u32 {
    u32_at(block, 0).unwrap_or(0)
}

/// A block's body: what is between its two lengths.
#[must_use]
pub fn body(block: &[u8]) -> &[u8] {
    block.get(block::BODY_OFFSET..block.len().saturating_sub(4)).unwrap_or_default()
}

/// What the tally needs of a packet block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketFields<'a> {
    /// When, in units of its interface.
    pub timestamp: u64,
    /// Length on the wire.
    pub original_length: u32,
    /// What was captured, from the IP header on.
    pub data: &'a [u8],
    /// Whether this host sent it.
    pub outbound: bool,
    /// The connection, where there is one.
    pub connection: Option<ConnectionId>,
    /// The process, where known.
    pub process: Option<u32>,
    /// How that is known, or why there is none.
    pub how: Option<How>,
}

/// The fields of a packet block; `None` if it is not sound.
#[must_use]
pub fn packet(block: &[u8]) -> Option<PacketFields<'_>> {
    let captured = usize::try_from(u32_at(block, packet::CAPTURED_LENGTH_OFFSET)?).ok()?;
    let data = block.get(packet::DATA_OFFSET..)?.get(..captured)?;
    let [high, low] = [u32_at(block, TIME_OFFSET)?, u32_at(block, TIME_OFFSET + 4)?];
    let mut fields = PacketFields {
        timestamp: u64::from(high) << 32 | u64::from(low),
        original_length: u32_at(block, ORIGINAL_LENGTH_OFFSET)?,
        data,
        outbound: false,
        connection: None,
        process: None,
        how: None,
    };
    let mut options = block
        .get(packet::DATA_OFFSET + block::padded(captured)..block.len().saturating_sub(4))
        .unwrap_or_default();
    while let (Some(code), Some(length)) = (u16_at(options, 0), u16_at(options, 2)) {
        match code {
            0 => break,
            FLAGS => fields.outbound = packet::direction(u32_at(options, 4)?) == Some(Direction::Outbound),
            CONNECTION if fields.connection.is_none() => {
                let low = u32_at(options, 4).map(u64::from);
                let high = if length == 8 { u32_at(options, 8).map(u64::from) } else { Some(0) };
                fields.connection = high.zip(low).map(|(high, low)| high << 32 | low);
            }
            PROCESS if fields.process.is_none() => {
                fields.process = u32_at(options, 4).filter(|process| *process != UNKNOWN_PROCESS);
            }
            HOW if fields.how.is_none() => {
                fields.how = options.get(4).copied().and_then(attribution::from_code)
            }
            _ => {}
        }
        options = options.get(4 + block::padded(usize::from(length))..).unwrap_or_default();
    }
    Some(fields)
}

/// The correction that a block is, and the connection event that says it; `None` if it is none.
#[must_use]
pub fn correction(block: &[u8]) -> Option<(ConnectionEvent<'_>, Correction)> {
    if block.len() < MIN_CORRECTION || kind(block) != block::CONNECTION {
        return None;
    }
    let body = body(block);
    let dialect = ConnectionEvent::dialect(body, BYTE_ORDER).unwrap_or(Dialect::Narrow);
    let event = ConnectionEvent::parse(body, BYTE_ORDER, dialect).ok()?;
    event.correction.map(|correction| (event, correction))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{ConnectionEventKind, Corrected, Method, Packet};

    use super::*;

    fn emitted(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let packet = Packet {
            original_length: 1500,
            data: Cow::Borrowed(data),
            flags: Some(2),
            timestamp: 7 << 32 | 9,
            connection: Some(1 << 40 | 5),
            process: Some(77),
            how: Some(Ok(Method::Reader)),
            ..Packet::default()
        };
        packet.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    #[test]
    fn a_packet_is_read_back_as_the_format_crate_emits_it() {
        for length in 0..9 {
            let data = vec![0x45; length];
            let block = emitted(&data);
            assert_eq!(
                packet(&block),
                Some(PacketFields {
                    timestamp: 7 << 32 | 9,
                    original_length: 1500,
                    data: &data,
                    outbound: true,
                    connection: Some(1 << 40 | 5),
                    process: Some(77),
                    how: Some(Ok(Method::Reader))
                })
            );
            assert_eq!(kind(&block), block::PACKET);
        }
    }

    #[test]
    fn the_unknown_process_of_windows_is_none() {
        let mut block = emitted(b"abcd");
        let at = block.windows(4).position(|four| four == 77_u32.to_ne_bytes()).unwrap();
        block[at..at + 4].fill(0xff);
        assert_eq!(packet(&block).unwrap().process, None);
    }

    #[test]
    fn corrections_are_told_from_other_connection_events() {
        for connection in [5, 1 << 40] {
            for packets in [Corrected::Time(7), Corrected::Bytes { from: 1, to: 2 }] {
                for how in [None, Some(Ok(Method::Reader))] {
                    let correction = Correction { packets, direction: Direction::Outbound, how };
                    let kind = ConnectionEventKind::Correction;
                    let event = ConnectionEvent {
                        connection,
                        process: 8,
                        kind,
                        correction: Some(correction),
                        ..ConnectionEvent::default()
                    };
                    let mut block = Vec::new();
                    event.emit(BYTE_ORDER, &mut block).unwrap();
                    assert_eq!(super::correction(&block), Some((event, correction)));
                }
            }
            for kind in [ConnectionEventKind::Opened, ConnectionEventKind::Closed] {
                let mut block = Vec::new();
                let event = ConnectionEvent { connection, kind, ..ConnectionEvent::default() };
                event.emit(BYTE_ORDER, &mut block).unwrap();
                assert!(block.len() < MIN_CORRECTION && correction(&block).is_none());
            }
        }
    }

    #[test]
    fn only_whole_blocks_count() {
        let (one, two) = (emitted(b"1"), emitted(b"twenty two"));
        let stream = [one.as_slice(), &two].concat();
        for end in 0..=stream.len() {
            let expected = match end {
                _ if end == stream.len() => stream.len(),
                _ if end >= one.len() => one.len(),
                _ => 0,
            };
            assert_eq!(whole(&stream[..end]), expected, "{end}");
        }
    }

    #[test]
    fn nonsense_is_no_block_and_no_packet() {
        assert_eq!(whole(&[0; 64]), 0, "a length of zero must not loop");
        assert_eq!(whole(&[0xff; 64]), 0);
        let block = emitted(b"some data");
        for at in 0..block.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut mutated = block.clone();
                mutated[at] = value;
                let _ = packet(&mutated);
                let _ = body(&mutated);
            }
            let _ = packet(&block[..at]);
            let _ = body(&block[..at]);
        }
    }
}
