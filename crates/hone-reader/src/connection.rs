//! The client's side of the protocol: one socket, used by one thread.
//!
//! The stream and the answers to requests come over the same socket. What a request finds of the stream before its
//! answer is kept and read first; that is little, for the service answers before it sends more than what it has begun.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hone_api::{API_VERSION, ApiVersion, OriginalStatistics, Request, Statistics};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::ReaderError;
use crate::frames::{Got, Incoming};
use crate::level::LogLevels;
use crate::protocol::{Attach, Extra, Header, Kind, MemoryRow, Refusal};

/// What a reader asks for when it attaches.
pub type Options = Attach;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes of the stream are at the start of the buffer, at least one.
    Bytes(usize),
    /// Nothing came in the time.
    Empty,
    /// The section up to the restart mark has been read to its end; the next read begins the next section.
    SectionEnd,
}

/// Something of the stream that a request met.
#[derive(Debug)]
enum Kept {
    Blocks { bytes: Vec<u8>, read: usize },
    SectionEnd,
    End(String),
}

/// A connection to the service: after [`attach`](Self::attach), a reader.
#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    incoming: Incoming,
    kept: VecDeque<Kept>,
    version: ApiVersion,
    sequence: u32,
}

impl Connection {
    /// Connects to the service that listens on `path` ([`protocol::SOCKET`](crate::protocol::SOCKET)).
    ///
    /// # Errors
    /// Nobody listens, there is no permission, or the service is another one than this program expects.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReaderError> {
        let path = path.as_ref();
        let socket = UnixStream::connect(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ReaderError::NoService { path: path.to_owned() }
            }
            io::ErrorKind::PermissionDenied => ReaderError::Permission { path: path.to_owned() },
            _ => ReaderError::Io { what: "cannot connect to honed", source },
        })?;
        Self::over(socket)
    }

    /// Takes over a socket that is connected to the service already.
    ///
    /// # Errors
    /// The service refuses, or is another one than this program expects.
    pub fn over(socket: UnixStream) -> Result<Self, ReaderError> {
        socket.set_nonblocking(true).map_err(ReaderError::io("cannot set up the socket"))?;
        let mut connection = Self {
            socket,
            incoming: Incoming::default(),
            kept: VecDeque::new(),
            version: ApiVersion::of_service([0; 4]),
            sequence: 0,
        };
        let deadline = Instant::now() + PATIENCE;
        let (kind, header) = connection.head(deadline)?;
        let payload = connection.whole(deadline)?;
        match kind {
            Kind::Hello => {}
            Kind::Refusal => return Err(refused(header.code, payload)),
            _ => return Err(ReaderError::protocol("it begins without a hello")),
        }
        connection.version = ApiVersion::parse(&payload)
            .map_err(|error| ReaderError::protocol(format!("its hello is not understood: {error}")))?;
        if !connection.version.is_understood() {
            return Err(ReaderError::Version { found: connection.version.major, known: API_VERSION.0 });
        }
        Ok(connection)
    }

    /// The versions of interface and service.
    #[must_use]
    pub const fn version(&self) -> ApiVersion {
        self.version
    }

    /// Begins the stream, with the filters and the snap length that were set before. Gives the reader's number.
    ///
    /// # Errors
    /// The service refuses (too many readers, a size out of range), or the connection fails.
    pub fn attach(&mut self, options: &Options) -> Result<u64, ReaderError> {
        let reply = self.extra(Extra::Attach, &options.encode())?;
        let number = reply.first_chunk().ok_or_else(|| ReaderError::protocol("no number after attaching"))?;
        Ok(u64::from_le_bytes(*number))
    }

    /// Ends the stream; what has not been read is given up.
    ///
    /// # Errors
    /// The connection is not attached, or fails.
    pub fn detach(&mut self) -> Result<(), ReaderError> {
        self.extra(Extra::Detach, &[])?;
        self.kept.clear();
        Ok(())
    }

    /// Reads what there is of the stream, waiting up to `timeout` for the first byte. Bytes come in any portions; the
    /// stream is whole between them.
    ///
    /// # Errors
    /// The service has ended the stream ([`ReaderError::Ended`], after a last [`Read::SectionEnd`]), or the connection
    /// broke off.
    ///
    /// # Panics
    /// `buffer` is empty.
    pub fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<Read, ReaderError> {
        assert!(!buffer.is_empty(), "a buffer without room for a byte reads nothing");
        if let Some(read) = self.read_kept(buffer) {
            return read;
        }
        let deadline = Instant::now() + timeout;
        loop {
            if self.incoming.left() > 0 {
                match self.incoming.payload(&mut self.socket, buffer)? {
                    Got::All(0) => {}
                    Got::All(count) => return Ok(Read::Bytes(count)),
                    Got::Blocked if !self.wait(PollFlags::IN, deadline)? => return Ok(Read::Empty),
                    Got::Blocked => {}
                }
                continue;
            }
            match self.incoming.head(&mut self.socket)? {
                Got::Blocked if !self.wait(PollFlags::IN, deadline)? => return Ok(Read::Empty),
                Got::Blocked | Got::All((Kind::Blocks, _)) => {}
                Got::All((Kind::SectionEnd, _)) => return Ok(Read::SectionEnd),
                Got::All((Kind::End, _)) => {
                    let reason = text(self.whole(Instant::now() + PATIENCE)?);
                    self.kept.push_back(Kept::End(reason.clone()));
                    return Err(ReaderError::Ended { reason });
                }
                Got::All((Kind::Refusal, header)) => {
                    return Err(refused(header.code, self.whole(Instant::now() + PATIENCE)?));
                }
                Got::All((kind, _)) => {
                    return Err(ReaderError::protocol(format!("a {kind:?} that nobody asked for")));
                }
            }
        }
    }

    /// Ends the section behind what is queued, and begins another: see [`Read::SectionEnd`].
    ///
    /// # Errors
    /// Not attached; [`Refusal::Busy`] while an earlier mark has not been read up to; or the connection fails.
    pub fn mark_restart(&mut self) -> Result<(), ReaderError> {
        self.control(&Request::MarkRestart).map(drop)
    }

    /// Sends one of the operations that every system has; gives its output. Filters and the snap length may be set
    /// before attaching, and then hold from the first packet on.
    ///
    /// # Errors
    /// The service refuses, or the connection fails.
    pub fn control(&mut self, request: &Request<'_>) -> Result<Vec<u8>, ReaderError> {
        let mut input = Vec::new();
        if let Err(error) = request.encode(&mut input) {
            input.resize(error.needed, 0);
            request.encode(&mut input).expect("the buffer has what encode asked for");
        }
        self.call(request.operation().number(), &input)
    }

    /// Sets the snap length, bytes of each packet; 0: all there is.
    ///
    /// # Errors
    /// The connection fails.
    pub fn set_snap_length(&mut self, bytes: u32) -> Result<(), ReaderError> {
        self.control(&Request::SetSnapLength(bytes)).map(drop)
    }

    /// The snap length, bytes; 0: all there is.
    ///
    /// # Errors
    /// The connection fails.
    pub fn snap_length(&mut self) -> Result<u32, ReaderError> {
        let reply = self.control(&Request::GetSnapLength)?;
        hone_api::snap_length(&reply).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// Sets the ring buffer of readers that attach from now on and do not ask for a size, bytes.
    ///
    /// # Errors
    /// The size is out of range, or the connection fails.
    pub fn set_ring_bytes(&mut self, bytes: u32) -> Result<(), ReaderError> {
        self.control(&Request::SetRingBytes(bytes)).map(drop)
    }

    /// Everything the service counts, and what this reader got.
    ///
    /// # Errors
    /// The connection fails.
    pub fn statistics(&mut self) -> Result<Statistics, ReaderError> {
        let reply = self.control(&Request::GetStatistics2)?;
        Statistics::parse(&reply).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// What of it the original's statistics can say.
    ///
    /// # Errors
    /// The connection fails.
    pub fn original_statistics(&mut self) -> Result<OriginalStatistics, ReaderError> {
        let reply = self.control(&Request::GetStatistics)?;
        OriginalStatistics::parse(&reply).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// Which messages the service writes to its log.
    ///
    /// # Errors
    /// The connection fails.
    pub fn log_levels(&mut self) -> Result<LogLevels, ReaderError> {
        let reply = self.extra(Extra::GetLogLevels, &[])?;
        let mask = reply.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        mask.and_then(|mask| LogLevels::from_mask(mask).ok())
            .ok_or_else(|| ReaderError::protocol("log levels that are not understood"))
    }

    /// Sets which messages the service writes to its log, until it ends or reads its configuration again.
    ///
    /// # Errors
    /// The connection fails.
    pub fn set_log_levels(&mut self, levels: LogLevels) -> Result<(), ReaderError> {
        self.extra(Extra::SetLogLevels, &levels.mask().to_le_bytes()).map(drop)
    }

    /// What the service uses memory for.
    ///
    /// # Errors
    /// The connection fails.
    pub fn memory(&mut self) -> Result<Vec<MemoryRow>, ReaderError> {
        let report = self.extra(Extra::GetMemory, &[])?;
        Ok(MemoryRow::decode(&report).collect())
    }

    /// Stops the service; `force`: even while readers are attached.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: readers are attached; or the connection fails.
    pub fn stop_service(&mut self, force: bool) -> Result<(), ReaderError> {
        self.extra(Extra::Stop, &u32::from(force).to_le_bytes()).map(drop)
    }

    fn extra(&mut self, operation: Extra, input: &[u8]) -> Result<Vec<u8>, ReaderError> {
        self.call(operation.number(), input)
    }

    /// Sends a request and waits for its answer, keeping what comes of the stream before.
    fn call(&mut self, code: u16, input: &[u8]) -> Result<Vec<u8>, ReaderError> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let sequence = self.sequence;
        let mut request = Header::new(Kind::Request, code, sequence, input.len()).encode().to_vec();
        request.extend_from_slice(input);
        let deadline = Instant::now() + PATIENCE;
        let mut sent = 0;
        let mut broken = None;
        loop {
            if sent < request.len() {
                match self.socket.write(&request[sent..]) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    // A service that refuses and closes has said why before.
                    Err(error) => (sent, broken) = (request.len(), Some(error)),
                }
            }
            let unsent = if sent < request.len() { PollFlags::OUT } else { PollFlags::empty() };
            if self.incoming.left() > 0 {
                let bytes = self.whole(deadline)?;
                self.kept.push_back(Kept::Blocks { bytes, read: 0 });
            }
            let (kind, header) = match self.incoming.head(&mut self.socket)? {
                Got::All(head) => head,
                Got::Blocked => {
                    if let Some(error) = broken {
                        return Err(ReaderError::io("cannot send honed a request")(error));
                    }
                    if !self.wait(PollFlags::IN | unsent, deadline)? {
                        return Err(silent());
                    }
                    continue;
                }
            };
            let payload = self.whole(deadline)?;
            match kind {
                Kind::Reply if header.sequence == sequence => return Ok(payload),
                Kind::Refusal if header.sequence == sequence || header.sequence == 0 => {
                    return Err(refused(header.code, payload));
                }
                Kind::Blocks => self.kept.push_back(Kept::Blocks { bytes: payload, read: 0 }),
                Kind::SectionEnd => self.kept.push_back(Kept::SectionEnd),
                Kind::End => {
                    let reason = text(payload);
                    self.kept.push_back(Kept::End(reason.clone()));
                    return Err(ReaderError::Ended { reason });
                }
                // The late answer to a request that was given up.
                Kind::Reply | Kind::Refusal => {}
                Kind::Hello | Kind::Request => {
                    return Err(ReaderError::protocol(format!("a {kind:?} that nobody asked for")));
                }
            }
        }
    }

    fn read_kept(&mut self, buffer: &mut [u8]) -> Option<Result<Read, ReaderError>> {
        loop {
            match self.kept.front_mut()? {
                Kept::Blocks { bytes, read } => {
                    let rest = &bytes[*read..];
                    let count = rest.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&rest[..count]);
                    *read += count;
                    if *read == bytes.len() {
                        self.kept.pop_front();
                    }
                    if count > 0 {
                        return Some(Ok(Read::Bytes(count)));
                    }
                }
                Kept::SectionEnd => {
                    self.kept.pop_front();
                    return Some(Ok(Read::SectionEnd));
                }
                // Stays: whoever reads on hears it again.
                Kept::End(reason) => return Some(Err(ReaderError::Ended { reason: reason.clone() })),
            }
        }
    }

    /// Waits for the next frame's head.
    fn head(&mut self, deadline: Instant) -> Result<(Kind, Header), ReaderError> {
        loop {
            match self.incoming.head(&mut self.socket)? {
                Got::All(head) => return Ok(head),
                Got::Blocked if !self.wait(PollFlags::IN, deadline)? => return Err(silent()),
                Got::Blocked => {}
            }
        }
    }

    /// The rest of the current frame's payload, which is bounded.
    fn whole(&mut self, deadline: Instant) -> Result<Vec<u8>, ReaderError> {
        let mut payload = vec![0; self.incoming.left()];
        let mut filled = 0;
        while filled < payload.len() {
            match self.incoming.payload(&mut self.socket, &mut payload[filled..])? {
                Got::All(count) => filled += count,
                Got::Blocked if !self.wait(PollFlags::IN, deadline)? => return Err(silent()),
                Got::Blocked => {}
            }
        }
        Ok(payload)
    }

    /// Waits for the socket; false if the time is over. A signal ends no wait.
    fn wait(&self, what: PollFlags, deadline: Instant) -> Result<bool, ReaderError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&self.socket, what)], Some(&timeout)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(!left.is_zero()),
            Err(error) => Err(ReaderError::io("cannot wait for honed")(error.into())),
        }
    }
}

impl AsFd for Connection {
    /// The socket, to wait until there is something to read. What a request has kept does not show there: read until
    /// [`Read::Empty`] before waiting.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn silent() -> ReaderError {
    ReaderError::Silent { seconds: PATIENCE.as_secs() }
}

fn text(payload: Vec<u8>) -> String {
    String::from_utf8_lossy(&payload).into_owned()
}

fn refused(code: u16, payload: Vec<u8>) -> ReaderError {
    ReaderError::Refused { refusal: Refusal::try_from(code).ok(), text: text(payload) }
}
