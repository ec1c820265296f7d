//! What a recorded packet costs in user space: records as the BPF programs send them go through all that `honeutil read`
//! does with them (decoder, engine, reader, tally, file), as fast as that goes. Only the ring buffer and the kernel's
//! part of writing are not in it. It does the same each time, so that instructions can be counted (`docs/performance.md`):
//!
//! ```text
//! cargo bench -p honeutil --bench recorded_packet -- PACKETS BYTES FILE
//! ```
//!
//! `BYTES`: of each datagram, without its headers. Each is recorded twice, as on loopback: sent, and received.

#[cfg(target_os = "linux")]
mod linux {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use hone_engine::{Event, SnapLength, SourceDrops};
    use hone_linux::fuzzing::Records;
    use honeutil::messages::Progress;
    use honeutil::output::{Output, Target};
    use honeutil::record::control::Control;
    use honeutil::record::local::Local;
    use honeutil::record::recorder::{Options, Recorder};
    use honeutil::record::source::{Source, SourceError};
    use honeutil::record::wanted::Wanted;

    /// `struct packet_record` of `bpf/abi.h`.
    const HEAD: usize = 56;
    const KIND: u32 = 1;
    const METHOD_CURRENT: u8 = 1;
    /// As many as come in one batch, of this many connections in turn.
    const BATCH: usize = 256;
    const CONNECTIONS: u64 = 4;
    /// The memory that records come from: more than a processor's cache, as the kernel's buffer is.
    const RING_BYTES: usize = 16 << 20;

    /// Packets that come in full batches until there are enough.
    struct Replay {
        decoder: Records,
        ring: Vec<u8>,
        record: usize,
        at: usize,
        left: usize,
        stop: Arc<AtomicBool>,
        clock: u64,
    }

    fn record(number: u64, size: usize) -> Vec<u8> {
        let (pair, is_sent) = (number / 2 % CONNECTIONS, number.is_multiple_of(2));
        let length = u32::try_from(28 + size).unwrap();
        let task = (100 + pair) << 1 | u64::from(is_sent) | 77 << 22;
        let mut record = Vec::new();
        record.extend(KIND.to_ne_bytes());
        record.extend(length.to_ne_bytes());
        record.extend(0_u64.to_ne_bytes());
        record.extend((1000 + pair * 2 + u64::from(is_sent)).to_ne_bytes());
        record.extend(task.to_ne_bytes());
        record.extend(length.to_ne_bytes());
        record.extend([if is_sent { 2 } else { 1 }, METHOD_CURRENT, 0, 0]);
        record.extend(0_u64.to_ne_bytes());
        record.resize(HEAD, 0);
        let port = 40_000 + u16::try_from(pair).unwrap();
        let mut packet = vec![0; 28 + size];
        (packet[0], packet[8], packet[9]) = (0x45, 64, 17);
        packet[2..4].copy_from_slice(&u16::try_from(28 + size).unwrap().to_be_bytes());
        (packet[12], packet[15], packet[16], packet[19]) = (127, 1, 127, 1);
        packet[20..22].copy_from_slice(&port.to_be_bytes());
        packet[22..24].copy_from_slice(&9_u16.to_be_bytes());
        packet[24..26].copy_from_slice(&u16::try_from(8 + size).unwrap().to_be_bytes());
        record.extend(packet);
        record
    }

    impl Replay {
        fn new(packets: usize, size: usize, stop: Arc<AtomicBool>) -> Self {
            let one = record(0, size).len();
            let records = (RING_BYTES / one).max(BATCH).next_multiple_of(BATCH);
            let ring = (0..records as u64).flat_map(|number| record(number, size)).collect();
            Self { decoder: Records::since_boot(), ring, record: one, at: 0, left: packets, stop, clock: 1 }
        }
    }

    impl Source for Replay {
        fn restate(&mut self, _: &mut dyn FnMut(Event<'_>)) -> Result<(), SourceError> {
            Ok(())
        }

        fn poll(
            &mut self,
            _: Duration,
            most: usize,
            sink: &mut dyn FnMut(Event<'_>),
        ) -> Result<usize, SourceError> {
            let most = most.min(BATCH).min(self.left);
            if most == 0 {
                self.stop.store(true, Ordering::Relaxed);
            }
            for _ in 0..most {
                let record = &mut self.ring[self.at..self.at + self.record];
                self.clock += 1000;
                record[8..16].copy_from_slice(&self.clock.to_ne_bytes());
                assert_eq!(self.decoder.deliver(record, sink), self.record);
                self.at += self.record;
                if self.at == self.ring.len() {
                    self.at = 0;
                }
            }
            self.left -= most;
            Ok(most)
        }

        fn drops(&mut self) -> Result<SourceDrops, SourceError> {
            Ok(SourceDrops::default())
        }

        fn now(&self) -> u64 {
            self.clock
        }
    }

    /// Records `packets` packets of `size` bytes into `path`.
    pub(super) fn run(packets: usize, size: usize, path: PathBuf) {
        let mut control = Control::new();
        let replay = Replay::new(packets, size, control.stop_flag());
        let snap_length = SnapLength::ALL;
        let wanted = Wanted { snap_length, ..Wanted::default() };
        let feed = Local::start(replay, hone_linux::section(), &wanted).unwrap();
        let mut output = Output::open(Target::File(path), "box", 0, &mut control).unwrap();
        let options = Options { snap_length, ..Options::default() };
        let mut progress = Progress::new(false);
        let begun = Instant::now();
        let recorder = Recorder::new(Box::new(feed), options, &mut output, &mut control, &mut progress);
        let (outcome, tally, result) = recorder.run();
        result.unwrap();
        assert_eq!(tally.total.packets(), packets as u64);
        let nanos = begun.elapsed().as_nanos() / packets.max(1) as u128;
        println!("{packets} packets, {} bytes written, {nanos} ns each", outcome.written);
    }
}

#[cfg(target_os = "linux")]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number = |at: usize, default: usize| words.get(at).map_or(default, |word| word.parse().unwrap());
    let path = words.get(2).map_or_else(|| std::env::temp_dir().join("recorded_packet.pcapng"), Into::into);
    linux::run(number(0, 1 << 20), number(1, 64), path);
}

#[cfg(not(target_os = "linux"))]
fn main() {}
