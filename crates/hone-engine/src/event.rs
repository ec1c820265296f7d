//! The events that a sensor reports to the engine. Plain data, borrowed for one call.

pub use hone_pcapng::Corrected;
pub use hone_types::{ConnectionId, Direction, ExecutableHash, Method, Nanos, NoHash, NoOwner, ProcessKey};

/// A packet's process and how it is known, or why it has none.
pub type Attribution = Result<(ProcessKey, Method), NoOwner>;

/// What a held packet waits for: the later event that shows its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
    /// A process uses the connection, in any way except accepting it.
    Use,
    /// A process reads this datagram, or other data that one call reads as a whole. The number is the sensor's.
    Datagram(u64),
    /// A process reads the stream up to this sequence number, modulo 2^32.
    Stream(u32),
    /// A process accepts the connection that this packet's handshake opens. The number is the sensor's, for the
    /// handshake.
    Handshake(u64),
}

/// How the sensor saw a process use a connection. Reported only if packets may wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Used {
    /// It accepted the connection. It owns the packets that wait, unless another process is seen to read them.
    Accepted,
    /// It used the connection, and no other process can. It owns the packets that wait for a use or for being read.
    Alone,
    /// It used the connection in some other way. It owns only the packets that wait for [`Wait::Use`].
    Somehow,
    /// It read the datagram with this number.
    Datagram(u64),
    /// It read a datagram with an unknown number. Only the following is known.
    NextDatagram {
        /// All datagrams with a smaller number have been read by now, and this read took one of them.
        before: u64,
        /// Bytes that the call returned: the datagram's payload, or less if the caller had no room for more.
        length: u32,
    },
    /// It read the stream up to this sequence number, modulo 2^32.
    Stream(u32),
    /// It accepted the connection that was opened by the handshake with this number.
    Handshake(u64),
}

/// The owner of a packet, as far as the sensor knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The sensor knows the process.
    Process(ProcessKey, Method),
    /// The sensor knows that no process can be named, and the reason.
    None(NoOwner),
    /// The sensor does not know. The engine takes the owner of the packet's connection, else the process that the
    /// open-connection list names. If neither is known and the connection is open, the packet is held until one of them
    /// is, for at most [`Config::hold_time`](crate::Config::hold_time).
    Ask,
    /// A later event will show the owner. The packet is held for that event, for at most
    /// [`Config::hold_time`](crate::Config::hold_time). If the event does not come, or the packet cannot be held, the
    /// attribution is used.
    Wait(Wait, Attribution),
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was seen.
    pub at: Nanos,
    /// Its connection; `None`: it has none.
    pub connection: Option<ConnectionId>,
    /// The process that owns it, or how the engine is to find it.
    pub owner: Owner,
    /// Inbound or outbound, seen from this host.
    pub direction: Direction,
    /// `epb_flags` bits besides the direction (bits 0 and 1 are ignored).
    pub flags: u32,
    /// Bytes on the wire from the IP header on. Raised to the length of `data` if smaller.
    pub original_length: u32,
    /// The number that it has each of the two times that it is seen, if it is sent and received on a loopback interface;
    /// no other packet ever has it. Written only while a reader [asks for it](crate::Engine::set_packet_ids).
    pub packet_id: Option<u64>,
    /// The captured bytes, from the IP header on; may be shorter than `original_length`.
    /// At most [`MAX_PACKET_BYTES`](crate::MAX_PACKET_BYTES) of them are kept.
    pub data: &'a [u8],
}

/// What a process start reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartKind {
    /// The process executes a new image.
    Started,
    /// The process was forked from its parent and runs the parent's image.
    Forked,
    /// The process is a thread of the kernel.
    KernelThread,
    /// More is known of a process that was reported before. Fields that are `None` keep the values reported before.
    Supplemented,
}

