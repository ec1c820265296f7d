//! What the driver recorded, as far as the questions need it.

use hone_engine::{ConnectionId, Direction};
use hone_pcapng::{Block, ConnectionEventKind, ProcessEventKind, Reader};

/// Something that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A packet.
    Packet {
        /// Whether this computer sent it.
        is_outbound: bool,
        /// Its connection.
        connection: Option<ConnectionId>,
        /// Its process.
        process: Option<u32>,
        /// When, nanoseconds since 1970-01-01 UTC.
        at: u64,
        /// From the IP header on.
        data: Vec<u8>,
    },
    /// A connection is opened by a process.
    Opened(ConnectionId, u32),
    /// A connection is closed.
    Closed(ConnectionId),
    /// A process starts: its id, path and command line.
    Started(u32, String, String),
    /// A process ends.
    Ended(u32),
}

/// The events of a recording, in its order. A part that cannot be read ends it.
pub(crate) fn events(recording: &[u8]) -> Vec<Event> {
    let mut reader = Reader::new();
    let mut all = Vec::new();
    if reader.feed(recording).is_err() {
        return all;
    }
    let text = |bytes: Option<std::borrow::Cow<'_, [u8]>>| {
        String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
    };
    while let Ok(Some(item)) = reader.next_block() {
        all.push(match item.block {
            Block::Packet(packet) => Event::Packet {
                is_outbound: packet.direction() == Some(Direction::Outbound),
                connection: packet.connection,
                process: packet.process,
                at: packet.timestamp,
                data: packet.data.into_owned(),
            },
            Block::Connection(event) => match event.kind {
                ConnectionEventKind::Opened => Event::Opened(event.connection, event.process),
                ConnectionEventKind::Closed => Event::Closed(event.connection),
                _ => continue,
            },
            Block::Process(event) => match event.kind {
                ProcessEventKind::Started => {
                    Event::Started(event.process, text(event.path), text(event.command_line))
                }
                ProcessEventKind::Ended => Event::Ended(event.process),
                _ => continue,
            },
            _ => continue,
        });
    }
    all
}
