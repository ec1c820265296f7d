//! Files in the classic format of libpcap: one link type, packets with their times, and nothing else.
//!
//! ```text
//!  0       4       6       8        16            20          24
//! ┌───────┬───────┬───────┬────────┬─────────────┬───────────┬──────────────────────┐
//! │ magic │ major │ minor │ zeros  │ snap length │ link type │ packets              │
//! └───────┴───────┴───────┴────────┴─────────────┴───────────┴──────────────────────┘
//! Each packet:
//!  0         4          8          12         16
//! ┌─────────┬──────────┬──────────┬──────────┬──────┐
//! │ seconds │ fraction │ captured │ original │ data │
//! └─────────┴──────────┴──────────┴──────────┴──────┘
//! ```
//!
//! From the IETF draft "PCAP Capture File Format". Pure: the caller does the I/O.

use std::fmt;

const HEADER_LENGTH: usize = 24;
const RECORD_LENGTH: usize = 16;
/// The magic numbers of files with times in microseconds and in nanoseconds.
const MICROS: u32 = 0xA1B2_C3D4;
const NANOS: u32 = 0xA1B2_3C4D;
const VERSION: [u16; 2] = [2, 4];
/// The upper bits of the link type field contain the length of a frame check sequence, and flags.
const LINK_TYPE: u32 = 0x03FF_FFFF;
/// Longest packet that is read: 16 MiB, as for a block of PCAP-NG.
const MAX_CAPTURED: u32 = hone_pcapng::block::MAX_LENGTH;

/// Why a classic file cannot be read, and at which place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassicError {
    /// Offset of the header or packet in the uncompressed file, bytes.
    pub offset: u64,
    /// What is wrong.
    pub reason: ClassicErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassicErrorKind {
    /// The file ends within the header or packet.
    Truncated,
    /// The file's version is not 2.4.
    Version([u16; 2]),
    /// The packet is longer than the longest that is read.
    OverLimit(u32),
}

impl fmt::Display for ClassicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.offset == 0 { "file header" } else { "packet" };
        write!(f, "the {what} at offset {} cannot be read: ", self.offset)?;
        match self.reason {
            ClassicErrorKind::Truncated => f.write_str("the file ends inside it"),
            ClassicErrorKind::Version([major, minor]) => {
                write!(f, "its version is {major}.{minor}, not 2.4 (editcap FILE NEW converts it)")
            }
            ClassicErrorKind::OverLimit(length) => {
                write!(f, "it claims {length} captured bytes, which is over the limit of {MAX_CAPTURED}")
            }
        }
    }
}

impl std::error::Error for ClassicError {}

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The link type of the packet.
    pub link_type: u32,
    /// Nanoseconds since 1970-01-01 UTC.
    pub nanos: u64,
    /// Length on the wire.
    pub original_length: u32,
    /// What was captured.
    pub data: &'a [u8],
}

/// The values in the file's header.
#[derive(Debug, Clone, Copy)]
struct Header {
    big_endian: bool,
    nanos_per_unit: u64,
    link_type: u32,
}

/// Takes a file in chunks of any size and returns its packets.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// How many bytes of the buffer have been returned.
    consumed: usize,
    /// Offset in the file of the first byte that was not returned.
    offset: u64,
    header: Option<Header>,
}

/// Whether a file that begins with these bytes has the classic format.
pub fn is_magic(begin: [u8; 4]) -> bool {
    magic(begin).is_some()
}

/// Whether the file is big-endian, and how many nanoseconds a unit of its times has.
fn magic(begin: [u8; 4]) -> Option<(bool, u64)> {
    [false, true].into_iter().find_map(|big_endian| match word(begin, big_endian) {
        MICROS => Some((big_endian, 1000)),
        NANOS => Some((big_endian, 1)),
        _ => None,
    })
}