/// A process started or executes a new image, or more is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStart<'a> {
    /// The process.
    pub process: ProcessKey,
    /// When it happened.
    pub at: Nanos,
    /// A start, a fork, a kernel thread, or more about a process that was reported before.
    pub kind: StartKind,
    /// The parent's process id. For a [`StartKind::Forked`] process, the engine copies fields below that are `None`
    /// from its parent, except the container, the unit, the namespaces and what says which
    /// program of the boot it is.
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
    /// The user's security identifier as a string (Windows).
    pub security_id: Option<&'a [u8]>,
    /// The command line before it is split into arguments (Windows).
    pub command_line: Option<&'a [u8]>,
    /// The id or the name of the container that it is in (Linux), UTF-8.
    pub container: Option<&'a [u8]>,
    /// The process's id in its own process id namespace; `None` also if that is the initial namespace (Linux).
    pub namespace_pid: Option<u32>,
    /// The inode number of its network namespace (Linux).
    pub network_namespace: Option<u32>,
    /// The systemd unit that it is in (Linux), UTF-8.
    pub unit: Option<&'a [u8]>,
    /// When it was forked, nanoseconds since the boot (Linux). An exec keeps it.
    pub born: Option<Nanos>,
    /// How many programs it, and before its fork its ancestors, have executed, as the kernel counts (Linux).
    pub executions: Option<u32>,
    /// The SHA-256 of the executable, or why it is not known; `None`: executables are not hashed.
    pub hash: Option<ExecutableHash>,
}

impl ProcessStart<'_> {
    /// A start with these three fields; every optional field is `None`.
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
            unit: None,
            born: None,
            executions: None,
            hash: None,
        }
    }
}

/// One event on the host. A sensor reports events in the order in which they happened, as nearly as it can.
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
    /// The hash of a process's executable is known now, or why it will not be. The process may have ended. Not counted.
    ProcessHashed {
        /// The process. It has not executed another program since it was reported.
        process: ProcessKey,
        /// The hash of the program that it runs, or ran when it ended.
        hash: ExecutableHash,
        /// When the sensor learned of it.
        at: Nanos,
    },
    /// A connection was opened, or another process became the owner of an open one.
    ConnectionOpened {
        /// The connection's id, unique while the connection is open.
        connection: ConnectionId,
        /// The process that owns it; `None`: not known.
        owner: Option<ProcessKey>,
        /// When it was opened.
        at: Nanos,
    },
    /// A connection was closed.
    ConnectionClosed {
        /// The connection.
        connection: ConnectionId,
        /// The process that closed it; `None`: the owner did.
        process: Option<ProcessKey>,
        /// When it was closed.
        at: Nanos,
    },
    /// A process used a connection, which may show the owner of held packets; see [`Owner::Wait`]. Not counted.
    ConnectionUsed {
        /// The connection.
        connection: ConnectionId,
        /// The process that used it.
        process: ProcessKey,
        /// How the process used it.
        used: Used,
        /// When the process used it.
        at: Nanos,
    },
    /// A datagram was dropped, so that no process will read it. Its packet may be held. Not counted.
    DatagramDropped {
        /// The datagram's connection.
        connection: ConnectionId,
        /// The sensor's number for the datagram: [`Wait::Datagram`].
        number: u64,
        /// When it was dropped.
        at: Nanos,
    },
    /// Packets that were reported before have another owner than was reported then, or none. Not counted.
    Corrected {
        /// The packets' connection.
        connection: ConnectionId,
        /// The packets' direction.
        direction: Direction,
        /// Which packets of that connection and direction; a time means [`Packet::at`].
        packets: Corrected,
        /// The right attribution.
        attribution: Attribution,
        /// When the sensor learned of it.
        at: Nanos,
    },
    /// A packet was sent or received.
    Packet(Packet<'a>),
    /// A hint, which changes nothing and is not counted: packets of these connections come next.
    ///
    /// With many connections, most of a packet's time is the wait for its connection's entry to come from memory. A sensor
    /// that has several packets at hand names all their connections first, so that these waits overlap. Some 16 to 64 at
    /// once are best.
    Expected(&'a [ConnectionId]),
}

impl Event<'_> {
    /// The event's time; 0 if it has none.
    #[must_use]
    pub const fn at(&self) -> Nanos {
        match self {
            Self::ProcessStarted(start) => start.at,
            Self::Packet(packet) => packet.at,
            Self::Expected(_) => 0,
            Self::ProcessEnded { at, .. }
            | Self::ProcessHashed { at, .. }
            | Self::ConnectionOpened { at, .. }
            | Self::ConnectionClosed { at, .. }
            | Self::ConnectionUsed { at, .. }
            | Self::Corrected { at, .. }
            | Self::DatagramDropped { at, .. } => *at,
        }
    }
}
