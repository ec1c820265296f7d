//! The control operations and their numbers.

use core::fmt::{self, Display, Formatter};

/// `FILE_DEVICE_UNKNOWN`, the device type of the original's control codes.
const DEVICE_TYPE: u32 = 0x22;

/// How the Windows I/O manager hands over a control operation's buffers: the two lowest bits of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// `METHOD_BUFFERED`: through one kernel buffer, which holds the input, then the output.
    Buffered = 0,
    /// `METHOD_NEITHER`: no buffers, only the caller's addresses, which nobody has checked. The one operation of this
    /// kind has neither input nor output, so the driver must not use these addresses.
    Neither = 3,
}

/// What a handle must have been opened for: bits 14 and 15 of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `FILE_READ_ACCESS`.
    Read = 1,
    /// `FILE_READ_ACCESS | FILE_WRITE_ACCESS`.
    ReadWrite = 3,
}

/// A Windows I/O control code: device type, access, function and method, combined as by the macro `CTL_CODE`.
///
/// ```text
/// 31          16 15   14 13         2 1      0
/// ┌─────────────┬───────┬────────────┬────────┐
/// │ device type │ access│ function   │ method │
/// └─────────────┴───────┴────────────┴────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControlCode(pub u32);

impl ControlCode {
    const fn new(function: u16, access: Access, transfer: Transfer) -> Self {
        assert!(function < 1 << 12, "a function has 12 bits");
        Self(DEVICE_TYPE << 16 | (access as u32) << 14 | (function as u32) << 2 | transfer as u32)
    }
}

/// A number that names no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownOperation(pub u32);

impl Display for UnknownOperation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} is not an operation of Hone", self.0)
    }
}

impl core::error::Error for UnknownOperation {}

