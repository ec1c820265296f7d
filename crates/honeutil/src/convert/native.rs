//! Process blocks of other programs' formats.
//!
//! Wireshark's (from 5.0 on; `wiretap/pcapng-wireshark-custom.c`): a custom block of enterprise 32622 with an entry of type 3. The
//! entry is little-endian, whatever the section is.
//!
//! ```text
//!  0            4          8         12          16             20
//! ┌────────────┬──────────┬─────────┬───────────┬──────────────┬───────────────────────┬────────┐
//! │ 0x00000BAD │ length   │ 32622   │ 3         │ entry length │ process id, options   │ length │
//! └────────────┴──────────┴─────────┴───────────┴──────────────┴───────────────────────┴────────┘
//!   2 name   3 path   4 arguments, a NUL between them   5 parent (u32)   6 user (u32)   7 user name   9 start (u64 ns)
//! ```
//!
//! Apple's (Wireshark 4.6 on; `wiretap/pcapng.c`): block 0x80000001, a process id and option 2, its name, in the section's order.

use std::borrow::Cow;

use hone_pcapng::foreign::{
    APPLE_NAME, APPLE_PROCESS, AppleProcess, CUSTOM, PROCESS_ENTRY, WIRESHARK, WiresharkProcess, entry,
};
use hone_pcapng::{Block, ByteOrder, EmitError, ProcessEvent};

use super::lost::Lost;
use crate::show::processes::Process;

/// Longest option value; a multiple of 4 within 16 bits.
const MAX_VALUE: u16 = 65_532;

/// The process that a block of Wireshark or Apple describes; `None` if it is another block.
pub(super) fn described(kind: u32, body: &[u8], order: ByteOrder) -> Option<u32> {
    match kind {
        APPLE_PROCESS => AppleProcess::parse(body, order).ok().map(|found| found.process),
        CUSTOM => WiresharkProcess::parse(body, order).ok().flatten().map(|found| found.process),
        _ => None,
    }
}

