//! The client's side of the protocol: one socket, used by one thread.
//!
//! The stream and the answers to requests arrive over the same socket. Blocks that arrive before an answer are kept,
//! and read first afterwards. These are few, because the service answers before it sends any block that it has not
//! begun yet.
//!
//! Each wait can be stopped at any byte. What was sent and received until then is kept, and the next call continues
//! from there.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hone_api::{API_VERSION, ApiVersion, LogLevels, OriginalStatistics, Request, SnapLength, Statistics};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::ReaderError;
use crate::frames::{Got, Incoming};
use crate::kept::Kept;
use crate::patience::{Wait, Watch, Watcher};
use crate::protocol::{Attach, Extra, Header, KeptPart, Kind, MAX_TEXT_BYTES, MemoryRow, Refusal};
use crate::readers::Readers;

/// What a reader asks for when it attaches.
pub type Options = Attach;

/// How often to try again while the service's queue of clients is full.
const QUEUE_TICK: Duration = Duration::from_millis(20);
/// The buffer for a frame's payload grows in steps of this many bytes, so that a false length alone reserves no memory.
const GROWTH: usize = 64 << 10;

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes of the stream were written to the start of the buffer: at least one.
    Bytes(usize),
    /// Nothing arrived within the timeout.
    Empty,
    /// The section was read up to its end at the restart mark. The next read begins the next section.
    SectionEnd,
}

/// A request whose answer is taken later, without a wait.
#[derive(Debug, Clone, Copy)]
struct Asked {
    sequence: u32,
    since: Instant,
}

/// How long a read may wait.
enum Limit<'a> {
    Until(Instant),
    /// As long as the service may take to answer.
    Patience(&'a mut Wait),
}

/// A connection to the service: after [`attach`](Self::attach), a reader.
#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    watcher: Watcher,
    incoming: Incoming,
    /// The frame whose payload is being received, with the part already there. For blocks that are read directly, that
    /// part is not here.
    current: Option<(Kind, Header)>,
    payload: Vec<u8>,
    /// What of the stream arrived while a request waited for its answer.
    kept: Kept,
    /// Bytes of requests that are not sent yet.
    outgoing: Vec<u8>,
    version: ApiVersion,
    sequence: u32,
    asked: Option<Asked>,
    /// The answer to the request that was sent without waiting.
    answer: Option<Vec<u8>>,
}

