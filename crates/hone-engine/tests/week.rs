//! A week of a busy server, in simulated time: connections come and go, some closings and process ends are lost, packets
//! come late, and readers come and go. Afterwards the tables and the memory are as they were before. The events are
//! those of the Linux sensor, at the bounds of its configuration. The Windows driver has a test like this one.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{
    Direction, Engine, Event, Filter, Method, NoOwner, Owner, Packet, ProcessKey, ProcessStart, Read,
    ReaderId, ReaderOptions, StartKind, Statistics, Used, Wait,
};

const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// An ordinary time, as the clock of a host shows it.
const MONDAY: u64 = 1_767_571_200 * SECOND;
const MINUTES: u64 = 7 * 24 * 60;

/// Processes that run all the time.
const DAEMONS: u32 = 20;
/// Process ids of short-lived processes; they are used again and again.
const IDS: std::ops::Range<u32> = 1000..1400;

struct Week {
    engine: Engine,
    now: u64,
    /// The last number of a connection, as of a socket cookie.
    connection: u64,
    random: u64,
    readers: Vec<ReaderId>,
    next_pid: u32,
    /// Connections that stay open for some hours: connection, owner, and when they close.
    long: Vec<(u64, ProcessKey, u64)>,
}

impl Week {
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    /// Handles an event a few milliseconds after the one before. None may be refused.
    fn event(&mut self, event: impl FnOnce(u64) -> Event<'static>) {
        self.now += 1_000_000;
        self.engine.handle(&event(self.now)).expect("it is not refused");
    }

    fn packet(&mut self, connection: u64, owner: Owner, direction: Direction) {
        let connection = Some(connection);
        let (flags, original_length, packet_id, data) = (0, 60, None, &[0x45; 60][..]);
        self.event(|at| {
            Event::Packet(Packet {
                at,
                connection,
                owner,
                direction,
                flags,
                original_length,
                packet_id,
                data,
            })
        });
    }

    fn connection(&mut self) -> u64 {
        self.connection += 1;
        self.connection
    }

    /// A process that serves one request: forked, executes, ends. One of 20 ends is lost, and its id is used again later.
    fn process(&mut self) -> ProcessKey {
        self.next_pid = if self.next_pid + 1 < IDS.end { self.next_pid + 1 } else { IDS.start };
        let process = ProcessKey { pid: self.next_pid, start: self.now };
        self.event(|at| {
            let mut fork = ProcessStart::new(process, at, StartKind::Forked);
            fork.parent = Some(1);
            Event::ProcessStarted(fork)
        });
        self.event(|at| started(process, at));
        process
    }

    /// One short connection of a process.
    fn short(&mut self, owner: ProcessKey) {
        let connection = self.connection();
        let kind = self.random(20);
        if kind == 0 {
            // A packet for which the sensor knows no process, of a socket whose opening it did not see.
            self.packet(connection, Owner::Wait(Wait::Use, Err(NoOwner::Shared)), Direction::Inbound);
            return;
        }
        self.event(|at| opened(connection, (kind > 3).then_some(owner), at));
        let known = Owner::Process(owner, Method::CurrentTask);
        self.packet(connection, known, Direction::Outbound);
        if kind == 1 {
            // Half open: its SYN is never answered, and its closing is lost.
            return;
        }
        let number = Wait::Datagram(connection);
        self.packet(connection, Owner::Wait(number, Err(NoOwner::Shared)), Direction::Inbound);
        if kind < 12 {
            let used = Used::Datagram(connection);
            self.event(|at| Event::ConnectionUsed { connection, process: owner, used, at });
        } else if kind < 14 {
            self.event(|at| Event::DatagramDropped { connection, number: connection, at });
        }
        if kind == 2 && self.random(50) == 0 {
            // Its closing is lost.
            return;
        }
        self.event(|at| closed(connection, at));
        if kind == 3 {
            self.packet(connection, Owner::None(NoOwner::UnknownSocket), Direction::Inbound);
        }
    }

    /// A late packet of a connection that was closed some time ago.
    fn late(&mut self) {
        let back = self.random(2000);
        self.packet(self.connection - back, Owner::None(NoOwner::UnknownSocket), Direction::Inbound);
    }

