//! What `honeutil selftest` asks Windows and the driver. Every step has a time limit, and none needs the network.

mod traffic;

use std::io;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use hone_api::limits::MAX_OPEN_CONNECTIONS;
use hone_api::{
    ApiVersion, ConnectionRecord, Fixed, List, OpenConnection, OpenConnections, Operation, Request,
    Statistics,
};
use hone_windows::device::Device;
use hone_windows::service::{self, State};
use hone_windows::{filters, process, system};
use serde_json::{Value, json};

use super::host::now;
use super::service::DriverError;
use crate::selftest::{Answers, Event, Recording, Verdict, judge, judge_echo};
use traffic::{Traffic, make};

/// Longest time of a step that only asks.
const ASK: Duration = Duration::from_secs(20);
/// Longest time of the step that makes traffic and reads what was recorded of it.
const RECORD: Duration = Duration::from_secs(90);
/// How long the driver may hold a packet before it is recorded, and connections take to end.
const SETTLE: Duration = Duration::from_secs(3);
/// How often what was recorded is read.
const READ: Duration = Duration::from_millis(5);
/// How far two clocks of one computer may be apart, nanoseconds.
const CLOCKS: u64 = 1_000_000_000;
/// `ERROR_FILE_NOT_FOUND`.
const NOT_FOUND: i32 = 2;

/// What was found out.
pub(crate) struct Found {
    /// The answers to all questions.
    pub(crate) answers: Answers,
    /// What is known of this Windows and of the driver.
    pub(crate) system: Value,
    /// Why the driver could not be asked.
    pub(crate) error: Option<DriverError>,
}

/// Asks everything.
pub(crate) fn run() -> Found {
    let mut found = Found { answers: Answers::default(), system: windows(), error: None };
    let elevated = process::is_elevated();
    found.answers.note(
        "administrator",
        Verdict::expected(elevated),
        if elevated { "yes" } else { "no: run this in a command prompt opened as administrator" },
    );
    for step in [installed, platform, name] {
        if let Some(answers) = in_time(ASK, step) {
            found.answers.extend(answers);
        }
    }
    match in_time(ASK, super::service::open) {
        Some(Ok(device)) => record(&mut found, device),
        Some(Err(error)) => {
            found.answers.note("device", Verdict::Other, error.to_string());
            found.answers.fill("not asked: the device cannot be opened");
            found.error = Some(error);
        }
        None => {}
    }
    found.answers.fill("no answer came in time");
    found
}

/// Does `work` in another thread, and waits for its result at most this long. After that, the thread is left alone.
fn in_time<T: Send + 'static>(longest: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, receive) = mpsc::channel();
    // If nobody waits any more, the result is lost.
    thread::Builder::new().spawn(move || drop(send.send(work()))).ok()?;
    receive.recv_timeout(longest).ok()
}

fn windows() -> Value {
    let version = system::version();
    let (major, minor, build) = version.number;
    let options = system::code_integrity();
    let has = |bit: u32| options.map(|options| options & bit != 0);
    json!({
        "windows": format!("{major}.{minor}.{build}"),
        "service_pack": version.service_pack,
        "server": version.is_server,
        "secure_boot": system::is_secure_boot(),
        "code_integrity": options.map(|options| format!("{options:#x}")),
        "test_signing": has(0x02),
        "kernel_debugger": has(0x80),
        "hvci": has(0x400),
    })
}

fn installed() -> Answers {
    let mut answers = Answers::default();
    match service::status("hone") {
        Ok(Some(status)) => {
            let text = format!("{:?}, starts {:?}, {}", status.state, status.start, status.path.display());
            answers.note("service", Verdict::expected(status.state == State::Running), text);
        }
        Ok(None) => answers.note("service", Verdict::Other, "not installed"),
        Err(error) => answers.note("service", Verdict::Unknown, error.to_string()),
    }
    answers
}

