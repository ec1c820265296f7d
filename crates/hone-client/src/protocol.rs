//! The frames that go over the socket, in both directions: their numbers, layouts and bounds. Holds no state.
//!
//! ```text
//!  0          4      6      8          12
//!  ┌──────────┬──────┬──────┬──────────┬─────────────────┐
//!  │ length   │ kind │ code │ sequence │ payload ...     │   little-endian; length counts the payload alone
//!  └──────────┴──────┴──────┴──────────┴─────────────────┘
//! ```

use std::time::Duration;

use hone_api::limits::{MAX_FILTER_IDS, MAX_INPUT_BYTES};
use hone_api::{Operation, SnapLength};

/// The socket on which the service listens by default.
pub const SOCKET: &str = "/run/hone/hone.sock";
/// Bytes before the payload of a frame.
pub const HEADER_BYTES: usize = 12;
/// Most bytes in one [`Kind::Blocks`]. It is more than the largest block, so that each frame contains whole blocks.
pub const MAX_BLOCKS_BYTES: usize = 320 << 10;
/// Longest payload that a service sends in any frame.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;
/// Longest payload of a request with an unknown operation. Such a request is refused, and the connection goes on.
pub const MAX_UNKNOWN_BYTES: usize = 64 << 10;
/// Longest text of a refusal or an end.
pub const MAX_TEXT_BYTES: usize = 1024;

macro_rules! numbers {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum $name {
            $($(#[$of])* $variant = $number,)+
        }

        impl $name {
            /// Its number.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }
        }

        impl TryFrom<u16> for $name {
            type Error = u16;

            /// # Errors
            /// Returns the number itself if it is none of these.
            fn try_from(number: u16) -> Result<Self, u16> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    _ => Err(number),
                }
            }
        }
    };
}

numbers! {
    /// What a frame is.
    Kind {
        /// Service: the first frame. Payload: [`hone_api::ApiVersion`].
        Hello = 1,
        /// Service: a request is carried out. Code and sequence are the request's; payload: its output.
        Reply = 2,
        /// Service: a request, or the client, is refused. Code: [`Refusal`]; payload: why, and what to do, as text.
        Refusal = 3,
        /// Service: whole blocks of the stream.
        Blocks = 4,
        /// Service: the section up to the restart mark was sent completely.
        SectionEnd = 5,
        /// Service: the stream ends here, at the end of a section. Payload: the reason as text. The service then closes
        /// the connection.
        End = 6,
        /// Client: a request. Code: the operation's number; sequence: any number, repeated in the answer; payload: its
        /// input.
        Request = 16,
    }
}

numbers! {
    /// Why something is refused.
    Refusal {
        /// The frame itself is wrong. The service closes the connection.
        Frame = 1,
        /// No operation has this number.
        UnknownOperation = 2,
        /// The input has a wrong length or value.
        Input = 3,
        /// The operation needs an attached reader.
        NotAttached = 4,
        /// The connection is already attached.
        Attached = 5,
        /// No more readers, or connections, are accepted.
        TooMany = 6,
        /// There is no memory for it.
        NoMemory = 7,
        /// Not possible now: an earlier restart mark is not reached yet, or readers are attached.
        Busy = 8,
        /// The client is neither root nor a member of the group.
        Permission = 9,
        /// The operation has no meaning on this system.
        Unsupported = 10,
        /// The service is stopping.
        Stopping = 11,
        /// An error within the service.
        Fault = 12,
        /// The client took too long: a request did not arrive completely, or it asked for nothing for a long time. The
        /// service closes the connection.
        Timeout = 13,
    }
}

numbers! {
    /// The protocol's operations besides those of [`Operation`].
    Extra {
        /// Begins the stream. Input: [`Attach`]; output: u64, the reader's number.
        Attach = 0xB00,
        /// Ends the stream. No input, no output.
        Detach = 0xB01,
        // 0xB02 and 0xB03 are operations of every system: SetLogLevels and GetLogLevels.
        /// Output: [`MemoryRow`]s.
        GetMemory = 0xB04,
        /// Stops the service. Input: u32, 1: even while readers are attached, else 0.
        Stop = 0xB05,
        /// Sends what the flight recorder keeps: its segments as [`Kind::Blocks`], each with [`Kind::SectionEnd`] behind it. No
        /// input; output: [`KeptPart`].
        Save = 0xB06,
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// One of the operations that every system has.
    Control(Operation),
    /// One of the protocol's own.
    Extra(Extra),
}

impl Asked {
    /// The operation of this number.
    #[must_use]
    pub fn of(code: u16) -> Option<Self> {
        Operation::try_from(code)
            .map(Self::Control)
            .ok()
            .or_else(|| Extra::try_from(code).map(Self::Extra).ok())
    }

    /// The longest input of the operation, bytes.
    #[must_use]
    pub const fn max_input(self) -> usize {
        match self {
            Self::Control(Operation::SetOpenConnections | Operation::SetOpenConnections2) => MAX_INPUT_BYTES,
            Self::Control(_) => MAX_FILTER_IDS * 8,
            Self::Extra(_) => Attach::BYTES,
        }
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the payload, bytes.
    pub length: u32,
    /// The number of a [`Kind`].
    pub kind: u16,
    /// Its meaning depends on the kind.
    pub code: u16,
    /// The request's number, or 0 for frames that answer no request.
    pub sequence: u32,
}

impl Header {
    /// The head of a frame with this payload.
    ///
    /// # Panics
    /// The payload is longer than 4 GiB. No frame is.
    #[must_use]
    pub fn new(kind: Kind, code: u16, sequence: u32, payload: usize) -> Self {
        let length = u32::try_from(payload).expect("frames are far smaller than 4 GiB");
        Self { length, kind: kind.number(), code, sequence }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.code.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// The head of these bytes.
    #[must_use]
    pub const fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, l3, k0, k1, c0, c1, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            kind: u16::from_le_bytes([k0, k1]),
            code: u16::from_le_bytes([c0, c1]),
            sequence: u32::from_le_bytes([s0, s1, s2, s3]),
        }
    }
}

/// What a reader asks for: the input of [`Extra::Attach`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attach {
    /// How many bytes of each packet to keep.
    pub snap_length: SnapLength,
    /// Size of the ring buffer, bytes; 0: the service's default size.
    pub ring_bytes: u32,
}