    fn minute(&mut self, minute: u64) {
        let end = MONDAY + (minute + 1) * MINUTE;
        // A busy minute in each hour.
        let requests = if minute % 60 == 30 { 400 } else { 5 };
        for _ in 0..requests {
            let process = self.process();
            self.short(process);
            if self.random(20) > 0 {
                self.event(|at| ended(process, at));
            }
        }
        self.late();
        if minute.is_multiple_of(20) {
            let (connection, now) = (self.connection(), self.now);
            let daemon = 1 + self.random(DAEMONS.into());
            let owner = ProcessKey { pid: daemon.try_into().expect("a small number"), start: 1 };
            self.event(|at| opened(connection, Some(owner), at));
            let hours = self.random(30);
            self.long.push((connection, owner, now + hours * HOUR));
        }
        for (connection, owner, _) in self.long.clone() {
            if self.random(10) == 0 {
                self.packet(connection, Owner::Process(owner, Method::CurrentTask), Direction::Inbound);
            }
        }
        let now = self.now;
        let over: Vec<_> = self.long.extract_if(.., |(.., until)| *until <= now).collect();
        for (connection, ..) in over {
            self.event(|at| closed(connection, at));
        }
        self.readers(minute);
        self.idle_until(end);
    }

    /// One reader reads all the time. Others come, read little or nothing, and go.
    fn readers(&mut self, minute: u64) {
        match minute % 100 {
            10 | 50 => {
                let options = ReaderOptions { pinned_bytes: 1 << 20, ..ReaderOptions::default() };
                self.readers.push(self.engine.attach(&options, self.now).expect("there is room"));
            }
            20 => self.engine.set_filter(self.readers[1], Filter::IncludeProcesses(&[3])).expect("attached"),
            30 => self.engine.mark_restart(self.readers[1], self.now).expect("its first mark"),
            90 | 95 => self.engine.detach(self.readers.pop().expect("it was attached")),
            _ => {}
        }
        let mut buffer = [0; 1 << 16];
        while self.engine.read(self.readers[0], &mut buffer, self.now) != Ok(Read::Empty) {}
    }

    /// Lets time pass without events, with some ticks.
    fn idle_until(&mut self, end: u64) {
        while self.now < end {
            self.now = (self.now + 5 * SECOND).min(end);
            self.engine.tick(self.now);
        }
    }
}

/// Everything that must be after the week as it was before.
fn levels(totals: &Statistics) -> [u64; 6] {
    let Statistics { processes, known_processes, connections, known_connections, blocks, held, .. } = *totals;
    [processes, known_processes, connections, known_connections, blocks, held]
}

#[test]
fn after_a_week_the_tables_are_as_they_were() {
    let mut engine = engine();
    for pid in 1..=DAEMONS {
        handle(&mut engine, &[started(ProcessKey { pid, start: 1 }, MONDAY)]);
    }
    let before = engine.statistics();
    let readers = vec![attach(&mut engine)];
    let (next_pid, long) = (IDS.start - 1, Vec::new());
    let mut week = Week { engine, now: MONDAY, connection: 5000, random: 7, readers, next_pid, long };
    let mut most = Statistics::default();
    for minute in 0..MINUTES {
        week.minute(minute);
        let totals = week.engine.statistics();
        most.known_connections = most.known_connections.max(totals.known_connections);
        most.block_bytes = most.block_bytes.max(totals.block_bytes);
    }

    for (connection, ..) in std::mem::take(&mut week.long) {
        week.event(|at| closed(connection, at));
    }
    // The missed ends of processes: their ids are used once more.
    for _ in IDS {
        let process = week.process();
        week.event(|at| ended(process, at));
    }
    // A connection whose closing was lost goes an hour after its owner.
    week.idle_until(week.now + HOUR + 2 * MINUTE);
    for reader in week.readers.drain(..) {
        week.engine.detach(reader);
    }
    // Each call releases a few blocks of the snapshots that those readers have not read.
    week.idle_until(week.now + HOUR);

    let after = week.engine.statistics();
    assert_eq!(levels(&after), levels(&before));
    // Up to 4 MiB of freed blocks' buffers are kept for new blocks.
    assert!(after.block_bytes <= before.block_bytes + (4 << 20), "{} bytes", after.block_bytes);
    assert_eq!((after.lost, after.unopened), Default::default());
    assert!(after.forgotten > 1000, "{} connections were never reported as closed", after.forgotten);
    assert!(most.known_connections < 2000, "{} connections at once", most.known_connections);
    assert!(most.block_bytes < 16 << 20, "{} bytes of blocks at once", most.block_bytes);
}
