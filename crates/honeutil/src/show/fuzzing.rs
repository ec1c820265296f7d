//! Entry points for the fuzz targets (`hone-fuzz`) and the tests of [`super::stream`]: the code that reads bytes from
//! outside.

use std::io::{self, Read as _};
use std::rc::Rc;

use hone_select::Selection;

use super::corrections::Corrections;
use super::input::decompressed;
use super::json::Objects;
use super::line::Lines;
use super::names::Finder;
use super::stream::{Stream, StreamError};
use crate::text::prints;

/// The result of showing a stream: how many events, their lines and objects, and what is wrong with it, if anything.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Events that the selection admits.
    pub events: usize,
    /// Text, a line for each event.
    pub lines: String,
    /// JSON, an object a line for each event.
    pub objects: String,
    /// What is wrong; empty if the whole stream is valid.
    pub end: String,
}

/// Shows a stream that arrives in chunks of this length. Collects corrections first, then shows the selected events.
///
/// # Panics
/// The output contains something that must not go to a terminal or a JSON reader.
#[must_use]
pub fn show(bytes: &[u8], chunk: usize, selection: &Rc<Selection>) -> Told {
    let mut corrections = Corrections::default();
    corrections.begin(0);
    let mut stream = Stream::new(selection);
    for chunk in bytes.chunks(chunk) {
        let fed = stream.feed(chunk);
        stream.skip_packets();
        let collected = fed.and_then(|()| {
            stream.drain(|shown| {
                corrections.collect(&shown);
                Ok::<_, StreamError>(())
            })
        });
        if collected.is_err() {
            break;
        }
    }
    corrections.begin(0);
    let mut stream = Stream::new(selection);
    let (mut lines, mut objects, mut names) = (Lines::default(), Objects::default(), Finder::default());
    let (mut text, mut json, mut events) = (Vec::new(), Vec::new(), 0);
    let mut ended = Ok(());
    for chunk in bytes.chunks(chunk) {
        ended = stream.feed(chunk).and_then(|()| {
            stream.drain(|shown| {
                let shown = corrections.apply(shown);
                let noted = names.note(&shown);
                if shown.is_selected(selection, &[]) {
                    lines.write(&shown, &noted, &mut text);
                    objects.write(&shown, &noted, &mut json).expect("memory takes what is written");
                    events += 1;
                }
                Ok::<_, StreamError>(())
            })
        });
        if ended.is_err() {
            break;
        }
    }
    let end = ended.and_then(|()| stream.finish()).map_or_else(|error| error.to_string(), |()| String::new());
    let [lines, objects] = [text, json].map(|bytes| printable(bytes, events));
    Told { events, lines, objects, end }
}

/// A line for each event, of characters that print.
fn printable(bytes: Vec<u8>, events: usize) -> String {
    let text = String::from_utf8(bytes).expect("it is text");
    assert_eq!(text.lines().count(), events);
    if let Some(char) = text.chars().find(|&char| char != '\n' && !prints(char)) {
        panic!("{char:?} is shown: {text:?}");
    }
    text
}

/// The first `most` bytes of a file's content, decompressed if necessary.
///
/// # Errors
/// The compressed data is damaged.
pub fn contents(file: Vec<u8>, most: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decompressed(io::Cursor::new(file))?.stream.take(most).read_to_end(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{Block, ByteOrder, Interface, ObsoletePacket, Resolution, Section, SimplePacket};

    use super::*;

    /// Files with a packet of each kind, of many link types.
    fn seeds() -> Vec<Vec<u8>> {
        let ip = b"\x45\0\0\x20\0\x01\0\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02\x04\xd2\0\x35\0\x0c\0\0xxxx";
        let six = [
            &b"\x60\0\0\0\0\x14\0\x40"[..],
            &[0; 31],
            b"\x01\x2c\0\0\0\0\0\0\0\x11\0\0\x01\0\0\0\0",
            &ip[20..],
        ]
        .concat();
        let mut pktap = [0; 108];
        (pktap[0], pktap[4], pktap[8], pktap[52], pktap[56]) = (108, 1, 101, 7, b'a');
        let mut seeds = Vec::new();
        for (link_type, header) in [
            (0, &b"\x02\0\0\0"[..]),
            (1, b"\0\0\0\0\0\0\0\0\0\0\0\0\x81\0\0\x01\x08\0"),
            (9, b"\xff\x03\0\x21"),
            (101, b""),
            (113, b"\0\0\0\x01\0\x06\0\0\0\0\0\0\0\0\x86\xdd"),
            (229, b""),
            (258, &pktap),
            (276, b"\x86\xdd\0\0\0\0\0\x01\0\x01\0\x06\0\0\0\0\0\0\0\0"),
        ] {
            let data =
                [header, if header.contains(&0xDD) || link_type == 229 { &six } else { &ip[..] }].concat();
            let original_length = u32::try_from(data.len()).unwrap();
            let mut blocks = Vec::new();
            let interface = Interface {
                link_type,
                snap_length: 0,
                description: None,
                resolution: Resolution::MICROS,
                offset_seconds: 0,
                other: Vec::new(),
            };
            let (simple, obsolete, packet) =
                (Cow::Borrowed(&data[..]), Cow::Borrowed(&data[..]), Cow::Borrowed(&data[..]));
            for block in [
                Block::Section(Section::default()),
                Block::Interface(interface),
                Block::SimplePacket(SimplePacket { original_length, data: simple }),
                Block::ObsoletePacket(ObsoletePacket {
                    original_length,
                    data: obsolete,
                    ..Default::default()
                }),
                Block::Packet(hone_pcapng::Packet { original_length, data: packet, ..Default::default() }),
            ] {
                block.emit(ByteOrder::Little, &mut blocks).unwrap();
            }
            seeds.push(blocks);
            let mut classic = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0".to_vec();
            classic.extend(u32::from(link_type).to_le_bytes());
            for _ in 0..2 {
                classic.extend([1, 2, original_length, original_length].map(u32::to_le_bytes).concat());
                classic.extend(&data);
            }
            seeds.push(classic);
        }
        seeds
    }

    /// What it is shown as, in chunks of this length.
    fn shown(bytes: &[u8], chunk: usize) -> Told {
        show(bytes, chunk, &Rc::default())
    }

    #[test]
    fn any_bytes_are_events_or_an_error_in_whatever_chunks_they_come() {
        let seeds = seeds();
        for seed in &seeds {
            let told = shown(seed, usize::MAX);
            assert!(told.end.is_empty() && told.events >= 2, "{}", told.end);
        }
        let mut state = 1_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..5_000 {
            let mut bytes = seeds[random(seeds.len())].clone();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                    1 => bytes[at] ^= 1 << random(8),
                    _ => bytes.truncate(at + 1),
                }
            }
            assert_eq!(shown(&bytes, usize::MAX), shown(&bytes, 1 + random(60)));
        }
    }
}
