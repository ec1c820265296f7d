//! Runs a scenario once for each of its allocations, in which that allocation fails, and once more, in which all later
//! ones fail too. The engine must return errors and never abort. When there is memory again, it must work as before:
//! the counts add up, and no block is lost.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "what the test itself allocates, it allocates while there is memory"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr::null_mut,
};

use hone_engine::{
    Config, Corrected, Direction, Engine, Event, EventError, Family, Filter, FilterError, Method, NoOwner,
    OpenConnection, OpenListError, Owner, Packet, PerKind, ProcessKey, ProcessStart, Read, ReaderId,
    ReaderOptions, SnapLength, StartKind, Used, Wait,
};

/// Which allocations of this thread fail.
#[derive(Clone, Copy, PartialEq)]
enum Fail {
    Never,
    /// Only the allocation after this many others.
    Once(u64),
    /// All allocations after this many others.
    From(u64),
}

thread_local! {
    static FAIL: Cell<Fail> = const { Cell::new(Fail::Never) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Failing;

/// Counts an allocation. Returns whether it is to fail.
fn fails() -> bool {
    let (fails, next) = match FAIL.get() {
        Fail::Never => (false, Fail::Never),
        Fail::Once(0) => (true, Fail::Never),
        Fail::From(0) => (true, Fail::From(0)),
        Fail::Once(left) => (false, Fail::Once(left - 1)),
        Fail::From(left) => (false, Fail::From(left - 1)),
    };
    FAIL.set(next);
    fails
}

fn hold(bytes: usize, sign: i64) {
    HELD.set(HELD.get() + sign * i64::try_from(bytes).expect("no block is that large"));
}

// SAFETY: each call is passed on to the system's allocator as it is, or refused, which an allocator may do.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return null_mut();
        }
        hold(layout.size(), 1);
        // SAFETY: the caller's layout, which has a size.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(layout.size(), -1);
        // SAFETY: the caller has the pointer from `alloc` or `realloc` above, so from the system.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return null_mut();
        }
        hold(layout.size(), -1);
        hold(size, 1);
        // SAFETY: the caller has the pointer from `alloc` or `realloc` above, so from the system, and a size.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// An IPv4 packet with TCP; both ports are 0x4545.
const DATA: [u8; 800] = {
    let mut data = [0x45; 800];
    data[6] = 0;
    data[7] = 0;
    data[9] = 6;
    data
};
const EVENTS: u64 = 64;
/// Packets among the events of each number.
const PACKETS: u64 = 5;

fn key(number: u64) -> ProcessKey {
    ProcessKey { pid: u32::try_from(number).expect("a small number"), start: 1 }
}

/// The scenario's events with this number: one of every kind.
fn events(number: u64) -> [Event<'static>; 10] {
    let (at, process) = (number * 10, key(number));
    let mut start = ProcessStart::new(process, at, StartKind::Started);
    start.path = Some(b"/usr/bin/true");
    start.arguments = Some(&DATA);
    let mut child = ProcessStart::new(key(number + 1000), at, StartKind::Forked);
    child.parent = Some(process.pid);
    let packet = |connection, owner| {
        let length = usize::try_from(number * 11).expect("a small number");
        let direction = Direction::Inbound;
        Event::Packet(Packet {
            at,
            connection,
            owner,
            direction,
            flags: 0,
            original_length: 900,
            packet_id: None,
            data: &DATA[..length],
        })
    };
    [
        Event::ProcessStarted(start),
        Event::ProcessStarted(child),
        Event::ConnectionOpened { connection: number, owner: Some(process), at },
        packet(Some(number), Owner::Ask),
        packet(Some(number + 5000), Owner::Process(process, Method::Creator)),
        packet(None, Owner::None(NoOwner::Kernel)),
        packet(Some(9000 + number / 8), Owner::Ask),
        packet(Some(number), Owner::Wait(Wait::Datagram(number), Err(NoOwner::Shared))),
        Event::ConnectionUsed {
            connection: number,
            process,
            used: Used::NextDatagram { before: number, length: 1 },
            at,
        },
        Event::Corrected {
            connection: number + 5000,
            direction: Direction::Inbound,
            packets: Corrected::Time(at),
            attribution: Ok((process, Method::Reader)),
            at,
        },
    ]
}

/// Changes settings of the readers and of the engine. Calls may fail for lack of memory.
fn controls(engine: &mut Engine, readers: &[ReaderId], number: u64) {
    for &reader in readers {
        let ids = [number, 5000, number + 4999];
        for filter in [Filter::ExcludeConnections(&ids), Filter::ExcludeProcesses(&[1, 2])] {
            assert!(matches!(engine.set_filter(reader, filter), Ok(()) | Err(FilterError::OutOfMemory)));
        }
        engine
            .set_snap_length(reader, SnapLength::lenient(90 + u32::try_from(number).expect("a small number")))
            .expect("it is attached");
    }
    let record = OpenConnection {
        family: Family::V4,
        protocol: 6,
        local_port: 0x4545,
        local_address: None,
        remote: None,
        process: key(number.saturating_sub(1)),
    };
    let records = [record, OpenConnection { protocol: 17, ..record }];
    let set = engine.set_open_connections(if number % 20 == 10 { &records } else { &[] }, number * 10);
    assert!(matches!(set, Ok(()) | Err(OpenListError::OutOfMemory)));
    engine.take_signals(|_| {});
}

