//! Messages of the control pipes, between Wireshark's toolbar and this program. extcap(4) does not have them; Wireshark's
//! Developer's Guide does (chapter "Extcap", "Control protocol"): `T`, the length of what follows the length in 3 bytes
//! (big-endian), the number of the control, the command, and its text.

use std::io::{self, Read};

/// Most bytes of a message's text, both ways: the guide has 65,535.
pub const MAX_TEXT: usize = 65_535;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Wireshark has sent the values of all controls.
    Initialized,
    /// The control's value; of a button: it was pressed.
    Set,
    /// Text is added to a log.
    Add,
    /// A text in the status bar.
    StatusBar,
    /// A window with a warning.
    Warning,
    /// A window with an error.
    Error,
    /// Another one.
    Other(u8),
}

impl Command {
    const fn number(self) -> u8 {
        match self {
            Self::Initialized => 0,
            Self::Set => 1,
            Self::Add => 2,
            Self::StatusBar => 6,
            Self::Warning => 8,
            Self::Error => 9,
            Self::Other(number) => number,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Initialized,
            1 => Self::Set,
            2 => Self::Add,
            6 => Self::StatusBar,
            8 => Self::Warning,
            9 => Self::Error,
            other => Self::Other(other),
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The number of the control.
    pub control: u8,
    /// What it says.
    pub command: Command,
    /// The text.
    pub text: String,
}

impl Message {
    /// The message in bytes. A text that is too long is cut at a character.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let text = &self.text[..self.text.floor_char_boundary(MAX_TEXT)];
        let length = u32::try_from(text.len() + 2).unwrap_or_default().to_be_bytes();
        let mut bytes = vec![b'T', length[1], length[2], length[3], self.control, self.command.number()];
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// Reads the next message; `None` at the end.
    ///
    /// # Errors
    /// The pipe fails, or this is no message.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut header = [0; 6];
        match from.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let [mark, length @ .., control, command] = header;
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
        if mark != b'T' || !(2..=MAX_TEXT + 2).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = vec![0; length - 2];
        from.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(Some(Self { control, command: Command::of(command), text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_byte_for_byte() {
        let bytes =
            |control, command, text: &str| Message { control, command, text: text.to_owned() }.bytes();
        assert_eq!(bytes(0, Command::Set, "ab"), b"T\0\0\x04\0\x01ab");
        assert_eq!(bytes(1, Command::Add, "x\n"), b"T\0\0\x04\x01\x02x\n");
        assert_eq!(bytes(0, Command::StatusBar, ""), b"T\0\0\x02\0\x06");
        assert_eq!(bytes(0, Command::Warning, "w"), b"T\0\0\x03\0\x08w");
        assert_eq!(bytes(0, Command::Error, "e"), b"T\0\0\x03\0\x09e");
        let long = bytes(0, Command::Set, &"é".repeat(40_000));
        assert_eq!((&long[..4], long.len()), (&b"T\x01\0\0"[..], 65_534 + 6));
    }

    #[test]
    fn what_wireshark_sends_is_read_to_its_end() {
        let mut pipe = &b"T\0\0\x02\x01\0T\0\0\x05\0\x01abcT\0\0\x02\x01\x07T\0"[..];
        let read = |pipe: &mut &[u8]| Message::read(pipe).unwrap();
        let message =
            |control, command, text: &str| Some(Message { control, command, text: text.to_owned() });
        assert_eq!(read(&mut pipe), message(1, Command::Initialized, ""));
        assert_eq!(read(&mut pipe), message(0, Command::Set, "abc"));
        assert_eq!(read(&mut pipe), message(1, Command::Other(7), ""));
        assert_eq!(read(&mut pipe), None);
        for wrong in [&b"X\0\0\x02\0\0"[..], b"T\0\0\x01\0\0", b"T\xff\xff\xff\0\0"] {
            assert!(Message::read(&mut &*wrong).is_err());
        }
    }
}
