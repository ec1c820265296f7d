//! A client of honed. It is written only from `docs/reader-protocol.md`, so that it repeats no mistake of Hone's own
//! client.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::stage::PATIENCE;

const HELLO: u16 = 1;
const REPLY: u16 = 2;
const REFUSAL: u16 = 3;
const BLOCKS: u16 = 4;
const SECTION_END: u16 = 5;
const END: u16 = 6;
const REQUEST: u16 = 16;

/// Most bytes of a frame's payload.
const MAX_PAYLOAD: usize = 1 << 20;
/// Length of a frame's header, in bytes.
const HEAD: usize = 12;

/// A frame of the stream.
#[derive(Debug)]
pub(super) enum Frame {
    Blocks(Vec<u8>),
    SectionEnd,
    /// The stream has ended, for this reason.
    End(String),
}

/// One number for each kind of block: packets, process events, connection events.
pub(super) type Kinds = [u64; 3];

/// The statistics that a soak uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    pub(super) readers: u64,
    pub(super) processes: u64,
    pub(super) connections: u64,
    /// Losses between kernel and honed, and losses because honed had no space.
    pub(super) lost: [Kinds; 2],
    pub(super) held: u64,
    pub(super) blocks: u64,
    pub(super) block_bytes: u64,
    pub(super) reader: ReaderNumbers,
}

/// The statistics of the reader that asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReaderNumbers {
    pub(super) received: Kinds,
    pub(super) delivered: Kinds,
    pub(super) dropped: Kinds,
    pub(super) filtered: Kinds,
    pub(super) queued: Kinds,
}

impl ReaderNumbers {
    /// A description of the numbers that do not balance. `None` if they do.
    pub(super) fn imbalance(&self) -> Option<String> {
        let Self { received, delivered, dropped, filtered, queued } = self;
        let sum = |kind: usize| delivered[kind] + dropped[kind] + filtered[kind] + queued[kind];
        let balanced = (0..3).all(|kind| received[kind] == sum(kind));
        (!balanced).then(|| format!("received is not delivered + dropped + filtered + waiting: {self:?}"))
    }
}

/// A connection to honed.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    sequence: u32,
    /// Frames of the stream that arrived before an answer.
    early: VecDeque<Frame>,
}

