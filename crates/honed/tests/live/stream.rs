//! What a reader got: its bytes, and what is in them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hone_client::{Connection, Read};
use hone_testing::PATIENCE;

use crate::traffic::tag_of;

/// How long after an event it may still be on its way to the engine.
pub(crate) const SETTLE: Duration = Duration::from_millis(400);

/// One section, as far as it was read.
#[derive(Debug, Default, Clone)]
pub(crate) struct Section {
    /// Length kept of each packet, by tag of the traffic.
    pub(crate) packets: BTreeMap<u64, Vec<usize>>,
    pub(crate) all_packets: u64,
    pub(crate) processes: u64,
    pub(crate) snap_length: u32,
    /// Packets received, dropped by the source, dropped by the ring, delivered.
    pub(crate) statistics: Option<[u64; 4]>,
}

impl Section {
    pub(crate) fn count(&self, tag: u64) -> usize {
        self.packets.get(&tag).map_or(0, Vec::len)
    }

    pub(crate) fn longest(&self, tag: u64) -> usize {
        self.packets.get(&tag).and_then(|lengths| lengths.iter().max().copied()).unwrap_or(0)
    }
}

/// Reads until the end of a section.
pub(crate) fn read_section(connection: &mut Connection) -> Section {
    read_rest(connection, Vec::new())
}

/// The same, where some of the section has been read already.
pub(crate) fn read_rest(connection: &mut Connection, mut bytes: Vec<u8>) -> Section {
    let mut buffer = vec![0; 100_000];
    let started = Instant::now();
    loop {
        match connection.read(&mut buffer, Duration::from_secs(1)).expect("the stream goes on") {
            Read::Bytes(count) => bytes.extend_from_slice(&buffer[..count]),
            Read::SectionEnd => return parse(&bytes),
            Read::Empty => assert!(started.elapsed() < PATIENCE, "the section does not end"),
        }
    }
}

/// Lets what has happened arrive, ends the section and reads it.
pub(crate) fn finish_section(connection: &mut Connection) -> Section {
    std::thread::sleep(SETTLE);
    connection.mark_restart().expect("no other mark is set");
    read_section(connection)
}

/// What is in a section.
///
/// # Panics
/// The bytes are not one section of whole blocks.
pub(crate) fn parse(bytes: &[u8]) -> Section {
    let word =
        |block: &[u8], at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("four bytes"));
    let mut section = Section::default();
    let mut rest = bytes;
    let mut first = true;
    while !rest.is_empty() {
        assert!(rest.len() >= 12, "{} bytes after the last block", rest.len());
        let length = word(rest, 4) as usize;
        assert!(
            length >= 12 && length.is_multiple_of(4) && length <= rest.len(),
            "a block of {length} bytes"
        );
        let (block, after) = rest.split_at(length);
        assert_eq!(word(block, length - 4) as usize, length, "the block's two lengths");
        assert_eq!(first, word(block, 0) == 0x0A0D_0D0A, "a section header comes first, and once");
        assert!(section.statistics.is_none(), "the statistics come last");
        first = false;
        match word(block, 0) {
            0x0A0D_0D0A => {}
            1 => section.snap_length = word(block, 12),
            0x101 => section.processes += 1,
            0x102 => {}
            6 => {
                let data = &block[28..28 + word(block, 20) as usize];
                section.all_packets += 1;
                if let Some(tag) = tag_of(data) {
                    section.packets.entry(tag).or_default().push(data.len());
                }
            }
            5 => section.statistics = Some(statistics(&block[20..length - 4])),
            other => panic!("a block of type {other:#x}"),
        }
        rest = after;
    }
    section
}

fn statistics(mut options: &[u8]) -> [u64; 4] {
    let mut found = [0; 4];
    while let [c0, c1, l0, l1, rest @ ..] = options {
        let (code, length) = (u16::from_le_bytes([*c0, *c1]), usize::from(u16::from_le_bytes([*l0, *l1])));
        if code == 0 {
            break;
        }
        if let (Some(at), Some(value)) = ([4, 5, 7, 8].iter().position(|c| *c == code), rest.first_chunk()) {
            found[at] = u64::from_le_bytes(*value);
        }
        options = &rest[length.next_multiple_of(4)..];
    }
    found
}
