//! One readable case for each promise of the engine. `out_of_memory` tests what happens without memory, and `model`
//! tests random sequences of events, reads and settings.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{
    AttachError, BYTE_ORDER, Config, Engine, Event, EventError, Method, NoHash, NoOwner, Owner, PerKind,
    ProcessKey, ProcessStart, ReaderOptions, SnapLength, StartKind,
};
use hone_pcapng::{ProcessEventKind, view};

#[test]
fn a_section_is_header_interface_state_events_statistics() {
    let mut config = Config::default();
    config.section.os = b"Linux".to_vec();
    let mut engine = Engine::new(config).expect("there is memory");
    handle(&mut engine, &[opened(1, Some(PROCESS), 30), started(OTHER, 20), started(PROCESS, 10)]);
    let options = ReaderOptions { snap_length: SnapLength::lenient(96), ..ReaderOptions::default() };
    let reader = engine.attach(&options, 40).expect("there is memory");
    handle(&mut engine, &[ended(OTHER, 50)]);
    engine.mark_restart(reader, 60).expect("there is memory");
    handle(&mut engine, &[closed(1, 70)]);
    assert_eq!(
        story(&mut engine, reader),
        [
            "section Linux",
            "interface 96",
            "10: process 7 Started /bin/sh",
            "20: process 8 Started /bin/sh",
            "30: connection 1 opened by 7",
            "50: process 8 ended",
            "statistics 0 1 0",
            "end",
            "section Linux",
            "interface 96",
            "10: process 7 Started /bin/sh",
            "30: connection 1 opened by 7",
            "70: connection 1 closed by 7",
        ]
    );
}

#[test]
fn a_hint_changes_nothing() {
    let (mut engine, mut twin) = (engine(), engine());
    let readers = [&mut engine, &mut twin].map(attach);
    let owner = Owner::Process(PROCESS, Method::CurrentTask);
    // More connections than those whose entries are loaded only when they are needed.
    for connection in 1..20_000 {
        let events =
            [opened(connection, None, connection), packet(Some(connection), owner, connection, &[9])];
        handle(&mut engine, &[Event::Expected(&[connection, connection + 1, 1, u64::MAX])]);
        handle(&mut engine, &events);
        handle(&mut twin, &events);
        assert_eq!(engine.statistics(), twin.statistics());
        if connection % 100 == 0 {
            assert!(bytes(&mut engine, readers[0]) == bytes(&mut twin, readers[1]), "they read the same");
        }
    }
}

#[test]
fn a_packet_opens_its_unknown_connection() {
    let owner = Owner::Process(PROCESS, Method::CurrentTask);
    let events = [packet(Some(5), owner, 1, &[0; 20]), packet(Some(5), Owner::Ask, 2, &[])];
    let told = ["1: connection 5 opened by 7", "1: packet of 7, 20 of 20", "2: packet of 7, 0 of 0"];
    assert_eq!(story_of(&events), told);
    let kernel = Owner::None(NoOwner::Kernel);
    let told = ["1: connection 5 opened by 0", "1: packet of nobody, 1 of 1"];
    assert_eq!(story_of(&[packet(Some(5), kernel, 1, &[0])]), told);
}

#[test]
fn a_connection_goes_to_another_process_once() {
    let events = [
        opened(5, Some(PROCESS), 1),
        opened(5, Some(PROCESS), 2),
        opened(5, None, 3),
        opened(5, Some(OTHER), 4),
        packet(Some(5), Owner::Ask, 5, &[]),
    ];
    let told = ["1: connection 5 opened by 7", "4: connection 5 opened by 8", "5: packet of 8, 0 of 0"];
    assert_eq!(story_of(&events), told);
}