/// Emits the block of Wireshark for a process. `event` started it or ran its program, if that was recorded.
pub(super) fn wireshark(
    pid: u32,
    process: &Process,
    event: Option<&ProcessEvent<'_>>,
    start: u64,
    order: ByteOrder,
    lost: &mut Lost,
) -> Result<Vec<u8>, EmitError> {
    let mut content = pid.to_le_bytes().to_vec();
    let mut option = |code: u16, value: &[u8]| {
        let length = u16::try_from(value.len()).unwrap_or(MAX_VALUE).min(MAX_VALUE);
        let cut = usize::from(length);
        lost.cut_values += u64::from(cut < value.len());
        content.extend(code.to_le_bytes());
        content.extend(length.to_le_bytes());
        content.extend(&value[..cut]);
        content.resize(content.len().next_multiple_of(4), 0);
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (name, path, user) = (text(process.name()), text(&process.path), text(&process.user_name));
    for (code, value) in [(entry::NAME, &name), (entry::PATH, &path)] {
        if !value.is_empty() {
            option(code, value.as_bytes());
        }
    }
    if let Some(event) = event {
        let arguments = event.arguments.as_deref().map(|all| all.strip_suffix(&[0]).unwrap_or(all));
        if let Some(arguments) = arguments.or(event.command_line.as_deref()) {
            option(entry::ARGUMENTS, text(arguments).as_bytes());
        }
        if let Some(parent) = event.parent {
            option(entry::PARENT, &parent.to_le_bytes());
        }
    }
    if let Some(user) = process.user {
        option(entry::USER, &user.to_le_bytes());
    }
    if !user.is_empty() {
        option(entry::USER_NAME, user.as_bytes());
    }
    if start > 0 {
        option(entry::START, &start.to_le_bytes());
    }
    option(0, &[]);
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let body =
        [&word(WIRESHARK, order)[..], &PROCESS_ENTRY.to_le_bytes(), &length.to_le_bytes(), &content].concat();
    emitted(CUSTOM, body, order)
}

/// Emits Apple's block for a process.
pub(super) fn apple(pid: u32, process: &Process, order: ByteOrder) -> Result<Vec<u8>, EmitError> {
    let name = String::from_utf8_lossy(process.name());
    let name = name.as_bytes();
    let half = |value: u16| match order {
        ByteOrder::Little => value.to_le_bytes(),
        ByteOrder::Big => value.to_be_bytes(),
    };
    let mut body = word(pid, order).to_vec();
    if !name.is_empty() {
        // No path is longer than 4096 bytes, as text three times as long at most.
        let length = u16::try_from(name.len()).unwrap_or(MAX_VALUE);
        let name = &name[..length.into()];
        body.extend([half(APPLE_NAME), half(length)].as_flattened());
        body.extend(name);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([0; 4]);
    }
    emitted(APPLE_PROCESS, body, order)
}

/// A number in the section's byte order.
pub(super) fn word(value: u32, order: ByteOrder) -> [u8; 4] {
    match order {
        ByteOrder::Little => value.to_le_bytes(),
        ByteOrder::Big => value.to_be_bytes(),
    }
}

fn emitted(kind: u32, body: Vec<u8>, order: ByteOrder) -> Result<Vec<u8>, EmitError> {
    let mut out = Vec::new();
    Block::Unknown { kind, body: Cow::Owned(body) }.emit(order, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of Wireshark's own test files, without the UUID, which Hone does not know.
    #[test]
    fn the_block_is_that_of_wiresharks_own_test_file() {
        let process = Process {
            path: b"/usr/bin/curl"[..].into(),
            user: Some(1000),
            user_name: b"alice".to_vec(),
            ..Process::default()
        };
        let event = ProcessEvent {
            arguments: Some(Cow::Borrowed(b"curl\0https://example.com/\0")),
            parent: Some(1),
            ..ProcessEvent::default()
        };
        let mut lost = Lost::default();
        let start = u64::from_le_bytes(*b"\0\0\x00\xfa\xed\x51\x72\x86");
        let entry = b"\xd2\x04\0\0\x02\0\x04\0curl\x03\0\x0d\0/usr/bin/curl\0\0\0\x04\0\x19\0curl\0https://example.com/\0\0\0\
            \x05\0\x04\0\x01\0\0\0\x06\0\x04\0\xe8\x03\0\0\x07\0\x05\0alice\0\0\0\x09\0\x08\0\0\0\0\xfa\xed\x51\x72\x86\0\0\0\0";
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let found = wireshark(1234, &process, Some(&event), start, order, &mut lost).unwrap();
            let total = u32::try_from(entry.len() + 24).unwrap();
            let head = [CUSTOM, total, WIRESHARK].map(|value| word(value, order)).concat();
            let entry_length = u32::try_from(entry.len()).unwrap().to_le_bytes();
            let expected =
                [&head[..], &3_u32.to_le_bytes(), &entry_length, entry, &word(total, order)].concat();
            assert_eq!(found, expected, "{order:?}");
            assert_eq!(described(CUSTOM, &found[8..found.len() - 4], order), Some(1234));
            for end in (0..found.len() - 12).step_by(4) {
                assert_eq!(described(CUSTOM, &found[8..8 + end], order), None, "cut off");
            }
        }
    }

    #[test]
    fn apples_block_is_in_the_order_of_its_section() {
        let process = Process { path: b"/bin/sh"[..].into(), ..Process::default() };
        assert_eq!(
            apple(0x0102, &process, ByteOrder::Little).unwrap(),
            b"\x01\0\0\x80\x1c\0\0\0\x02\x01\0\0\x02\0\x02\0sh\0\0\0\0\0\0\x1c\0\0\0"
        );
        assert_eq!(
            apple(0x0102, &process, ByteOrder::Big).unwrap(),
            b"\x80\0\0\x01\0\0\0\x1c\0\0\x01\x02\0\x02\0\x02sh\0\0\0\0\0\0\0\0\0\x1c"
        );
    }
}