macro_rules! operations {
    ($($(#[$about:meta])* $operation:ident = $number:literal, $access:ident, $transfer:ident, $name:literal,)+) => {
        /// An operation that a reader can request. Its number is the function number of its Windows control code, and
        /// also its number in the Linux protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum Operation {
            $($(#[$about])* $operation = $number,)+
        }

        impl Operation {
            /// All of them, the original's first.
            pub const ALL: &'static [Self] = &[$(Self::$operation,)+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name,)+
                }
            }

            /// Its Windows control code.
            #[must_use]
            pub const fn control_code(self) -> ControlCode {
                match self {
                    $(Self::$operation => {
                        const { ControlCode::new($number, Access::$access, Transfer::$transfer) }
                    })+
                }
            }

            /// How Windows hands over its buffers.
            #[must_use]
            pub const fn transfer(self) -> Transfer {
                match self {
                    $(Self::$operation => Transfer::$transfer,)+
                }
            }
        }

        impl TryFrom<u16> for Operation {
            type Error = UnknownOperation;

            /// # Errors
            /// No operation has this number.
            fn try_from(number: u16) -> Result<Self, UnknownOperation> {
                Ok(match number {
                    $($number => Self::$operation,)+
                    _ => return Err(UnknownOperation(number.into())),
                })
            }
        }
    };
}

operations! {
    /// Ends the reader's section after the current block. No input, no output.
    MarkRestart = 0x800, ReadWrite, Neither, "IOCTL_HONE_MARK_RESTART",
    /// Leaves out the packets of these connections. Input: any number of u32; an empty list turns the filter off.
    FilterConnections = 0x801, ReadWrite, Buffered, "IOCTL_HONE_FILTER_CONNECTIONS",
    /// Leaves out the packets of these processes. Input: any number of u32; an empty list turns the filter off.
    FilterProcesses = 0x802, ReadWrite, Buffered, "IOCTL_HONE_FILTER_PROCESSES",
    /// Sets how many bytes of each packet are kept at most. Input: u32, 0: all.
    SetSnapLength = 0x803, ReadWrite, Buffered, "IOCTL_HONE_SET_SNAP_LENGTH",
    /// Output: the reader's snap length, u32.
    GetSnapLength = 0x804, Read, Buffered, "IOCTL_HONE_GET_SNAP_LENGTH",
    /// Sets the event that is signaled when an empty queue gets a block, for a 32-bit program. Input: u32 handle, 0:
    /// none.
    SetDataEvent32 = 0x805, ReadWrite, Buffered, "IOCTL_HONE_SET_DATA_EVENT_32",
    /// The same for a 64-bit program. Input: u64 handle, 0: none.
    SetDataEvent64 = 0xC05, ReadWrite, Buffered, "IOCTL_HONE_SET_DATA_EVENT_64",
    /// Replaces the list of open connections. Input: u32 count, then so many [`OriginalConnection`](crate::OriginalConnection)s.
    SetOpenConnections = 0x806, ReadWrite, Buffered, "IOCTL_HONE_SET_OPEN_CONNECTIONS",
    /// Output: [`OriginalStatistics`](crate::OriginalStatistics).
    GetStatistics = 0x807, Read, Buffered, "IOCTL_HONE_GET_STATISTICS",

    /// Output: [`ApiVersion`](crate::ApiVersion).
    GetVersion = 0x900, Read, Buffered, "IOCTL_HONE_GET_VERSION",
    /// As [`FilterConnections`](Self::FilterConnections), with 64-bit ids. Input: any number of u64; an empty list
    /// turns the filter off.
    FilterConnections64 = 0x901, ReadWrite, Buffered, "IOCTL_HONE_FILTER_CONNECTIONS_64",
    /// Keeps only the packets of these connections. Input: any number of u64; an empty list turns the filter off.
    IncludeConnections64 = 0x902, ReadWrite, Buffered, "IOCTL_HONE_INCLUDE_CONNECTIONS_64",
    /// Keeps only the packets of these processes. Input: any number of u32; an empty list turns the filter off.
    IncludeProcesses = 0x903, ReadWrite, Buffered, "IOCTL_HONE_INCLUDE_PROCESSES",
    /// Sets the ring buffer of readers that attach from now on. Input: u32 bytes.
    SetRingBytes = 0x904, ReadWrite, Buffered, "IOCTL_HONE_SET_RING_BYTES",
    /// Replaces the list of open connections. Input: u32 count, then so many [`ConnectionRecord`](crate::ConnectionRecord)s.
    SetOpenConnections2 = 0x905, ReadWrite, Buffered, "IOCTL_HONE_SET_OPEN_CONNECTIONS_2",
    /// Output: [`Statistics`](crate::Statistics).
    GetStatistics2 = 0x906, Read, Buffered, "IOCTL_HONE_GET_STATISTICS_2",
    /// Keeps only the packets that words about processes and packets select. Input: the text form of `hone-select`, at
    /// most [`MAX_SELECTION_INPUT`](crate::limits::MAX_SELECTION_INPUT) bytes; nothing: all packets.
    SetSelection = 0x907, ReadWrite, Buffered, "IOCTL_HONE_SET_SELECTION",
    /// Sets whether packets that are seen twice, as they are sent and as they are received over a loopback interface, have the
    /// same packet id both times (`epb_packetid`). Input: u32, 1: they have, 0: no more for this reader. Linux only: the
    /// driver of Windows takes it, and numbers nothing.
    SetPacketIds = 0x908, ReadWrite, Buffered, "IOCTL_HONE_SET_PACKET_IDS",
    /// Sets which messages the service writes. Input: u32, a mask of [`LogLevels`](crate::LogLevels).
    SetLogLevels = 0xB02, ReadWrite, Buffered, "IOCTL_HONE_SET_LOG_LEVELS",
    /// Output: u32, a mask of [`LogLevels`](crate::LogLevels).
    GetLogLevels = 0xB03, Read, Buffered, "IOCTL_HONE_GET_LOG_LEVELS",
}

impl Operation {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether the original has this operation, too.
    #[must_use]
    pub const fn is_original(self) -> bool {
        !matches!(self.number(), 0x900..0xC00)
    }
}

impl TryFrom<ControlCode> for Operation {
    type Error = UnknownOperation;

    /// # Errors
    /// No operation has this code: its function is unknown, or the device type, access or method is wrong.
    fn try_from(code: ControlCode) -> Result<Self, UnknownOperation> {
        let [_, _, high, low] = code.0.to_be_bytes();
        let function = u16::from_be_bytes([high, low]) >> 2 & 0xFFF;
        Self::try_from(function)
            .ok()
            .filter(|operation| operation.control_code() == code)
            .ok_or(UnknownOperation(code.0))
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The original's codes as numbers. Compiled programs for the original contain them.
const _: () = {
    assert!(Operation::MarkRestart.control_code().0 == 0x0022_E003);
    assert!(Operation::FilterConnections.control_code().0 == 0x0022_E004);
    assert!(Operation::FilterProcesses.control_code().0 == 0x0022_E008);
    assert!(Operation::SetSnapLength.control_code().0 == 0x0022_E00C);
    assert!(Operation::GetSnapLength.control_code().0 == 0x0022_6010);
    assert!(Operation::SetDataEvent32.control_code().0 == 0x0022_E014);
    assert!(Operation::SetDataEvent64.control_code().0 == 0x0022_F014);
    assert!(Operation::SetOpenConnections.control_code().0 == 0x0022_E018);
    assert!(Operation::GetStatistics.control_code().0 == 0x0022_601C);
};
