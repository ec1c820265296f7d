//! `read --last` and `save`: the newest part of a recording, without a hole, bounded, and after a kill.

use std::fs::File;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hone_testing::{Guarded, SmallDisk, directory, run, skip, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::packet::{Ip, Transport};
use crate::recorder::HONEUTIL;
use crate::recording::{Direction, Recording};
use crate::tools;

/// This process sends itself datagrams, which begin with a number, until it is dropped.
pub(crate) struct Numbers {
    port: u16,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Numbers {
    pub(crate) fn send(bytes: usize, pause: Duration) -> Self {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        let address = receiver.local_addr().expect("it is bound");
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut datagram = vec![0; bytes];
            while !stopped.load(Relaxed) {
                let number = count.load(Relaxed);
                datagram[..8].copy_from_slice(&number.to_be_bytes());
                sender.send_to(&datagram, address).expect("it is sent");
                receiver.recv(&mut datagram).expect("it is received");
                count.store(number + 1, Relaxed);
                std::thread::sleep(pause);
            }
        });
        Self { port: address.port(), sent, stop, thread: Some(thread) }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// The numbers in a recording, as they were sent.
    pub(crate) fn recorded(&self, file: &Path) -> Vec<u64> {
        let sections = Recording::read_unended(file);
        let packets = sections.iter().flat_map(Recording::packets);
        let sent = packets.filter(|packet| packet.direction == Direction::Outbound);
        sent.filter_map(|packet| match Ip::parse(&packet.data)?.transport {
            Transport::Udp { ports: (_, port), payload } if port == self.port => {
                Some(u64::from_be_bytes(*payload.first_chunk()?))
            }
            _ => None,
        })
        .collect()
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A recorder that keeps the newest part of what will be `file`.
pub(crate) fn keep(file: &Path, arguments: &[&str]) -> Guarded {
    keep_saying(file, &log_of(file), arguments)
}

/// The same, with its messages in the file `log`, and what it writes on standard output beside that.
fn keep_saying(file: &Path, log: &Path, arguments: &[&str]) -> Guarded {
    let lines = File::create(log.with_extension("json")).expect("the directory is ours");
    let log = File::options().create(true).append(true).open(log).expect("the directory is ours");
    let mut command = Command::new(HONEUTIL);
    command.args(["read", "--local", "-w"]).arg(file).args(arguments);
    command.stdin(Stdio::null()).stdout(lines).stderr(log);
    let mut recorder = Guarded::spawn(&mut command);
    wait_for("the first segment", || {
        assert_eq!(recorder.ended(), None, "{}", said(file));
        segments(file).iter().any(|path| path.metadata().is_ok_and(|data| data.len() > 0)).then_some(())
    });
    recorder
}

pub(crate) fn log_of(file: &Path) -> PathBuf {
    file.with_extension("log")
}

pub(crate) fn said(file: &Path) -> String {
    std::fs::read_to_string(log_of(file)).unwrap_or_default()
}

pub(crate) fn kept_in(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".recent");
    name.into()
}

/// In the order of their names.
pub(crate) fn segments(file: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(kept_in(file)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pcapng"));
    paths.sort();
    paths
}

pub(crate) fn assert_no_hole(numbers: &[u64]) {
    let hole = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert!(!numbers.is_empty() && hole.is_none(), "{hole:?} of {:?}", numbers.first().zip(numbers.last()));
}

#[test]
fn what_is_saved_is_the_newest_part_without_a_hole() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let file = place.path().join("out.pcapng");
    let mut recorder = keep(&file, &["--last", "3s"]);
    let numbers = Numbers::send(100, Duration::from_millis(1));
    wait_for("the first number", || (numbers.sent() > 0).then_some(()));
    // It is in this one, or in one before it.
    let first = segments(&file).pop().expect("there is one");
    wait_for("the segment with the first number is removed", || (!first.exists()).then_some(()));
    let before = numbers.sent();
    recorder.signal(Signal::USR1);
    wait_for("the file", || file.exists().then_some(()));
    let saved = numbers.recorded(&file);
    assert_no_hole(&saved);
    assert!(saved[0] > 0 && *saved.last().unwrap() + 1 >= before, "{before} were sent, {saved:?} saved");
    let text = run(Command::new(HONEUTIL).arg("show").arg(&file));
    assert!(text.contains(" PAKT "), "{text}");
    assert!(!tools::tshark(&file, "udp", "frame.number").is_empty());

    // It goes on, and what is kept at the end is saved as well.
    let at_end = numbers.sent();
    recorder.signal(Signal::INT);
    assert!(recorder.wait("it ends").success(), "{}", said(&file));
    let last = numbers.recorded(&place.path().join("out_1.pcapng"));
    assert_no_hole(&last);
    assert!(*last.last().unwrap() + 1 >= at_end, "{at_end} were sent, {last:?} recorded");
    assert!(!kept_in(&file).exists(), "nothing else is left");
    assert!(said(&file).contains("Saved the last 3"), "{}", said(&file));
    assert!(!said(&file).contains("less than"), "{}", said(&file));
}

#[test]
fn a_flood_does_not_keep_more_than_its_bound() {
    if !ready(&[]) {
        return;
    }
    const BOUND: u64 = 16 << 20;
    let place = directory();
    let file = place.path().join("out.pcapng");
    let mut recorder = keep(&file, &["--last", "1h", "--last-size", "16M"]);
    let numbers = Numbers::send(32_000, Duration::ZERO);
    let (first, begun) = (segments(&file).remove(0), Instant::now());
    let mut most = 0;
    wait_for("the bound is met several times", || {
        let sizes = segments(&file).into_iter().filter_map(|path| path.metadata().ok());
        most = most.max(sizes.map(|data| data.len()).sum());
        assert_eq!(recorder.ended(), None, "{}", said(&file));
        // What is kept of the first two seconds counts as all since the beginning, whatever else went.
        let is_late = begun.elapsed() > Duration::from_secs(4);
        (is_late && !first.exists() && numbers.sent() * 64_000 > 5 * BOUND).then_some(())
    });
    drop(numbers);
    // A file is removed by another thread, a moment after the next one has begun.
    assert!(most <= BOUND + BOUND / 4, "{most} bytes were kept");
    recorder.signal(Signal::INT);
    assert!(recorder.wait("it ends").success(), "{}", said(&file));
    assert!(file.metadata().expect("it was saved").len() <= BOUND);
    let text = said(&file);
    assert!(
        text.contains("less than the 1 h 00 min asked for: the rest did not fit into 16.0 MiB"),
        "{text}"
    );
}

#[test]
fn what_a_killed_recorder_kept_is_saved_and_kept_on() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let file = place.path().join("out.pcapng");
    let mut recorder = keep(&file, &["--last", "8s"]);
    let numbers = Numbers::send(100, Duration::from_millis(1));
    wait_for("the third segment", || (segments(&file).len() >= 3).then_some(()));
    recorder.signal(Signal::KILL);
    recorder.wait("it is killed");
    let saved = place.path().join("saved.pcapng.zst");
    let text = run_noting(Command::new(HONEUTIL).arg("save").arg("--from").arg(kept_in(&file)).arg(&saved));
    assert!(text.contains("packets"), "{text}");
    assert!(text.contains("less than the 8.0 s asked for: the recording began later"), "{text}");
    let plain = place.path().join("saved.pcapng");
    run(Command::new(HONEUTIL).args(["show", "-w"]).arg(&plain).arg(&saved));
    assert_no_hole(&numbers.recorded(&plain));

    // Others go on with it; the first of them leaves it as well.
    let mut recorder = keep(&file, &["--last", "1h", "--keep-at-end"]);
    wait_for("it records", || (said(&file).matches("Keeping").count() == 2).then_some(()));
    recorder.signal(Signal::INT);
    assert!(recorder.wait("it ends").success(), "{}", said(&file));
    assert!(!file.exists() && kept_in(&file).exists());
    let kept = kept_in(&file);
    let mut recorder = keep(&file, &["--last", "1h", "--last-dir", kept.to_str().expect("it is ASCII")]);
    let again = numbers.sent();
    wait_for("more", || (numbers.sent() > again + 500).then_some(()));
    recorder.signal(Signal::INT);
    assert!(recorder.wait("it ends").success(), "{}", said(&file));
    assert!(said(&file).contains("a recorder before this one"), "{}", said(&file));
    let all = numbers.recorded(&file);
    let ends = (all[0], *all.last().unwrap());
    assert!(
        ends.0 <= numbers.recorded(&plain)[0] && ends.1 >= again + 499,
        "{ends:?}, {again} were sent before"
    );
    let holes: Vec<_> = all.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(matches!(holes.len(), 1 | 2), "between the three recorders: {holes:?} of {ends:?}");
}

#[test]
fn on_a_full_disk_it_goes_on_and_keeps_less() {
    if !ready(&[]) {
        return;
    }
    let Some(disk) = SmallDisk::mount("48m") else {
        return skip("a full disk: mounting a tmpfs needs root");
    };
    let place = directory();
    let (file, log) = (disk.path().join("out.pcapng"), place.path().join("log"));
    let said = || std::fs::read_to_string(&log).expect("it is there");
    let mut recorder = keep_saying(&file, &log, &["--last", "1h", "--last-size", "2G"]);
    assert!(said().contains("at most 24.0 MiB are kept"), "{}", said());
    let numbers = Numbers::send(8000, Duration::from_micros(200));
    wait_for("some segments", || (segments(&file).len() >= 4).then_some(()));
    let first = segments(&file).remove(0);

    // Something else takes all the rest, once: what the recording removes from now on is its own room. If that were taken
    // too, the recording would rightly end.
    let ballast = disk.path().join("ballast");
    let mut rest = File::create(&ballast).expect("the disk is ours");
    while rest.write_all(&[0; 65_536]).is_ok() {}
    let before = numbers.sent();
    wait_for("several rounds on the full disk", || {
        assert_eq!(recorder.ended(), None, "{}", said());
        (!first.exists() && numbers.sent() > before + 6000).then_some(())
    });
    // At most a file's room is free, and several files are kept: there is no room to save, which does not end the recording.
    recorder.signal(Signal::USR1);
    wait_for("the save is refused", || {
        said().contains("cannot save the newest part: the disk of").then_some(())
    });
    drop((numbers, rest));
    std::fs::remove_file(&ballast).expect("it is there");
    assert!(recorder.ended().is_none(), "{}", said());
    assert_eq!(said().matches("No space left").count(), 1, "{}", said());
    recorder.signal(Signal::INT);
    assert_eq!(recorder.wait("it ends").code(), Some(1), "a save was refused: {}", said());
    assert!(file.exists(), "{}", said());
    let text = run(Command::new(HONEUTIL).arg("show").arg(&file));
    assert!(text.contains(" PAKT ") && said().contains("less than the 1 h 00 min"), "{}", said());
}

/// What it says on standard error.
pub(crate) fn run_noting(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_named_pipe_cannot_be_saved_to() {
    let place = directory();
    let pipe = place.path().join("pipe");
    run(Command::new("mkfifo").arg(&pipe));
    let output = Command::new(HONEUTIL).args(["read", "--last", "1m", "-w"]).arg(&pipe).output();
    let output = output.expect("it can be started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("--last is for files"), "{text}");
    assert!(!kept_in(&pipe).exists());
}

#[test]
fn one_directory_has_one_recorder() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let file = place.path().join("out.pcapng");
    let recorder = keep(&file, &["--last", "1m"]);
    let mut second = Command::new(HONEUTIL);
    second.args(["read", "--local", "--last", "1m", "-w"]).arg(&file);
    let log = place.path().join("second.log");
    let log_file = std::fs::File::create(&log).expect("it can be made");
    let mut second = hone_testing::Guarded::spawn(second.stderr(log_file));
    // It says at once what it waits for.
    let waits = wait_for("it says that it waits", || {
        std::fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n'))
    });
    assert!(waits.contains("is in use by another recorder: waiting up to 5.0 s for its end"), "{waits}");
    assert_eq!(second.ended(), None, "it waits: {waits}");
    assert_eq!(second.wait("it gives up").code(), Some(1));
    let text = std::fs::read_to_string(&log).expect("there is one");
    assert!(text.contains("Name another file or directory"), "{text}");
    recorder.signal(Signal::INT);
}
