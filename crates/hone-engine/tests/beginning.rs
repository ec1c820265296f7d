//! A section begins with the state at its beginning, sorted by time, even if the state changes before it is read.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{Config, Engine, ProcessKey, READ_BLOCKS, Read, ReaderId, RestartError};

fn process(pid: u32) -> ProcessKey {
    ProcessKey { pid, start: 1 }
}

/// An engine with two processes and two connections, which were not reported in the order of time.
fn known() -> Engine {
    let mut engine = engine();
    let (one, two) = (process(1), process(2));
    handle(&mut engine, &[started(two, 30), started(one, 10), opened(6, Some(two), 40), opened(5, None, 20)]);
    engine
}

const KNOWN: [&str; 6] = [
    "section ",
    "interface 0",
    "10: process 1 Started /bin/sh",
    "20: connection 5 opened by 0",
    "30: process 2 Started /bin/sh",
    "40: connection 6 opened by 2",
];

/// Reads one block with two reads.
fn read_one(engine: &mut Engine, reader: ReaderId) -> Vec<u8> {
    let mut part = |length| {
        let mut buffer = vec![0; length];
        let read = engine.read(reader, &mut buffer, 1).expect("it is attached");
        assert_eq!(read, Read::Bytes(length));
        buffer
    };
    let head = part(8);
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    [head, part(length as usize - 8)].concat()
}

/// Ends all processes and connections, and begins others, with the same ids and with new ones.
fn change(engine: &mut Engine) {
    handle(
        engine,
        &[
            closed(5, 50),
            ended(process(1), 51),
            opened(6, Some(process(1)), 52),
            started(process(2), 53),
            closed(6, 54),
            ended(process(2), 55),
            opened(5, None, 56),
            // Reported late: its time is among those of the first events.
            opened(7, None, 25),
        ],
    );
}

#[test]
fn what_ends_before_its_beginning_is_read_is_still_told() {
    for read_before in 0..=6 {
        let mut engine = known();
        let reader = attach(&mut engine);
        let mut read: Vec<_> = (0..read_before).flat_map(|_| read_one(&mut engine, reader)).collect();
        change(&mut engine);
        read.extend(bytes(&mut engine, reader).into_iter().flatten().flatten());
        let told = words(&read);
        assert_eq!(told[..6], KNOWN, "after {read_before} blocks");
        assert_eq!(told[6..8], ["25: connection 7 opened by 0", "50: connection 5 closed by 0"]);
        assert_eq!(told.len(), 6 + 8);
        let later = attach(&mut engine);
        let expected = ["25: connection 7 opened by 0", "56: connection 5 opened by 0"];
        assert_eq!(story(&mut engine, later)[2..], expected);
    }
}

#[test]
fn a_mark_before_the_beginning_was_read_is_a_moment_of_its_own() {
    let mut engine = known();
    let reader = attach(&mut engine);
    read_one(&mut engine, reader);
    change(&mut engine);
    engine.mark_restart(reader, 60).expect("there is memory");
    assert_eq!(engine.mark_restart(reader, 61), Err(RestartError::Pending));
    handle(&mut engine, &[closed(7, 62), closed(5, 63)]);
    let rest = story_after(&mut engine, reader);
    assert_eq!(rest[..5], KNOWN[1..]);
    let end = rest.iter().position(|told| told == "end").expect("it is marked");
    let next = [
        "section ",
        "interface 0",
        "25: connection 7 opened by 0",
        "56: connection 5 opened by 0",
        "62: connection 7 closed by 0",
        "63: connection 5 closed by 0",
    ];
    assert_eq!(rest[end + 1..], next);
}

#[test]
fn a_table_that_lets_go_of_what_has_ended_takes_nothing_from_a_beginning() {
    let config = Config { max_connections: 2, connection_linger: 0, ..Config::default() };
    let mut engine = Engine::new(config).expect("there is memory");
    handle(&mut engine, &[opened(1, None, 1), opened(2, None, 2)]);
    let reader = attach(&mut engine);
    for number in 1..50 {
        handle(&mut engine, &[closed(number, 10 + number), opened(number + 2, None, 10 + number)]);
    }
    let told = story(&mut engine, reader);
    assert_eq!(told[2..4], ["1: connection 1 opened by 0", "2: connection 2 opened by 0"]);
    engine.detach(reader);
    handle(&mut engine, &[closed(50, 90), closed(51, 91)]);
    (0..50).for_each(|_| _ = engine.tick(1000));
    assert_eq!(engine.statistics().blocks, FRAMES);
}

