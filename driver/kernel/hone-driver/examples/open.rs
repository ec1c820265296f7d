//! How long the lock is held while a reader opens the device, by the number of processes and connections. On this machine,
//! with the standard library's mutex in place of the spin lock: `cargo run --release -p hone-driver --example open`.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the measurement itself allocates may abort"
)]

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Instant;

use hone_driver::callouts::CALLOUTS;
use hone_driver::{
    Buffer, Driver, Host, Indication, Kernel, Level, Lock, MAX_CONNECTIONS, MAX_PROCESSES, Process, Purpose,
    Signal, Status, Value,
};

struct Here;
struct Held<T>(Mutex<T>);
struct NoEvent;

impl<T: Send> Lock<T> for Held<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().expect("nothing panics"))
    }
}

impl Signal for NoEvent {
    fn set(&self) {}
}

impl Kernel for Here {
    type Lock<T: Send> = Held<T>;
    type Event = NoEvent;

    /// All at the same time, which takes longest to sort.
    fn now() -> u64 {
        1
    }

    fn event(_: NonZeroU64) -> Result<NoEvent, Status> {
        Err(Status::INVALID_HANDLE)
    }

    fn charge(_: Purpose) {}

    fn shows(_: Level) -> bool {
        false
    }

    fn show(_: Level, _: fmt::Arguments<'_>) {}
}

/// A connection that opens.
struct Opens(u64, u32);

struct NoBuffer;

impl Indication for Opens {
    type Buffer<'a> = NoBuffer;

    fn endpoint(&self) -> Option<u64> {
        Some(self.0)
    }

    fn process(&self) -> Option<u64> {
        Some(self.1.into())
    }

    fn header_lengths(&self) -> (Option<usize>, Option<usize>) {
        (None, None)
    }

    fn included_header(&self) -> Option<&[u8]> {
        None
    }

    fn value(&self, _: usize) -> Option<Value> {
        None
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

    fn segments(&self, _: usize) -> Option<impl Iterator<Item = &[u8]> + Clone> {
        Some(std::iter::empty())
    }
}

fn main() {
    let path: Vec<u16> = r"C:\Program Files\Some Program\program.exe".encode_utf16().collect();
    for (processes, connections) in [(300, 1000), (2000, 10_000), (MAX_PROCESSES, MAX_CONNECTIONS)] {
        let driver = Driver::<Here>::new(&Host::default()).expect("there is memory");
        for pid in 0..processes {
            let created = Some(1);
            driver.process_started(&Process { pid, created, path: Some(&path), ..Process::default() });
        }
        for connection in 0..connections {
            driver.classify(&CALLOUTS[0], &Opens(connection.into(), connection % processes));
        }
        let best = (0..9).map(|_| {
            let begin = Instant::now();
            let reader = driver.open(None).expect("there is memory");
            let elapsed = begin.elapsed();
            driver.close(reader);
            elapsed
        });
        let best = best.min().unwrap_or_default();
        println!("{processes:6} processes, {connections:6} connections: {best:?}");
    }
}
