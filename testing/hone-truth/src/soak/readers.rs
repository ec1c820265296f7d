//! Readers of one honed that come, go, never read, are killed, or stay and count. Each is a thread that runs until it is
//! told to stop, and returns what was not as it should be.

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

/// How long a wait for a frame takes at most, so that a stop is seen.
const LOOK: Duration = Duration::from_millis(100);
/// How often the reader that counts begins a new section.
const SECTION: Duration = Duration::from_secs(3);
/// How long a reader that never reads stays.
const STUCK: Duration = Duration::from_secs(6);
/// Ring buffers of the readers that come and go, by turns; bytes.
const RINGS: [u32; 3] = [1024, 65_536, 0];

/// What a reader has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) faults: Vec<String>,
    /// How often it came, or what else it counts.
    pub(super) rounds: u64,
    /// Files that end within a block.
    pub(super) torn: u64,
    pub(super) stream: Stream,
    pub(super) numbers: ReaderNumbers,
    /// What honed says was lost for everybody: between kernel and honed, and because honed had no room.
    pub(super) lost: [Kinds; 2],
}

/// Reads until it is told to stop, in sections, and then to the end of one.
///
/// # Errors
/// The stream is not sound, or ends.
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

/// Asks for this reader's numbers, and compares them with what came.
fn finish(client: &mut Client, found: &mut Found) -> Result<()> {
    let numbers = client.numbers()?;
    // What came before the answer.
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

/// Attaches, reads a little, detaches, attaches again, goes: with and without a word.
///
/// # Errors
/// honed refuses.
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

/// Attaches and never reads, then breaks off.
///
/// # Errors
/// honed refuses.
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

/// honeutil records, and is killed. What it has written up to then is sound; the last block can be cut, for the kernel
/// ends a write(2) of a killed process at the end of a page.
///
/// # Errors
/// It does not record, or its file is not sound.
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
        // Longer each time, so that it is killed at all stages.
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