impl Attach {
    /// Length of the input, bytes: u32 snap length, u32 ring bytes, u64 zero.
    pub const BYTES: usize = 16;

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.snap_length.number().to_le_bytes());
        bytes[4..8].copy_from_slice(&self.ring_bytes.to_le_bytes());
        bytes
    }

    /// Decodes the input.
    ///
    /// # Errors
    /// The length is not [`BYTES`](Self::BYTES), or the last 8 bytes are not zero. The text explains which.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Ok(bytes) = <&[u8; Self::BYTES]>::try_from(bytes) else {
            return Err(format!("attach: the input has {} bytes; allowed: {}", bytes.len(), Self::BYTES));
        };
        let [s0, s1, s2, s3, r0, r1, r2, r3, rest @ ..] = *bytes;
        if rest != [0; 8] {
            return Err("attach: the reserved field at byte 8 is not 0".to_owned());
        }
        let ring_bytes = u32::from_le_bytes([r0, r1, r2, r3]);
        Ok(Self { snap_length: SnapLength::lenient(u32::from_le_bytes([s0, s1, s2, s3])), ring_bytes })
    }
}

/// What is sent of the flight recorder: the output of [`Extra::Save`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptPart {
    /// How many segments are sent.
    pub segments: u32,
    /// When the oldest was begun, since 1970; `None`: the file system does not know it.
    pub began: Option<Duration>,
    /// Bytes of all segments when the save began.
    pub bytes: u64,
    /// What the recorder is to keep, in its own words.
    pub asked: Vec<u8>,
}

impl KeptPart {
    /// Bytes before `asked`: u32 segments, u32 zero, u64 nanoseconds (0: not known), u64 bytes.
    const HEAD: usize = 24;

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let began = self.began.and_then(|began| u64::try_from(began.as_nanos()).ok()).unwrap_or(0);
        let mut bytes = Vec::with_capacity(Self::HEAD + self.asked.len());
        bytes.extend(u64::from(self.segments).to_le_bytes());
        bytes.extend(began.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(&self.asked);
        bytes
    }

    /// Decodes the output; `None`: it is too short.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, asked) = bytes.split_at_checked(Self::HEAD)?;
        let long = |at: usize| head[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let segments = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let began = Some(long(8)).filter(|began| *began > 0).map(Duration::from_nanos);
        Some(Self { segments, began, bytes: long(16), asked: asked.to_vec() })
    }
}

/// Exactly one little-endian u32.
///
/// # Errors
/// The length is not 4 bytes. The text explains it.
pub fn number(what: &str, input: &[u8]) -> Result<u32, String> {
    match <[u8; 4]>::try_from(input) {
        Ok(bytes) => Ok(u32::from_le_bytes(bytes)),
        Err(_) => Err(format!("{what}: the input has {} bytes; allowed: 4", input.len())),
    }
}

numbers! {
    /// What memory is used for: the rows of the memory report.
    Component {
        /// All memory that the service has allocated. The other rows are parts of it, except the sensor's buffer.
        All = 0,
        /// Sensor: the ring buffer between kernel and service. Kernel memory.
        SensorBuffer = 1,
        /// Queue manager: blocks of packets, processes, connections and sections, each once.
        Blocks = 2,
        /// Queue manager: running processes.
        Processes = 3,
        /// Queue manager: open connections.
        Connections = 4,
        /// Queue manager: the readers' ring buffers.
        Rings = 5,
        /// Read interface: id lists kept until a connection attaches.
        IdLists = 6,
        /// Read interface: connections and their buffers.
        Links = 7,
        /// Read interface: requests that are being received or carried out.
        Requests = 8,
    }
}

impl Component {
    /// The module and the use, in words.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::All => ("service", "everything allocated"),
            Self::SensorBuffer => ("sensor", "ring buffer to the kernel"),
            Self::Blocks => ("queue manager", "block buffers"),
            Self::Processes => ("queue manager", "running processes"),
            Self::Connections => ("queue manager", "open connections"),
            Self::Rings => ("queue manager", "ring buffers"),
            Self::IdLists => ("read interface", "id lists"),
            Self::Links => ("read interface", "connections and their buffers"),
            Self::Requests => ("read interface", "requests on their way"),
        }
    }
}

/// One row of the memory report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRow {
    /// The number of a [`Component`]. A later service may have more of them.
    pub component: u16,
    /// How many objects of this kind there are now.
    pub count: u64,
    /// How many bytes they take; 0: counted in another row.
    pub bytes: u64,
}

impl MemoryRow {
    /// How long a row is: u16 component, 6 bytes zero, u64 count, u64 bytes.
    pub const BYTES: usize = 24;

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&self.component.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    /// The rows of a report. An incomplete row at the end is ignored.
    pub fn decode(report: &[u8]) -> impl Iterator<Item = Self> + '_ {
        report.chunks_exact(Self::BYTES).map(|row| {
            let long = |at: usize| row[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
            Self { component: u16::from_le_bytes([row[0], row[1]]), count: long(8), bytes: long(16) }
        })
    }
}