impl Client {
    /// Connects to honed.
    ///
    /// # Errors
    /// Nothing listens, or honed refuses.
    pub(super) fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("cannot connect to honed")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, sequence: 0, early: VecDeque::new() };
        let (kind, code, _, payload) = client.frame()?;
        ensure!(kind != REFUSAL, "honed refuses ({code}): {}", String::from_utf8_lossy(&payload));
        ensure!(kind == HELLO && payload.starts_with(&[1, 0]), "honed speaks another protocol");
        Ok(client)
    }

    fn frame(&mut self) -> Result<(u16, u16, u32, Vec<u8>)> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).context("honed has closed the connection, or says nothing")?;
        let length = usize::try_from(u32_at(&head, 0)?)?;
        ensure!(length <= MAX_PAYLOAD, "a frame of {length} bytes");
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).context("honed broke off within a frame")?;
        let halves = u32_at(&head, 4)?;
        let (kind, code) = (u16::try_from(halves & 0xffff)?, u16::try_from(halves >> 16)?);
        Ok((kind, code, u32_at(&head, 8)?, payload))
    }

    fn streamed(kind: u16, payload: Vec<u8>) -> Result<Frame> {
        Ok(match kind {
            BLOCKS => Frame::Blocks(payload),
            SECTION_END => Frame::SectionEnd,
            END => Frame::End(String::from_utf8_lossy(&payload).into_owned()),
            other => bail!("a frame of kind {other} that nobody asked for"),
        })
    }

    /// Sends a request and waits for its answer. Keeps the frames of the stream that arrive first.
    fn request(&mut self, operation: u16, input: &[u8]) -> Result<Vec<u8>> {
        self.sequence += 1;
        let mut bytes = Vec::from(u32::try_from(input.len())?.to_le_bytes());
        bytes.extend(REQUEST.to_le_bytes());
        bytes.extend(operation.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(input);
        self.stream.write_all(&bytes).context("honed does not take a request")?;
        loop {
            let (kind, code, sequence, payload) = self.frame()?;
            match kind {
                REPLY if sequence == self.sequence => return Ok(payload),
                REFUSAL => {
                    bail!(
                        "operation {operation:#x} is refused ({code}): {}",
                        String::from_utf8_lossy(&payload)
                    )
                }
                kind => self.early.push_back(Self::streamed(kind, payload)?),
            }
        }
    }

    /// Begins the stream. `ring` is the size of the ring buffer in bytes; 0 means the default.
    ///
    /// # Errors
    /// The request is refused.
    pub(super) fn attach(&mut self, ring: u32) -> Result<()> {
        let mut input = [0; 16];
        input[4..8].copy_from_slice(&ring.to_le_bytes());
        self.request(0xB00, &input).map(drop)
    }

    /// Ends the stream. The connection stays open.
    ///
    /// # Errors
    /// The request is refused.
    pub(super) fn detach(&mut self) -> Result<()> {
        self.request(0xB01, &[]).map(drop)
    }

    /// Ends the section after everything in the queue has been sent.
    ///
    /// # Errors
    /// The request is refused, for example because the last mark has not been reached yet.
    pub(super) fn mark(&mut self) -> Result<()> {
        self.request(0x800, &[]).map(drop)
    }

    /// Sets a filter that leaves out the packets of these processes.
    ///
    /// # Errors
    /// The request is refused.
    pub(super) fn leave_out(&mut self, processes: &[u32]) -> Result<()> {
        let input: Vec<u8> = processes.iter().flat_map(|process| process.to_le_bytes()).collect();
        self.request(0x802, &input).map(drop)
    }

    /// Requests the statistics.
    ///
    /// # Errors
    /// The request is refused.
    pub(super) fn numbers(&mut self) -> Result<Numbers> {
        let reply = self.request(0x906, &[])?;
        let at = |offset| u64_at(&reply, offset);
        let kinds = |offset| Ok::<_, anyhow::Error>([at(offset)?, at(offset + 8)?, at(offset + 16)?]);
        Ok(Numbers {
            readers: at(40)?,
            processes: at(104)?,
            connections: at(128)?,
            lost: [kinds(152)?, kinds(176)?],
            held: at(232)?,
            blocks: at(528)?,
            block_bytes: at(536)?,
            reader: ReaderNumbers {
                received: kinds(608)?,
                delivered: kinds(632)?,
                dropped: kinds(656)?,
                filtered: kinds(680)?,
                queued: kinds(704)?,
            },
        })
    }

    /// All memory that honed reports as allocated, in bytes.
    ///
    /// # Errors
    /// The request is refused, or the answer has no such row.
    pub(super) fn allocated(&mut self) -> Result<u64> {
        let reply = self.request(0xB04, &[])?;
        let all = reply.chunks_exact(24).find(|row| row.starts_with(&[0, 0]));
        u64_at(all.context("honed reports no memory")?, 16)
    }

    /// Takes the frames of the stream that arrived before the last answer.
    pub(super) fn take_early(&mut self) -> VecDeque<Frame> {
        std::mem::take(&mut self.early)
    }

    /// The next frame of the stream. `None` if none arrives within `timeout`.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) fn next(&mut self, timeout: Duration) -> Result<Option<Frame>> {
        if let Some(frame) = self.early.pop_front() {
            return Ok(Some(frame));
        }
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(timeout)?) {
            Ok(0) => return Ok(None),
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::Interrupted => return Ok(None),
            found => found?,
        };
        let (kind, _, _, payload) = self.frame()?;
        Ok(Some(Self::streamed(kind, payload)?))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk).context("a reply is too short")?;
    Ok(u32::from_le_bytes(*word))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk).context("a reply is too short")?;
    Ok(u64::from_le_bytes(*word))
}
