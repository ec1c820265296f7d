//! One readable case for each promise to readers: ring buffers, snap lengths, filters, marks, signals, counts.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{
    AttachError, BYTE_ORDER, Config, DEFAULT_RING_BYTES, Engine, Event, Filter, FilterError,
    MAX_PACKET_BYTES, MAX_RING_BYTES, MIN_RING_BYTES, Method, NoOwner, Owner, Packet, PerKind, READ_BLOCKS,
    Read, ReadError, ReaderId, ReaderOptions, ReaderStatistics, RestartError, RingBuffer, RingBytesError,
    SnapLength, UnknownReader,
};
use hone_pcapng::view;

#[test]
fn each_reader_has_its_snap_length_and_the_longest_is_kept() {
    let mut engine = engine();
    let mut reader = |snap_length| {
        let options =
            ReaderOptions { snap_length: SnapLength::lenient(snap_length), ..ReaderOptions::default() };
        engine.attach(&options, 1).expect("there is memory")
    };
    let readers = [reader(1), reader(64), reader(200)];
    let owner = Owner::None(NoOwner::Kernel);
    handle(&mut engine, &[packet(None, owner, 1, &[0x45; 1000])]);
    for (reader, kept) in readers.into_iter().zip([1, 64, 200]) {
        assert_eq!(story(&mut engine, reader).last(), Some(&format!("1: packet of nobody, {kept} of 1000")));
    }
    let kept = |engine: &mut Engine| {
        handle(engine, &[packet(None, owner, 1, &[0x45; 1000])]);
        engine.reader_statistics(readers[0]).expect("it is attached").queued_bytes
    };
    // A packet block has 52 bytes besides the data.
    assert_eq!(kept(&mut engine), 200 + 52);
    engine.detach(readers[2]);
    assert_eq!(kept(&mut engine), 200 + 52 + 64 + 52);
    let all = attach(&mut engine);
    handle(&mut engine, &[packet(None, owner, 1, &[0x45; 1_000_000])]);
    let longest = format!("1: packet of nobody, {MAX_PACKET_BYTES} of 1000000");
    assert_eq!(story(&mut engine, all).last(), Some(&longest));
}

#[test]
fn packets_have_ids_only_while_a_reader_asks_for_them() {
    let mut engine = engine();
    let [reader, other] = [(); 2].map(|()| attach(&mut engine));
    let ids = |engine: &mut Engine, reader| -> Vec<_> {
        let Event::Packet(packet) = packet(None, Owner::None(NoOwner::Kernel), 1, &[0x45; 60]) else {
            panic!("it is a packet")
        };
        handle(engine, &[Event::Packet(Packet { packet_id: Some(1 << 40), ..packet })]);
        let read: Vec<u8> = bytes(engine, reader).into_iter().flatten().flatten().collect();
        view::blocks(&read, BYTE_ORDER).filter_map(|block| Some(block.packet()?.packet_id)).collect()
    };
    assert_eq!(ids(&mut engine, other), [None]);
    engine.set_packet_ids(reader, true).expect("it is attached");
    assert_eq!(ids(&mut engine, other), [Some(1 << 40)]);
    engine.detach(reader);
    assert_eq!(ids(&mut engine, other), [None]);
    assert!(engine.set_packet_ids(reader, true).is_err());
}

#[test]
fn a_slow_reader_costs_the_others_nothing() {
    let mut engine = engine();
    let options = ReaderOptions { ring_bytes: Some(MIN_RING_BYTES), ..ReaderOptions::default() };
    let [slow, fast] = [(); 2].map(|()| engine.attach(&options, 1).expect("there is memory"));
    let owner = Owner::None(NoOwner::Kernel);
    for at in 0..300 {
        handle(&mut engine, &[packet(None, owner, at, &[0; 60])]);
        bytes(&mut engine, fast);
    }
    handle(&mut engine, &[started(PROCESS, 300)]);
    let told = |reader| engine.reader_statistics(reader).expect("it is attached");
    assert_eq!((told(fast).delivered.packets, told(fast).dropped_by_ring), (300, PerKind::default()));
    // Packets may use 7/8 of the 128 slots; the rest is for process and connection events.
    assert_eq!((told(slow).queued.packets, told(slow).dropped_by_ring.packets), (112, 188));
    assert_eq!((told(slow).queued.processes, told(slow).dropped_by_ring.processes), (1, 0));
    assert_eq!((told(slow).received, told(slow).ring_slots), (told(fast).received, 128));
}

