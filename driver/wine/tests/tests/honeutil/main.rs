//! The real `honeutil.exe` with the real `hone.sys`, as a user runs them.

mod files;
mod pipes;
mod readers;
mod recording;
mod rotation;
mod run;
mod selection;
mod selftest;
mod service;
mod settings;
mod show;
mod streams;
mod top;

use hone_pcapng::{Block, Reader};

/// The content of a recording, as far as the tests need it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    sections: usize,
    /// Original length and data of each packet.
    packets: Vec<(u32, Vec<u8>)>,
    /// Process ids of the process events.
    processes: Vec<u32>,
    connections: usize,
    /// For the end of each section: packets and process events that it received, and that the ring buffer dropped.
    statistics: Vec<Counted>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    packets: u64,
    dropped_packets: u64,
    processes: u64,
    dropped_processes: u64,
}

/// Reads a recording. It must end at the end of a block.
fn held(recording: &[u8]) -> Held {
    let mut reader = Reader::new();
    reader.feed(recording).expect("there is memory");
    let mut held = Held::default();
    while let Some(item) = reader.next_block().expect("it is sound") {
        match item.block {
            Block::Section(_) => held.sections += 1,
            Block::Packet(packet) => held.packets.push((packet.original_length, packet.data.into_owned())),
            Block::Process(event) => held.processes.push(event.process),
            Block::Connection(_) => held.connections += 1,
            Block::Statistics(end) => held.statistics.push(Counted {
                packets: end.received.unwrap_or(0),
                dropped_packets: end.dropped_by_ring.unwrap_or(0),
                processes: end.processes.received.unwrap_or(0),
                dropped_processes: end.processes.dropped_by_ring.unwrap_or(0),
            }),
            Block::SimplePacket(_) | Block::ObsoletePacket(_) => panic!("Hone writes no such packets"),
            Block::Interface(_) | Block::Unknown { .. } => {}
        }
    }
    reader.finish().expect("it ends at a whole block");
    held
}
