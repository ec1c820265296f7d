//! How long connections stay in the table: nothing stays for ever, and a full table makes room.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{Config, Engine, Event, EventError, NoOwner, Owner, ProcessKey};

const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn asks(connection: u64, at: u64) -> Event<'static> {
    packet(Some(connection), Owner::None(NoOwner::UnknownSocket), at, &[])
}

/// Lets time pass without events, with a tick each second. Returns when the first connection was closed.
fn pass(engine: &mut Engine, from: u64, to: u64) -> Option<u64> {
    let open = engine.statistics().connections;
    let mut closed = None;
    for now in (from..=to).step_by(1_000_000_000) {
        engine.tick(now);
        if closed.is_none() && engine.statistics().connections < open {
            closed = Some(now);
        }
    }
    closed
}

#[test]
fn a_connection_that_nobody_owns_is_closed_after_a_minute_of_silence() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    handle(&mut engine, &[opened(5, Some(PROCESS), SECOND), closed(5, 2 * SECOND)]);
    // Later than the linger time, and then every half minute: it is in use.
    for at in (HOUR..HOUR + 10 * MINUTE).step_by(30_000_000_000) {
        assert_eq!(pass(&mut engine, at, at + 29 * SECOND), None);
        handle(&mut engine, &[asks(5, at + 29 * SECOND)]);
    }
    let last = HOUR + 10 * MINUTE - SECOND;
    let closed = pass(&mut engine, last, last + HOUR).expect("it is closed");
    assert!((last + MINUTE..=last + 2 * MINUTE).contains(&closed), "after {} ns", closed - last);
    assert_eq!(engine.statistics().known_connections, 0, "nothing of it is left");
    assert_eq!(engine.statistics().forgotten, 1);

    let told = story(&mut engine, reader);
    let events: Vec<_> = told.iter().filter(|told| told.contains("connection")).collect();
    let closed = format!("{closed}: connection 5 closed by 0");
    let reopened = format!("{}: connection 5 opened by 0", HOUR + 29 * SECOND);
    assert_eq!(
        events,
        ["1000000000: connection 5 opened by 7", "2000000000: connection 5 closed by 7", &reopened, &closed]
    );
}

#[test]
fn silence_does_not_close_a_connection_with_a_running_owner() {
    let mut engine = engine();
    // Of the second owner only the id is known.
    let other = ProcessKey { pid: 9, start: 0 };
    let events = [started(PROCESS, 1), opened(5, Some(PROCESS), 1), opened(6, Some(other), 1)];
    handle(&mut engine, &events);
    assert_eq!(pass(&mut engine, 1, 24 * HOUR), None);
}

#[test]
fn a_connection_with_a_lost_closing_goes_an_hour_after_its_owners_end() {
    let mut engine = engine();
    let reused = ProcessKey { start: 2, ..OTHER };
    let events = [
        started(PROCESS, 1),
        started(OTHER, 1),
        opened(5, Some(PROCESS), 1),
        opened(6, Some(OTHER), 1),
        ended(PROCESS, 2),
        // The end of this one is lost, and its id is used again.
        started(reused, 3),
    ];
    handle(&mut engine, &events);
    let closed = pass(&mut engine, 3, 3 * HOUR).expect("it is closed");
    assert!((HOUR..=HOUR + 2 * MINUTE).contains(&closed), "after {closed} ns");
    assert_eq!(engine.statistics().known_connections, 0);
}

#[test]
fn a_full_table_makes_room_whatever_fills_it() {
    let bound = 100_u32;
    let full = |event: &dyn Fn(u64) -> [Event<'static>; 2]| {
        let config = Config { max_connections: bound, ..Config::default() };
        let mut engine = Engine::new(config).expect("there is memory");
        attach(&mut engine);
        handle(&mut engine, &[started(PROCESS, 1)]);
        for connection in 1..=u64::from(bound) {
            handle(&mut engine, &event(connection));
        }
        engine
    };
    let cases: [&dyn Fn(u64) -> [Event<'static>; 2]; 3] = [
        // Connections that only a packet opened.
        &|connection| [asks(connection, 2), asks(connection, 2)],
        // Closed ones that linger.
        &|connection| [opened(connection, Some(PROCESS), 2), closed(connection, 2)],
        // Ones with an owner that ended, and nobody reported that they were closed.
        &|connection| [opened(connection, Some(OTHER), 2), ended(OTHER, 2)],
    ];
    for case in cases {
        let mut engine = full(case);
        assert_eq!(engine.statistics().known_connections, bound.into());
        for connection in 1001..=1000 + u64::from(bound) {
            handle(&mut engine, &[opened(connection, Some(PROCESS), 3)]);
        }
        assert_eq!(engine.statistics().connections, bound.into());
    }
    // Ones with a running owner: they stay, until nothing was heard of them for an hour.
    let mut engine = full(&|connection| [opened(connection, Some(PROCESS), 2), asks(connection, 2)]);
    let refused = engine.handle(&opened(1001, Some(PROCESS), HOUR));
    assert_eq!(refused, Err(EventError::TooManyConnections));
    handle(&mut engine, &[asks(1, HOUR), opened(1001, Some(PROCESS), HOUR + 2), closed(1001, HOUR + 2)]);
    assert_eq!(engine.statistics().forgotten, 1);
}

#[test]
fn a_clock_that_is_set_back_leaves_nothing_for_ever() {
    let mut engine = engine();
    let far = 1000 * 24 * HOUR;
    handle(&mut engine, &[started(PROCESS, far), ended(PROCESS, far)]);
    handle(&mut engine, &[opened(4, None, far), closed(4, far), asks(5, far)]);
    pass(&mut engine, far, far + SECOND);
    assert!(pass(&mut engine, HOUR, 2 * HOUR).is_some());
    let totals = engine.statistics();
    assert_eq!((totals.known_processes, totals.known_connections), (0, 0));
}
