//! How a packet's process is known, or why it has none: option 259 of a packet.

/// How a packet's process is known, or why it has none.
///
/// One byte on disk, its [`code`](Self::code): below 128 there is a process, from 128 on there is none. Hone's own; the
/// original sensors do not write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum How {
    /// The process was running in the system call that sent or received the packet.
    CurrentTask = 1,
    /// It sent last on the packet's socket.
    LastSender = 2,
    /// It received last from the packet's socket.
    LastReceiver = 3,
    /// It created the socket, and nobody has used it since.
    Creator = 4,
    /// It accepted the connection.
    Accepted = 5,
    /// It holds the listening socket; nobody has accepted the connection yet.
    Listener = 6,
    /// It is the owner of the connection, from an earlier connection event.
    Connection = 7,
    /// It is the owner of the connection in the list of open connections.
    Listed = 8,
    /// It was seen to take this packet's first byte out of the socket, afterwards.
    Reader = 9,
    /// It wrote the first byte of the packet, as the stream's sequence numbers tell.
    Writer = 10,
    /// The kernel itself sends or consumes the packet.
    Kernel = 128,
    /// No socket of this host takes the packet: a closed port.
    NoSocket = 129,
    /// It belongs to a connection that has ended and that only the kernel remembers.
    TimeWait = 130,
    /// This host only passes it on.
    Forwarded = 131,
    /// A firewall rule or another program of this host dropped it, on its way to or from a socket.
    Filtered = 132,
    /// It has a socket, of which no user has been seen.
    UnknownSocket = 133,
    /// Several processes can use its socket, and none was seen to read it in time.
    Shared = 134,
    /// It was to wait for its process to be seen, and there was no room for that.
    NoRoom = 135,
}

impl How {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 18] = [
        Self::CurrentTask,
        Self::LastSender,
        Self::LastReceiver,
        Self::Creator,
        Self::Accepted,
        Self::Listener,
        Self::Connection,
        Self::Listed,
        Self::Reader,
        Self::Writer,
        Self::Kernel,
        Self::NoSocket,
        Self::TimeWait,
        Self::Forwarded,
        Self::Filtered,
        Self::UnknownSocket,
        Self::Shared,
        Self::NoRoom,
    ];

    /// The byte in the file.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the byte in the file means; `None` where a later version wrote it.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|how| how.code() == code)
    }

    /// Whether there is a process.
    #[must_use]
    pub const fn has_process(self) -> bool {
        self.code() < Self::Kernel.code()
    }

    /// In words, for people; spaces between them.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::CurrentTask => "current task",
            Self::LastSender => "last sender",
            Self::LastReceiver => "last receiver",
            Self::Creator => "creator",
            Self::Accepted => "acceptor",
            Self::Listener => "listener",
            Self::Connection => "connection",
            Self::Listed => "open-connection list",
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Kernel => "kernel",
            Self::NoSocket => "no socket",
            Self::TimeWait => "time-wait",
            Self::Forwarded => "forwarded",
            Self::Filtered => "firewall",
            Self::UnknownSocket => "unknown socket",
            Self::Shared => "shared socket",
            Self::NoRoom => "no room to wait",
        }
    }
}
