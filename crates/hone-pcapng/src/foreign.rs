//! How other tools write processes: Wireshark's process information, Apple's process blocks and the options of packets
//! that go with them. [`Reader`](crate::Reader) hands these blocks out as [`Block::Unknown`](crate::Block::Unknown), and
//! the options are in [`Packet::other`]; the functions here say what they hold.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::option::Options;
use crate::packet::PROCESS_THREAD;
use crate::{ByteOrder, Packet, ProcessThread, RawOption, ReadErrorKind};

/// Type code of the custom block, whose content depends on an enterprise number.
pub const CUSTOM: u32 = 0x0000_0BAD;
/// Type code of Apple's process block.
pub const APPLE_PROCESS: u32 = 0x8000_0001;

/// The enterprise number of Wireshark's custom blocks.
pub const WIRESHARK: u32 = 32_622;
/// The type of Wireshark's entry that describes a process.
pub const PROCESS_ENTRY: u32 = 3;
/// Option of a packet: its process among Apple's blocks, [`apple_process`].
pub const PACKET_APPLE_PROCESS: u16 = 0x8001;
/// Option of a packet: the process that it is for among Apple's blocks, [`apple_effective_process`].
pub const PACKET_APPLE_EFFECTIVE: u16 = 0x8003;

/// Options of a [`WiresharkProcess`].
pub mod entry {
    /// The name.
    pub const NAME: u16 = 2;
    /// The path of the executable.
    pub const PATH: u16 = 3;
    /// The command line.
    pub const ARGUMENTS: u16 = 4;
    /// The parent's process id.
    pub const PARENT: u16 = 5;
    /// The user id.
    pub const USER: u16 = 6;
    /// The name of the user.
    pub const USER_NAME: u16 = 7;
    /// The UUID of the executable.
    pub const UUID: u16 = 8;
    /// The start.
    pub const START: u16 = 9;
}

/// Option of an [`AppleProcess`]: its name.
pub const APPLE_NAME: u16 = 2;
/// Option of an [`AppleProcess`]: the UUID of its executable.
pub const APPLE_UUID: u16 = 4;

/// What is before the entry in the body: the enterprise number, the type and the length of the entry.
const ENTRY_OFFSET: usize = 12;

/// A process as Wireshark writes it, from version 5.0 on.
///
/// ```text
///  0            4            8            12           16             20           24        padded to 4
/// ┌────────────┬────────────┬────────────┬────────────┬──────────────┬────────────┬─────────┬────────┐
/// │ 0x00000BAD │ length     │ 32622      │ 3          │ entry length │ process id │ options │ length │
/// └────────────┴────────────┴────────────┴────────────┴──────────────┴────────────┴─────────┴────────┘
///   2 name   3 path   4 arguments   5 parent (u32)   6 user (u32)   7 user name   8 UUID (16 bytes)   9 start (u64)
/// ```
///
/// From the entry's type on everything is little endian, whatever the order of the section. From Wireshark's
/// `wiretap/pcapng-wireshark-custom.c`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WiresharkProcess<'a> {
    /// The process id.
    pub process: u32,
    /// The name, in UTF-8.
    pub name: Option<Cow<'a, [u8]>>,
    /// The path of the executable, in UTF-8.
    pub path: Option<Cow<'a, [u8]>>,
    /// The command line, with NUL between two arguments.
    pub arguments: Option<Cow<'a, [u8]>>,
    /// The process id of the parent.
    pub parent: Option<u32>,
    /// The user id.
    pub user: Option<u32>,
    /// The name of the user, in UTF-8.
    pub user_name: Option<Cow<'a, [u8]>>,
    /// The UUID of the executable.
    pub uuid: Option<[u8; 16]>,
    /// When the process started, or ran another program, in nanoseconds since 1970-01-01 UTC. Tells apart processes
    /// that had the same id.
    pub start: Option<u64>,
    /// Comments (code 1), unknown and repeated options. Their values are little endian.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> WiresharkProcess<'a> {
    /// Parses the body of a [`CUSTOM`] block: what is between the two lengths. `None`: it is another tool's, or
    /// describes no process.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Option<Self>, ReadErrorKind> {
        let ([enterprise], content) = order.take_words(body)?;
        if enterprise != WIRESHARK {
            return Ok(None);
        }
        let ([kind, length], content) = ByteOrder::Little.take_words(content)?;
        if kind != PROCESS_ENTRY {
            return Ok(None);
        }
        let minimum = ENTRY_OFFSET.saturating_add(length as usize);
        let (Some(content), Some(before_padding)) = (content.get(..length as usize), body.get(..minimum))
        else {
            return Err(ReadErrorKind::BodyTooShort { length: body.len(), minimum });
        };
        let ([process], options) = ByteOrder::Little.take_words(content)?;
        let mut found = Self { process, ..Self::default() };
        for option in Options::new(options, before_padding, ByteOrder::Little) {
            let option = option?;
            match option.code {
                entry::NAME if found.name.is_none() => found.name = Some(option.bytes()),
                entry::PATH if found.path.is_none() => found.path = Some(option.bytes()),
                entry::ARGUMENTS if found.arguments.is_none() => found.arguments = Some(option.bytes()),
                entry::PARENT if found.parent.is_none() => found.parent = Some(option.u32()?),
                entry::USER if found.user.is_none() => found.user = Some(option.u32()?),
                entry::USER_NAME if found.user_name.is_none() => found.user_name = Some(option.bytes()),
                entry::UUID if found.uuid.is_none() => {
                    found.uuid = Some(option.value.try_into().map_err(|_| option.wrong_length())?);
                }
                entry::START if found.start.is_none() => found.start = Some(option.u64()?),
                _ => option.keep(&mut found.other)?,
            }
        }
        Ok(Some(found))
    }
}