#[test]
fn who_leaves_in_the_middle_leaves_nothing_behind() {
    for read_before in 0..=5 {
        let mut engine = known();
        let [leaves, stays] = [(); 2].map(|()| attach(&mut engine));
        (0..read_before).for_each(|_| _ = read_one(&mut engine, leaves));
        engine.mark_restart(leaves, 45).expect("there is memory");
        change(&mut engine);
        engine.detach(leaves);
        assert_eq!(story(&mut engine, stays)[..6], KNOWN);
        engine.detach(stays);
        handle(&mut engine, &[closed(7, 70), closed(5, 71)]);
        (0..50).for_each(|_| _ = engine.tick(u64::MAX));
        assert_eq!(engine.statistics().blocks, FRAMES, "after {read_before} blocks");
    }
}

#[test]
fn what_nobody_reads_is_kept_only_for_who_began_before_it_ended() {
    let mut engine = known();
    let idle = attach(&mut engine);
    let before = engine.statistics().blocks;
    for number in 100..1100 {
        handle(&mut engine, &[opened(number, None, number), closed(number, number)]);
        let reader = attach(&mut engine);
        bytes(&mut engine, reader);
        engine.detach(reader);
    }
    engine.set_pinned_bytes(idle, 0).expect("it is attached");
    (0..1000).for_each(|_| _ = engine.tick(u64::MAX));
    let told = engine.reader_statistics(idle).expect("it is attached");
    assert_eq!(engine.statistics().blocks, before + told.queued.connections);
}

#[test]
fn a_read_gives_a_bounded_number_of_blocks() {
    let mut engine = engine();
    // Besides these, section header and interface are read.
    let count = 3 * READ_BLOCKS as u64;
    (1..=count).for_each(|number| handle(&mut engine, &[opened(number, None, number)]));
    let reader = attach(&mut engine);
    let reads: Vec<_> = bytes(&mut engine, reader).into_iter().flatten().collect();
    let told: Vec<_> = reads.iter().map(|read| words(read).len()).collect();
    assert_eq!(told, [READ_BLOCKS, READ_BLOCKS, READ_BLOCKS, 2]);
}

/// Whole blocks, each in words.
fn words(blocks: &[u8]) -> Vec<String> {
    let mut parser = hone_pcapng::Reader::new();
    let begins = blocks.starts_with(&[0x0A, 0x0D, 0x0D, 0x0A]);
    if !begins {
        let mut engine = engine();
        let reader = attach(&mut engine);
        let frames: Vec<u8> = bytes(&mut engine, reader).into_iter().flatten().flatten().collect();
        parser.feed(&frames).expect("there is memory");
    }
    parser.feed(blocks).expect("there is memory");
    let mut told = Vec::new();
    while let Some(item) = parser.next_block().expect("the stream is sound") {
        told.push(tell(&item.block, item.nanos.unwrap_or_default()));
    }
    parser.finish().expect("the last block is whole");
    told.split_off(if begins { 0 } else { 2 })
}

/// All that a reader can read, in words. The reader has read its section header already.
fn story_after(engine: &mut Engine, reader: ReaderId) -> Vec<String> {
    let mut told = Vec::new();
    let mut other = common::engine();
    let other_reader = attach(&mut other);
    let header = read_one(&mut other, other_reader);
    for read in bytes(engine, reader) {
        match read {
            None => told.push("end".to_owned()),
            Some(read) if told.is_empty() => told.extend(words(&[&header[..], &read].concat()).split_off(1)),
            Some(read) => told.extend(words(&read)),
        }
    }
    told
}

#[test]
fn who_keeps_a_beginning_is_known() {
    let mut engine = known();
    let reader = attach(&mut engine);
    assert_eq!(engine.keeps_state(reader), Some(true));
    bytes(&mut engine, reader);
    assert_eq!(engine.keeps_state(reader), Some(false));
    engine.mark_restart(reader, 60).expect("no other mark is set");
    assert_eq!(engine.keeps_state(reader), Some(true), "of the next section");
    bytes(&mut engine, reader);
    assert_eq!(engine.keeps_state(reader), Some(false));
    engine.detach(reader);
    assert_eq!(engine.keeps_state(reader), None);
}