fn platform() -> Answers {
    let mut answers = Answers::default();
    match filters::installed() {
        Ok(found) => {
            let is_whole = found.provider && (found.callouts, found.filters) == (14, 28);
            let is_below = match (found.weight, found.universal_weight) {
                (Some(own), Some(universal)) => own < universal,
                _ => false,
            };
            let weight =
                |weight: Option<u16>| weight.map_or("none".to_owned(), |weight| format!("{weight:#x}"));
            let text = format!(
                "{} callouts, {} filters, weight {}, universal sublayer {}",
                found.callouts,
                found.filters,
                weight(found.weight),
                weight(found.universal_weight)
            );
            answers.note("filters", Verdict::expected(is_whole && is_below), text);
        }
        Err(error) => answers.note("filters", Verdict::Unknown, error.to_string()),
    }
    answers
}

fn name() -> Answers {
    let mut answers = Answers::default();
    match Device::open_below(r"\x") {
        Ok(_) => answers.note("name", Verdict::Other, r"\\.\HoneOut\x was opened"),
        Err(error) => {
            let is_refused = error.raw_os_error() == Some(NOT_FOUND);
            answers.note("name", Verdict::expected(is_refused), error.to_string());
        }
    }
    answers
}

/// Asks the driver for its version, then makes traffic and judges what was recorded of it.
fn record(found: &mut Found, device: Device) {
    let mut reply = [0; 12];
    let version = device.control(Operation::GetVersion.control_code().0, &[], &mut reply);
    match (version, device.log_levels()) {
        (Ok(filled), Ok(levels)) => match ApiVersion::parse(&reply[..filled]) {
            Ok(version) => {
                let [major, minor, micro, _] = version.service;
                let text = format!(
                    "driver {major}.{minor}.{micro}, interface {}.{}, log levels {:#x}",
                    version.major,
                    version.minor,
                    levels.mask()
                );
                found.answers.note("device", Verdict::expected(version.is_understood()), text);
            }
            Err(error) => found.answers.note("device", Verdict::Other, error.to_string()),
        },
        (Err(error), _) | (_, Err(error)) => found.answers.note("device", Verdict::Other, error.to_string()),
    }
    if let Some((answers, made)) = in_time(RECORD, move || traffic_and_judgement(device)) {
        found.answers.extend(answers);
        if let Some(system) = found.system.as_object_mut() {
            system.insert("traffic".to_owned(), made);
        }
    }
}

fn traffic_and_judgement(device: Device) -> (Answers, Value) {
    let mut answers = Answers::default();
    let device = Arc::new(device);
    let before = device.statistics();
    let (recording, is_over) = (Arc::clone(&device), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&is_over);
    let reader = thread::Builder::new().spawn(move || read(&recording, &until));
    let begun = now();
    let child = start();
    let traffic = make();
    thread::sleep(SETTLE);
    let ended = now();
    is_over.store(true, Relaxed);
    let recorded = match reader.map(thread::JoinHandle::join) {
        Ok(Ok(recorded)) => recorded.into_events(),
        _ => Vec::new(),
    };
    let Traffic { flows, echoes, made } = traffic;
    judge(&flows, &recorded, std::process::id(), &mut answers);
    for (id, data) in echoes {
        match data {
            Ok(data) => judge_echo(id, &recorded, &data, &mut answers),
            Err(error) => answers.note(id, Verdict::Unknown, error.to_string()),
        }
    }
    started(child, &recorded, &mut answers);
    clock(&recorded, begun..=ended, &mut answers);
    losses(before, device.statistics(), &mut answers);
    list(&device, &mut answers);
    (answers, made)
}

/// Everything that the driver records, until it is over.
fn read(device: &Device, is_over: &AtomicBool) -> Recording {
    let (mut all, mut buffer) = (Recording::new(std::process::id()), vec![0; 512 << 10]);
    loop {
        // Asked before the read, so that one more comes after it.
        let is_last = is_over.load(Relaxed);
        match device.read(&mut buffer) {
            Ok(0) if is_last => return all,
            Ok(0) => thread::sleep(READ),
            Ok(filled) => all.add(&buffer[..filled]),
            Err(_) => return all,
        }
    }
}

