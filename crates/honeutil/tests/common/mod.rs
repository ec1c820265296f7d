//! A source of events that follows a script, and a look at what came of it. No root needed.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hone_engine::{
    Direction, Event, Method, NoOwner, Owner, Packet, ProcessKey, ProcessStart, SectionInfo, SourceDrops,
    StartKind,
};
use hone_pcapng::{Block, Reader};
use honeutil::messages::Progress;
use honeutil::output::{Output, Target};
use honeutil::record::control::Control;
use honeutil::record::error::RecordError;
use honeutil::record::local::Local;
use honeutil::record::recorder::{Options, Recorder};
use honeutil::record::source::{Source, SourceError};
use honeutil::record::summary::Outcome;
use honeutil::record::wanted::Wanted;
use honeutil::traffic::tally::Tally;

/// 2026-07-30 12:00:00 UTC.
pub(crate) const NOON: u64 = 1_785_412_800_000_000_000;

/// What the source does next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Start {
        pid: u32,
        path: &'static str,
        user: &'static str,
    },
    End {
        pid: u32,
    },
    /// From 192.0.2.1:443 to this host or back.
    Packet {
        pid: Option<u32>,
        outbound: bool,
        size: usize,
    },
    /// As often as the rest of the script is asked for.
    Forever(Box<Step>),
    Stop,
    Restart,
    Sleep(Duration),
    SetClockBack(Duration),
    Fail,
}

pub(crate) fn packets(pid: u32, count: usize, size: usize) -> Vec<Step> {
    vec![Step::Packet { pid: Some(pid), outbound: true, size }; count]
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Running before the recording begins.
    pub(crate) running: Vec<Step>,
    pub(crate) steps: VecDeque<Step>,
    pub(crate) drops: SourceDrops,
    stop: Arc<AtomicBool>,
    restart: Arc<AtomicBool>,
    clock: u64,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let running = vec![Step::Start { pid: 1, path: "/sbin/init", user: "root" }];
        Self { running, steps: steps.into_iter().collect(), clock: NOON, ..Self::default() }
    }
}

impl Source for Script {
    fn restate(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), SourceError> {
        for step in &self.running {
            deliver(step, NOON - 1_000_000_000, sink);
        }
        Ok(())
    }

    fn poll(
        &mut self,
        timeout: Duration,
        most: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError> {
        for delivered in 0..most {
            let Some(step) = self.steps.pop_front() else {
                if delivered == 0 {
                    std::thread::sleep(timeout.min(Duration::from_millis(5)));
                }
                return Ok(delivered);
            };
            self.clock += 1000;
            match step {
                Step::Stop => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Ok(delivered);
                }
                Step::Restart => {
                    self.restart.store(true, Ordering::Relaxed);
                    return Ok(delivered);
                }
                Step::Sleep(time) => {
                    std::thread::sleep(time);
                    return Ok(delivered);
                }
                Step::SetClockBack(time) => {
                    self.clock -= u64::try_from(time.as_nanos()).expect("it is short");
                }
                Step::Fail => return Err("the script says so".into()),
                Step::Forever(step) => {
                    deliver(&step, self.clock, sink);
                    self.steps.push_front(Step::Forever(step));
                }
                step => deliver(&step, self.clock, sink),
            }
        }
        Ok(most)
    }

    fn drops(&mut self) -> Result<SourceDrops, SourceError> {
        Ok(self.drops)
    }

    fn now(&self) -> u64 {
        self.clock
    }
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start: u64::from(pid) }
}

fn deliver(step: &Step, at: u64, sink: &mut dyn FnMut(Event<'_>)) {
    match *step {
        Step::Start { pid, path, user } => sink(Event::ProcessStarted(ProcessStart {
            path: Some(path.as_bytes()),
            user: Some(1000),
            user_name: Some(user.as_bytes()),
            ..ProcessStart::new(key(pid), at, StartKind::Started)
        })),
        Step::End { pid } => sink(Event::ProcessEnded { process: key(pid), at }),
        Step::Packet { pid, outbound, size } => {
            let owner =
                pid.map_or(Owner::None(NoOwner::Kernel), |pid| Owner::Process(key(pid), Method::CurrentTask));
            let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
            let data = udp(outbound, size);
            let original_length = u32::try_from(data.len()).unwrap();
            sink(Event::Packet(Packet {
                at,
                connection: None,
                owner,
                direction,
                flags: 0,
                original_length,
                packet_id: None,
                data: &data,
            }));
        }
        _ => unreachable!("not an event"),
    }
}

fn udp(outbound: bool, size: usize) -> Vec<u8> {
    let mut data = vec![0; size.max(28)];
    data[0] = 0x45;
    data[9] = 17;
    let (local, remote) = ([10, 0, 0, 1, 156, 64], [192, 0, 2, 1, 1, 187]);
    let (source, destination) = if outbound { (local, remote) } else { (remote, local) };
    data[12..16].copy_from_slice(&source[..4]);
    data[16..20].copy_from_slice(&destination[..4]);
    data[20..22].copy_from_slice(&source[4..]);
    data[22..24].copy_from_slice(&destination[4..]);
    data
}

pub(crate) type Recorded = (Outcome, Tally, Result<(), RecordError>);

/// Records the script to the target, which must open.
pub(crate) fn record(script: Script, target: Target, options: Options) -> Recorded {
    let mut control = Control::new();
    let mut output = Output::open(target, "box", NOON, &mut control).expect("the output opens");
    record_to(script, &mut output, options, &mut control)
}

pub(crate) fn record_to(
    mut script: Script,
    output: &mut Output,
    options: Options,
    control: &mut Control,
) -> Recorded {
    (script.stop, script.restart) = (control.stop_flag(), control.restart_flag());
    let mut progress = Progress::new(false);
    let feed = Local::start(
        script,
        SectionInfo::default(),
        &Wanted { snap_length: options.snap_length, ..Wanted::default() },
    )
    .expect("the recording starts");
    Recorder::new(Box::new(feed), options, output, control, &mut progress).run()
}

/// What a recording holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) sections: usize,
    pub(crate) packets: Vec<Option<u32>>,
    /// Process ids of process events.
    pub(crate) processes: Vec<u32>,
    /// Packets delivered, as each section's statistics say.
    pub(crate) delivered: Vec<u64>,
    /// Drops by the source, likewise.
    pub(crate) dropped: Vec<u64>,
}

/// Reads a whole recording; it must be sound to its last byte.
pub(crate) fn contents(bytes: &[u8]) -> Contents {
    let mut reader = Reader::new();
    let mut contents = Contents::default();
    reader.feed(bytes).unwrap();
    while let Some(item) = reader.next_block().expect("a sound block") {
        match item.block {
            Block::Section(_) => contents.sections += 1,
            Block::Packet(packet) => contents.packets.push(packet.process),
            Block::Process(event) => contents.processes.push(event.process),
            Block::Statistics(statistics) => {
                contents.delivered.push(statistics.delivered.unwrap());
                contents.dropped.push(statistics.dropped_by_source.unwrap());
            }
            _ => {}
        }
    }
    reader.finish().expect("no half block at the end");
    contents
}

pub(crate) fn contents_of(path: impl AsRef<Path>) -> Contents {
    contents(&std::fs::read(path).unwrap())
}
