//! Assembles frames from pieces of any size. Owns the head of the frame that is being received.
//! [`Connection`](crate::Connection) calls it and owns the socket.

use std::io::{self, IoSliceMut, Read as _};
use std::os::unix::net::UnixStream;

use crate::error::ReaderError;
use crate::protocol::{HEADER_BYTES, Header, Kind, MAX_BLOCKS_BYTES, MAX_PAYLOAD_BYTES};

/// The result of a try to receive.
pub(crate) enum Got<T> {
    All(T),
    /// Nothing more is there now.
    Blocked,
}

/// The current position in the stream of frames.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    head: [u8; HEADER_BYTES],
    /// How many bytes of the next head have arrived.
    filled: usize,
    /// How many bytes of the current frame's payload have not arrived yet.
    left: usize,
}

impl Incoming {
    /// Bytes of the current frame that are still to come.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// Receives the next frame's head; the payload of the current one must have been received.
    pub(crate) fn head(&mut self, socket: &mut UnixStream) -> Result<Got<(Kind, Header)>, ReaderError> {
        debug_assert_eq!(self.left, 0);
        while self.filled < HEADER_BYTES {
            match some(socket.read(&mut self.head[self.filled..]))? {
                Got::All(count) => self.filled += count,
                Got::Blocked => return Ok(Got::Blocked),
            }
        }
        let header = Header::decode(&self.head);
        let kind = Kind::try_from(header.kind)
            .map_err(|kind| ReaderError::protocol(format!("a frame is of the unknown kind {kind}")))?;
        let most = if kind == Kind::Blocks { MAX_BLOCKS_BYTES } else { MAX_PAYLOAD_BYTES };
        match usize::try_from(header.length) {
            Ok(length) if length <= most => self.left = length,
            _ => {
                let what = format!("a frame says that it has {} bytes; allowed: {most}", header.length);
                return Err(ReaderError::protocol(what));
            }
        }
        self.filled = 0;
        Ok(Got::All((kind, header)))
    }

    /// Receives some of the current frame's payload, and the next head too if it comes at once.
    pub(crate) fn payload(
        &mut self,
        socket: &mut UnixStream,
        buffer: &mut [u8],
    ) -> Result<Got<usize>, ReaderError> {
        let wanted = buffer.len().min(self.left);
        let buffer = &mut buffer[..wanted];
        let result = if wanted == self.left {
            socket.read_vectored(&mut [IoSliceMut::new(buffer), IoSliceMut::new(&mut self.head)])
        } else {
            socket.read(buffer)
        };
        let Got::All(count) = some(result)? else { return Ok(Got::Blocked) };
        let taken = count.min(wanted);
        self.left -= taken;
        self.filled = count - taken;
        Ok(Got::All(taken))
    }
}

fn some(result: io::Result<usize>) -> Result<Got<usize>, ReaderError> {
    match result {
        Ok(0) => Err(ReaderError::Lost),
        Ok(count) => Ok(Got::All(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Got::Blocked),
            _ => Err(ReaderError::io("cannot read from honed's socket")(error)),
        },
    }
}