#[test]
fn what_a_detached_reader_did_not_read_is_released_in_steps() {
    let mut engine = engine();
    let ring = RingBuffer::new((1 << 15) - 1).expect("there is memory");
    assert_eq!(ring.bytes(), 1 << 15);
    let slow = engine.attach_with(ring, &ReaderOptions::default(), 1).expect("there is memory");
    let before = engine.statistics().blocks;
    let blocks = 2 * READ_BLOCKS as u64 + 1;
    for at in 0..blocks {
        handle(&mut engine, &[packet(None, Owner::None(NoOwner::Kernel), at, &[0; 60])]);
    }
    assert_eq!(engine.statistics().blocks, before + blocks);
    let mut detached = engine.begin_detach(slow).expect("it is attached");
    assert!(engine.begin_detach(slow).is_none() && engine.reader_statistics(slow).is_none());
    let mut left = Vec::new();
    loop {
        let last = engine.release_blocks(&mut detached);
        left.push(engine.statistics().blocks - before);
        if last {
            break;
        }
        // This packet is queued while only the other reader is attached.
        let other = attach(&mut engine);
        handle(&mut engine, &[packet(None, Owner::None(NoOwner::Kernel), 9999, &[0; 60])]);
        assert_eq!(story(&mut engine, other).last(), Some(&"9999: packet of nobody, 60 of 60".to_owned()));
        engine.detach(other);
    }
    assert_eq!(left, [blocks - READ_BLOCKS as u64, 1, 0]);
}

#[test]
fn a_ring_buffer_that_finds_no_place_is_given_back() {
    let mut engine = Engine::new(Config { max_readers: 1, ..Config::default() }).expect("there is memory");
    attach(&mut engine);
    let ring = RingBuffer::new(4096).expect("there is memory");
    let (error, ring) =
        engine.attach_with(ring, &ReaderOptions::default(), 1).expect_err("there is one already");
    assert_eq!((error, ring.bytes()), (AttachError::TooManyReaders, 4096));
}

#[test]
fn pinned_bytes_bound_what_waits() {
    let mut engine = engine();
    let options = ReaderOptions { pinned_bytes: 1000, ..ReaderOptions::default() };
    let reader = engine.attach(&options, 1).expect("there is memory");
    for at in 0..20 {
        handle(&mut engine, &[packet(None, Owner::Ask, at, &[0; 68])]);
    }
    let told = engine.reader_statistics(reader).expect("it is attached");
    // Each block has 120 bytes, and packets may use 875 of the 1000 bytes.
    assert_eq!((told.queued.packets, told.dropped_by_ring.packets, told.queued_bytes), (7, 13, 840));
}

#[test]
fn reads_end_at_blocks_unless_a_block_is_larger_than_the_buffer() {
    let mut engine = engine();
    let [whole, parts] = [(); 2].map(|()| attach(&mut engine));
    handle(&mut engine, &[started(PROCESS, 1), packet(Some(1), Owner::Ask, 2, &[0x45; 99])]);
    let expected = bytes(&mut engine, whole).into_iter().flatten().collect::<Vec<_>>().concat();
    let mut read = Vec::new();
    for size in (1..50).cycle() {
        let mut buffer = vec![0; size];
        match engine.read(parts, &mut buffer, 1).expect("it is attached") {
            Read::Bytes(length) => read.extend_from_slice(&buffer[..length]),
            _ => break,
        }
    }
    assert_eq!(read, expected);
    assert_eq!(engine.read(parts, &mut [], 1), Err(ReadError::EmptyBuffer));
}

