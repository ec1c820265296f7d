//! The same engine on Linux, with the same events: the driver's readers must read the same bytes. It shares only the
//! engine, the format and the checksums with the driver. The beginning of its section describes the machine and its
//! processes, so it is taken from a recording of the driver.

use std::net::IpAddr;

use hone_engine::{
    Config, Direction, Engine, Event, Filter, HostIdentity, Owner, ProcessKey, ProcessStart, Read, ReaderId,
    ReaderOptions, SectionInfo, SnapLength, StartKind,
};
use hone_packet::{Addresses, IpHeader, packet_checksums, transport_checksum};
use hone_pcapng::{Block, HostId, Reader};
use hone_select::Selection;

use crate::{Packet, Step};

/// An engine on Linux.
#[derive(Debug)]
pub struct Native(Engine);

impl Native {
    /// Makes an engine for the machine that the beginning of `recording` describes.
    ///
    /// # Panics
    /// The recording is not valid.
    #[must_use]
    pub fn like(recording: &[u8]) -> Self {
        let mut reader = Reader::new();
        reader.feed(recording).expect("there is memory");
        let mut engine: Option<Engine> = None;
        while let Some(item) = reader.next_block().expect("the recording is sound") {
            match (item.block, &mut engine) {
                (Block::Section(section), None) => {
                    let text = |text: Option<std::borrow::Cow<'_, [u8]>>| {
                        text.map(std::borrow::Cow::into_owned).unwrap_or_default()
                    };
                    let Some(HostId::Guid(host)) = section.host else { panic!("the host has an identity") };
                    let section = SectionInfo {
                        hardware: text(section.hardware),
                        os: text(section.os),
                        application: text(section.application),
                        host: HostIdentity::Guid(host),
                        boot: None,
                        comment: Vec::new(),
                        interface: b"Windows Filtering Platform, transport layers".to_vec(),
                    };
                    let config = Config { section, ..Config::default() };
                    engine = Some(Engine::new(config).expect("there is memory"));
                }
                (Block::Process(event), Some(engine)) => {
                    let key = ProcessKey { pid: event.process, start: event.timestamp };
                    let mut start = ProcessStart::new(key, event.timestamp, StartKind::Started);
                    start.parent = event.parent;
                    start.path = event.path.as_deref();
                    start.arguments = event.arguments.as_deref();
                    start.command_line = event.command_line.as_deref();
                    start.security_id = event.security_id.as_deref();
                    engine.restate(&Event::ProcessStarted(start)).expect("there is room");
                }
                _ => {}
            }
        }
        Self(engine.expect("a recording begins with a section"))
    }

    /// Attaches a reader.
    ///
    /// # Panics
    /// There is not enough memory.
    pub fn attach(&mut self, snap_length: u32, at: u64) -> ReaderId {
        let reader = self.0.attach(&ReaderOptions::default(), at).expect("there is memory");
        self.0.set_snap_length(reader, SnapLength::lenient(snap_length)).expect("it is attached");
        reader
    }

    /// Sets a filter.
    ///
    /// # Panics
    /// There is not enough memory.
    pub fn set_filter(&mut self, reader: ReaderId, filter: Filter<'_>) {
        self.0.set_filter(reader, filter).expect("it is attached");
    }

    /// Sets a selection.
    ///
    /// # Panics
    /// It is not sound, or there is not enough memory.
    pub fn set_selection(&mut self, reader: ReaderId, text: &[u8], at: u64) {
        let selection = Selection::parse(text).expect("it is sound");
        self.0.set_selection(reader, &mut Some(selection), at).expect("there is room");
    }

    /// Ends a reader's section.
    ///
    /// # Panics
    /// There is not enough memory.
    pub fn mark_restart(&mut self, reader: ReaderId, at: u64) {
        self.0.mark_restart(reader, at).expect("it is attached");
    }

    /// Everything that waits for the reader, up to the first read that returns nothing.
    ///
    /// # Panics
    /// The reader is not attached.
    pub fn read(&mut self, reader: ReaderId, at: u64) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        while let Read::Bytes(length) = self.0.read(reader, &mut buffer, at).expect("it is attached") {
            all.extend_from_slice(&buffer[..length]);
        }
        all
    }

    /// Makes something happen at a given time.
    ///
    /// # Panics
    /// There is not enough memory.
    pub fn step(&mut self, at: u64, step: &Step) {
        let key = |engine: &Engine, pid| engine.process(pid).unwrap_or(ProcessKey { pid, start: 0 });
        let arguments: String;
        let bytes: Vec<u8>;
        let event = match step {
            // 0 is no handle.
            Step::Open(_, 0, _) | Step::Close(_, 0) => return,
            Step::Start { pid, parent, path, command_line, arguments: list } => {
                arguments = list.iter().map(|argument| format!("{argument}\0")).collect();
                let mut start =
                    ProcessStart::new(ProcessKey { pid: *pid, start: at }, at, StartKind::Started);
                start.parent = Some(*parent);
                start.path = Some(path.strip_prefix(r"\??\").unwrap_or(path).as_bytes());
                start.command_line = Some(command_line.as_bytes());
                start.arguments = Some(arguments.as_bytes());
                Event::ProcessStarted(start)
            }
            Step::End(pid) => Event::ProcessEnded { process: key(&self.0, *pid), at },
            Step::Open(_, connection, pid) => {
                Event::ConnectionOpened { connection: *connection, owner: Some(key(&self.0, *pid)), at }
            }
            Step::Close(_, connection) => {
                Event::ConnectionClosed { connection: *connection, process: None, at }
            }
            Step::Packet(packet) => {
                bytes = packet.whole();
                Event::Packet(hone_engine::Packet {
                    at,
                    connection: packet.endpoint,
                    owner: Owner::Ask,
                    direction: if packet.is_outbound { Direction::Outbound } else { Direction::Inbound },
                    flags: 0,
                    original_length: u32::try_from(bytes.len()).expect("it is short"),
                    packet_id: None,
                    data: &bytes,
                })
            }
        };
        self.0.handle(&event).expect("there is room");
    }
}

impl Packet {
    /// The packet as it must be recorded: with its IP header and its checksums.
    fn whole(&self) -> Vec<u8> {
        if !self.is_outbound {
            let mut packet = self.bytes.clone();
            if self.is_loopback {
                let checksums = packet_checksums([packet.as_slice()]).expect("it is whole");
                for checksum in [checksums.header, checksums.transport].into_iter().flatten() {
                    checksum.write([packet.as_mut_slice()]);
                }
            }
            return packet;
        }
        let addresses = match (self.local, self.remote) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Addresses::V4 { source, destination },
            (IpAddr::V6(source), IpAddr::V6(destination)) => Addresses::V6 { source, destination },
            _ => panic!("both ends are of one family"),
        };
        let header = IpHeader { hop_limit: 128, ..IpHeader::new(addresses, self.protocol) };
        let mut segment = self.bytes.clone();
        let checksum = transport_checksum(&addresses, self.protocol, [segment.as_slice()]);
        if let Ok(Some(checksum)) = checksum {
            checksum.write([segment.as_mut_slice()]);
        }
        [&header.emit(segment.len()).expect("it is short")[..], &segment].concat()
    }
}