/// A process as Apple's tools write it, block type [`APPLE_PROCESS`]. A packet names it by its position among the
/// section's blocks of this type: [`apple_process`].
///
/// ```text
///  0            4            8            12
/// ┌────────────┬────────────┬────────────┬─────────┬────────┐
/// │ 0x80000001 │ length     │ process id │ options │ length │
/// └────────────┴────────────┴────────────┴─────────┴────────┘
///   2 name   4 UUID (16 bytes)
/// ```
///
/// From Wireshark's `wiretap/pcapng-darwin.c`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AppleProcess<'a> {
    /// The process id.
    pub process: u32,
    /// The name, in UTF-8.
    pub name: Option<Cow<'a, [u8]>>,
    /// The UUID of the executable.
    pub uuid: Option<[u8; 16]>,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> AppleProcess<'a> {
    /// Parses a body: what is between the two lengths.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Self, ReadErrorKind> {
        let ([process], options) = order.take_words(body)?;
        let mut found = Self { process, ..Self::default() };
        for option in Options::new(options, body, order) {
            let option = option?;
            match option.code {
                APPLE_NAME if found.name.is_none() => found.name = Some(option.bytes()),
                APPLE_UUID if found.uuid.is_none() => {
                    found.uuid = Some(option.value.try_into().map_err(|_| option.wrong_length())?);
                }
                _ => option.keep(&mut found.other)?,
            }
        }
        Ok(found)
    }
}

/// Each process and thread that the packet's options 8 name, in their order. An option that is not 8 bytes long is
/// passed over. `order`: the section's byte order.
pub fn process_threads(packet: &Packet<'_>, order: ByteOrder) -> impl Iterator<Item = ProcessThread> {
    let more = packet.other.iter().filter(|option| option.code == PROCESS_THREAD);
    packet
        .process_thread
        .into_iter()
        .chain(more.filter_map(move |option| ProcessThread::parse(&option.value, order)))
}

/// The process of the packet, as the position of an [`AppleProcess`] in the section, from 0. `order`: the section's byte
/// order.
#[must_use]
pub fn apple_process(packet: &Packet<'_>, order: ByteOrder) -> Option<u32> {
    options(packet, order, PACKET_APPLE_PROCESS).next().map(|[index]| index)
}

/// The process that [`apple_process`] acts for, also as a position, if the packet names one.
#[must_use]
pub fn apple_effective_process(packet: &Packet<'_>, order: ByteOrder) -> Option<u32> {
    options(packet, order, PACKET_APPLE_EFFECTIVE).next().map(|[index]| index)
}

/// The packet's options of this code that hold exactly so many words.
fn options<const N: usize>(
    packet: &Packet<'_>,
    order: ByteOrder,
    code: u16,
) -> impl Iterator<Item = [u32; N]> {
    packet.other.iter().filter(move |option| option.code == code).filter_map(move |option| {
        match order.take_words(&option.value) {
            Ok((words, [])) => Some(words),
            _ => None,
        }
    })
}