#[test]
fn late_packets_find_a_closed_connection_and_do_not_reopen_it() {
    let late = 10 * SECOND;
    let events = [
        opened(5, Some(PROCESS), 0),
        closed(5, 1),
        closed(5, 2),
        packet(Some(5), Owner::Ask, late, &[]),
        packet(Some(5), Owner::Ask, late + 1, &[]),
    ];
    let told = [
        "0: connection 5 opened by 7",
        "1: connection 5 closed by 7",
        "10000000000: packet of 7, 0 of 0",
        "10000000001: connection 5 opened by 0",
        "10000000001: packet of nobody, 0 of 0",
    ];
    assert_eq!(story_of(&events), told);
}

/// The kernel remembers a connection for a minute; its packets name it as long as readers know it.
#[test]
fn what_the_kernel_does_for_an_ended_connection_names_it_and_never_opens_it_again() {
    let late = Owner::None(NoOwner::TimeWait);
    let events = [
        opened(5, Some(PROCESS), 0),
        closed(5, 1),
        packet(Some(5), late, 2, &[]),
        packet(Some(5), late, 10 * SECOND + 2, &[]),
        packet(Some(6), late, 10 * SECOND + 3, &[]),
    ];
    let mut engine = engine();
    let reader = attach(&mut engine);
    handle(&mut engine, &events);
    let blocks: Vec<u8> = bytes(&mut engine, reader).into_iter().flatten().flatten().collect();
    let connections: Vec<_> =
        view::blocks(&blocks, BYTE_ORDER).filter_map(|block| Some(block.packet()?.connection)).collect();
    assert_eq!(connections, [Some(5), None, None]);
    let told = [
        "0: connection 5 opened by 7",
        "1: connection 5 closed by 7",
        "2: packet of nobody, 0 of 0",
        "10000000002: packet of nobody, 0 of 0",
        "10000000003: packet of nobody, 0 of 0",
    ];
    assert_eq!(story_of(&events), told);
}

#[test]
fn a_connection_id_used_again_is_another_connection() {
    let events = [opened(5, Some(PROCESS), 1), closed(5, 2), opened(5, Some(PROCESS), 3), closed(5, 4)];
    assert_eq!(story_of(&events).len(), 4);
}

#[test]
fn a_lost_exit_is_made_up_for() {
    let reused = ProcessKey { start: 2, ..PROCESS };
    let events =
        [started(PROCESS, 1), started(reused, 2), ended(PROCESS, 3), ended(reused, 4), ended(reused, 5)];
    let told = [
        "1: process 7 Started /bin/sh",
        "2: process 7 ended",
        "2: process 7 Started /bin/sh",
        "4: process 7 ended",
    ];
    assert_eq!(story_of(&events), told);
}

#[test]
fn a_fork_runs_its_parents_image_until_it_executes_its_own() {
    let fork = |process: ProcessKey, parent, at| {
        let mut fork = ProcessStart::new(process, at, StartKind::Forked);
        fork.parent = Some(parent);
        Event::ProcessStarted(fork)
    };
    let mut exec = ProcessStart::new(OTHER, 3, StartKind::Started);
    exec.path = Some(b"/bin/true");
    let grandchild = ProcessKey { pid: 9, start: 9 };
    let events = [
        started(PROCESS, 1),
        fork(OTHER, PROCESS.pid, 2),
        fork(grandchild, OTHER.pid, 2),
        Event::ProcessStarted(exec),
        fork(OTHER, PROCESS.pid, 4),
    ];
    let told = [
        "1: process 7 Started /bin/sh",
        "2: process 8 Forked /bin/sh",
        "2: process 9 Forked /bin/sh",
        "3: process 8 Started /bin/true",
    ];
    assert_eq!(story_of(&events), told);
}

