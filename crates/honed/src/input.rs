//! Requests as they arrive, in pieces of any size. Owns the request that is being received. Its payload grows with the
//! bytes that arrive; a length field alone reserves no memory. A request is refused as soon as its header has arrived,
//! and the rest of it is thrown away. Called by a connection's thread, without the lock.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use hone_client::Refusal;
use hone_client::protocol::{Asked, HEADER_BYTES, Header, Kind, MAX_UNKNOWN_BYTES};

use crate::places::Room;

/// Bytes received at once.
const STEP: usize = 64 << 10;
/// Bytes thrown away at once.
const SKIP: usize = 4 << 10;
/// Most pieces thrown away in a row before the thread does its other work.
const SKIPS: u32 = 64;

/// Why a request is refused, with advice what to do.
pub(crate) type Refused = (Refusal, String);

/// The result of a try to receive.
pub(crate) enum Received {
    /// A whole request; the payload is in [`Input::payload`]. The next one takes a new [`Input`].
    Request(Header),
    /// A request that is refused. The rest of it will be thrown away.
    Refused(Header, Refused),
    /// No complete request yet.
    Nothing,
    /// The client has closed the connection.
    Closed,
    /// The bytes are not a request, so what follows cannot be understood.
    Bad { sequence: u32, text: String },
}

#[derive(Debug, Default)]
pub(crate) struct Input {
    head: [u8; HEADER_BYTES],
    /// How many bytes of the head have arrived.
    filled: usize,
    payload: Vec<u8>,
    /// Memory reserved for the whole payload, once the head has arrived.
    room: Option<Room>,
    /// How many bytes of a refused request must still be thrown away.
    skip: usize,
    /// When the first bytes of the incomplete request arrived.
    began: Option<Instant>,
}

impl Input {
    /// The payload of the request that was received last.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Since when the current request has been arriving, and its number, if that is known.
    pub(crate) fn began(&self) -> Option<(Instant, u32)> {
        let sequence = if self.filled == HEADER_BYTES { Header::decode(&self.head).sequence } else { 0 };
        self.began.map(|began| (began, sequence))
    }

    /// Receives the bytes that are there, without waiting. Calls `admit` once for each request, with its operation and
    /// length.
    pub(crate) fn receive(
        &mut self,
        socket: &mut UnixStream,
        admit: impl Fn(Option<Asked>, u16, usize) -> Result<Room, Refused>,
    ) -> io::Result<Received> {
        if self.skip > 0 && !self.throw_away(socket)? {
            return Ok(Received::Nothing);
        }
        while self.filled < HEADER_BYTES {
            match socket.read(&mut self.head[self.filled..]) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => {
                    self.filled += count;
                    self.began.get_or_insert_with(Instant::now);
                }
                Err(error) => return nothing(error),
            }
        }
        let header = Header::decode(&self.head);
        let asked = Asked::of(header.code);
        if header.kind != Kind::Request.number() {
            let text = format!(
                "a frame of kind {} at the start of a request; a client sends kind {} only",
                header.kind,
                Kind::Request.number()
            );
            return Ok(Received::Bad { sequence: header.sequence, text });
        }
        let most = asked.map_or(MAX_UNKNOWN_BYTES, Asked::max_input);
        let Some(length) = usize::try_from(header.length).ok().filter(|length| *length <= most) else {
            let text =
                format!("operation {:#x}: an input of {} bytes; allowed: {most}", header.code, header.length);
            return Ok(Received::Bad { sequence: header.sequence, text });
        };
        if self.room.is_none() {
            match admit(asked, header.code, length) {
                Ok(room) => self.room = Some(room),
                Err(refused) => {
                    *self =
                        Self { skip: length, began: self.began.filter(|_| length > 0), ..Self::default() };
                    return Ok(Received::Refused(header, refused));
                }
            }
        }
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

    /// Throws away the rest of a refused request. Returns whether all of it is gone.
    fn throw_away(&mut self, socket: &mut UnixStream) -> io::Result<bool> {
        let mut buffer = [0; SKIP];
        for _ in 0..SKIPS {
            match socket.read(&mut buffer[..self.skip.min(SKIP)]) {
                // If the client has closed, the next look at the socket shows that too.
                Ok(0) => self.skip = 0,
                Ok(count) => self.skip -= count,
                Err(error) => return nothing(error).map(|_| false),
            }
            if self.skip == 0 {
                self.began = None;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn nothing(error: io::Error) -> io::Result<Received> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Received::Nothing),
        io::ErrorKind::ConnectionReset => Ok(Received::Closed),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::places::Requests;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair can be made");
        ours.set_nonblocking(true).expect("it can be set");
        (ours, theirs)
    }

    fn head(code: u16, sequence: u32, length: usize) -> [u8; HEADER_BYTES] {
        Header::new(Kind::Request, code, sequence, length).encode()
    }

    #[test]
    fn what_is_refused_is_refused_by_its_header_and_its_rest_is_thrown_away() {
        let (mut ours, mut theirs) = pair();
        let requests = Arc::new(Requests::default());
        let admit = |_: Option<Asked>, code, length| {
            if code == 0x806 {
                Err((Refusal::Permission, "no".to_owned()))
            } else {
                requests.room(length).ok_or((Refusal::NoMemory, String::new()))
            }
        };
        let mut input = Input::default();
        theirs.write_all(&head(0x806, 1, 10_000)).expect("there is room");
        assert!(
            matches!(input.receive(&mut ours, admit), Ok(Received::Refused(header, _)) if header.sequence == 1)
        );
        assert!(input.began().is_some(), "its rest is on its way");
        assert_eq!(requests.level(), (0, 0));
        theirs.write_all(&[7; 9_000]).expect("there is room");
        assert!(matches!(input.receive(&mut ours, admit), Ok(Received::Nothing)));
        theirs.write_all(&[7; 1_000]).expect("there is room");
        theirs.write_all(&head(0x803, 2, 4)).expect("there is room");
        theirs.write_all(&[1, 0]).expect("there is room");
        assert!(matches!(input.receive(&mut ours, admit), Ok(Received::Nothing)));
        assert_eq!((requests.level(), input.payload()), ((1, 4), &[1, 0][..]));
        theirs.write_all(&[0, 0]).expect("there is room");
        assert!(
            matches!(input.receive(&mut ours, admit), Ok(Received::Request(header)) if header.sequence == 2)
        );
        drop(std::mem::take(&mut input));
        assert_eq!((requests.level(), input.began()), ((0, 0), None));
    }
}
