//! Statistics with everything Hone counts, in 64 bits.

use crate::layout::{Bytes, layout, numbered};
use crate::{Operation, ReplyError};

/// [`ReaderStatistics::id`] of a client that is no reader.
pub const NO_READER: u64 = u64::MAX;

layout! {
    /// One number for each kind of block.
    pub struct Counts, 24 bytes {
        /// Packets.
        [0] packets: u64,
        /// Process events.
        [8] processes: u64,
        /// Connection events.
        [16] connections: u64,
    }
}

layout! {
    /// Packets that waited, or wait, until it shows whose they are: total = attributed + unattributed + waiting.
    pub struct Held, 40 bytes {
        /// Level: packets that wait.
        [0] waiting: u64,
        /// Level: bytes of those.
        [8] waiting_bytes: u64,
        /// Packets that ever waited.
        [16] total: u64,
        /// Packets released with an owner.
        [24] attributed: u64,
        /// Packets released without one; the reasons are in [`Statistics::unattributed`].
        [32] unattributed: u64,
    }
}

layout! {
    /// What the reader that asks got. For each kind, received = delivered + dropped + filtered + queued.
    pub struct ReaderStatistics, 176 bytes {
        /// The reader's number, or [`NO_READER`]; then the rest is zero.
        [0] id: u64,
        /// When it was attached, nanoseconds since 1970-01-01 UTC.
        [8] attached: u64,
        /// Its ring buffer, bytes.
        [16] ring_bytes: u64,
        /// Blocks that the ring buffer holds at most.
        [24] ring_slots: u64,
        /// Bytes of blocks that may wait in it at most.
        [32] pinned_bytes: u64,
        /// Level: bytes of the blocks that wait in it.
        [40] queued_bytes: u64,
        /// Its snap length, bytes; 0: unlimited.
        [48] snap_length: u64,
        /// Blocks offered to it.
        [56] received: Counts,
        /// Blocks read to their end.
        [80] delivered: Counts,
        /// Blocks that found the ring buffer full.
        [104] dropped: Counts,
        /// Blocks that its filters left out: only ever packets.
        [128] filtered: Counts,
        /// Level: blocks that wait in the ring buffer.
        [152] queued: Counts,
    }
}

/// How many numbers [`Statistics::methods`] and [`Statistics::unattributed`] have room for. The rest is zero.
const KINDS: usize = 16;

layout! {
    /// Everything the queue manager counts, and what the reader that asks got. Numbers only grow, unless they say that
    /// they are a level.
    ///
    /// As a reply, 8 bytes come before it: u16 layout number, u16 length of all in bytes, u32 zero. A later version may
    /// append fields, which an older client does not look at.
    pub struct Statistics, 728 bytes {
        /// Version of the service: major, minor, micro, build.
        [0] version: [u16; 4],
        /// When this was taken, nanoseconds since 1970-01-01 UTC.
        [8] now: u64,
        /// How long the service has been loaded, nanoseconds.
        [16] loaded: u64,
        /// How long at least one reader was attached, nanoseconds.
        [24] logging: u64,
        /// Level: readers attached.
        [32] readers: u64,
        /// Readers attached ever.
        [40] readers_total: u64,
        /// Ring buffer of readers that attach from now on, bytes.
        [48] ring_bytes: u64,
        /// Longest snap length of any reader, bytes; 0: unlimited.
        [56] max_snap_length: u64,
        /// Events that the queue manager got.
        [64] received: Counts,
        /// Bytes on the wire of the packets among them.
        [88] packet_bytes: u64,
        /// Level: running processes.
        [96] processes: u64,
        /// Process start events.
        [104] process_starts: u64,
        /// Process end events.
        [112] process_ends: u64,
        /// Level: open connections.
        [120] connections: u64,
        /// Connection open events.
        [128] connection_opens: u64,
        /// Connection close events; may be more than open events.
        [136] connection_closes: u64,
        /// Events lost before the queue manager saw them.
        [144] dropped_by_source: Counts,
        /// Events that the queue manager could not record: no memory, or a full table.
        [168] lost: Counts,
        /// Events that said nothing new.
        [192] ignored: Counts,
        /// Packets recorded with a connection of which no open event could be recorded.
        [216] unopened: u64,
        /// Packets that waited for the owner of their connection.
        [224] held: Held,
        /// Packets with a process, by how it is known: each at the number of its [`Attribution`].
        [264] methods: [u64; KINDS],
        /// Packets without a process, by the reason: each at the number of its [`Unattributed`].
        [392] unattributed: [u64; KINDS],
        /// Level: blocks in memory.
        [520] blocks: u64,
        /// Level: bytes of blocks in memory.
        [528] block_bytes: u64,
        /// Most bytes of blocks in memory that there may be.
        [536] max_block_bytes: u64,
        /// What the reader that asks got.
        [544] reader: ReaderStatistics,
        /// How the sensor learns who uses a socket: the number of a [`Mechanism`].
        [720] mechanism: u64,
    }
}

