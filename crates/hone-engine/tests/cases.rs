//! One readable case for each promise of the engine. The last block of an engine's memory is in `out_of_memory`, the
//! interplay of it all in `model`.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

use hone_engine::{
    AttachError, Config, DEFAULT_RING_BYTES, Direction, Engine, Event, EventError, MAX_PACKET_BYTES,
    MAX_RING_BYTES, MIN_RING_BYTES, Method, NoOwner, Owner, Packet, PerKind, ProcessKey, ProcessStart, Read,
    ReadError, ReaderId, ReaderOptions, RestartError, RingBytesError, StartKind,
};
use hone_pcapng::{Block, ConnectionEventKind, ProcessEventKind};

const PROCESS: ProcessKey = ProcessKey { pid: 7, start: 1 };
const OTHER: ProcessKey = ProcessKey { pid: 8, start: 1 };
/// Blocks that the engine itself keeps: section header and interface.
const FRAMES: u64 = 2;
const SECOND: u64 = 1_000_000_000;

fn engine() -> Engine {
    Engine::new(Config::default()).expect("there is memory")
}

fn attach(engine: &mut Engine) -> ReaderId {
    engine.attach(&ReaderOptions::default(), 1).expect("there is memory")
}

fn started(process: ProcessKey, at: u64) -> Event<'static> {
    let mut start = ProcessStart::new(process, at, StartKind::Started);
    start.path = Some(b"/bin/sh");
    start.user = Some(1000);
    Event::ProcessStarted(start)
}

fn ended(process: ProcessKey, at: u64) -> Event<'static> {
    Event::ProcessEnded { process, at }
}

fn opened(connection: u64, owner: Option<ProcessKey>, at: u64) -> Event<'static> {
    Event::ConnectionOpened { connection, owner, at }
}

fn closed(connection: u64, at: u64) -> Event<'static> {
    Event::ConnectionClosed { connection, process: None, at }
}

fn packet(connection: Option<u64>, owner: Owner, at: u64, data: &[u8]) -> Event<'_> {
    let direction = Direction::Outbound;
    Event::Packet(Packet { at, connection, owner, direction, flags: 0, original_length: 0, data })
}

fn handle(engine: &mut Engine, events: &[Event<'_>]) {
    for event in events {
        engine.handle(event).expect("it is recorded");
    }
}

/// Everything that waits for the reader, as bytes; `None` marks the end of a section.
fn bytes(engine: &mut Engine, reader: ReaderId) -> Vec<Option<Vec<u8>>> {
    let mut reads = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match engine.read(reader, &mut buffer, 1).expect("it is attached") {
            Read::Bytes(length) => reads.push(Some(buffer[..length].to_vec())),
            Read::SectionEnd => reads.push(None),
            Read::Empty => return reads,
        }
    }
}

fn tell(block: &Block<'_>, at: u64) -> String {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match block {
        Block::Section(section) => format!("section {}", section.os.as_deref().map(text).unwrap_or_default()),
        Block::Interface(interface) => format!("interface {}", interface.snap_length),
        Block::Process(event) => {
            let kind = match event.kind {
                ProcessEventKind::Ended => "ended".into(),
                kind => format!("{kind:?} {}", event.path.as_deref().map(text).unwrap_or_default()),
            };
            format!("{at}: process {} {kind}", event.process)
        }
        Block::Connection(event) => {
            let kind = if event.kind == ConnectionEventKind::Closed { "closed" } else { "opened" };
            format!("{at}: connection {} {kind} by {}", event.connection, event.process)
        }
        Block::Packet(packet) => {
            let process = packet.process.map_or("nobody".into(), |process| process.to_string());
            let (kept, original) = (packet.data.len(), packet.original_length);
            format!("{at}: packet of {process}, {kept} of {original}")
        }
        Block::Statistics(counts) => format!(
            "statistics {:?} {:?} {:?}",
            counts.received.unwrap_or_default(),
            counts.processes.received.unwrap_or_default(),
            counts.connections.received.unwrap_or_default()
        ),
        Block::Unknown { .. } => "unknown".into(),
    }
}

