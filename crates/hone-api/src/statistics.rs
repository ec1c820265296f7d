//! Statistics with everything Hone counts, in 64 bits.

use hone_types::{Mechanism, Method, NoOwner, PerKind, SnapLength};

use crate::layout::{Bytes, layout};
use crate::{Operation, ReplyError};

/// The [`ReaderStatistics::id`] of a client that is not a reader.
pub const NO_READER: u64 = u64::MAX;

layout! {
    /// Packets that were held until their owner was known: total = attributed + unattributed + waiting.
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
    /// What the requesting reader received. For each kind, received = delivered + dropped + filtered + queued.
    pub struct ReaderStatistics, 176 bytes {
        /// The reader's number, or [`NO_READER`]; then the rest is zero.
        [0] id: u64,
        /// When it was attached, nanoseconds since 1970-01-01 UTC.
        [8] attached: u64,
        /// Its ring buffer, bytes.
        [16] ring_bytes: u64,
        /// Most blocks that fit into the ring buffer.
        [24] ring_slots: u64,
        /// Most bytes of blocks that may wait in the ring buffer.
        [32] pinned_bytes: u64,
        /// Level: bytes of the blocks that wait in the ring buffer.
        [40] queued_bytes: u64,
        /// Its snap length.
        [48] snap_length: SnapLength,
        /// Blocks offered to it.
        [56] received: PerKind,
        /// Blocks that were read completely.
        [80] delivered: PerKind,
        /// Blocks dropped because the ring buffer was full.
        [104] dropped: PerKind,
        /// Blocks that its filters and its selection left out, in the kernel also. These are always packets.
        [128] filtered: PerKind,
        /// Level: blocks that wait in the ring buffer.
        [152] queued: PerKind,
    }
}

/// How many numbers [`Statistics::methods`] and [`Statistics::unattributed`] have room for. Unused ones are zero.
const KINDS: usize = 16;

layout! {
    /// Everything the queue manager counts, and what the requesting reader received. Numbers only grow, except those
    /// that are marked as a level.
    ///
    /// In a reply, 8 bytes precede it: u16 layout number, u16 length of the whole reply in bytes, u32 zero. A later
    /// version may append fields, which older clients ignore.
    pub struct Statistics, 736 bytes {
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
        /// Longest snap length of any reader.
        [56] max_snap_length: SnapLength,
        /// Events that the queue manager received.
        [64] received: PerKind,
        /// Bytes on the wire of the packets in `received`.
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
        /// Events lost before they reached the queue manager.
        [144] dropped_by_source: PerKind,
        /// Events that the queue manager could not record because there was no memory or a table was full.
        [168] lost: PerKind,
        /// Events that contained nothing new.
        [192] ignored: PerKind,
        /// Packets of connections whose open event could not be recorded.
        [216] unopened: u64,
        /// Packets that were held until the owner of their connection was known.
        [224] held: Held,
        /// Packets with a process, counted by how it was found: each at its [`Method::index`].
        [264] methods: [u64; KINDS],
        /// Packets without a process, counted by the reason: each at its [`NoOwner::index`].
        [392] unattributed: [u64; KINDS],
        /// Level: blocks in memory.
        [520] blocks: u64,
        /// Level: bytes of blocks in memory.
        [528] block_bytes: u64,
        /// Most bytes of blocks that may be in memory.
        [536] max_block_bytes: u64,
        /// What the requesting reader received.
        [544] reader: ReaderStatistics,
        /// How the sensor finds out which process uses a socket: [`mechanism_number`](Self::mechanism_number).
        [720] mechanism: u64,
        /// Packets that the sensor left out in the kernel, because no reader's selection wants them. They are not in
        /// `received`, but in each attached reader's `received` and `filtered`. Always 0 on Windows.
        [728] filtered_by_source: u64,
    }
}

impl Bytes for PerKind {
    const BYTES: usize = <[u64; 3]>::BYTES;

    fn put(&self, to: &mut [u8]) {
        [self.packets, self.processes, self.connections].put(to);
    }

    fn get(from: &[u8]) -> Self {
        let [packets, processes, connections] = Bytes::get(from);
        Self { packets, processes, connections }
    }
}

impl Statistics {
    /// How many packets were attributed by `method`.
    #[must_use]
    pub const fn attributed_by(&self, method: Method) -> u64 {
        self.methods[method.index()]
    }

    /// How many packets have no process for this reason.
    #[must_use]
    pub const fn without_owner(&self, reason: NoOwner) -> u64 {
        self.unattributed[reason.index()]
    }

    /// How the sensor finds out which process uses a socket; `None`: the service does not report it, or reports a way
    /// that only a later version knows.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .find(|&mechanism| Self::mechanism_number(Some(mechanism)) == self.mechanism)
    }

    /// The number in [`mechanism`](Self#structfield.mechanism).
    #[must_use]
    pub const fn mechanism_number(mechanism: Option<Mechanism>) -> u64 {
        match mechanism {
            None => 0,
            Some(Mechanism::Trampolines) => 1,
            Some(Mechanism::Tracepoints) => 2,
            Some(Mechanism::Callouts) => 3,
        }
    }

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

    /// Writes the reply into `reply`, which has exactly [`REPLY_LENGTH`](Self::REPLY_LENGTH) bytes. Overwrites all of
    /// them.
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
    /// The reply is shorter than this structure or than its own length field, or has another layout.
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
