//! One connection, from the service's side: its thread receives requests, sends answers and, once attached, the stream.
//!
//! Owns the socket, the buffers and, through the hub, its reader. Takes the hub's lock only to copy blocks into its own
//! buffer and to carry out a request. Waits for the socket and the reader's signal without the lock. A client that does
//! not read blocks only this thread. Frames are sent in this order: the frame that was begun, then an answer, then
//! blocks. The next request is received only after the answer to the last one was sent.

use std::io::{self, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use hone_api::ApiVersion;
use hone_client::Refusal;
use hone_client::protocol::{HEADER_BYTES, Header, Kind, MAX_BLOCKS_BYTES, MAX_TEXT_BYTES};
use hone_engine::{Read, ReaderId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::filters::Filters;
use crate::hub::{Connected, Hub, Phase, VERSION};
use crate::input::{Input, Received};
use crate::peer::Peer;
use crate::places::{CLOSING_TIME, IDLE_TIME, REQUEST_TIME, SAVE_STEP_TIME};
use crate::recent::{Saving, Step};
use crate::requests;
use crate::waker::Waker;

/// Stack size of a thread, bytes. No function here needs much of it.
const STACK: usize = 256 << 10;

/// Bytes to send, and how many of them were sent.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    end: usize,
}

impl Outgoing {
    const fn is_empty(&self) -> bool {
        self.sent == self.end
    }

    fn set(&mut self, frame: Vec<u8>) {
        (self.sent, self.end) = (0, frame.len());
        self.bytes = frame;
    }

    /// Sends as much as the socket takes. Returns whether that was all.
    fn send(&mut self, socket: &mut UnixStream) -> io::Result<bool> {
        while !self.is_empty() {
            match socket.write(&self.bytes[self.sent..self.end]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// The phases of a connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The section will end at a mark, and the stream ends with it.
    Marked,
    /// The last frame is being sent.
    Closing,
}

pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    socket: UnixStream,
    pub(crate) peer: Peer,
    pub(crate) waker: Arc<Waker>,
    pub(crate) reader: Option<ReaderId>,
    /// Its reader must not be kept any longer.
    pub(crate) given_up: Arc<AtomicBool>,
    pub(crate) filters: Filters,
    /// The save that is being sent instead of a stream.
    pub(crate) saving: Option<Saving>,
    /// Whether the reader is that of the flight recorder.
    pub(crate) is_recorder: bool,
    input: Input,
    answer: Outgoing,
    /// The blocks to send. The buffer exists while the reader is attached.
    stream: Outgoing,
    way: Way,
    /// When a request was last carried out, the reader was detached, or sending of the last frame began.
    active: Instant,
}

/// Starts the thread of a client that may read. Refuses the client if no thread or descriptor is available.
pub(crate) fn start(hub: Arc<Hub>, mut socket: UnixStream, peer: Peer) -> io::Result<()> {
    let waker = Arc::new(Waker::new().inspect_err(|error| refuse_without(&mut socket, error))?);
    hub.connections.lock().push(Connected { waker: Arc::clone(&waker), user: peer.user() });
    // From here on, dropping the session removes it from the list.
    let session = Session {
        hub,
        socket,
        peer,
        waker,
        reader: None,
        given_up: Arc::default(),
        filters: Filters::default(),
        saving: None,
        is_recorder: false,
        input: Input::default(),
        answer: Outgoing::default(),
        stream: Outgoing::default(),
        way: Way::Open,
        active: Instant::now(),
    };
    // The socket is handed over after the thread exists, so that the client can be refused if it does not.
    let (hand_over, handed_over) = sync_channel::<Session>(1);
    let serve = move || {
        let Ok(mut session) = handed_over.recv() else { return };
        match session.serve() {
            Ok(()) => tracing::debug!("{} has left", session.peer),
            Err(error) => tracing::debug!("{} is gone: {error}", session.peer),
        }
    };
    match std::thread::Builder::new().name("connection".into()).stack_size(STACK).spawn(serve) {
        Ok(_) => {
            // The new thread waits for this.
            let _ = hand_over.send(session);
            Ok(())
        }
        Err(error) => {
            let mut session = session;
            refuse_without(&mut session.socket, &error);
            Err(error)
        }
    }
}

/// Refuses a client because a resource for one more is missing.
fn refuse_without(socket: &mut UnixStream, error: &io::Error) {
    let text = format!("honed has no room for one more client: {error}. Try again; see its log");
    // If the socket does not take all of it, the client loses nothing important.
    let _ = socket.write(&refusal(Refusal::NoMemory, 0, &text));
}

/// A frame.
fn frame(kind: Kind, code: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Header::new(kind, code, sequence, payload.len()).encode().to_vec();
    frame.extend_from_slice(payload);
    frame
}

/// A refusal, with its reason and what to do.
pub(crate) fn refusal(refusal: Refusal, sequence: u32, text: &str) -> Vec<u8> {
    frame(Kind::Refusal, refusal.number(), sequence, short(text).as_bytes())
}

/// As much of the text as fits into a frame.
fn short(text: &str) -> &str {
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

impl Session {
    fn serve(&mut self) -> io::Result<()> {
        let hello = ApiVersion::of_service(VERSION).encode();
        self.answer.set(frame(Kind::Hello, 0, 0, &hello));
        loop {
            if self.given_up.load(Relaxed) {
                let text = "it has not read the beginning of its section, and memory for others ran out";
                tracing::warn!("ending the stream of {}: {text}", self.peer);
                return Err(ErrorKind::OutOfMemory.into());
            }
            if self.way == Way::Open && self.hub.phase() == Phase::Ending {
                self.begin_end();
            }
            if self.way != Way::Closing && self.answer.is_empty() && !self.receive()? {
                return Ok(());
            }
            let is_streaming = self.reader.is_some() || self.saving.is_some();
            if !is_streaming && self.stream.is_empty() && !self.stream.bytes.is_empty() {
                self.give_up_buffer();
            }
            // True if there was nothing to send. Only then does the thread wait for the reader's signal.
            let mut quiet = false;
            if self.stream.is_empty() && self.answer.is_empty() && self.way != Way::Closing {
                quiet = !self.fill();
            }
            if !(self.stream.send(&mut self.socket)? && self.answer.send(&mut self.socket)?) {
                self.wait(PollFlags::OUT)?;
            } else if self.way == Way::Closing {
                return Ok(());
            } else if quiet {
                self.wait(PollFlags::empty())?;
            }
            self.look_at_the_time()?;
        }
    }

    /// The time limit for what the client does now, and since when it runs; `None`: no limit.
    fn patience(&self) -> Option<(Instant, Duration)> {
        match (self.way, self.input.began(), self.reader) {
            (Way::Closing, ..) => Some((self.active, CLOSING_TIME)),
            // The service itself receives nothing while an answer waits, so the client is not late.
            (_, Some((began, _)), _) if self.answer.is_empty() => Some((began, REQUEST_TIME)),
            _ if self.saving.is_some() => Some((self.active, SAVE_STEP_TIME)),
            (_, _, None) => Some((self.active, IDLE_TIME)),
            _ => None,
        }
    }

    /// Ends the connection if its time limit is over: the client has stopped, or keeps a place on purpose.
    fn look_at_the_time(&mut self) -> io::Result<()> {
        match self.patience() {
            Some((since, time)) if since.elapsed() >= time => {}
            _ => return Ok(()),
        }
        if self.way == Way::Closing || !self.answer.is_empty() {
            return Err(ErrorKind::TimedOut.into());
        }
        let (sequence, text) = match self.input.began() {
            Some((_, sequence)) => (sequence, format!("the request has not come whole in {REQUEST_TIME:?}")),
            None if self.saving.is_some() => {
                (0, format!("nothing of what is saved was taken for {SAVE_STEP_TIME:?}; save it again"))
            }
            None => (0, format!("nothing was asked for {IDLE_TIME:?}; connect again")),
        };
        tracing::info!("closing the connection of {}: {text}", self.peer);
        self.saving = None;
        self.answer.set(refusal(Refusal::Timeout, sequence, &text));
        self.close();
        Ok(())
    }

    /// What is queued now is sent last.
    fn close(&mut self) {
        self.way = Way::Closing;
        self.active = Instant::now();
    }

    /// Receives a request if one is there; false: the client has left.
    fn receive(&mut self) -> io::Result<bool> {
        let (hub, peer) = (&self.hub, &self.peer);
        match self.input.receive(&mut self.socket, |asked, code, length| {
            requests::admit(hub, peer, asked, code, length)
        })? {
            Received::Nothing => {}
            Received::Closed => return Ok(false),
            Received::Bad { sequence, text } => {
                tracing::info!("closing the connection of {}: {text}", self.peer);
                self.answer.set(refusal(Refusal::Frame, sequence, &text));
                self.close();
            }
            Received::Refused(Header { code, sequence, .. }, (why, text)) => {
                self.refuse(code, sequence, why, &text)
            }
            Received::Request(Header { code, sequence, .. }) => {
                let input = std::mem::take(&mut self.input);
                match self.carry_out(code, input.payload()) {
                    Ok(output) => self.answer.set(frame(Kind::Reply, code, sequence, &output)),
                    Err((why, text)) => self.refuse(code, sequence, why, &text),
                }
                self.active = Instant::now();
            }
        }
        Ok(true)
    }

    fn refuse(&mut self, code: u16, sequence: u32, why: Refusal, text: &str) {
        tracing::debug!("refused {}'s {code:#x}: {text}", self.peer);
        self.answer.set(refusal(why, sequence, text));
    }

    /// Copies waiting blocks of the reader into the buffer. Returns whether there were any.
    fn fill(&mut self) -> bool {
        if self.saving.is_some() {
            self.fill_saved();
            return true;
        }
        let Some(reader) = self.reader else { return false };
        let (head, blocks) = self.stream.bytes.split_at_mut(HEADER_BYTES);
        let mut state = self.hub.lock("a reader");
        let read = state.queue.engine.read(reader, blocks, hone_linux::now());
        state.queue.wake();
        drop(state);
        let (kind, length) = match read {
            Ok(Read::Bytes(count)) => (Kind::Blocks, count),
            Ok(Read::SectionEnd) => (Kind::SectionEnd, 0),
            Ok(Read::Empty) => return false,
            Err(error) => {
                tracing::error!("cannot read the engine's blocks: {error}; please report this");
                self.end_stream("a fault of honed: see its log");
                return true;
            }
        };
        head.copy_from_slice(&Header::new(kind, 0, 0, length).encode());
        (self.stream.sent, self.stream.end) = (0, HEADER_BYTES + length);
        if kind == Kind::SectionEnd {
            match self.way {
                Way::Marked => self.end_stream(&self.hub.reason()),
                // A mark of the client's own prevented this before: try again.
                Way::Open if self.hub.phase() == Phase::Ending => self.begin_end(),
                _ => {}
            }
        }
        true
    }

    /// Reads the next part of a save into the buffer.
    fn fill_saved(&mut self) {
        let Some(saving) = &mut self.saving else { return };
        let (head, blocks) = self.stream.bytes.split_at_mut(HEADER_BYTES);
        let (kind, length, is_last) = match saving.step(blocks) {
            Ok(Step::Bytes(count)) => (Kind::Blocks, count, false),
            Ok(Step::End(is_last)) => (Kind::SectionEnd, 0, is_last),
            Err(error) => {
                tracing::warn!("a save of {} ends early: {error}", self.peer);
                self.saving = None;
                return self.end_stream(&error);
            }
        };
        head.copy_from_slice(&Header::new(kind, 0, 0, length).encode());
        (self.stream.sent, self.stream.end) = (0, HEADER_BYTES + length);
        self.active = Instant::now();
        if is_last {
            tracing::info!("{} has saved what is kept", self.peer);
            self.saving = None;
        }
    }

    /// The service stops: ends the section here, and the stream with it.
    fn begin_end(&mut self) {
        let Some(reader) = self.reader else {
            return self.end_stream(&self.hub.reason());
        };
        let mut state = self.hub.lock("a reader");
        state.queue.count_left_out();
        let marked = state.queue.engine.mark_restart(reader, hone_linux::now());
        state.queue.wake();
        drop(state);
        match marked {
            Ok(()) => self.way = Way::Marked,
            Err(hone_engine::RestartError::Pending) => {}
            Err(error) => {
                tracing::error!("{}'s stream ends without statistics: {error}", self.peer);
                self.end_stream(&self.hub.reason());
            }
        }
    }

    /// Queues the last frame after what is being sent.
    fn end_stream(&mut self, reason: &str) {
        let mut last = self.answer.bytes[self.answer.sent..self.answer.end].to_vec();
        last.extend(frame(Kind::End, 0, 0, short(reason).as_bytes()));
        self.answer.set(last);
        self.close();
    }

    /// Waits for the socket, or for the reader's signal.
    fn wait(&self, what: PollFlags) -> io::Result<()> {
        // While an answer or the last frame is being sent, nothing is received.
        let receives = self.way != Way::Closing && self.answer.is_empty();
        let socket = if receives { what | PollFlags::IN } else { what };
        let mut fds = [PollFd::new(&self.socket, socket), PollFd::new(&self.waker, PollFlags::IN)];
        let left = self.patience().map(|(since, time)| time.saturating_sub(since.elapsed()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if !fds[1].revents().is_empty() {
            self.waker.clear();
        }
        Ok(())
    }

    /// Keeps the stream's buffer while the reader exists, and until the frame that was begun is sent.
    pub(crate) fn set_attached(&mut self, reader: Option<ReaderId>) {
        self.reader = reader;
        if reader.is_some() {
            self.make_buffer();
        }
    }

    /// Sends a save from now on.
    pub(crate) fn set_saving(&mut self, saving: Saving) {
        self.saving = Some(saving);
        self.make_buffer();
    }

    fn make_buffer(&mut self) {
        self.give_up_buffer();
        self.stream = Outgoing { bytes: vec![0; HEADER_BYTES + MAX_BLOCKS_BYTES], sent: 0, end: 0 };
        self.hub.buffer_bytes.fetch_add(self.stream.bytes.len() as u64, Relaxed);
    }

    fn give_up_buffer(&mut self) {
        self.hub.buffer_bytes.fetch_sub(self.stream.bytes.len() as u64, Relaxed);
        self.stream = Outgoing::default();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.detach();
        self.give_up_buffer();
        self.hub.connections.lock().retain(|connected| !Arc::ptr_eq(&connected.waker, &self.waker));
        self.hub.main.wake();
    }
}
