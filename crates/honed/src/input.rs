//! Requests as they arrive, whatever pieces they come in. Owns the request that is being received; its payload grows
//! as bytes come, never because a length says so. Called by a connection's thread, without the lock.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use hone_reader::protocol::{Asked, HEADER_BYTES, Header, Kind, MAX_UNKNOWN_BYTES};

/// Bytes received at once.
const STEP: usize = 64 << 10;

/// What there is.
pub(crate) enum Received {
    /// A whole request; the payload is in [`Input::payload`]. The next one takes a new [`Input`].
    Request(Header),
    /// Nothing whole yet.
    Nothing,
    /// The client has closed the connection.
    Closed,
    /// Not a request. What follows cannot be understood.
    Bad { sequence: u32, text: String },
}

#[derive(Debug, Default)]
pub(crate) struct Input {
    head: [u8; HEADER_BYTES],
    /// Bytes of the head that are there.
    filled: usize,
    payload: Vec<u8>,
}

impl Input {
    /// The payload of the request that was received last.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Receives what there is, without waiting.
    pub(crate) fn receive(&mut self, socket: &mut UnixStream) -> io::Result<Received> {
        while self.filled < HEADER_BYTES {
            match socket.read(&mut self.head[self.filled..]) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => self.filled += count,
                Err(error) => return nothing(error),
            }
        }
        let header = Header::decode(&self.head);
        if header.kind != Kind::Request.number() {
            let text = format!(
                "a frame of kind {} at the start of a request; a client sends kind {} only",
                header.kind,
                Kind::Request.number()
            );
            return Ok(Received::Bad { sequence: header.sequence, text });
        }
        let most = Asked::of(header.code).map_or(MAX_UNKNOWN_BYTES, Asked::max_input);
        let Some(length) = usize::try_from(header.length).ok().filter(|length| *length <= most) else {
            let text =
                format!("operation {:#x}: an input of {} bytes; allowed: {most}", header.code, header.length);
            return Ok(Received::Bad { sequence: header.sequence, text });
        };
        while self.payload.len() < length {
            let start = self.payload.len();
            self.payload.resize(length.min(start + STEP), 0);
            let result = socket.read(&mut self.payload[start..]);
            self.payload.truncate(start + *result.as_ref().unwrap_or(&0));
            match result {
                Ok(0) => return Ok(Received::Closed),
                Ok(_) => {}
                Err(error) => return nothing(error),
            }
        }
        Ok(Received::Request(header))
    }
}

fn nothing(error: io::Error) -> io::Result<Received> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Received::Nothing),
        io::ErrorKind::ConnectionReset => Ok(Received::Closed),
        _ => Err(error),
    }
}