#[test]
fn a_fork_is_where_it_says_not_where_its_parent_is() {
    let mut engine = engine();
    let mut parent = ProcessStart::new(PROCESS, 1, StartKind::Started);
    parent.container = Some(b"web");
    parent.unit = Some(b"web.service");
    parent.namespace_pid = Some(5);
    parent.network_namespace = Some(4_026_531_840);
    (parent.born, parent.executions) = (Some(1), Some(2));
    let mut child = ProcessStart::new(OTHER, 2, StartKind::Forked);
    (child.parent, child.network_namespace) = (Some(PROCESS.pid), Some(4_026_532_000));
    handle(&mut engine, &[Event::ProcessStarted(parent), Event::ProcessStarted(child)]);
    let reader = attach(&mut engine);
    let bytes: Vec<u8> = bytes(&mut engine, reader).into_iter().flatten().flatten().collect();
    let mut parser = hone_pcapng::Reader::new();
    parser.feed(&bytes).expect("there is memory");
    let mut places = Vec::new();
    while let Some(item) = parser.next_block().expect("the stream is sound") {
        if let hone_pcapng::Block::Process(event) = item.block {
            let container = event.container.map(std::borrow::Cow::into_owned);
            let unit = event.unit.map(std::borrow::Cow::into_owned);
            let run = (event.born, event.executions);
            places.push((container, unit, event.namespace_pid, event.network_namespace, run));
        }
    }
    let parents = (
        Some(b"web".to_vec()),
        Some(b"web.service".to_vec()),
        Some(5),
        Some(4_026_531_840),
        (Some(1), Some(2)),
    );
    assert_eq!(places, [parents, (None, None, None, Some(4_026_532_000), (None, None))]);
}

/// The hash of a process's executable comes later: as an event of its own, and in the next sections as a part of the start.
#[test]
fn a_hash_comes_later_and_stays_with_its_program() {
    let mut engine = engine();
    let first = attach(&mut engine);
    let pending = |process, at, path| {
        let mut start = ProcessStart::new(process, at, StartKind::Started);
        (start.path, start.hash) = (Some(path), Some(Err(NoHash::Pending)));
        Event::ProcessStarted(start)
    };
    let hashed = |process, byte, at| Event::ProcessHashed { process, hash: Ok([byte; 32]), at };
    let unknown = ProcessKey { start: PROCESS.start + 1, ..PROCESS };
    let mut forked = ProcessStart::new(ProcessKey { pid: 9, start: 9 }, 7, StartKind::Forked);
    forked.parent = Some(PROCESS.pid);
    let events = [
        pending(PROCESS, 1, b"/bin/sh"),
        pending(OTHER, 2, b"/bin/short"),
        ended(OTHER, 3),
        hashed(PROCESS, 7, 4),
        hashed(OTHER, 8, 5),
        hashed(unknown, 9, 6),
        Event::ProcessStarted(forked),
    ];
    handle(&mut engine, &events);
    let second = attach(&mut engine);
    let mut hashes = |reader| {
        let bytes: Vec<u8> = bytes(&mut engine, reader).into_iter().flatten().flatten().collect();
        let mut parser = hone_pcapng::Reader::new();
        parser.feed(&bytes).expect("there is memory");
        let mut hashes = Vec::new();
        while let Some(item) = parser.next_block().expect("the stream is sound") {
            if let hone_pcapng::Block::Process(event) = item.block {
                let hash = event.hash.map(|hash| hash.map(|hash| hash[0]));
                hashes.push((event.timestamp, event.process, event.kind, hash));
            }
        }
        hashes
    };
    use ProcessEventKind::{Ended, Forked, Hashed, Started};
    let pending = Some(Err(NoHash::Pending));
    assert_eq!(
        hashes(first),
        [
            (1, 7, Started, pending),
            (2, 8, Started, pending),
            (3, 8, Ended, None),
            (4, 7, Hashed, Some(Ok(7))),
            (5, 8, Hashed, Some(Ok(8))),
            (7, 9, Forked, Some(Ok(7))),
        ]
    );
    assert_eq!(hashes(second), [(1, 7, Started, Some(Ok(7))), (7, 9, Forked, Some(Ok(7)))]);
}

