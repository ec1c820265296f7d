//! Measures the longest time that readers' requests hold the lock, for several numbers of processes and connections. It
//! runs on this machine, with the standard library's mutex in place of the spin lock:
//! `cargo run --release -p hone-driver --example lock`.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the measurement itself allocates may abort"
)]

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hone_api::Operation;
use hone_driver::callouts::{CALLOUTS, Callout, Layer};
use hone_driver::{
    Buffer, ConnectionIndication, Control, Driver, Handle, Host, Indication, Kernel, Level, Lock,
    MAX_CONNECTIONS, MAX_PROCESSES, PacketIndication, Process, Purpose, READ_BYTES, Signal, Status, Value,
};

thread_local! {
    /// The longest time that the lock was held.
    static LONGEST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static NOW: Cell<u64> = const { Cell::new(1) };
    /// Whether the clock advances.
    static GOES_ON: Cell<bool> = const { Cell::new(false) };
}

struct Here;
struct Held<T>(Mutex<T>);
struct NoEvent;

impl<T: Send> Lock<T> for Held<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R + Send) -> R {
        let mut value = self.0.lock().expect("nothing panics");
        let begin = Instant::now();
        let result = work(&mut value);
        LONGEST.set(LONGEST.get().max(begin.elapsed()));
        result
    }
}

impl Signal for NoEvent {
    fn set(&self) {}
}

/// The token of code at PASSIVE_LEVEL.
#[derive(Clone, Copy)]
struct Passive;

impl Kernel for Here {
    type Lock<T: Send> = Held<T>;
    type Event = NoEvent;
    type Passive = Passive;

    /// Unless the clock advances, all events have the same time: this takes longest to sort.
    fn now() -> u64 {
        NOW.set(NOW.get() + 100 * u64::from(GOES_ON.get()));
        NOW.get()
    }

    fn event(_: Passive, _: NonZeroU64) -> Result<NoEvent, Status> {
        Err(Status::INVALID_HANDLE)
    }

    fn keep(_: Passive, _: hone_driver::Setting, _: u32) -> Result<(), Status> {
        Ok(())
    }

    fn link(_: Passive, _: &[u16], _: &mut [u16]) -> Option<usize> {
        None
    }

    fn charge(_: Purpose) {}

    fn shows(_: Level) -> bool {
        false
    }

    fn show(_: Level, _: fmt::Arguments<'_>) {}
}

/// A connection that opens or closes.
struct Changes(u64, u32);

struct NoBuffer;

impl Indication for Changes {
    fn endpoint(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0)
    }

    fn value(&self, _: usize) -> Option<Value> {
        None
    }
}

impl ConnectionIndication for Changes {
    fn process(&self) -> Option<u64> {
        Some(self.1.into())
    }
}

impl PacketIndication for Changes {
    type Buffer<'a> = NoBuffer;

    fn header_lengths(&self) -> (Option<usize>, Option<usize>) {
        (None, None)
    }

    fn included_header(&self) -> Option<&[u8]> {
        None
    }

    fn is_tunnelled(&self) -> bool {
        false
    }

    fn buffers(&self) -> impl Iterator<Item = NoBuffer> {
        std::iter::empty()
    }
}

impl Buffer for NoBuffer {
    fn headroom(&self) -> usize {
        0
    }

    fn length(&self) -> usize {
        0
    }

    fn segments(&self, _: usize) -> Option<impl Iterator<Item = &[u8]> + Clone + Sync> {
        Some(std::iter::empty())
    }
}

const RUNS: u32 = 9;
/// As many words as a selection can have where the table of processes is full.
const MANY: usize = 64;

fn callout(layer: Layer) -> &'static Callout {
    CALLOUTS.iter().find(|callout| callout.layer == layer).expect("it is in the table")
}

/// The smallest of several longest times, because other programs on the machine only make them longer. Also the last
/// result.
struct Best(Duration);

impl Best {
    fn of<R>(&mut self, work: impl FnOnce() -> R) -> R {
        LONGEST.set(Duration::ZERO);
        let result = work();
        self.0 = self.0.min(LONGEST.get());
        result
    }
}

struct Case {
    driver: Driver<Here>,
    processes: u32,
    connections: u32,
}