fn ends(number: u64) -> [Event<'static>; 3] {
    let (at, process) = (number * 10 + 5, key(number));
    [
        Event::ConnectionClosed { connection: number, process: None, at },
        Event::ProcessHashed { process, hash: Ok([7; 32]), at },
        Event::ProcessEnded { process, at },
    ]
}

/// Runs the scenario as far as memory allows. Returns the engine with its readers attached; `None`: it could not be
/// made.
fn scenario(config: Config, buffer: &mut [u8], readers: &mut Vec<ReaderId>) -> Option<Engine> {
    let mut engine = Engine::new(config).ok()?;
    let options = ReaderOptions {
        ring_bytes: Some(1024),
        snap_length: SnapLength::lenient(96),
        ..ReaderOptions::default()
    };
    readers.extend(engine.attach(&options, 0));
    for number in 0..EVENTS {
        if number % 10 == 0 {
            controls(&mut engine, readers, number);
        }
        for event in events(number).iter().chain(&ends(number / 2)) {
            // The only possible error is that there is no memory.
            assert!(matches!(engine.handle(event), Ok(()) | Err(EventError::OutOfMemory)));
        }
        if number == EVENTS / 2 {
            readers.extend(engine.attach(&ReaderOptions::default(), number));
        }
        for &reader in readers.iter() {
            if number % 16 == 7 {
                let _ = engine.mark_restart(reader, number * 10);
            }
            let _ = engine.read(reader, buffer, number * 10);
        }
    }
    Some(engine)
}

fn drain(engine: &mut Engine, reader: ReaderId, buffer: &mut [u8], parser: &mut Option<hone_pcapng::Reader>) {
    loop {
        match engine.read(reader, buffer, 0).expect("it is attached") {
            Read::Empty => return,
            Read::SectionEnd => {}
            Read::Bytes(length) => {
                let Some(parser) = parser else { continue };
                parser.feed(&buffer[..length]).expect("there is memory");
                while parser.next_block().expect("it is sound").is_some() {}
            }
        }
    }
}

fn sum(counts: PerKind) -> u64 {
    counts.packets + counts.processes + counts.connections
}

/// Checks that with memory again, everything works and nothing is missing.
fn check(mut engine: Engine, buffer: &mut [u8], readers: &[ReaderId]) {
    for &reader in readers {
        let told = engine.reader_statistics(reader).expect("it is attached");
        let accounted =
            sum(told.delivered) + sum(told.dropped_by_ring) + sum(told.filtered) + sum(told.queued);
        assert_eq!(sum(told.received), accounted);
        drain(&mut engine, reader, buffer, &mut None);
        engine.detach(reader);
    }
    let totals = engine.statistics();
    assert_eq!(totals.received.packets, PACKETS * EVENTS);
    assert_eq!(totals.held, 0, "nobody reads");
    assert_eq!(totals.held_total, totals.held_attributed + totals.held_unattributed);
    assert_eq!(totals.methods.total() + totals.no_owner.total(), PACKETS * EVENTS, "each packet was counted");

    let reader = engine.attach(&ReaderOptions::default(), 1).expect("there is memory");
    for event in events(EVENTS) {
        engine.handle(&event).expect("there is memory");
    }
    let hold_time = Config::default().hold_time;
    assert!(engine.tick(EVENTS * 10 + hold_time).is_none(), "nothing waits for ever");
    engine.mark_restart(reader, 2).expect("there is memory");
    let mut parser = Some(hone_pcapng::Reader::new());
    drain(&mut engine, reader, buffer, &mut parser);
    parser.expect("it was given").finish().expect("the last block is whole");
    let told = engine.reader_statistics(reader).expect("it is attached");
    assert_eq!(told.delivered, PerKind { packets: PACKETS, processes: 2, connections: 3 });
    engine.detach(reader);

    // Ends all processes and connections. After the linger time only the blocks of section header and interface are
    // left.
    for number in 0..=EVENTS {
        for number in [number, number + 1000, number + 5000, number / 8 + 9000] {
            for event in ends(number) {
                engine.handle(&event).expect("no reader, no block");
            }
        }
    }
    for _ in 0..4 * EVENTS {
        let _ = engine.read(reader, &mut [0], u64::MAX);
    }
    let totals = engine.statistics();
    assert_eq!((totals.processes, totals.connections, totals.blocks), (0, 0, 2));
}

#[test]
fn any_allocation_may_fail() {
    let mut buffer = vec![0; 1 << 16];
    let mut modes = [(Fail::Once as fn(u64) -> Fail, 0), (Fail::From, 0)];
    for (mode, failures) in &mut modes {
        for number in 0.. {
            let held = HELD.get();
            let mut config = Config::default();
            config.section.comment = vec![b'c'; 40];
            let mut readers = Vec::with_capacity(2);

            FAIL.set(mode(number));
            let engine = scenario(config, &mut buffer, &mut readers);
            let failed = matches!(FAIL.get(), Fail::Never | Fail::From(0));
            FAIL.set(Fail::Never);

            match engine {
                Some(engine) if !failed => {
                    let totals = engine.statistics();
                    assert!(totals.held_attributed > 0 && totals.methods.get(Method::Listed) > 0);
                    check(engine, &mut buffer, &readers);
                }
                Some(engine) => check(engine, &mut buffer, &readers),
                None => assert!(failed),
            }
            drop(readers);
            assert_eq!(HELD.get(), held, "the engine leaves nothing behind");
            if !failed {
                break;
            }
            *failures = number + 1;
        }
    }
    assert!(modes.iter().all(|mode| mode.1 > 200), "the scenario allocates");
}
