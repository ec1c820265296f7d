//! What is emitted is what is read: every block type, both byte orders, both dialects, any chunks.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

mod common;

use std::borrow::Cow;

use common::{connection, emit, order, read, sections};
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, Dialect, ProcessEventKind, RawOption,
    ReadErrorKind, Reader,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn stream_of(sections: &[(ByteOrder, Vec<Block<'_>>)]) -> Vec<u8> {
    sections.iter().flat_map(|(order, blocks)| emit(blocks, *order)).collect()
}

/// What is at its default is left out, unless another option of the same code was kept: that one would be read instead.
#[test]
fn an_option_that_is_said_twice_does_not_stand_in_for_a_default() {
    let value = |value: &[u8]| Cow::Owned(value.to_vec());
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let process = |kind| hone_pcapng::ProcessEvent {
            kind,
            other: vec![RawOption { code: 2, value: value(&[1; 4]) }],
            ..Default::default()
        };
        let interface = hone_pcapng::Interface {
            link_type: 101,
            snap_length: 0,
            description: None,
            resolution: hone_pcapng::Resolution::MICROS,
            offset_seconds: 0,
            other: vec![
                RawOption { code: 9, value: value(&[9]) },
                RawOption { code: 14, value: value(&[1; 8]) },
            ],
        };
        let blocks = [
            Block::Section(hone_pcapng::Section::default()),
            Block::Interface(interface),
            Block::Process(process(ProcessEventKind::Started)),
            Block::Process(process(ProcessEventKind::Ended)),
        ];
        let mut seen = 0;
        let ended = read(&emit(&blocks, order), &[usize::MAX], |_, block, _, _| {
            assert_eq!(block, &blocks[seen]);
            seen += 1;
        });
        assert_eq!((ended, seen), (Ok(()), blocks.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn blocks_come_back_equal_in_any_chunks(
        sections in sections(),
        chunks in proptest::collection::vec(prop_oneof![1..20_usize, 1..100_000_usize], 1..20),
    ) {
        let stream = stream_of(&sections);
        let expected: Vec<_> =
            sections.iter().flat_map(|(order, blocks)| blocks.iter().map(move |block| (*order, block))).collect();
        let mut seen = 0;
        let mut end = 0;
        let result = read(&stream, &chunks, |offset, block, raw, _| {
            let (order, original) = expected[seen];
            assert_eq!(block, original);
            assert_eq!(offset, end);
            assert_eq!(emit(std::slice::from_ref(block), order), raw, "emitting again gives the same bytes");
            seen += 1;
            end += raw.len() as u64;
        });
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(seen, expected.len());
        prop_assert_eq!(end, stream.len() as u64);
    }

    #[test]
    fn a_damaged_stream_gives_blocks_or_an_error(
        sections in sections(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        kept in any::<prop::sample::Index>(),
        limit in 12..5_000_u32,
    ) {
        let mut stream = stream_of(&sections);
        stream.truncate(kept.index(stream.len() + 1));
        for (at, byte) in damage {
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        let mut reader = Reader::with_limit(limit);
        reader.feed(&stream).unwrap();
        let error = loop {
            match reader.next_block() {
                Ok(Some(item)) => prop_assert!(item.raw.len() <= limit as usize),
                Ok(None) => break reader.finish().err(),
                Err(error) => {
                    prop_assert_eq!(reader.next_block().err(), Some(error), "an error stays");
                    break Some(error);
                }
            }
        };
        if let Some(error) = error {
            prop_assert!(error.offset <= stream.len() as u64);
            prop_assert!(error.reason != ReadErrorKind::OutOfMemory);
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_bytes_as_a_body_parse_or_fail(
        body in proptest::collection::vec(prop_oneof![3 => 0..6_u8, 1 => any::<u8>()], 0..120),
        order in order(),
        kind in prop_oneof![Just(1_u32), Just(2), Just(3), Just(5), Just(6), Just(0x101), Just(0x102), Just(0x0A0D_0D0A)],
    ) {
        // A body of any length, also one that no frame can hold.
        match kind {
            1 => drop(hone_pcapng::Interface::parse(&body, order)),
            2 => drop(hone_pcapng::ObsoletePacket::parse(&body, order)),
            3 => drop(hone_pcapng::SimplePacket::parse(&body, order, 5)),
            5 => drop(hone_pcapng::Statistics::parse(&body, order)),
            6 => drop(hone_pcapng::Packet::parse(&body, order)),
            0x101 => drop(hone_pcapng::ProcessEvent::parse(&body, order)),
            0x102 => {
                for dialect in [Dialect::Narrow, Dialect::Wide] {
                    drop(ConnectionEvent::parse(&body, order, dialect));
                }
                let _ = ConnectionEvent::dialect(&body, order);
            }
            _ => drop(hone_pcapng::Section::parse(&body, order)),
        }
    }

    #[test]
    fn an_emitted_connection_event_tells_its_dialect(event in connection(), order in order()) {
        let mut out = vec![];
        event.emit(order, &mut out).unwrap();
        let body = &out[8..out.len() - 4];
        let narrow = u32::try_from(event.connection).is_ok();
        let dialect = if narrow { Dialect::Narrow } else { Dialect::Wide };
        prop_assert_eq!(ConnectionEvent::dialect(body, order), Some(dialect));
        prop_assert_eq!(ConnectionEvent::parse(body, order, dialect), Ok(event));
    }

    #[test]
    fn kinds_without_a_name_come_back(number in 1..u32::MAX - 1, order in order()) {
        prop_assume!(number != 0x0004_0002 && number != 0x0002_0004);
        for connection in [1, 1 << 40] {
            let kind = ConnectionEventKind::Other(number);
            let event = ConnectionEvent { connection, timestamp: 1 << 51, kind, ..Default::default() };
            let mut out = vec![];
            event.emit(order, &mut out).unwrap();
            let body = &out[8..out.len() - 4];
            let dialect = ConnectionEvent::dialect(body, order).unwrap();
            prop_assert_eq!(ConnectionEvent::parse(body, order, dialect), Ok(event));
        }
    }
}