#[test]
fn one_mark_at_a_time() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    engine.mark_restart(reader, 2).expect("there is memory");
    assert_eq!(engine.mark_restart(reader, 3), Err(RestartError::Pending));
    let told = ["section ", "interface 0", "statistics 0 0 0", "end", "section ", "interface 0"];
    assert_eq!(story(&mut engine, reader), told);
    engine.mark_restart(reader, 4).expect("there is memory");
    engine.detach(reader);
    assert_eq!(engine.mark_restart(reader, 5), Err(RestartError::UnknownReader));
    assert_eq!(engine.statistics().blocks, FRAMES);
}

#[test]
fn ring_sizes_are_as_documented() {
    let mut engine = engine();
    let mut slots = |ring_bytes| {
        let options = ReaderOptions { ring_bytes: Some(ring_bytes), ..ReaderOptions::default() };
        let reader = engine.attach(&options, 1)?;
        Ok(engine.reader_statistics(reader).expect("it is attached").ring_slots)
    };
    assert_eq!(slots(MIN_RING_BYTES), Ok(128));
    assert_eq!(slots(MIN_RING_BYTES + 1), Ok(256));
    assert_eq!(slots(DEFAULT_RING_BYTES), Ok(2048));
    assert_eq!(slots(MAX_RING_BYTES), Ok(16_384));
    let refused = Err(AttachError::RingBytes(RingBytesError { min: MIN_RING_BYTES, max: MAX_RING_BYTES }));
    assert_eq!((slots(MIN_RING_BYTES - 1), slots(MAX_RING_BYTES + 1)), (refused, refused));
}

