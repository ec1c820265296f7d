//! Measures the slowest call while the tables fill, with and without [`Config::reserve`]. Without it, that is a call
//! that makes a table grow. Prints milliseconds; `docs/engine-performance.md` has the numbers.

use std::time::{Duration, Instant};

use hone_engine::{Config, Engine, Event, ProcessKey, ReaderOptions};

const OWNER: ProcessKey = ProcessKey { pid: 1, start: 1 };

/// The time to make the engine, and the time of the slowest of `connections` open events.
fn fill(connections: u32, reserve: bool) -> (Duration, Duration) {
    let config =
        Config { max_connections: connections, max_block_bytes: 1 << 30, reserve, ..Config::default() };
    let start = Instant::now();
    let mut engine = Engine::new(config).expect("there is memory");
    let made = start.elapsed();
    engine.attach(&ReaderOptions::default(), 0).expect("there is memory");
    let mut slowest = Duration::ZERO;
    for connection in 1..=u64::from(connections) {
        let start = Instant::now();
        let opened = Event::ConnectionOpened { connection, owner: Some(OWNER), at: connection };
        engine.handle(&opened).expect("there is memory");
        slowest = slowest.max(start.elapsed());
    }
    (made, slowest)
}

fn main() {
    println!("connections  reserve  engine made in  slowest call");
    for connections in [10_000, 100_000, 1_000_000] {
        for reserve in [false, true] {
            // The best of several runs, as other work on the machine can only make a call slower.
            let runs = (0..5).map(|_| fill(connections, reserve));
            let (made, slowest) =
                runs.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1))).unwrap_or_default();
            println!(
                "{connections:>11}  {reserve:>7}  {:>11.3} ms  {:>9.3} ms",
                made.as_secs_f64() * 1e3,
                slowest.as_secs_f64() * 1e3
            );
        }
    }
}
