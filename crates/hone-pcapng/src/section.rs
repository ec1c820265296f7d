//! The section header: where a stream begins, and where its numbering of interfaces begins anew.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::SECTION;
use crate::emit::{Layout, Sink, emits};
use crate::option::{OptionList, Options, ParsedOption};
use crate::{ByteOrder, RawOption, ReadErrorKind};

/// The magic number that shows the byte order of the section.
pub(crate) const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
/// Where the magic is, in bytes from the block's beginning.
pub(crate) const BYTE_ORDER_MAGIC_OFFSET: usize = 8;
/// The section length that says "unknown": -1.
const UNKNOWN_LENGTH: u64 = u64::MAX;

/// Option codes. 257 and 258 are Hone's own.
const HARDWARE: u16 = 2;
const OS: u16 = 3;
const APPLICATION: u16 = 4;
const HOST: u16 = 257;
const BOOT: u16 = 258;

/// First byte of option 257 when a name follows at once, and when a GUID follows three zero bytes.
const HOST_IS_NAME: u8 = 0;
const HOST_IS_GUID: u8 = 1;

/// Which machine recorded the section.
#[derive(Debug, PartialEq, Eq)]
pub enum HostId<'a> {
    /// A GUID, in the order of its bytes in the file. Emitted as 20 bytes.
    Guid([u8; 16]),
    /// A name. One of 15 bytes must have no control characters, or it is taken for a bare GUID when it is read.
    Name(Cow<'a, str>),
}

/// Section header block.
///
/// ```text
///  0            4            8            12     14     16                      24
/// ┌────────────┬────────────┬────────────┬──────┬──────┬───────────────────────┬─────────┬────────┐
/// │ 0x0A0D0D0A │ length     │ 0x1A2B3C4D │ 1    │ 0    │ section length or -1  │ options │ length │
/// └────────────┴────────────┴────────────┴──────┴──────┴───────────────────────┴─────────┴────────┘
///                                         major  minor
///
///   2 hardware   3 OS   4 application   257 machine identity:
///        16 bytes                      GUID
///        1, 0, 0, 0, then 16 bytes     GUID
///        0, then the rest              name in UTF-8
///   258 boot: 16 bytes
/// ```
///
/// From the IETF draft, section "Section Header Block"; option 257 from the Hone format description; option 258 is this project's own.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// The hardware, such as `64-bit x86 server`.
    pub hardware: Option<Cow<'a, [u8]>>,
    /// The operating system, as `uname` reports it on Linux.
    pub os: Option<Cow<'a, [u8]>>,
    /// The program that wrote the section, such as `Hone 1.0`.
    pub application: Option<Cow<'a, [u8]>>,
    /// The machine that recorded the section. A form that this crate does not know is kept in `other`.
    pub host: Option<HostId<'a>>,
    /// (Linux) The id of the machine's boot, a UUID in the order of its bytes: connection ids are unique within a boot. A
    /// value of another length is kept in `other`.
    pub boot: Option<[u8; 16]>,
    /// The bytes that follow the section header up to the section's end; `None`, written as -1, when unknown.
    pub section_length: Option<u64>,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> Section<'a> {
    /// Parses a body: what is between the two lengths.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: the magic in this byte order, the version, a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Self, ReadErrorKind> {
        let ([magic, version, length @ ..], rest) = order.take_words::<4>(body)?;
        if magic != BYTE_ORDER_MAGIC {
            return Err(ReadErrorKind::ByteOrderMagic(u32::from_le_bytes(order.bytes(magic))));
        }
        // The draft: some writers say 1.2, and readers must take it for 1.0.
        match order.unpair(version) {
            (1, 0 | 2) => {}
            (major, minor) => return Err(ReadErrorKind::Version { major, minor }),
        }
        let length = order.unwide(length);
        let mut section =
            Self { section_length: (length != UNKNOWN_LENGTH).then_some(length), ..Self::default() };
        for option in Options::new(rest, body, order) {
            let option = option?;
            match option.code {
                HARDWARE if section.hardware.is_none() => section.hardware = Some(option.bytes()),
                OS if section.os.is_none() => section.os = Some(option.bytes()),
                APPLICATION if section.application.is_none() => section.application = Some(option.bytes()),
                HOST if section.host.is_none() => match parse_host(option)? {
                    Some(host) => section.host = Some(host),
                    None => option.keep(&mut section.other)?,
                },
                BOOT if section.boot.is_none() => match option.value.try_into() {
                    Ok(boot) => section.boot = Some(boot),
                    Err(_) => option.keep(&mut section.other)?,
                },
                _ => option.keep(&mut section.other)?,
            }
        }
        Ok(section)
    }
}

/// The machine identity in any of its forms; `None` when it is none of them.
fn parse_host(option: ParsedOption<'_>) -> Result<Option<HostId<'_>>, ReadErrorKind> {
    let name = |bytes| core::str::from_utf8(bytes).ok().map(|name| HostId::Name(Cow::Borrowed(name)));
    // 16 bytes are a bare GUID, unless they are a zero and 15 printable characters: one random GUID in 256 begins with
    // a zero, but hardly any goes on as text.
    if let Ok(guid) = <[u8; 16]>::try_from(option.value) {
        let printable = |text: &Cow<'_, str>| !text.chars().any(char::is_control);
        return Ok(Some(match option.value {
            [HOST_IS_NAME, rest @ ..] => match name(rest) {
                Some(HostId::Name(text)) if printable(&text) => HostId::Name(text),
                _ => HostId::Guid(guid),
            },
            _ => HostId::Guid(guid),
        }));
    }
    match option.value {
        [] => Err(option.wrong_length()),
        [HOST_IS_NAME, rest @ ..] => Ok(name(rest)),
        [HOST_IS_GUID, 0, 0, 0, guid @ ..] => match guid.try_into() {
            Ok(guid) => Ok(Some(HostId::Guid(guid))),
            Err(_) => Err(option.wrong_length()),
        },
        _ => Ok(None),
    }
}

impl Layout for Section<'_> {
    const NAME: &'static str = "section header";

    fn kind(&self) -> u32 {
        SECTION
    }

    fn body(&self, sink: &mut impl Sink) {
        let order = sink.order();
        let [first, second] = order.wide(self.section_length.unwrap_or(UNKNOWN_LENGTH));
        sink.words([BYTE_ORDER_MAGIC, order.pair(1, 0), first, second]);
        let mut options = OptionList::new(sink);
        options.bytes(HARDWARE, "hardware", self.hardware.as_deref());
        options.bytes(OS, "operating system", self.os.as_deref());
        options.bytes(APPLICATION, "application", self.application.as_deref());
        match &self.host {
            Some(HostId::Guid(guid)) => options.parts(HOST, "host", [&[HOST_IS_GUID, 0, 0, 0], guid]),
            Some(HostId::Name(name)) => options.parts(HOST, "host name", [&[HOST_IS_NAME], name.as_bytes()]),
            None => {}
        }
        options.bytes(BOOT, "boot", self.boot.as_ref().map(|boot| &boot[..]));
        options.finish(&self.other);
    }
}

emits!(Section);