impl Connection {
    /// Connects to the service that listens on `path` ([`protocol::SOCKET`](crate::protocol::SOCKET)).
    ///
    /// # Errors
    /// No service listens, permission is missing, or the service speaks another version of the protocol.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReaderError> {
        Self::open_with(path.as_ref(), Watcher::default())
    }

    /// The same, but `watch` is called while this connection waits for the service, now and later.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `watch` stopped the wait.
    pub fn open_watched(path: impl AsRef<Path>, watch: Watch) -> Result<Self, ReaderError> {
        Self::open_with(path.as_ref(), Watcher::new(watch))
    }

    fn open_with(path: &Path, mut watcher: Watcher) -> Result<Self, ReaderError> {
        let socket = UnixStream::from(connected(path, &mut watcher)?);
        Self::greeted(socket, watcher)
    }

    /// Uses a socket that is already connected to the service.
    ///
    /// # Errors
    /// The service refuses the client, or speaks another version of the protocol.
    pub fn over(socket: UnixStream) -> Result<Self, ReaderError> {
        socket.set_nonblocking(true).map_err(ReaderError::io("cannot set up the socket"))?;
        Self::greeted(socket, Watcher::default())
    }

    fn greeted(socket: UnixStream, watcher: Watcher) -> Result<Self, ReaderError> {
        let mut connection = Self {
            socket,
            watcher,
            incoming: Incoming::default(),
            current: None,
            payload: Vec::new(),
            kept: Kept::default(),
            outgoing: Vec::new(),
            version: ApiVersion::of_service([0; 4]),
            sequence: 0,
            asked: None,
            answer: None,
        };
        let mut wait = Wait::new("to greet");
        let (kind, header, payload) = loop {
            match connection.frame()? {
                Got::All(frame) => break frame,
                Got::Blocked => connection.wait(&mut Limit::Patience(&mut wait)).map(drop)?,
            }
        };
        match kind {
            Kind::Hello => {}
            Kind::Refusal => return Err(refused(header.code, &payload)),
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

    /// Begins the stream, with the filters and the snap length that were set before. Returns the reader's number.
    ///
    /// # Errors
    /// The service refuses (too many readers, a size out of range), or the connection fails.
    pub fn attach(&mut self, options: &Options) -> Result<u64, ReaderError> {
        let reply = self.call(Extra::Attach.number(), &options.encode(), "to attach this reader")?;
        let number = reply.first_chunk().ok_or_else(|| ReaderError::protocol("no number after attaching"))?;
        Ok(u64::from_le_bytes(*number))
    }

    /// Ends the stream. Blocks that were not read are lost.
    ///
    /// # Errors
    /// The connection is not attached, or fails.
    pub fn detach(&mut self) -> Result<(), ReaderError> {
        self.extra(Extra::Detach, &[])?;
        self.kept = Kept::default();
        Ok(())
    }

    /// Reads from the stream. Waits up to `timeout` for the first byte. Bytes arrive in portions of any size; together
    /// they are the complete stream.
    ///
    /// # Errors
    /// The service has ended the stream ([`ReaderError::Ended`], after a last [`Read::SectionEnd`]), or the connection
    /// broke off.
    ///
    /// # Panics
    /// `buffer` is empty.
    pub fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<Read, ReaderError> {
        self.read_within(buffer, Limit::Until(Instant::now() + timeout))
    }

    /// The same where the service must send something, as after [`mark_restart`](Self::mark_restart). Waits as long as
    /// for an answer, and calls the [`Watch`] as during such a wait. `what` names what the service should do, such as
    /// "to end the section".
    ///
    /// # Errors
    /// As [`read`](Self::read), and nothing arrived in time.
    ///
    /// # Panics
    /// `buffer` is empty.
    pub fn await_read(&mut self, buffer: &mut [u8], what: &'static str) -> Result<Read, ReaderError> {
        self.read_within(buffer, Limit::Patience(&mut Wait::new(what)))
    }

    fn read_within(&mut self, buffer: &mut [u8], mut limit: Limit<'_>) -> Result<Read, ReaderError> {
        assert!(!buffer.is_empty(), "a buffer without room for a byte reads nothing");
        if let Some(read) = self.kept.read(buffer) {
            return read;
        }
        loop {
            // A service that refuses and closes has already sent its reason, so this error does not matter.
            let _ = self.send();
            let got = match self.begun()? {
                Got::All((Kind::Blocks, _)) if self.incoming.left() > 0 => {
                    match self.incoming.payload(&mut self.socket, buffer)? {
                        Got::All(0) => continue,
                        Got::All(count) => return Ok(Read::Bytes(count)),
                        Got::Blocked => Got::Blocked,
                    }
                }
                Got::All(_) => self.frame()?,
                Got::Blocked => Got::Blocked,
            };
            let (kind, header, payload) = match got {
                Got::All(frame) => frame,
                Got::Blocked if self.wait(&mut limit)? => continue,
                Got::Blocked => return Ok(Read::Empty),
            };
            match kind {
                Kind::Blocks => {}
                Kind::SectionEnd => return Ok(Read::SectionEnd),
                Kind::End => {
                    let reason = text(&payload);
                    self.kept.end(&reason);
                    return Err(ReaderError::Ended { reason });
                }
                Kind::Refusal if header.sequence == 0 => return Err(refused(header.code, &payload)),
                Kind::Reply | Kind::Refusal if self.is_sent(header.sequence) => {
                    self.take_answer(kind, header, payload);
                }
                Kind::Reply | Kind::Refusal | Kind::Hello | Kind::Request => {
                    return Err(ReaderError::protocol(format!("a {kind:?} that nobody asked for")));
                }
            }
        }
    }

    /// Ends the section after the blocks that are queued, and begins another: see [`Read::SectionEnd`].
    ///
    /// # Errors
    /// Not attached; [`Refusal::Busy`] while the stream was not read up to an earlier mark; or the connection fails.
    pub fn mark_restart(&mut self) -> Result<(), ReaderError> {
        self.control(&Request::MarkRestart).map(drop)
    }

    /// Sends one of the operations that every system has, and returns its output. Filters and the snap length can be
    /// set before attaching. They then apply from the first packet on.
    ///
    /// # Errors
    /// The service refuses, or the connection fails.
    pub fn control(&mut self, request: &Request<'_>) -> Result<Vec<u8>, ReaderError> {
        let mut input = Vec::new();
        if let Err(error) = request.encode(&mut input) {
            input.resize(error.needed, 0);
            request.encode(&mut input).expect("the buffer has what encode asked for");
        }
        self.call(request.operation().number(), &input, "to answer")
    }

    /// Sets the snap length: how many bytes of each packet are kept; 0: all.
    ///
    /// # Errors
    /// The connection fails.
    pub fn set_snap_length(&mut self, length: SnapLength) -> Result<(), ReaderError> {
        self.control(&Request::SetSnapLength(length)).map(drop)
    }

    /// The snap length, bytes; 0: all.
    ///
    /// # Errors
    /// The connection fails.
    pub fn snap_length(&mut self) -> Result<SnapLength, ReaderError> {
        let reply = self.control(&Request::GetSnapLength)?;
        hone_api::snap_length(&reply).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// Sets the ring buffer size, in bytes, of readers that attach from now on without a size of their own.
    ///
    /// # Errors
    /// The size is out of range, or the connection fails.
    pub fn set_ring_bytes(&mut self, bytes: u32) -> Result<(), ReaderError> {
        self.control(&Request::SetRingBytes(bytes)).map(drop)
    }

    /// Everything the service counts, and what this reader received.
    ///
    /// # Errors
    /// The connection fails.
    pub fn statistics(&mut self) -> Result<Statistics, ReaderError> {
        let reply = self.control(&Request::GetStatistics2)?;
        Statistics::parse(&reply).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// Requests the statistics and does not wait for them. Later reads receive them, and then
    /// [`asked_statistics`](Self::asked_statistics) returns them. Does nothing while an earlier request is not
    /// answered.
    ///
    /// # Errors
    /// The connection fails.
    pub fn ask_statistics(&mut self) -> Result<(), ReaderError> {
        if self.asked.is_none() {
            let sequence = self.request(Request::GetStatistics2.operation().number(), &[]);
            self.asked = Some(Asked { sequence, since: Instant::now() });
            let _ = self.send();
        }
        Ok(())
    }

    /// The requested statistics, if they have arrived.
    ///
    /// # Errors
    /// The answer could not be read.
    pub fn asked_statistics(&mut self) -> Result<Option<Statistics>, ReaderError> {
        let Some(reply) = self.answer.take() else { return Ok(None) };
        Statistics::parse(&reply).map(Some).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// Time since the statistics were requested; `None`: they have arrived, or were not requested.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        self.asked.map(|asked| asked.since.elapsed())
    }

    /// The statistics in the original's structure.
    ///
    /// # Errors
    /// The connection fails.
    pub fn original_statistics(&mut self) -> Result<OriginalStatistics, ReaderError> {
        let reply = self.control(&Request::GetStatistics)?;
        OriginalStatistics::parse(&reply).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// Keeps only the packets that a selection admits, from now on; before the connection attaches: from the first packet
    /// on. `text`: the text form of `hone-select`; nothing: all packets.
    ///
    /// # Errors
    /// The text is refused, the service has no room for it, or the connection fails.
    pub fn set_selection(&mut self, text: &[u8]) -> Result<(), ReaderError> {
        self.control(&Request::SetSelection(text)).map(drop)
    }

    /// Sets whether packets that are seen twice, as they are sent and as they are received over a loopback interface, have
    /// the same packet id both times, from now on.
    ///
    /// # Errors
    /// The connection has not attached, the service is older and does not know this, or the connection fails.
    pub fn set_packet_ids(&mut self, wanted: bool) -> Result<(), ReaderError> {
        self.control(&Request::SetPacketIds(wanted)).map(drop)
    }

    /// Which messages the service writes to its log.
    ///
    /// # Errors
    /// The connection fails.
    pub fn log_levels(&mut self) -> Result<LogLevels, ReaderError> {
        let reply = self.control(&Request::GetLogLevels)?;
        hone_api::log_levels(&reply).map_err(|error| ReaderError::protocol(error.to_string()))
    }

    /// Sets which messages the service writes to its log, until it ends or reads its configuration again.
    ///
    /// # Errors
    /// The connection fails.
    pub fn set_log_levels(&mut self, levels: LogLevels) -> Result<(), ReaderError> {
        self.control(&Request::SetLogLevels(levels)).map(drop)
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

    /// Asks for what the flight recorder keeps. Later reads return its segments, as they are on disk, each with
    /// [`Read::SectionEnd`] behind it; the last block of each can be incomplete.
    ///
    /// # Errors
    /// The service keeps nothing, or sends it to another client now; or the connection fails.
    pub fn save(&mut self) -> Result<KeptPart, ReaderError> {
        let reply = self.extra(Extra::Save, &[])?;
        KeptPart::decode(&reply).ok_or_else(|| ReaderError::protocol("the reply to a save is too short"))
    }

    fn extra(&mut self, operation: Extra, input: &[u8]) -> Result<Vec<u8>, ReaderError> {
        self.call(operation.number(), input, "to answer")
    }

    /// Queues a request for sending. Returns its sequence number.
    fn request(&mut self, code: u16, input: &[u8]) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.outgoing.extend(Header::new(Kind::Request, code, self.sequence, input.len()).encode());
        self.outgoing.extend(input);
        self.sequence
    }

    /// Whether a request with this number was sent.
    const fn is_sent(&self, sequence: u32) -> bool {
        sequence != 0 && self.sequence.wrapping_sub(sequence) < 1 << 31
    }

    /// Sends as much as the socket takes. After an error nothing more is left to send.
    fn send(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.outgoing.len() {
            match self.socket.write(&self.outgoing[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A service that refuses and closes has already sent its reason.
                Err(error) => {
                    self.outgoing.clear();
                    return Err(error);
                }
            }
        }
        self.outgoing.drain(..sent);
        Ok(())
    }

    /// Handles an answer that no call waits for: keeps it if it was requested without waiting, drops it if the wait was
    /// given up.
    fn take_answer(&mut self, kind: Kind, header: Header, payload: Vec<u8>) {
        if self.asked.is_some_and(|asked| asked.sequence == header.sequence) {
            self.asked = None;
            self.answer = (kind == Kind::Reply).then_some(payload);
        }
    }

    /// Sends a request and waits for its answer. Keeps the part of the stream that arrives before.
    fn call(&mut self, code: u16, input: &[u8], what: &'static str) -> Result<Vec<u8>, ReaderError> {
        let sequence = self.request(code, input);
        let mut wait = Wait::new(what);
        let mut broken = None;
        loop {
            broken = broken.or(self.send().err());
            let (kind, header, payload) = match self.frame()? {
                Got::All(frame) => frame,
                Got::Blocked => {
                    if let Some(error) = broken {
                        return Err(ReaderError::io("cannot send honed a request")(error));
                    }
                    if let Err(error) = self.wait(&mut Limit::Patience(&mut wait)) {
                        self.keep_begun();
                        return Err(error);
                    }
                    continue;
                }
            };
            match kind {
                Kind::Reply if header.sequence == sequence => return Ok(payload),
                Kind::Refusal if header.sequence == sequence || header.sequence == 0 => {
                    return Err(refused(header.code, &payload));
                }
                Kind::Blocks => self.kept.blocks(payload),
                Kind::SectionEnd => self.kept.section_end(),
                Kind::End => {
                    let reason = text(&payload);
                    self.kept.end(&reason);
                    return Err(ReaderError::Ended { reason });
                }
                Kind::Reply | Kind::Refusal => self.take_answer(kind, header, payload),
                Kind::Hello | Kind::Request => {
                    return Err(ReaderError::protocol(format!("a {kind:?} that nobody asked for")));
                }
            }
        }
    }

    /// If blocks were being received, puts the part already received before the rest.
    fn keep_begun(&mut self) {
        if matches!(self.current, Some((Kind::Blocks, _))) && !self.payload.is_empty() {
            self.kept.blocks(std::mem::take(&mut self.payload));
        }
    }

    /// The head of the frame that is arriving.
    fn begun(&mut self) -> Result<Got<(Kind, Header)>, ReaderError> {
        if self.current.is_none() {
            let Got::All(head) = self.incoming.head(&mut self.socket)? else { return Ok(Got::Blocked) };
            self.current = Some(head);
        }
        Ok(self.current.map_or(Got::Blocked, Got::All))
    }

    /// The complete frame that is arriving, once all of it is there.
    fn frame(&mut self) -> Result<Got<(Kind, Header, Vec<u8>)>, ReaderError> {
        let Got::All((kind, header)) = self.begun()? else { return Ok(Got::Blocked) };
        while self.incoming.left() > 0 {
            let filled = self.payload.len();
            self.payload.resize(filled + self.incoming.left().min(GROWTH), 0);
            let got = self.incoming.payload(&mut self.socket, &mut self.payload[filled..]);
            self.payload.truncate(filled + if let Ok(Got::All(count)) = got { count } else { 0 });
            if matches!(got?, Got::Blocked) {
                return Ok(Got::Blocked);
            }
        }
        self.current = None;
        Ok(Got::All((kind, header, std::mem::take(&mut self.payload))))
    }

    /// Waits until the socket can be read or written; false if the time is over. A signal does not end the wait.
    fn wait(&mut self, limit: &mut Limit<'_>) -> Result<bool, ReaderError> {
        let left = match limit {
            Limit::Until(deadline) => deadline.saturating_duration_since(Instant::now()),
            Limit::Patience(wait) => wait.next(&mut self.watcher)?,
        };
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        let unsent = if self.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let is_patient = matches!(limit, Limit::Patience(_));
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN | unsent)], Some(&timeout)) {
            Ok(count) => Ok(count > 0 || is_patient),
            Err(Errno::INTR) => Ok(!left.is_zero()),
            Err(error) => Err(ReaderError::io("cannot wait for honed")(error.into())),
        }
    }
}

/// Returns a connected, non-blocking socket. A service that does not accept its clients has a queue of them; a blocking
/// socket would wait for ever once that queue is full.
fn connected(path: &Path, watcher: &mut Watcher) -> Result<OwnedFd, ReaderError> {
    let failed = |errno: Errno| {
        let source = io::Error::from(errno);
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ReaderError::NoService { path: path.to_owned() }
            }
            io::ErrorKind::PermissionDenied => {
                ReaderError::Permission { path: path.to_owned(), readers: Readers::of_socket(path) }
            }
            _ => ReaderError::Io { what: "cannot connect to honed", source },
        }
    };
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut wait = Wait::new("to take one more client");
    loop {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::AGAIN) => std::thread::sleep(wait.next(watcher)?.min(QUEUE_TICK)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

impl AsFd for Connection {
    /// The socket, for waiting until there is something to read. It does not show what a request has kept: read until
    /// [`Read::Empty`] before waiting.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The service's text, made safe for terminals: one line, in which characters that do not print, or that change how
/// others print, are escaped.
fn text(payload: &[u8]) -> String {
    let said = String::from_utf8_lossy(&payload[..payload.len().min(MAX_TEXT_BYTES)]);
    let mut text = String::with_capacity(said.len());
    for char in said.chars() {
        match char {
            '"' | '\'' | '\\' => text.push(char),
            _ => text.extend(char.escape_debug()),
        }
    }
    text
}

fn refused(code: u16, payload: &[u8]) -> ReaderError {
    ReaderError::Refused { refusal: Refusal::try_from(code).ok(), text: text(payload) }
}