#[test]
fn what_was_seen_is_newer_than_what_was_listed() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    let seen = [started(PROCESS, 5), ended(PROCESS, 6), opened(1, Some(PROCESS), 7), closed(1, 8)];
    handle(&mut engine, &seen);
    for listed in [started(PROCESS, 1), opened(1, Some(OTHER), 1), started(OTHER, 2), opened(2, None, 3)] {
        engine.restate(&listed).expect("it is recorded");
    }
    let told = story(&mut engine, reader).split_off(2);
    assert_eq!(told[..2], ["2: process 8 Started /bin/sh", "3: connection 2 opened by 0"]);
    assert_eq!(told.len(), 2 + seen.len());
    assert_eq!(engine.statistics().ignored, PerKind { packets: 0, processes: 1, connections: 1 });
}

#[test]
fn every_packet_is_counted_by_how_its_process_is_known() {
    let mut engine = engine();
    let creator = Owner::Process(PROCESS, Method::Creator);
    handle(
        &mut engine,
        &[
            opened(1, Some(PROCESS), 1),
            opened(2, None, 1),
            packet(Some(1), creator, 2, &[0; 9]),
            packet(Some(1), Owner::Ask, 2, &[]),
            packet(Some(2), Owner::Ask, 2, &[]),
            packet(None, Owner::Ask, 2, &[]),
            packet(None, Owner::None(NoOwner::Kernel), 2, &[]),
        ],
    );
    let totals = engine.statistics();
    assert_eq!((totals.received.packets, totals.packet_bytes), (5, 9));
    assert_eq!((totals.methods.get(Method::Creator), totals.methods.get(Method::Connection)), (1, 1));
    let reasons = [NoOwner::UnknownSocket, NoOwner::NoSocket, NoOwner::Kernel];
    assert_eq!(reasons.map(|reason| totals.no_owner.get(reason)), [1, 1, 1]);
    assert_eq!((totals.processes, totals.connections, totals.blocks), (0, 2, 4), "no packet is kept");
}

#[test]
fn full_tables_and_full_memory_refuse_and_count() {
    let config = Config { max_processes: 1, max_connections: 1, max_readers: 1, ..Config::default() };
    let mut engine = Engine::new(config).expect("there is memory");
    let reader = attach(&mut engine);
    assert_eq!(engine.attach(&ReaderOptions::default(), 1), Err(AttachError::TooManyReaders));
    handle(&mut engine, &[started(PROCESS, 1), opened(1, Some(PROCESS), 1)]);
    assert_eq!(engine.handle(&started(OTHER, 2)), Err(EventError::TooManyProcesses));
    assert_eq!(engine.handle(&opened(2, None, 2)), Err(EventError::TooManyConnections));
    handle(&mut engine, &[packet(Some(2), Owner::Ask, 2, &[])]);
    let totals = engine.statistics();
    assert_eq!((totals.lost, totals.unopened), (PerKind { packets: 0, processes: 1, connections: 1 }, 1));
    // Ended entries that linger are evicted when a new one needs the room.
    handle(&mut engine, &[ended(PROCESS, 3), closed(1, 3), started(OTHER, 4), opened(2, None, 4)]);
    assert_eq!(story(&mut engine, reader).len(), 2 + 2 + 1 + 4);

    let config = Config { max_block_bytes: 8192, ..Config::default() };
    let mut engine = Engine::new(config).expect("there is memory");
    let reader = attach(&mut engine);
    let refused =
        (0..100).filter(|&at| engine.handle(&packet(None, Owner::Ask, at, &[0; 200])).is_err()).count();
    assert!(engine.statistics().block_bytes <= 8192);
    assert!(refused > 50 && engine.statistics().lost.packets == refused as u64);
    handle(&mut engine, &[started(PROCESS, 1)]);
    assert_eq!(story(&mut engine, reader).len(), 2 + 100 - refused + 1);
}

#[test]
fn an_engine_can_be_kept_under_a_lock_of_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&engine());
}