impl Case {
    fn new(processes: u32, connections: u32) -> Self {
        let driver = Driver::<Here>::new(&Host::default()).expect("there is memory");
        let path: Vec<u16> = r"C:\Program Files\Some Program\program.exe".encode_utf16().collect();
        for pid in 0..processes {
            let created = Some(1);
            driver
                .process_started(Passive, &Process { pid, created, path: Some(&path), ..Process::default() });
        }
        let case = Self { driver, processes, connections };
        (0..connections).for_each(|connection| case.change(Layer::AuthConnect, connection));
        case
    }

    fn change(&self, layer: Layer, connection: u32) {
        let process = connection % self.processes;
        self.driver.classify(callout(layer), &Changes(u64::from(connection) + 1, process));
    }

    /// Closes every connection and opens as many new ones. Returns how long the two take.
    fn replace(&self, from: u32) -> Duration {
        let begin = Instant::now();
        for connection in from..from + self.connections {
            self.change(Layer::EndpointClosure, connection);
            self.change(Layer::AuthConnect, connection + self.connections);
        }
        begin.elapsed() / self.connections
    }

    fn open(&self) -> Handle {
        self.driver.open(None).expect("there is memory")
    }

    fn mark(&self, reader: Handle) {
        let code = Operation::MarkRestart.control_code().0;
        let request = Control { code, buffer: &mut [], input: 0, output: 0 };
        self.driver.control(Passive, reader, request).expect("there is memory");
    }

    /// Sets a selection of so many words.
    fn select(&self, reader: Handle, words: usize) {
        let mut buffer: Vec<u8> =
            (0..words).flat_map(|word| format!("--name\0program{word}.exe\0").into_bytes()).collect();
        buffer.extend(b"--children\0");
        let (code, input) = (Operation::SetSelection.control_code().0, buffer.len());
        let request = Control { code, buffer: &mut buffer, input, output: 0 };
        self.driver.control(Passive, reader, request).expect("there is memory");
    }

    /// Reads until there is no more data or the section ends. Returns the number of bytes.
    fn read(&self, reader: Handle, buffer: &mut [u8]) -> usize {
        let mut total = 0;
        loop {
            match self.driver.read(reader, buffer).expect("it is attached") {
                0 => return total,
                length => total += length,
            }
        }
    }
}

fn main() {
    let mut buffer = vec![0; READ_BYTES];
    for (processes, connections) in [(300, 1000), (2000, 10_000), (MAX_PROCESSES, MAX_CONNECTIONS)] {
        let case = Case::new(processes, connections);
        println!("{processes} processes, {connections} connections");
        let mut best = [(); 7].map(|()| Best(Duration::MAX));
        let [opens, reads, marks, one, many, closes, full] = &mut best;
        let mut from = 0;
        for _ in 0..RUNS {
            let reader = opens.of(|| case.open());
            reads.of(|| case.read(reader, &mut buffer));
            marks.of(|| case.mark(reader));
            one.of(|| case.select(reader, 1));
            many.of(|| case.select(reader, MANY));
            closes.of(|| case.driver.close(Passive, reader));
            let reader = case.open();
            case.replace(from);
            from += connections;
            full.of(|| case.driver.close(Passive, reader));
        }
        for (what, best) in [
            "a reader opens the device",
            "reads the beginning of its section",
            "marks a restart",
            "selects by one name",
            "selects by 64 names",
            "closes before it has read that",
            "closes with a full ring and all connections closed since",
        ]
        .iter()
        .zip(best)
        {
            println!("  {what}: {:?}", best.0);
        }
        let mut replace = || {
            let best = (0..RUNS).map(|_| (case.replace(from), from += connections).0).min();
            best.unwrap_or_default()
        };
        let alone = replace();
        GOES_ON.set(true);
        let usual = replace();
        GOES_ON.set(false);
        let idle = case.open();
        let beside = case.replace(from);
        let mut best = [(); 2].map(|()| Best(Duration::MAX));
        let [opens, reads] = &mut best;
        for _ in 0..RUNS {
            let reader = opens.of(|| case.open());
            let length = reads.of(|| case.read(reader, &mut buffer));
            assert!(length > 0);
            case.driver.close(Passive, reader);
        }
        println!("  beside a reader from before all connections closed that has not read: a reader");
        println!("    opens the device: {:?}; reads: {:?}", best[0].0, best[1].0);
        case.driver.close(Passive, idle);
        println!("  a connection closes and another opens: {alone:?}; as time goes on: {usual:?}");
        println!("    the same while that reader's section is kept: {beside:?}");
    }
}
