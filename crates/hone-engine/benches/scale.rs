//! Drives the engine as honed does, with threads: sensors hand over batches under the shell's lock, readers copy under the
//! same lock. Prints how many packets pass, and for what the lock is held. Nobody drops: a sensor waits where a reader is
//! behind, so the rate is what the whole can carry. `docs/scale.md` has the results.
//!
//! With `shards`, there are several engines, each with a lock and a sensor of its own and its part of the connections, and
//! each reader reads all of them: what several ring buffers would be good for.
#![expect(clippy::disallowed_macros, clippy::disallowed_methods, reason = "a benchmark may abort")]

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use hone_engine::{
    Config, ConnectionId, Direction, Engine, Event, Method, Owner, Packet, ProcessKey, Read, ReaderId,
    ReaderOptions, SnapLength,
};

/// Records that honed hands over under one lock, and how many connections its sensor names at a time.
const BATCH: u64 = 256;
const AHEAD: usize = 32;
/// What a reader's thread copies at most under one lock: honed's buffer.
const BUFFER: usize = 256 << 10;
const RING_BYTES: usize = 1 << 20;
/// A sensor waits while more blocks than this wait for a reader.
const BEHIND: u64 = 32_768;
const SECONDS: Duration = Duration::from_secs(2);
const OWNER: ProcessKey = ProcessKey { pid: 7, start: 1 };

#[derive(Clone, Copy)]
struct Case {
    shards: usize,
    readers: usize,
    connections: u64,
    /// Bytes of each packet, all of which are recorded.
    data: usize,
}

/// An engine behind its lock, with the ids of its readers, and what the lock was held for, nanoseconds.
struct Shard {
    engine: Mutex<Engine>,
    readers: Vec<ReaderId>,
    connections: u64,
    packets: AtomicU64,
    handling: AtomicU64,
    reading: AtomicU64,
    /// What threads waited for the lock.
    waiting: AtomicU64,
}

impl Shard {
    fn new(case: Case) -> Self {
        let connections = case.connections / case.shards as u64;
        let mut engine = Engine::new(Config {
            max_connections: u32::try_from(connections + 1000).expect("a small number"),
            max_block_bytes: 2 << 30,
            max_ring_bytes: RING_BYTES,
            reserve: true,
            ..Config::default()
        })
        .expect("there is memory");
        for connection in 1..=connections {
            let opened = Event::ConnectionOpened { connection, owner: Some(OWNER), at: connection };
            engine.handle(&opened).expect("there is memory");
        }
        let options = ReaderOptions {
            ring_bytes: Some(RING_BYTES),
            pinned_bytes: 1 << 30,
            snap_length: SnapLength::ALL,
        };
        let readers =
            (0..case.readers).map(|_| engine.attach(&options, 0).expect("there is memory")).collect();
        let [packets, handling, reading, waiting] = [const { AtomicU64::new(0) }; 4];
        Self { engine: Mutex::new(engine), readers, connections, packets, handling, reading, waiting }
    }

    fn lock(&self) -> MutexGuard<'_, Engine> {
        let asked = Instant::now();
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        add(&self.waiting, asked);
        engine
    }

    /// In an order that defeats the processor's caches.
    const fn connection(&self, number: u64) -> ConnectionId {
        (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % self.connections + 1
    }

    /// A sensor's thread.
    fn sense(&self, data: &[u8], stop: &AtomicBool) {
        let mut number = 0;
        while !stop.load(Relaxed) {
            let mut engine = self.lock();
            let begun = Instant::now();
            let is_behind = |reader: &ReaderId| {
                engine.reader_statistics(*reader).expect("it is attached").queued.packets > BEHIND
            };
            if self.readers.iter().any(is_behind) {
                drop(engine);
                thread::yield_now();
                continue;
            }
            for packet in 0..BATCH {
                if packet % AHEAD as u64 == 0 {
                    let ahead = std::array::from_fn::<_, AHEAD, _>(|ahead| {
                        self.connection(number + 1 + ahead as u64)
                    });
                    engine.handle(&Event::Expected(&ahead)).expect("a hint is only taken");
                }
                number += 1;
                let packet = Packet {
                    at: number,
                    connection: Some(self.connection(number)),
                    owner: Owner::Process(OWNER, Method::CurrentTask),
                    direction: Direction::Outbound,
                    flags: 0,
                    original_length: 0,
                    packet_id: None,
                    data,
                };
                engine.handle(&Event::Packet(packet)).expect("there is memory");
            }
            engine.take_signals(|_| {});
            drop(engine);
            add(&self.handling, begun);
            self.packets.fetch_add(BATCH, Relaxed);
        }
    }

    /// One turn of a reader's thread. Returns whether there was anything.
    fn read(&self, reader: usize, buffer: &mut [u8]) -> bool {
        let mut engine = self.lock();
        let begun = Instant::now();
        let read = engine.read(self.readers[reader], buffer, 0).expect("it is attached");
        drop(engine);
        add(&self.reading, begun);
        read != Read::Empty
    }
}

fn add(to: &AtomicU64, since: Instant) {
    to.fetch_add(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
}

fn run(case: Case) {
    let shards: Vec<_> = (0..case.shards).map(|_| Shard::new(case)).collect();
    let (data, stop) = (vec![0x45; case.data], AtomicBool::new(false));
    let mut buffer = vec![0; BUFFER];
    // The beginnings of sections are not what is measured.
    for shard in &shards {
        for reader in 0..case.readers {
            while shard.read(reader, &mut buffer) {}
        }
        for sum in [&shard.reading, &shard.waiting] {
            sum.store(0, Relaxed);
        }
    }
    let begun = Instant::now();
    thread::scope(|scope| {
        for shard in &shards {
            scope.spawn(|| shard.sense(&data, &stop));
        }
        for reader in 0..case.readers {
            let (shards, stop) = (&shards, &stop);
            scope.spawn(move || {
                let mut buffer = vec![0; BUFFER];
                while !stop.load(Relaxed) {
                    let mut has_read = false;
                    for shard in shards {
                        has_read |= shard.read(reader, &mut buffer);
                    }
                    if !has_read {
                        thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
        thread::sleep(SECONDS);
        stop.store(true, Relaxed);
    });
    let nanos = begun.elapsed().as_secs_f64() * 1e9;
    let sum =
        |of: fn(&Shard) -> &AtomicU64| shards.iter().map(|shard| of(shard).load(Relaxed)).sum::<u64>() as f64;
    let packets = sum(|shard| &shard.packets);
    let [handling, reading, waiting] =
        [sum(|shard| &shard.handling), sum(|shard| &shard.reading), sum(|shard| &shard.waiting)];
    let Case { shards: engines, readers, connections, data } = case;
    println!(
        "{engines:>6}  {readers:>7}  {connections:>11}  {data:>5}  {:>9.2}  {:>9.0} %  {:>6.0}  {:>6.0}  {:>6.0}",
        packets / nanos * 1e3,
        (handling + reading) / nanos / engines as f64 * 100.0,
        handling / packets,
        reading / packets / readers as f64,
        waiting / packets,
    );
}

fn main() {
    println!("                                       million      lock   ns a packet for which it is held: ");
    println!("shards  readers  connections  bytes  packets/s      held  handle    read  and waited for");
    for connections in [1_000, 1_000_000] {
        for data in [96, 1500] {
            for (shards, readers) in [(1, 1), (1, 8), (2, 1)] {
                run(Case { shards, readers, connections, data });
            }
        }
    }
}
