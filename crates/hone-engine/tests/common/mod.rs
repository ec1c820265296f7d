//! Shared by the tests: short functions that make events, and blocks described in words.
#![allow(dead_code, reason = "each test uses its part")]

use hone_engine::{
    Config, Direction, Engine, Event, Owner, Packet, ProcessKey, ProcessStart, Read, ReaderId, ReaderOptions,
    StartKind,
};
use hone_pcapng::{Block, ConnectionEventKind, Corrected, Correction, ProcessEventKind};

pub(crate) const PROCESS: ProcessKey = ProcessKey { pid: 7, start: 1 };
pub(crate) const OTHER: ProcessKey = ProcessKey { pid: 8, start: 1 };
/// Blocks that the engine itself keeps: section header and interface.
pub(crate) const FRAMES: u64 = 2;
pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) fn engine() -> Engine {
    Engine::new(Config::default()).expect("there is memory")
}

pub(crate) fn attach(engine: &mut Engine) -> ReaderId {
    attach_at(engine, 1)
}

pub(crate) fn attach_at(engine: &mut Engine, now: u64) -> ReaderId {
    engine.attach(&ReaderOptions::default(), now).expect("there is memory")
}

pub(crate) fn started(process: ProcessKey, at: u64) -> Event<'static> {
    let mut start = ProcessStart::new(process, at, StartKind::Started);
    start.path = Some(b"/bin/sh");
    start.user = Some(1000);
    Event::ProcessStarted(start)
}

pub(crate) fn ended(process: ProcessKey, at: u64) -> Event<'static> {
    Event::ProcessEnded { process, at }
}

pub(crate) fn opened(connection: u64, owner: Option<ProcessKey>, at: u64) -> Event<'static> {
    Event::ConnectionOpened { connection, owner, at }
}

pub(crate) fn closed(connection: u64, at: u64) -> Event<'static> {
    Event::ConnectionClosed { connection, process: None, at }
}

pub(crate) fn packet(connection: Option<u64>, owner: Owner, at: u64, data: &[u8]) -> Event<'_> {
    let direction = Direction::Outbound;
    Event::Packet(Packet {
        at,
        connection,
        owner,
        direction,
        flags: 0,
        original_length: 0,
        packet_id: None,
        data,
    })
}

pub(crate) fn handle(engine: &mut Engine, events: &[Event<'_>]) {
    for event in events {
        engine.handle(event).expect("it is recorded");
    }
}

/// Everything that the reader can read, as bytes; `None` marks the end of a section.
pub(crate) fn bytes(engine: &mut Engine, reader: ReaderId) -> Vec<Option<Vec<u8>>> {
    let mut reads = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match engine.read(reader, &mut buffer, 1).expect("it is attached") {
            Read::Bytes(length) => reads.push(Some(buffer[..length].to_vec())),
            Read::SectionEnd => reads.push(None),
            Read::Empty => return reads,
        }
    }
}

pub(crate) fn tell(block: &Block<'_>, at: u64) -> String {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match block {
        Block::Section(section) => format!("section {}", section.os.as_deref().map(text).unwrap_or_default()),
        Block::Interface(interface) => format!("interface {}", interface.snap_length),
        Block::Process(event) => {
            let kind = match event.kind {
                ProcessEventKind::Ended => "ended".into(),
                kind => format!("{kind:?} {}", event.path.as_deref().map(text).unwrap_or_default()),
            };
            format!("{at}: process {} {kind}", event.process)
        }
        Block::Connection(event) => {
            let kind = match (event.kind, event.correction) {
                (ConnectionEventKind::Closed, _) => "closed".to_owned(),
                (_, Some(Correction { packets: Corrected::Time(time), .. })) => {
                    format!("corrected at {time}")
                }
                (_, Some(Correction { packets: Corrected::Bytes { from, to }, .. })) => {
                    format!("corrected from {from} to {to}")
                }
                _ => "opened".to_owned(),
            };
            format!("{at}: connection {} {kind} by {}", event.connection, event.process)
        }
        Block::Packet(packet) => {
            let process = packet.process.map_or("nobody".into(), |process| process.to_string());
            let (kept, original) = (packet.data.len(), packet.original_length);
            format!("{at}: packet of {process}, {kept} of {original}")
        }
        Block::Statistics(counts) => format!(
            "statistics {:?} {:?} {:?}",
            counts.received.unwrap_or_default(),
            counts.processes.received.unwrap_or_default(),
            counts.connections.received.unwrap_or_default()
        ),
        Block::ObsoletePacket(_) | Block::SimplePacket(_) | Block::Unknown { .. } => "unknown".into(),
    }
}

/// Everything that the reader can read, in words. The reader must not have read before: its stream begins with a
/// section header.
pub(crate) fn story(engine: &mut Engine, reader: ReaderId) -> Vec<String> {
    let mut parser = hone_pcapng::Reader::new();
    let mut told = Vec::new();
    for read in bytes(engine, reader) {
        let Some(bytes) = read else {
            told.push("end".into());
            continue;
        };
        parser.feed(&bytes).expect("there is memory");
        while let Some(item) = parser.next_block().expect("the stream is sound") {
            told.push(tell(&item.block, item.nanos.unwrap_or_default()));
        }
    }
    parser.finish().expect("the last block is whole");
    told
}

/// What a reader reads of these events, in words, without section header and interface. It attaches before the events.
pub(crate) fn story_of(events: &[Event<'_>]) -> Vec<String> {
    let mut engine = engine();
    let reader = attach(&mut engine);
    handle(&mut engine, events);
    engine.flush_held();
    story(&mut engine, reader).split_off(2)
}