numbered! {
    /// How a packet's process is known.
    pub enum Attribution, 10 {
        /// The packet was seen while its process was running in the system call that sent or received it.
        CurrentTask = "current task",
        /// The process that last sent on the packet's socket.
        LastSender = "last sender",
        /// The process that last received from the packet's socket.
        LastReceiver = "last receiver",
        /// The process that created the socket.
        Creator = "creator",
        /// The process that accepted the socket.
        Accepted = "acceptor",
        /// The process whose listening socket the packet arrived at.
        Listener = "listener",
        /// The owner of the packet's connection, from its open event.
        Connection = "connection",
        /// The owner of the packet's connection, from the list of open connections.
        Listed = "open-connection list",
        /// The process that was seen to read this very packet.
        Reader = "reader",
        /// The process that wrote the packet's first byte.
        Writer = "writer",
    }
}

numbered! {
    /// Why a packet has no process.
    pub enum Unattributed, 9 {
        /// The kernel itself sends or consumes it.
        Kernel = "kernel",
        /// No socket of this host belongs to it.
        NoSocket = "no socket",
        /// It has a socket, of which no user has been seen.
        UnknownSocket = "unknown socket",
        /// It has a socket, and nobody named the user while the packet waited for that.
        HoldExpired = "hold expired",
        /// The same, but it could not wait for its time: others needed the room, or there was no memory.
        HoldFull = "hold full",
        /// Its connection has ended, and only the kernel remembers it.
        TimeWait = "time-wait",
        /// The host only passes it on.
        Forwarded = "forwarded",
        /// A firewall rule dropped it before it reached a socket.
        Filtered = "firewall",
        /// Several processes can use its socket, and none was seen to read it in time.
        Shared = "shared socket",
    }
}

numbered! {
    /// How the sensor learns who uses a socket.
    pub enum Mechanism, 4 {
        /// It does not say.
        Unknown = "unknown",
        /// Programs at the beginning of kernel functions, and tracepoints.
        Trampolines = "trampolines",
        /// Tracepoints only.
        Tracepoints = "tracepoints",
        /// The Windows Filtering Platform's callouts.
        Callouts = "callouts",
    }
}

impl Statistics {
    /// The layout number of the reply.
    pub const LAYOUT: u16 = 2;
    /// How long the reply is, bytes.
    pub const REPLY_LENGTH: usize = Self::HEAD + Self::BYTES;

    /// The bytes before the structure.
    const HEAD: usize = 8;

    /// The reply to [`Operation::GetStatistics2`].
    #[must_use]
    pub fn reply(&self) -> [u8; Self::REPLY_LENGTH] {
        let mut reply = [0; Self::REPLY_LENGTH];
        self.put_reply(&mut reply);
        reply
    }

    /// Writes the reply into exactly [`REPLY_LENGTH`](Self::REPLY_LENGTH) bytes, which are then all its own.
    pub(crate) fn put_reply(&self, reply: &mut [u8]) {
        const LENGTH: u16 = {
            let [.., high, low] = Statistics::REPLY_LENGTH.to_be_bytes();
            assert!(Statistics::REPLY_LENGTH <= u16::MAX as usize);
            u16::from_be_bytes([high, low])
        };
        let (head, body) = reply.split_at_mut(Self::HEAD);
        [Self::LAYOUT, LENGTH, 0, 0].put(head);
        self.put(body);
    }

    /// Reads the reply to [`Operation::GetStatistics2`].
    ///
    /// # Errors
    /// It is shorter than this structure or than it says, or of another layout.
    pub fn parse(reply: &[u8]) -> Result<Self, ReplyError> {
        let operation = Operation::GetStatistics2;
        let length = reply.len();
        let too_short = |minimum| ReplyError::Length { operation, length, minimum };
        let Some(&[layout_low, layout_high, length_low, length_high]) = reply.first_chunk() else {
            return Err(too_short(Self::REPLY_LENGTH));
        };
        let layout = u16::from_le_bytes([layout_low, layout_high]);
        if layout != Self::LAYOUT {
            return Err(ReplyError::Layout { operation, layout, known: Self::LAYOUT });
        }
        let says = usize::from(u16::from_le_bytes([length_low, length_high]));
        let minimum = says.max(Self::REPLY_LENGTH);
        if says < Self::REPLY_LENGTH || length < minimum {
            return Err(too_short(minimum));
        }
        Ok(Self::get(&reply[Self::HEAD..Self::REPLY_LENGTH]))
    }
}