/// Starts this program again, which then only prints its version, and waits for its end. Returns its process id.
fn start() -> io::Result<u32> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > ASK {
            child.kill()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(READ);
    }
    Ok(child.id())
}

fn started(child: io::Result<u32>, recorded: &[Event], answers: &mut Answers) {
    let (pid, own) = match (child, std::env::current_exe()) {
        (Ok(pid), Ok(own)) => (pid, own.display().to_string()),
        (Err(error), _) | (_, Err(error)) => {
            return answers.note("process", Verdict::Unknown, error.to_string());
        }
    };
    let start =
        recorded.iter().position(|event| matches!(event, Event::Started(started, ..) if *started == pid));
    let Some((place, Event::Started(_, path, line))) = start.map(|place| (place, &recorded[place])) else {
        return answers.note("process", Verdict::Other, "no start was recorded");
    };
    let has_ended = recorded[place..].contains(&Event::Ended(pid));
    let is_right = path.eq_ignore_ascii_case(&own) && line.contains("--version") && has_ended;
    let end = if has_ended { "with an end" } else { "without an end" };
    answers.note("process", Verdict::expected(is_right), format!("path {path}, command line {line}, {end}"));
}

/// The times of packets, which are all from while they were recorded.
fn clock(recorded: &[Event], while_recorded: std::ops::RangeInclusive<u64>, answers: &mut Answers) {
    let times = recorded.iter().filter_map(|event| match event {
        Event::Packet { at, .. } => Some(*at),
        _ => None,
    });
    let (begin, end) = (*while_recorded.start(), *while_recorded.end());
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return answers.note("clock", Verdict::Unknown, "no packet was recorded");
    };
    let is_right = first + CLOCKS >= begin && last <= end + CLOCKS;
    let milliseconds = |earlier: u64, later: u64| (i128::from(later) - i128::from(earlier)) / 1_000_000;
    let text = format!(
        "the first packet {} ms after the begin, the last one {} ms before the end",
        milliseconds(begin, first),
        milliseconds(last, end)
    );
    answers.note("clock", Verdict::expected(is_right), text);
}

fn losses(before: io::Result<Statistics>, after: io::Result<Statistics>, answers: &mut Answers) {
    match (before, after) {
        (Ok(before), Ok(after)) => {
            let lost = |statistics: &Statistics| {
                let all = [statistics.dropped_by_source, statistics.lost, statistics.reader.dropped];
                all.map(|counts| counts.packets + counts.processes + counts.connections)
            };
            let [sensor, queue, ring] = lost(&after);
            let [sensor_before, queue_before, ring_before] = lost(&before);
            let counts = [sensor - sensor_before, queue - queue_before, ring - ring_before];
            let text = format!(
                "by the sensor {}, by the queue manager {}, by the ring buffer {}",
                counts[0], counts[1], counts[2]
            );
            answers.note("losses", Verdict::expected(counts == [0; 3]), text);
        }
        (Err(error), _) | (_, Err(error)) => answers.note("losses", Verdict::Unknown, error.to_string()),
    }
}

/// Sends this computer's own list: what `send-conns` sends.
fn list(device: &Device, answers: &mut Answers) {
    let sent = || {
        let mut records = super::open_connections()?.records();
        records.truncate(MAX_OPEN_CONNECTIONS);
        let mut buffer = vec![0; records.len() * <ConnectionRecord as Fixed>::LENGTH];
        let list =
            List::write(records.iter().map(OpenConnection::record), &mut buffer).map_err(io::Error::other)?;
        device.request(&Request::SetOpenConnections(OpenConnections::Full(list)))?;
        Ok::<_, io::Error>(records.len())
    };
    match sent() {
        Ok(count) => answers.note("list", Verdict::Expected, format!("{count} records")),
        Err(error) => answers.note("list", Verdict::Other, error.to_string()),
    }
}
