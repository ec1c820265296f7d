//! A client that can do wrong: frames as bytes.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::traffic::{new_tag, send};

#[derive(Debug)]
pub(crate) struct Raw(pub(crate) UnixStream);

/// Kind, code and payload of a frame.
pub(crate) type Frame = (u16, u16, Vec<u8>);

impl Raw {
    /// Connects, and takes the hello.
    pub(crate) fn open(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("honed listens");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
        let mut raw = Self(socket);
        assert_eq!(raw.frame().map(|frame| frame.0), Some(1), "a hello comes first");
        raw
    }

    /// The next frame; `None`: honed has closed.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 12];
        self.0.read_exact(&mut head).ok()?;
        let word = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((word(4), word(6), payload))
    }

    pub(crate) fn send(&mut self, length: u32, kind: u16, code: u16, payload: &[u8]) {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(code.to_le_bytes());
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend(payload);
        // honed may have closed already.
        let _ = self.0.write_all(&bytes);
    }

    pub(crate) fn request(&mut self, code: u16, input: &[u8]) {
        self.send(u32::try_from(input.len()).expect("inputs are short"), 16, code, input);
    }

    pub(crate) fn attach(&mut self) {
        self.request(0xB00, &[0; 16]);
        let (kind, code, _) = self.answer_kind();
        assert_eq!((kind, code), (2, 0xB00));
    }

    /// The next answer, past the stream's frames.
    pub(crate) fn answer_kind(&mut self) -> Frame {
        loop {
            let frame = self.frame().expect("honed answers");
            if !matches!(frame.0, 4 | 5) {
                return frame;
            }
        }
    }

    /// Lets more come than the sockets hold.
    pub(crate) fn stall() {
        send(new_tag(), 2000, 1400);
        std::thread::sleep(crate::stream::SETTLE);
    }
}