#[test]
fn a_refused_mark_leaves_no_trace() {
    let mut refused = 0;
    for max_block_bytes in (0..4000).step_by(8) {
        let Ok(mut engine) = Engine::new(Config { max_block_bytes, ..Config::default() }) else { continue };
        let reader = attach(&mut engine);
        let blocks = engine.statistics().blocks;
        if let Err(error) = engine.mark_restart(reader, 2) {
            refused += 1;
            assert_eq!((error, engine.statistics().blocks), (RestartError::OutOfMemory, blocks));
        }
        assert_eq!(story(&mut engine, reader)[..2], ["section ", "interface 0"]);
        engine.detach(reader);
        assert_eq!(engine.statistics().blocks, FRAMES);
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_new_ring_size_is_for_readers_to_come() {
    let mut engine = engine();
    let old = attach(&mut engine);
    assert_eq!(engine.set_default_ring_bytes(20_000), Ok(32_768));
    let new = attach(&mut engine);
    let options = ReaderOptions { ring_bytes: Some(MIN_RING_BYTES), ..ReaderOptions::default() };
    let own = engine.attach(&options, 1).expect("there is memory");
    let sizes = [old, new, own].map(|reader| told(&engine, reader).ring_bytes);
    assert_eq!(sizes, [DEFAULT_RING_BYTES as u64, 32_768, MIN_RING_BYTES as u64]);
    for bytes in [0, MIN_RING_BYTES - 1, MAX_RING_BYTES + 1, usize::MAX] {
        let range = RingBytesError { min: MIN_RING_BYTES, max: MAX_RING_BYTES };
        assert_eq!(engine.set_default_ring_bytes(bytes), Err(range));
    }
    assert_eq!(engine.statistics().ring_bytes, 32_768);
}

fn told(engine: &Engine, reader: ReaderId) -> ReaderStatistics {
    engine.reader_statistics(reader).expect("it is attached")
}

/// A packet of [`PROCESS`] over connection 5.
fn send(engine: &mut Engine, at: u64) {
    handle(engine, &[packet(Some(5), Owner::Process(PROCESS, Method::CurrentTask), at, &[0x45; 100])]);
}

#[test]
fn a_filter_applies_to_later_packets_of_its_reader_and_to_no_events() {
    let mut engine = engine();
    let [filtered, other] = [(); 2].map(|()| attach(&mut engine));
    send(&mut engine, 1);
    engine.set_filter(filtered, Filter::ExcludeConnections(&[5])).expect("there is memory");
    send(&mut engine, 2);
    handle(&mut engine, &[started(OTHER, 3), closed(5, 4)]);
    engine.set_filter(filtered, Filter::ExcludeConnections(&[])).expect("there is memory");
    send(&mut engine, 5);
    engine.mark_restart(filtered, 6).expect("there is memory");
    assert_eq!((told(&engine, filtered).filtered.packets, told(&engine, filtered).received.packets), (1, 3));
    let story_of_filtered = story(&mut engine, filtered);
    let packets = story_of_filtered.iter().filter(|told| told.contains("packet"));
    assert!(packets.eq(["1: packet of 7, 100 of 100", "5: packet of 7, 100 of 100"]));
    assert!(story_of_filtered.contains(&"3: process 8 Started /bin/sh".to_owned()));
    assert!(story_of_filtered.contains(&"4: connection 5 closed by 7".to_owned()));
    assert_eq!(story(&mut engine, other).iter().filter(|told| told.contains("packet")).count(), 3);
}

#[test]
fn a_packet_that_nobody_wants_is_not_even_made() {
    let mut engine = engine();
    let [one, other] = [(); 2].map(|()| attach(&mut engine));
    engine.set_filter(one, Filter::ExcludeProcesses(&[PROCESS.pid])).expect("there is memory");
    engine.set_filter(other, Filter::IncludeProcesses(&[OTHER.pid])).expect("there is memory");
    handle(&mut engine, &[opened(5, Some(PROCESS), 1)]);
    let blocks = engine.statistics().blocks;
    send(&mut engine, 2);
    assert_eq!(engine.statistics().blocks, blocks);
    assert_eq!([one, other].map(|reader| told(&engine, reader).filtered.packets), [1, 1]);
}

#[test]
fn a_section_counts_what_its_filter_accepted() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    engine.set_filter(reader, Filter::ExcludeConnections(&[6])).expect("there is memory");
    for connection in [5, 6, 6, 5, 6] {
        handle(&mut engine, &[packet(Some(connection), Owner::None(NoOwner::Kernel), 1, &[])]);
    }
    engine.mark_restart(reader, 6).expect("there is memory");
    let bytes: Vec<u8> = bytes(&mut engine, reader).into_iter().flatten().flatten().collect();
    let mut parser = hone_pcapng::Reader::new();
    parser.feed(&bytes).expect("there is memory");
    while let Some(item) = parser.next_block().expect("the stream is sound") {
        if let hone_pcapng::Block::Statistics(counts) = item.block {
            let told = [counts.received, counts.accepted, counts.dropped_by_ring, counts.delivered];
            assert_eq!(told, [Some(5), Some(2), Some(0), Some(2)]);
            return;
        }
    }
    panic!("the section has statistics");
}

#[test]
fn what_cannot_be_set_is_refused() {
    let mut engine = Engine::new(Config { max_filter_ids: 2, ..Config::default() }).expect("there is memory");
    let reader = attach(&mut engine);
    let too_many = engine.set_filter(reader, Filter::IncludeProcesses(&[1, 2, 3]));
    assert_eq!(too_many, Err(FilterError::TooMany { most: 2 }));
    engine.detach(reader);
    assert_eq!(engine.set_filter(reader, Filter::IncludeProcesses(&[])), Err(FilterError::UnknownReader));
    assert_eq!(engine.set_snap_length(reader, SnapLength::lenient(1)), Err(UnknownReader));
    assert_eq!(engine.snap_length(reader), None);
}

#[test]
fn a_snap_length_changes_what_is_queued_from_then_on() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    engine.set_snap_length(reader, SnapLength::lenient(50)).expect("it is attached");
    assert_eq!(engine.statistics().snap_length.number(), 50);
    send(&mut engine, 1);
    engine.set_snap_length(reader, SnapLength::lenient(60)).expect("it is attached");
    send(&mut engine, 2);
    engine.set_snap_length(reader, SnapLength::lenient(3)).expect("it is attached");
    send(&mut engine, 3);
    engine.mark_restart(reader, 4).expect("there is memory");
    engine.set_snap_length(reader, SnapLength::lenient(0)).expect("it is attached");
    assert_eq!(
        (engine.snap_length(reader), engine.statistics().snap_length),
        (Some(SnapLength::ALL), SnapLength::ALL)
    );
    send(&mut engine, 5);
    let interesting = |told: &String| told.contains("interface") || told.contains("packet");
    let told: Vec<_> = story(&mut engine, reader).into_iter().filter(interesting).collect();
    // The interface states the longest snap length of its section; before any packet, the one that is set then.
    assert_eq!(
        told,
        [
            "interface 60",
            "1: packet of 7, 50 of 100",
            "2: packet of 7, 60 of 100",
            "3: packet of 7, 3 of 100",
            "interface 0",
            "5: packet of 7, 100 of 100",
        ]
    );
}

