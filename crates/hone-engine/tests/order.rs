//! One readable case for each promise about the order of time: within bounds, a reader reads late blocks sorted by
//! time.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{
    BYTE_ORDER, Engine, Event, Method, NoOwner, ORDER_BLOCKS, ORDER_TIME, Owner, Read, ReaderId,
    ReaderOptions,
};
use hone_pcapng::view;

/// A packet without an owner.
fn at(at: u64) -> Event<'static> {
    packet(None, Owner::None(NoOwner::Kernel), at, &[])
}

fn of(connection: u64, at: u64) -> Event<'static> {
    packet(Some(connection), Owner::Process(PROCESS, Method::CurrentTask), at, &[])
}

/// The times of the blocks that the reader reads, in the order of reading.
fn times(engine: &mut Engine, reader: ReaderId) -> Vec<u64> {
    let story = story(engine, reader);
    story.iter().filter_map(|told| told.split_once(':')?.0.parse().ok()).collect()
}

fn times_of(events: &[Event<'_>]) -> Vec<u64> {
    let mut engine = engine();
    let reader = attach(&mut engine);
    handle(&mut engine, events);
    times(&mut engine, reader)
}

#[test]
fn what_comes_late_is_read_in_time() {
    assert_eq!(times_of(&[at(10), at(30), at(20), at(40), at(5)]), [5, 10, 20, 30, 40]);
    let events = [at(10), started(PROCESS, 30), at(40), ended(OTHER, 20), started(OTHER, 25), at(28)];
    assert_eq!(times_of(&events), [10, 25, 28, 30, 40], "events and packets alike");
}

#[test]
fn what_happens_at_the_same_time_stays_in_the_order_in_which_it_was_told() {
    let late = [at(9), opened(5, Some(PROCESS), 3), of(5, 3), started(OTHER, 3), of(5, 3)];
    let told = [
        "3: connection 5 opened by 7",
        "3: packet of 7, 0 of 0",
        "3: process 8 Started /bin/sh",
        "3: packet of 7, 0 of 0",
        "9: packet of nobody, 0 of 0",
    ];
    assert_eq!(story_of(&late), told);
}

#[test]
fn nothing_goes_before_what_it_depends_on() {
    // The second packet is older than the first, but the first packet opened the connection, so it cannot go before
    // that.
    let told = ["9: connection 5 opened by 7", "8: packet of 7, 0 of 0", "9: packet of 7, 0 of 0"];
    assert_eq!(story_of(&[of(5, 9), of(5, 8)]), told);
    // A late packet of the first owner goes before the event that reports the next owner.
    let told = ["1: connection 5 opened by 7", "8: packet of 7, 0 of 0", "9: connection 5 opened by 8"];
    assert_eq!(story_of(&[opened(5, Some(PROCESS), 1), opened(5, Some(OTHER), 9), of(5, 8)]), told);
    // The clock is set back.
    let lives = [started(PROCESS, 9), opened(5, None, 9), ended(PROCESS, 1), closed(5, 1)];
    let told = [
        "9: process 7 Started /bin/sh",
        "1: process 7 ended",
        "9: connection 5 opened by 0",
        "1: connection 5 closed by 0",
    ];
    assert_eq!(story_of(&lives), told);
}

#[test]
fn what_is_read_or_behind_a_mark_stays_where_it_is() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    bytes(&mut engine, reader);
    handle(&mut engine, &[at(10), at(20)]);
    // Reads one byte of the first packet, so that no block can be put before it any more.
    assert_eq!(engine.read(reader, &mut [0], 20), Ok(Read::Bytes(1)));
    handle(&mut engine, &[at(15), at(5)]);
    engine.mark_restart(reader, 30).expect("there is memory");
    handle(&mut engine, &[at(40), at(7), at(35)]);
    let mut read = vec![vec![6]];
    for bytes in bytes(&mut engine, reader) {
        match bytes {
            Some(bytes) => read.last_mut().expect("there is one").extend(bytes),
            None => read.push(Vec::new()),
        }
    }
    let [old, new] = read.as_slice() else { panic!("two sections: {read:?}") };
    assert_eq!((times_in(old), times_in(new)), (vec![10, 5, 15, 20], vec![7, 35, 40]));
}

/// The times of the packets in a stream of whole blocks.
fn times_in(blocks: &[u8]) -> Vec<u64> {
    let blocks = view::blocks(blocks, BYTE_ORDER);
    blocks.filter_map(|block| Some(block.packet()?.timestamp)).collect()
}

#[test]
fn it_goes_back_so_far_and_no_further() {
    let mut engine = engine();
    let reader = engine
        .attach(&ReaderOptions { ring_bytes: Some(1 << 16), ..ReaderOptions::default() }, 1)
        .expect("there is memory");
    let later = ORDER_BLOCKS as u64 + 10;
    (0..later).for_each(|number| handle(&mut engine, &[at(1000 + number)]));
    handle(&mut engine, &[at(999)]);
    let times = times(&mut engine, reader);
    assert_eq!(times.iter().position(|&time| time == 999), Some(10));

    let (now, oldest) = (5 * ORDER_TIME, 4 * ORDER_TIME);
    assert_eq!(times_of(&[at(now), at(oldest)]), [oldest, now]);
    assert_eq!(times_of(&[at(now), at(oldest - 1)]), [now, oldest - 1], "the clock was set back");
}
