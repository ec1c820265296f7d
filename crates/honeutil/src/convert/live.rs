//! A recording in another form while it is made.

use std::rc::Rc;

use super::Refused;
use super::converter::Converter;
use super::form::Form;
use super::lost::Lost;
use crate::show::stream::{Source, Stream, StreamError};

/// Why a stream of Hone cannot be converted: a fault in Hone.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// It is not sound.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// It has no such form.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Turns blocks into another form as they come.
#[derive(Debug)]
pub(crate) struct Live {
    stream: Stream,
    converter: Converter,
    out: Vec<u8>,
}

impl Live {
    pub(crate) fn new(form: Form) -> Self {
        Self { stream: Stream::new(&Rc::default()), converter: Converter::new(form), out: Vec::new() }
    }

    /// What has no place in the form, if this is the end.
    pub(super) fn lost(&self) -> Lost {
        self.converter.lost()
    }

    /// What the next blocks, which are whole, become.
    pub(crate) fn of(&mut self, blocks: &[u8]) -> Result<&[u8], LiveError> {
        let Self { stream, converter, out } = self;
        out.clear();
        stream.feed(blocks)?;
        while let Some(taken) = stream.step(|source, shown| {
            let Source::Block(item) = source else { return Ok(()) };
            converter.take(item, shown.as_ref(), out)
        })? {
            taken?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{
        Block, ByteOrder, Interface, Packet, ProcessEvent, ProcessEventKind, ProcessThread, Reader,
        Resolution, Section, foreign,
    };

    use super::*;

    /// A section with a process that has a packet.
    fn section() -> Vec<u8> {
        let mut blocks = Vec::new();
        for block in [
            Block::Section(Section::default()),
            Block::Interface(Interface {
                link_type: 101,
                snap_length: 0,
                description: None,
                resolution: Resolution::NANOS,
                offset_seconds: 0,
                other: Vec::new(),
            }),
            Block::Process(ProcessEvent {
                process: 5,
                kind: ProcessEventKind::Started,
                path: Some(Cow::Borrowed(b"/usr/bin/curl")),
                ..ProcessEvent::default()
            }),
            Block::Packet(Packet { process: Some(5), ..Packet::default() }),
            Block::Packet(Packet { process: Some(5), ..Packet::default() }),
        ] {
            block.emit(ByteOrder::NATIVE, &mut blocks).unwrap();
        }
        blocks
    }

    /// A section of another program: processes of both kinds, a comment, and packets that name them.
    fn foreign_section() -> Vec<u8> {
        let text = |value: &'static [u8]| Cow::Borrowed(value);
        let option = |code, value: &'static [u8]| hone_pcapng::RawOption { code, value: text(value) };
        let packet = |other| Block::Packet(Packet { timestamp: 7, other: vec![other], ..Packet::default() });
        let entry = b"\x6e\x7f\0\0\x03\0\0\0\x0c\0\0\0\x05\0\0\0\x02\0\x04\0curl";
        let mut blocks = Vec::new();
        let mut reader = Reader::new();
        reader.feed(&section()).unwrap();
        for _ in 0..2 {
            blocks.extend(reader.next_block().unwrap().unwrap().raw);
        }
        for block in [
            Block::Unknown { kind: foreign::CUSTOM, body: text(entry) },
            Block::Unknown {
                kind: foreign::APPLE_PROCESS,
                body: text(b"\x06\0\0\0\x02\0\x04\0mail\0\0\0\0"),
            },
            packet(option(8, b"\x05\0\0\0\x09\0\0\0")),
            packet(option(foreign::PACKET_APPLE_PROCESS, b"\0\0\0\0")),
            packet(option(1, b"PID: 12\nCmd: /bin/sh\nUserId: 7")),
            Block::Unknown { kind: foreign::CUSTOM, body: text(entry) },
        ] {
            block.emit(ByteOrder::Little, &mut blocks).unwrap();
        }
        blocks
    }

    /// What has become of it is a stream again.
    #[test]
    fn no_byte_of_a_foreign_section_makes_a_form_of_hones_panic() {
        let whole = foreign_section();
        assert_eq!(
            Live::new(Form::Hone).of(&whole).unwrap().windows(4).filter(|at| *at == b"mail").count(),
            1
        );
        let mut seed = 7_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize
        };
        for _ in 0..5_000 {
            let mut broken = whole.clone();
            for _ in 0..1 + random() % 4 {
                let at = random() % broken.len();
                broken[at] = u8::try_from(random() % 256).unwrap();
            }
            for form in [Form::Hone, Form::Wireshark, Form::Darwin, Form::Comments] {
                let mut live = Live::new(form);
                if let Ok(out) = live.of(&broken) {
                    let mut reader = Reader::new();
                    reader.feed(out).unwrap();
                    while reader.next_block().unwrap().is_some() {}
                }
            }
        }
    }

    #[test]
    fn each_section_describes_a_process_once_before_its_first_packet() {
        let mut live = Live::new(Form::Wireshark);
        let mut out = Vec::new();
        for _ in 0..2 {
            for block in hone_pcapng::view::blocks(&section(), ByteOrder::NATIVE) {
                out.extend(live.of(block.bytes()).unwrap());
            }
        }
        let mut reader = Reader::new();
        reader.feed(&out).unwrap();
        let mut kinds = Vec::new();
        while let Some(item) = reader.next_block().unwrap() {
            kinds.push(item.block.kind());
            if let Block::Packet(packet) = &item.block {
                let named: Vec<_> = foreign::process_threads(packet, item.order).collect();
                assert_eq!(named, [ProcessThread { process: Some(5), thread: None }]);
            }
        }
        assert_eq!(kinds[..], [0x0A0D_0D0A, 1, 0x101, foreign::CUSTOM, 6, 6].repeat(2));
    }
}
