//! What a packet costs from `handle` to `read`: data of 96 and 1500 bytes, 1 and 3 readers, packets spread over 1000
//! connections whose owners the sensor names.
#![expect(clippy::disallowed_macros, clippy::disallowed_methods, reason = "a benchmark may abort")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hone_engine::{
    Config, Direction, Engine, Event, Method, Owner, Packet, ProcessKey, Read, ReaderId, ReaderOptions,
};

const CONNECTIONS: u64 = 1000;
/// Packets taken in between two reads, as a sensor that polls in batches does.
const BATCH: u64 = 256;

fn packet(number: u64, data: &[u8]) -> Event<'_> {
    let connection = number * 7 % CONNECTIONS;
    Event::Packet(Packet {
        at: number,
        connection: Some(connection),
        owner: Owner::Process(ProcessKey { pid: 1000, start: 1 }, Method::CurrentTask),
        direction: Direction::Outbound,
        flags: 0,
        original_length: 1500,
        data,
    })
}

fn drain(engine: &mut Engine, reader: ReaderId, buffer: &mut [u8], now: u64) {
    while let Ok(Read::Bytes(length)) = engine.read(reader, buffer, now) {
        black_box(&buffer[..length]);
    }
}

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packet");
    group.throughput(Throughput::Elements(BATCH));
    let mut buffer = vec![0; 1 << 18];
    for bytes in [96, 1500] {
        let data = vec![0x45; bytes];
        for readers in [1, 3] {
            let mut engine = Engine::new(Config::default()).expect("there is memory");
            let readers: Vec<_> = (0..readers)
                .map(|_| engine.attach(&ReaderOptions::default(), 0).expect("there is memory"))
                .collect();
            let mut number = 0;
            let id = BenchmarkId::new(format!("{bytes} bytes"), format!("{} readers", readers.len()));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    for _ in 0..BATCH {
                        engine.handle(black_box(&packet(number, &data))).expect("there is memory");
                        number += 1;
                    }
                    for &reader in &readers {
                        drain(&mut engine, reader, &mut buffer, number);
                    }
                });
            });
            for &reader in &readers {
                let statistics = engine.reader_statistics(reader).expect("it is attached");
                assert_eq!(statistics.dropped_by_ring.packets, 0, "each packet was delivered");
            }
        }
    }
    group.finish();
}

criterion_group!(benches, packets);
criterion_main!(benches);
