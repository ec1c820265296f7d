//! Readers of one honed: some attach and detach, one never reads, one is killed, others stay and count. Each reader is
//! a thread that runs until it is stopped. It returns the faults that it has found.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::client::{Client, Frame, Kinds, ReaderNumbers};
use super::parts::tied;
use super::stream::Stream;
use crate::recorder::beside;
use crate::stage::PATIENCE;

/// Longest wait for a frame, so that a request to stop is noticed.
const LOOK: Duration = Duration::from_millis(100);
/// Interval at which the counting reader begins a new section.
const SECTION: Duration = Duration::from_secs(3);
/// How long a reader that never reads stays attached.
const STUCK: Duration = Duration::from_secs(6);
/// Sizes of the ring buffers of the readers that attach and detach, used in turn; in bytes.
const RINGS: [u32; 3] = [1024, 65_536, 0];

/// The result of a reader.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) faults: Vec<String>,
    /// How often the reader attached, or another count, depending on the reader.
    pub(super) rounds: u64,
    /// Number of files that end within a block.
    pub(super) torn: u64,
    pub(super) stream: Stream,
    pub(super) numbers: ReaderNumbers,
    /// Losses for all readers that honed reports: between kernel and honed, and because honed had no space.
    pub(super) lost: [Kinds; 2],
}

/// Reads in sections until it is stopped, and then to the end of a section.
///
/// # Errors
/// The stream is not valid, or ends early.
pub(super) fn stays(mut client: Client, stream: Stream, stop: &AtomicBool) -> Result<Found> {
    let mut found = Found { stream, ..Found::default() };
    let mut begun = Instant::now();
    let mut marked = false;
    let mut last = false;
    loop {
        if !marked && (stop.load(Relaxed) || begun.elapsed() >= SECTION) {
            last = stop.load(Relaxed);
            client.mark()?;
            marked = true;
        }
        match client.next(LOOK)? {
            Some(Frame::Blocks(bytes)) => found.stream.feed(&bytes)?,
            Some(Frame::SectionEnd) => {
                found.rounds += 1;
                (marked, begun) = (false, Instant::now());
                if last {
                    break;
                }
            }
            Some(Frame::End(why)) => bail!("the stream ended: {why}"),
            None => {}
        }
    }
    finish(&mut client, &mut found)?;
    found.faults.append(&mut found.stream.faults);
    if found.stream.lost == 0 {
        found.faults.append(&mut found.stream.strange);
    }
    ensure!(found.stream.unfinished == 0, "a section has no statistics");
    Ok(found)
}

/// Requests this reader's statistics and compares them with what it has received.
fn finish(client: &mut Client, found: &mut Found) -> Result<()> {
    let numbers = client.numbers()?;
    // Frames that arrived before the answer.
    for frame in client.take_early() {
        match frame {
            Frame::Blocks(bytes) => found.stream.feed(&bytes)?,
            Frame::SectionEnd => {}
            Frame::End(why) => bail!("the stream ended: {why}"),
        }
    }
    found.faults.extend(numbers.reader.imbalance());
    let (came, delivered) = (found.stream.blocks[0], numbers.reader.delivered[0]);
    if came != delivered {
        found.faults.push(format!("{delivered} packets were delivered, honed says, {came} came"));
    }
    found.numbers = numbers.reader;
    found.lost = numbers.lost;
    Ok(())
}

/// Attaches, reads a little, and closes the connection, again and again. In every second round it also detaches and
/// attaches again before it closes.
///
/// # Errors
/// honed refuses a request.
pub(super) fn comes_and_goes(socket: &Path, stop: &AtomicBool) -> Result<Found> {
    let mut all = Found::default();
    for ring in RINGS.into_iter().cycle() {
        if stop.load(Relaxed) {
            break;
        }
        let mut client = Client::open(socket)?;
        all.rounds += 1;
        client.attach(ring)?;
        let mut found = Found::default();
        let begun = Instant::now();
        while begun.elapsed() < LOOK {
            match client.next(LOOK / 2)? {
                Some(Frame::Blocks(bytes)) => found.stream.feed(&bytes)?,
                Some(Frame::End(why)) => bail!("the stream ended: {why}"),
                _ => {}
            }
        }
        finish(&mut client, &mut found)?;
        all.faults.append(&mut found.faults);
        all.faults.append(&mut found.stream.faults);
        if all.rounds.is_multiple_of(2) {
            client.detach()?;
            client.attach(0)?;
        }
        std::thread::sleep(LOOK);
    }
    Ok(all)
}

/// Attaches, never reads, and then closes the connection.
///
/// # Errors
/// honed refuses a request.
pub(super) fn never_reads(socket: &Path, stop: &AtomicBool) -> Result<Found> {
    let mut found = Found::default();
    while !stop.load(Relaxed) {
        let mut client = Client::open(socket)?;
        client.attach(0)?;
        found.rounds += 1;
        let begun = Instant::now();
        while begun.elapsed() < STUCK && !stop.load(Relaxed) {
            std::thread::sleep(LOOK);
        }
    }
    Ok(found)
}

/// Runs honeutil and kills it. What it has written until then must be valid. Only the last block may be incomplete,
/// because the kernel ends a write(2) of a killed process at the end of a page.
///
/// # Errors
/// honeutil does not record, or its file is not valid.
pub(super) fn is_killed(socket: &Path, directory: &Path, stop: &AtomicBool) -> Result<Found> {
    let mut found = Found::default();
    while !stop.load(Relaxed) {
        let file = directory.join(format!("killed-{}.pcapng", found.rounds));
        let mut command = tied(Command::new(beside("honeutil")));
        command.args(["read", "--quiet", "--socket"]).arg(socket).arg("-w").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut reader = command.spawn().context("cannot start honeutil")?;
        let begun = Instant::now();
        let written = || file.metadata().is_ok_and(|data| data.len() > 0);
        // Waits longer each time, so that honeutil is killed at different stages.
        let stay = Duration::from_millis(100 + found.rounds % 10 * 150);
        let mut early = None;
        while early.is_none() && (begun.elapsed() < stay || !written() && begun.elapsed() < PATIENCE) {
            std::thread::sleep(LOOK / 4);
            early = reader.try_wait()?;
        }
        let _ = reader.kill();
        reader.wait()?;
        ensure!(early.is_none() && written(), "honeutil does not record: {early:?}");
        found.rounds += 1;
        let mut stream = Stream::of_file(&file, true)?;
        found.torn += u64::from(stream.torn);
        found.faults.append(&mut stream.faults);
        std::fs::remove_file(&file)?;
    }
    Ok(found)
}