impl Reader {
    /// Adds the next bytes of the file.
    pub fn feed(&mut self, chunk: &[u8]) {
        // Moves the rest only when half of the buffer is used up, so each byte that is read is moved once at most.
        if self.consumed >= self.buffer.len() - self.consumed {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The file's link type, once its header was read.
    pub fn link_type(&self) -> Option<u32> {
        self.header.map(|header| header.link_type)
    }

    /// The next complete packet; `None` until more bytes are fed.
    pub fn next_packet(&mut self) -> Result<Option<Record<'_>>, ClassicError> {
        let Some(header) = self.header()? else { return Ok(None) };
        let unread = &self.buffer[self.consumed..];
        let words = unread.first_chunk::<RECORD_LENGTH>().and_then(|fixed| fixed.as_chunks().0.first_chunk());
        let Some(words) = words else { return Ok(None) };
        let [seconds, fraction, captured, original_length] =
            words.map(|bytes| word(bytes, header.big_endian));
        if captured > MAX_CAPTURED {
            return Err(self.error(ClassicErrorKind::OverLimit(captured)));
        }
        let Some(data) = unread[RECORD_LENGTH..].get(..captured as usize) else { return Ok(None) };
        let length = RECORD_LENGTH + data.len();
        self.consumed += length;
        self.offset += length as u64;
        let nanos = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * header.nanos_per_unit;
        Ok(Some(Record { link_type: header.link_type, nanos, original_length, data }))
    }

    /// Ends the file.
    pub fn finish(&self) -> Result<(), ClassicError> {
        if self.header.is_some() && self.consumed == self.buffer.len() {
            Ok(())
        } else {
            Err(self.error(ClassicErrorKind::Truncated))
        }
    }

    /// The file's header, once it is there.
    fn header(&mut self) -> Result<Option<Header>, ClassicError> {
        if self.header.is_some() {
            return Ok(self.header);
        }
        let Some(bytes) = self.buffer.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
        let field = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        // The caller has already checked the magic number.
        let (big_endian, nanos_per_unit) = magic(field(0)).unwrap_or((false, 1000));
        let half = |at: usize| {
            let half = [bytes[at], bytes[at + 1]];
            if big_endian { u16::from_be_bytes(half) } else { u16::from_le_bytes(half) }
        };
        let version = [half(4), half(6)];
        if version != VERSION {
            return Err(self.error(ClassicErrorKind::Version(version)));
        }
        let link_type = word(field(20), big_endian) & LINK_TYPE;
        self.header = Some(Header { big_endian, nanos_per_unit, link_type });
        self.consumed = HEADER_LENGTH;
        self.offset = HEADER_LENGTH as u64;
        Ok(self.header)
    }

    fn error(&self, reason: ClassicErrorKind) -> ClassicError {
        ClassicError { offset: self.offset, reason }
    }
}

fn word(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Packets = Vec<(u32, u64, u32, Vec<u8>)>;

    fn file(magic: u32, big_endian: bool, link_type: u32) -> Vec<u8> {
        let word = |word: u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        let version = if big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        let mut file = [word(magic), version, [0; 4], [0; 4], word(65_535), word(link_type)].concat();
        for (seconds, fraction, original, data) in
            [(1, 2, 9, &b"first"[..]), (u32::MAX, 999, 0, b""), (3, 0, 6, b"second")]
        {
            let captured = u32::try_from(data.len()).unwrap();
            file.extend([seconds, fraction, captured, original].map(word).concat());
            file.extend(data);
        }
        file
    }

    fn read(file: &[u8], chunk: usize) -> (Packets, Result<(), ClassicError>) {
        let mut reader = Reader::default();
        let mut packets = Vec::new();
        for chunk in file.chunks(chunk) {
            reader.feed(chunk);
            loop {
                match reader.next_packet() {
                    Ok(Some(r)) => packets.push((r.link_type, r.nanos, r.original_length, r.data.to_vec())),
                    Ok(None) => break,
                    Err(error) => return (packets, Err(error)),
                }
            }
        }
        assert!(reader.buffer.capacity() < 4 * (file.len() + 64));
        (packets, reader.finish())
    }

    #[test]
    fn both_byte_orders_and_both_units_of_time_in_any_chunks() {
        for (magic, unit) in [(MICROS, 1000), (NANOS, 1)] {
            for big_endian in [false, true] {
                // The link type field announces a frame check sequence of four bytes after each frame.
                let file = file(magic, big_endian, 0x4400_0001);
                let expected = vec![
                    (1, 1_000_000_000 + 2 * unit, 9, b"first".to_vec()),
                    (1, u64::from(u32::MAX) * 1_000_000_000 + 999 * unit, 0, vec![]),
                    (1, 3_000_000_000, 6, b"second".to_vec()),
                ];
                for chunk in [1, 2, 3, 7, 23, 24, 40, file.len()] {
                    assert_eq!(read(&file, chunk), (expected.clone(), Ok(())), "{magic:#x} {chunk}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_ends_early_says_where() {
        let file = file(MICROS, false, 101);
        for length in 0..file.len() {
            let (packets, end) = read(&file[..length], 5);
            let whole = [24, 24 + 21, 24 + 21 + 16];
            match whole.iter().position(|whole| *whole == length) {
                Some(count) => assert_eq!((packets.len(), end), (count, Ok(()))),
                None => {
                    let offset = whole.into_iter().rfind(|whole| *whole < length).unwrap_or(0) as u64;
                    assert_eq!(end, Err(ClassicError { offset, reason: ClassicErrorKind::Truncated }));
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut old = file(MICROS, true, 1);
        old[7] = 3;
        let message = read(&old, 100).1.unwrap_err().to_string();
        assert!(
            message.contains("file header at offset 0") && message.contains("version is 2.3"),
            "{message}"
        );
        let mut long = file(MICROS, false, 1);
        long[24 + 11] = 1;
        let message = read(&long, 100).1.unwrap_err().to_string();
        assert!(message.contains("packet at offset 24") && message.contains("16777221"), "{message}");
    }

    #[test]
    fn no_byte_is_a_reason_to_panic() {
        let whole = file(NANOS, false, 1);
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut broken = whole.clone();
                broken[at] = byte;
                let _ = read(&broken, 11);
            }
        }
    }
}
