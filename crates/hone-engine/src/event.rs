//! What a sensor tells the engine. Plain data, borrowed for the length of one call; holds no state and no lock.

pub use hone_pcapng::Corrected;
pub use hone_types::{ConnectionId, Direction, Method, Nanos, NoOwner, ProcessKey};

/// A packet's process and how it is known, or why it has none.
pub type Attribution = Result<(ProcessKey, Method), NoOwner>;

/// What shows whose a packet is, after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
    /// That the connection is somebody's: [`Used::Alone`], or any other use.
    Use,
    /// That somebody reads this datagram, or other data that is read as one: the sensor's number for it.
    Datagram(u64),
    /// That somebody reads the stream up to this sequence number, modulo 2^32.
    Stream(u32),
    /// That somebody accepts the connection of whose handshake it is: the sensor's number for it.
    Handshake(u64),
}

/// What the sensor saw a process do with a connection, if packets may wait for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Used {
    /// It accepted the connection: packets that wait are its own, unless somebody else is seen to read them.
    Accepted,
    /// It is the only one that can use the connection, and uses it: all packets that wait are its own.
    Alone,
    /// It used it, for whatever: only what waits for [`Wait::Use`] is its own.
    Somehow,
    /// It read this datagram.
    Datagram(u64),
    /// It read a datagram, and only this is known of it.
    NextDatagram {
        /// It came before the datagram with this number, as all have been read that did.
        before: u64,
        /// Bytes that the call returned: the datagram's payload, or less if the caller had no room for more.
        length: u32,
    },
    /// It read the stream up to this sequence number, modulo 2^32.
    Stream(u32),
    /// It accepted the connection with this handshake.
    Handshake(u64),
}

/// Whose packet it is, as far as the sensor knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The sensor knows the process.
    Process(ProcessKey, Method),
    /// The sensor knows that there is none to name, and why.
    None(NoOwner),
    /// The sensor does not say: the owner of the packet's connection is used, else the process that the open-connection
    /// list names. If there is neither and the connection is open, the packet is held until one is named, for at most
    /// [`Config::hold_time`](crate::Config::hold_time).
    Ask,
    /// What happens next will show it: the packet is held for that, for at most
    /// [`Config::hold_time`](crate::Config::hold_time). If it does not happen, or the packet cannot be held, the second
    /// part is used.
    Wait(Wait, Attribution),
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was seen.
    pub at: Nanos,
    /// Its connection, where it has one.
    pub connection: Option<ConnectionId>,
    /// Its process.
    pub owner: Owner,
    /// Which way it goes.
    pub direction: Direction,
    /// `epb_flags` bits besides the direction (bits 0 and 1 are ignored).
    pub flags: u32,
    /// Bytes on the wire from the IP header on. Raised to the length of `data` if smaller.
    pub original_length: u32,
    /// What was captured, from the IP header on; may be shorter than `original_length`.
    /// At most [`MAX_PACKET_BYTES`](crate::MAX_PACKET_BYTES) of it are kept.
    pub data: &'a [u8],
}

/// How a process came to be what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartKind {
    /// It executes a new image.
    Started,
    /// It was forked off its parent and runs the parent's image.
    Forked,
    /// It is a thread of the kernel.
    KernelThread,
    /// It was started as told before, and more of it is known now. What it does not say is as told before.
    Supplemented,
}

/// A process that starts, or starts over with a new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStart<'a> {
    /// The process.
    pub process: ProcessKey,
    /// When it happened.
    pub at: Nanos,
    /// How it came to be.
    pub kind: StartKind,
    /// The parent's process id. A [`StartKind::Forked`] process takes what is `None` below from its parent, but not what
    /// it is in: container and namespaces.
    pub parent: Option<u32>,
    /// Full path of the executable, UTF-8.
    pub path: Option<&'a [u8]>,
    /// The arguments, each followed by NUL.
    pub arguments: Option<&'a [u8]>,
    /// Effective user id.
    pub user: Option<u32>,
    /// Effective group id.
    pub group: Option<u32>,
    /// Name of the user, UTF-8.
    pub user_name: Option<&'a [u8]>,
    /// Name of the group, UTF-8.
    pub group_name: Option<&'a [u8]>,
    /// Owner's security identifier as a string (Windows).
    pub security_id: Option<&'a [u8]>,
    /// The command line before it is split into arguments (Windows).
    pub command_line: Option<&'a [u8]>,
    /// The id or the name of the container that it is in (Linux), UTF-8.
    pub container: Option<&'a [u8]>,
    /// The process id in its own process id namespace, where that is not the initial one (Linux).
    pub namespace_pid: Option<u32>,
    /// The inode number of its network namespace (Linux).
    pub network_namespace: Option<u32>,
}

impl ProcessStart<'_> {
    /// A start of which nothing more is known: every optional field is `None`.
    #[must_use]
    pub const fn new(process: ProcessKey, at: Nanos, kind: StartKind) -> Self {
        Self {
            process,
            at,
            kind,
            parent: None,
            path: None,
            arguments: None,
            user: None,
            group: None,
            user_name: None,
            group_name: None,
            security_id: None,
            command_line: None,
            container: None,
            namespace_pid: None,
            network_namespace: None,
        }
    }
}

/// What happened on the host. A sensor hands events over in the order in which they happened, as nearly as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A process started, was forked, or executes a new image (the same [`ProcessKey`] again).
    ProcessStarted(ProcessStart<'a>),
    /// A process ended.
    ProcessEnded {
        /// The process.
        process: ProcessKey,
        /// When it ended.
        at: Nanos,
    },
    /// A connection was opened, or an open one was handed to another process.
    ConnectionOpened {
        /// The connection, unique while it is open.
        connection: ConnectionId,
        /// The process it belongs to, where known.
        owner: Option<ProcessKey>,
        /// When it was opened.
        at: Nanos,
    },
    /// A connection was closed.
    ConnectionClosed {
        /// The connection.
        connection: ConnectionId,
        /// The process that closed it; `None`: its owner.
        process: Option<ProcessKey>,
        /// When it was closed.
        at: Nanos,
    },
    /// A process was seen to use a connection for whose packets that matters; see [`Owner::Wait`]. Not counted.
    ConnectionUsed {
        /// The connection.
        connection: ConnectionId,
        /// Who used it.
        process: ProcessKey,
        /// What for.
        used: Used,
        /// When.
        at: Nanos,
    },
    /// A datagram that may wait was dropped, so that nobody will read it. Not counted.
    DatagramDropped {
        /// Its connection.
        connection: ConnectionId,
        /// Its number: [`Wait::Datagram`].
        number: u64,
        /// When.
        at: Nanos,
    },
    /// Packets that were handed over before are another process's than was said, or nobody's. Not counted.
    Corrected {
        /// Their connection.
        connection: ConnectionId,
        /// Which way they go.
        direction: Direction,
        /// Which of them; a time is that of [`Packet::at`].
        packets: Corrected,
        /// What is right.
        attribution: Attribution,
        /// When that showed.
        at: Nanos,
    },
    /// A packet was sent or received.
    Packet(Packet<'a>),
}

impl Event<'_> {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Nanos {
        match self {
            Self::ProcessStarted(start) => start.at,
            Self::Packet(packet) => packet.at,
            Self::ProcessEnded { at, .. }
            | Self::ConnectionOpened { at, .. }
            | Self::ConnectionClosed { at, .. }
            | Self::ConnectionUsed { at, .. }
            | Self::Corrected { at, .. }
            | Self::DatagramDropped { at, .. } => *at,
        }
    }
}
