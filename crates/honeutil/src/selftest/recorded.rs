//! What the driver recorded, as far as the questions need it.

use hone_engine::{ConnectionId, Direction};
use hone_packet::Headers;
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

/// Most bytes of packets that are kept.
const MOST: usize = 256 << 20;

/// A recording while it is read: its events, in its order. Of the packets, only those that questions are about are kept: the
/// computer may do much else at the same time. A part that cannot be read ends it.
#[derive(Debug)]
pub(crate) struct Recording {
    reader: Reader,
    own: u32,
    /// Bytes of the packets that are kept.
    kept: usize,
    events: Vec<Event>,
    /// Whether a part could not be read.
    is_broken: bool,
}

impl Recording {
    /// Nothing is read yet. `own` is this program's process id.
    pub(crate) const fn new(own: u32) -> Self {
        Self { reader: Reader::new(), own, kept: 0, events: Vec::new(), is_broken: false }
    }

    /// The events so far.
    pub(crate) fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Adds the next part.
    pub(crate) fn add(&mut self, part: &[u8]) {
        if self.is_broken || self.reader.feed(part).is_err() {
            self.is_broken = true;
            return;
        }
        let text = |bytes: Option<std::borrow::Cow<'_, [u8]>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        loop {
            let item = match self.reader.next_block() {
                Ok(Some(item)) => item,
                Ok(None) => return,
                Err(_) => {
                    self.is_broken = true;
                    return;
                }
            };
            self.events.push(match item.block {
                Block::Packet(packet) => {
                    let may_matter = packet.process == Some(self.own) || is_within(&packet.data);
                    if !may_matter || self.kept > MOST {
                        continue;
                    }
                    self.kept += packet.data.len();
                    Event::Packet {
                        is_outbound: packet.direction() == Some(Direction::Outbound),
                        connection: packet.connection,
                        process: packet.process,
                        at: packet.timestamp,
                        data: packet.data.into_owned(),
                    }
                }
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
    }
}

/// Whether a packet stays on this computer, as all that this program sends. Also true for data that is no packet.
fn is_within(data: &[u8]) -> bool {
    Headers::parse(data)
        .map_or(true, |headers| headers.source.is_loopback() || headers.destination.is_loopback())
}
