//! A week of a busy server, in simulated time, as the Windows sensor sees it: connections come and go, packets come late,
//! some closures are lost, and readers come and go. Afterwards the tables and the memory are as they were before. The
//! Linux sensor's events have a test like this one, in `hone-engine`.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use common::{
    Fake, FakeBuffer, FakeIndication, Passive, START, arriving, connect, control, driver, indicate, open,
    set_now, tick, utf16, values, whole, words,
};
use hone_api::{Operation, Statistics};
use hone_driver::callouts::{Family, Layer};
use hone_driver::{Driver, Handle, MAX_CONNECTIONS, Process};
use hone_packet::protocol;

/// Seconds.
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const MINUTES: u64 = 7 * 24 * 60;

/// A service that runs all the time.
const SERVER: u32 = 500;

struct Week {
    driver: Driver<Fake>,
    /// Seconds since the start.
    now: u64,
    /// The last endpoint's handle.
    endpoint: u64,
    random: u64,
    pid: u32,
    readers: Vec<Handle>,
    outbound: FakeIndication,
    inbound: FakeIndication,
}

impl Week {
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        set_now(self.now);
        tick(&self.driver);
    }

    fn sent(&mut self, endpoint: u64) {
        self.outbound.endpoint = Some(endpoint);
        indicate(&self.driver, Layer::OutboundTransport, Family::V4, &self.outbound);
    }

    fn received(&mut self, endpoint: u64) {
        self.inbound.endpoint = Some(endpoint);
        indicate(&self.driver, Layer::InboundTransport, Family::V4, &self.inbound);
    }

    fn closes(&self, endpoint: u64) {
        let indication = FakeIndication { endpoint: Some(endpoint), ..FakeIndication::default() };
        indicate(&self.driver, Layer::EndpointClosure, Family::V4, &indication);
    }

    fn endpoint(&mut self) -> u64 {
        self.endpoint += 1;
        self.endpoint
    }

    /// A process that makes one connection. One of ten starts has no path and loads no image.
    fn process(&mut self) {
        self.pid = 1000 + (self.pid - 1000 + 4) % 2000;
        let (pid, path) = (self.pid, utf16(r"C:\worker.exe"));
        let path = (self.random(10) > 0).then_some(path.as_slice());
        let created = Some(START + self.now * 1_000_000_000 + u64::from(pid));
        self.driver.process_started(Passive, &Process { pid, created, path, ..Process::default() });
        self.short(pid);
        self.driver.process_ended(pid);
    }

    /// A short connection of a process.
    fn short(&mut self, pid: u32) {
        let endpoint = self.endpoint();
        let kind = self.random(40);
        if kind > 0 {
            connect(&self.driver, endpoint, pid.into());
        }
        self.sent(endpoint);
        // Kind 1 is half open. The closure of kinds 0 and 2 is lost, the latter only for a process that ends.
        if kind > 1 {
            self.received(endpoint);
        }
        if kind > 0 && (kind != 2 || pid == SERVER) {
            self.closes(endpoint);
        }
        if kind % 4 == 3 {
            self.received(endpoint);
        }
    }

    fn minute(&mut self, minute: u64) {
        // One minute in two hours is busy. In one minute of the week more connections close than the table holds.
        let (processes, connections) = match minute {
            5000 => (10, MAX_CONNECTIONS + 1000),
            _ if minute % 120 == 30 => (100, 1000),
            _ => (3, 5),
        };
        (0..processes).for_each(|_| self.process());
        for number in 0..connections {
            self.short(SERVER);
            if number % 200 == 0 {
                self.read();
            }
        }
        for back in [self.random(100), self.random(10_000)] {
            self.received(self.endpoint - back);
        }
        self.readers(minute);
        (0..4).for_each(|_| self.pass(MINUTE / 4));
    }

    /// One reader reads all the time. Others come, read nothing, and go.
    fn readers(&mut self, minute: u64) {
        match minute % 100 {
            10 | 50 => self.readers.push(open(&self.driver)),
            90 | 95 => {
                let reader = self.readers.pop().expect("it is attached");
                self.driver.close(Passive, reader);
            }
            _ => {}
        }
        self.read();
    }

    fn read(&self) {
        let mut buffer = vec![0; 1 << 18];
        while self.driver.read(self.readers[0], &mut buffer).expect("it is attached") > 0 {}
    }

    fn statistics(&self) -> Statistics {
        let reply = control(&self.driver, self.readers[0], Operation::GetStatistics2, &[], 4096);
        Statistics::parse(&reply.expect("there is room")).expect("it is sound")
    }
}