fn signals(engine: &mut Engine) -> Vec<ReaderId> {
    let mut signals = Vec::new();
    engine.take_signals(|reader| signals.push(reader));
    signals
}

#[test]
fn a_signal_is_raised_once_for_what_lands_on_an_empty_queue() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    assert_eq!(signals(&mut engine), [reader], "its section has begun");
    send(&mut engine, 1);
    assert_eq!(signals(&mut engine), [], "it has not read yet");
    bytes(&mut engine, reader);
    assert_eq!(signals(&mut engine), []);
    send(&mut engine, 2);
    send(&mut engine, 3);
    assert_eq!(signals(&mut engine), [reader]);
    send(&mut engine, 4);
    assert_eq!(signals(&mut engine), []);
    bytes(&mut engine, reader);
    send(&mut engine, 5);
    bytes(&mut engine, reader);
    send(&mut engine, 6);
    assert_eq!(signals(&mut engine), [reader], "once, though the queue was empty twice");
    bytes(&mut engine, reader);
    engine.mark_restart(reader, 7).expect("there is memory");
    assert_eq!(signals(&mut engine), [reader], "its section ends");
    bytes(&mut engine, reader);
    engine.set_filter(reader, Filter::ExcludeProcesses(&[7])).expect("there is memory");
    send(&mut engine, 8);
    assert_eq!(signals(&mut engine), [], "nothing landed");
    let other = attach(&mut engine);
    handle(&mut engine, &[started(OTHER, 9)]);
    engine.detach(reader);
    assert_eq!(signals(&mut engine), [other]);
}

#[test]
fn the_report_has_every_field_of_the_originals() {
    let mut engine = Engine::new(Config { loaded: 77, ..Config::default() }).expect("there is memory");
    handle(&mut engine, &[started(PROCESS, 100), opened(5, Some(PROCESS), 110)]);
    let [one, two] =
        [200, 300].map(|at| engine.attach(&ReaderOptions::default(), at).expect("there is memory"));
    handle(
        &mut engine,
        &[started(OTHER, 310), ended(OTHER, 320), opened(6, None, 330), closed(6, 340), closed(6, 350)],
    );
    send(&mut engine, 360);
    engine.detach(one);
    engine.detach(two);
    handle(&mut engine, &[closed(5, 1000)]);
    let three = engine.attach(&ReaderOptions::default(), 2000).expect("there is memory");
    send(&mut engine, 2500);
    let totals = engine.statistics();
    assert_eq!((totals.loaded, totals.logging_time), (77, 160 + 500));
    assert_eq!((totals.readers, totals.readers_total, told(&engine, three).id), (1, 3, three.get()));
    assert_eq!((totals.received.packets, totals.packet_bytes), (2, 200));
    assert_eq!((totals.process_starts, totals.process_ends, totals.processes), (2, 1, 1));
    assert_eq!((totals.connection_opens, totals.connection_closes, totals.connections), (2, 3, 0));
    assert_eq!((totals.ring_bytes, totals.snap_length), (DEFAULT_RING_BYTES as u64, SnapLength::ALL));
    assert_eq!((told(&engine, three).attached, told(&engine, three).snap_length), (2000, SnapLength::ALL));
}