/// Everything that waits for the reader, in words. The reader's stream is whole, so it starts with a section header.
fn story(engine: &mut Engine, reader: ReaderId) -> Vec<String> {
    let mut parser = hone_pcapng::Reader::new();
    let mut told = Vec::new();
    for read in bytes(engine, reader) {
        let Some(bytes) = read else {
            told.push("end".into());
            continue;
        };
        parser.feed(&bytes).expect("there is memory");
        while let Some(item) = parser.next_block().expect("the stream is sound") {
            told.push(tell(&item.block, item.nanos.unwrap_or_default()));
        }
    }
    parser.finish().expect("the last block is whole");
    told
}

/// The story of these events to a reader that is there from the beginning, without the frame of its section.
fn story_of(events: &[Event<'_>]) -> Vec<String> {
    let mut engine = engine();
    let reader = attach(&mut engine);
    handle(&mut engine, events);
    story(&mut engine, reader).split_off(2)
}

#[test]
fn a_section_is_header_interface_state_events_statistics() {
    let mut config = Config::default();
    config.section.os = b"Linux".to_vec();
    let mut engine = Engine::new(config).expect("there is memory");
    handle(&mut engine, &[opened(1, Some(PROCESS), 30), started(OTHER, 20), started(PROCESS, 10)]);
    let options = ReaderOptions { snap_length: 96, ..ReaderOptions::default() };
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
fn what_was_seen_is_newer_than_what_was_listed() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    let seen = [started(PROCESS, 5), ended(PROCESS, 6), opened(1, Some(PROCESS), 7), closed(1, 8)];
    handle(&mut engine, &seen);
    for listed in [started(PROCESS, 1), opened(1, Some(OTHER), 1), started(OTHER, 2), opened(2, None, 3)] {
        engine.restate(&listed).expect("it is recorded");
    }
    let told = story(&mut engine, reader).split_off(6);
    assert_eq!(told, ["2: process 8 Started /bin/sh", "3: connection 2 opened by 0"]);
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
fn each_reader_has_its_snap_length_and_the_longest_is_kept() {
    let mut engine = engine();
    let mut reader = |snap_length| {
        let options = ReaderOptions { snap_length, ..ReaderOptions::default() };
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
    // 44 bytes around the data.
    assert_eq!(kept(&mut engine), 200 + 44);
    engine.detach(readers[2]);
    assert_eq!(kept(&mut engine), 200 + 44 + 64 + 44);
    let all = attach(&mut engine);
    handle(&mut engine, &[packet(None, owner, 1, &[0x45; 1_000_000])]);
    let longest = format!("1: packet of nobody, {MAX_PACKET_BYTES} of 1000000");
    assert_eq!(story(&mut engine, all).last(), Some(&longest));
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
    // Packets leave an eighth of the 128 slots to process and connection events.
    assert_eq!((told(slow).queued.packets, told(slow).dropped_by_ring.packets), (112, 188));
    assert_eq!((told(slow).queued.processes, told(slow).dropped_by_ring.processes), (1, 0));
    assert_eq!((told(slow).received, told(slow).ring_slots), (told(fast).received, 128));
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
    // 112 bytes a block, 875 of 1000 bytes for packets.
    assert_eq!((told.queued.packets, told.dropped_by_ring.packets, told.queued_bytes), (7, 13, 784));
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
fn full_tables_and_full_memory_refuse_and_count() {
    let config = Config { max_processes: 1, max_connections: 1, max_readers: 1, ..Config::default() };
    let mut engine = Engine::new(config).expect("there is memory");
    let reader = attach(&mut engine);
    assert_eq!(engine.attach(&ReaderOptions::default(), 1), Err(AttachError::TooManyReaders));
    handle(&mut engine, &[started(PROCESS, 1), opened(1, None, 1)]);
    assert_eq!(engine.handle(&started(OTHER, 2)), Err(EventError::TooManyProcesses));
    assert_eq!(engine.handle(&opened(2, None, 2)), Err(EventError::TooManyConnections));
    handle(&mut engine, &[packet(Some(2), Owner::Ask, 2, &[])]);
    let totals = engine.statistics();
    assert_eq!((totals.lost, totals.unopened), (PerKind { packets: 0, processes: 1, connections: 1 }, 1));
    // What lingers makes room at once.
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
fn an_engine_can_be_kept_under_a_lock_of_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&engine());
}