fn week() -> Week {
    let segment = [0x9C, 0x40, 1, 0xBB, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 4, 0, 0xAB, 0xCD, 0, 0];
    let driver = driver();
    let readers = vec![open(&driver)];
    let outbound = FakeIndication {
        values: values(Layer::OutboundTransport, Family::V4, protocol::TCP),
        buffers: vec![FakeBuffer::new(&segment, 0, usize::MAX)],
        ..FakeIndication::default()
    };
    let packet = whole(Family::V4, protocol::TCP, &[], &segment);
    let inbound = arriving(Family::V4, protocol::TCP, &packet, (20, 20), usize::MAX);
    let mut week =
        Week { driver, now: 0, endpoint: 1 << 40, random: 7, pid: 1000, readers, outbound, inbound };
    set_now(0);
    common::start(&week.driver, SERVER);
    let listener = week.endpoint();
    connect(&week.driver, listener, SERVER.into());
    week.read();
    week
}

#[test]
fn after_a_week_the_tables_are_as_they_were() {
    let mut week = week();
    let before = week.statistics();
    for minute in 0..MINUTES {
        week.minute(minute);
    }
    // A connection whose closure was lost goes an hour after its owner.
    (0..2 * HOUR / 5).for_each(|_| week.pass(5));
    week.readers.drain(1..).for_each(|reader| {
        week.driver.close(Passive, reader);
    });
    week.read();
    (0..100).for_each(|_| week.pass(1));
    week.read();

    let after = week.statistics();
    let levels = |now: &Statistics| (now.processes, now.connections, now.blocks, now.held.waiting);
    assert_eq!(levels(&after), levels(&before));
    // Up to 4 MiB of freed blocks' buffers are kept for new blocks.
    assert!(after.block_bytes <= before.block_bytes + (4 << 20), "{} bytes", after.block_bytes);
    assert_eq!((after.lost, after.dropped_by_source, after.unopened), Default::default());
    assert_eq!(after.reader.dropped, Default::default(), "the reader that reads missed nothing");
}

#[test]
fn a_packet_after_the_closure_does_not_open_the_connection_again() {
    let mut week = week();
    let endpoint = week.endpoint();
    connect(&week.driver, endpoint, SERVER.into());
    week.closes(endpoint);
    // The other end closes its half later, and TIME_WAIT follows.
    (0..119).for_each(|_| week.pass(2));
    week.received(endpoint);
    let told = words(&common::read(&week.driver, week.readers[0]));
    let name = format!("connection {endpoint:#x} of {SERVER}");
    let packet = format!("packet in (Some({endpoint}), Some({SERVER})) 40");
    assert_eq!(told, [format!("{name} opens"), format!("{name} closes"), packet]);
    // Long afterwards nothing is known of it. A packet opens it, and it does not stay.
    week.pass(HOUR);
    week.received(endpoint);
    (0..121).for_each(|_| week.pass(1));
    let told = words(&common::read(&week.driver, week.readers[0]));
    let name = format!("connection {endpoint:#x} of 0");
    assert_eq!(told.first(), Some(&format!("{name} opens")));
    assert_eq!(told.last(), Some(&format!("{name} closes")));
    assert_eq!(week.statistics().connections, 1, "the listener's");
}
