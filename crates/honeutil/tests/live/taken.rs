//! Output that others take away, and recorders that are killed.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hone_testing::{Guarded, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::recorder::{HONEUTIL, Recorder, directory, has_content};
use crate::recording::Recording;

#[test]
fn a_recording_that_is_deleted_is_noticed_can_be_saved_and_is_no_success() {
    if !ready(&[]) {
        return;
    }
    let recorder = Recorder::start(&[]);
    let [file] = &recorder.files()[..] else { panic!("not one file") };
    let saved = file.with_file_name("saved.pcapng");
    std::fs::remove_file(file).expect("the directory is ours");
    let rescue = wait_for("it is noticed", || {
        let message = recorder.stderr();
        let (_, rescue) = message.split_once("; until then, `")?;
        Some(rescue.split_once(" FILE` saves")?.0.to_owned())
    });
    let message = recorder.stderr();
    assert!(message.contains(&format!("{} was deleted or replaced", file.display())), "{message}");
    let copy = Command::new("sh").args(["-c", &format!("{rescue} \"$0\"")]).arg(&saved).status();
    assert!(copy.expect("sh can be started").success(), "{rescue}");
    Recording::read_cut_short(&saved);
    recorder.signal(Signal::HUP);
    let next = file.with_file_name("recording_1.pcapng");
    wait_for("the next file", || has_content(&next).then_some(()));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let lost: Vec<_> = ended.stderr.lines().filter(|line| line.contains(" lost")).collect();
    assert!(lost.len() == 3 && lost[2].starts_with("honeutil: "), "noticed, rotated, ended: {lost:?}");
    assert!(ended.stderr.contains("; 1 was deleted or replaced while recording"), "{}", ended.stderr);
    Recording::read(&next);
}

#[test]
fn standard_output_that_is_deleted_is_no_success() {
    if !ready(&[]) {
        return;
    }
    let recorder = Recorder::start_on_standard_output();
    std::fs::remove_file(&recorder.files()[0]).expect("the directory is ours");
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("honeutil: standard output was deleted or replaced"), "{}", ended.stderr);
}

/// As logrotate does it: away with the file, then SIGHUP.
#[test]
fn a_recording_that_is_moved_is_whole() {
    if !ready(&[]) {
        return;
    }
    let recorder = Recorder::start(&[]);
    let [file] = &recorder.files()[..] else { panic!("not one file") };
    let moved = file.with_file_name("moved.pcapng");
    std::fs::rename(file, &moved).expect("the directory is ours");
    recorder.signal(Signal::HUP);
    wait_for("the next file", || has_content(&file.with_file_name("recording_1.pcapng")).then_some(()));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    assert!(ended.stderr.contains(&format!("it is {} now", moved.display())), "{}", ended.stderr);
    for file in &ended.files {
        Recording::read(file);
    }
    assert_eq!(ended.files.len(), 2);
}

/// `kill -9` while a file is compressed: the plain one is whole, and the next recorder of its name can compress it.
#[test]
fn a_recorder_that_was_killed_while_compressing_is_in_nobodys_way() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let path = |name: &str| place.path().join(name);
    let (plain, part) = (path("a.pcapng"), path("a.pcapng.zst.part"));
    let record = |more: &[&str]| {
        let mut command = Command::new(HONEUTIL);
        command.args(["read", "--local", "--buffer-size", "128", "--compress", "-w"]).arg(&plain).args(more);
        Guarded::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))
    };
    // Compression may be over before the signal comes: then once more.
    let killed_in_time = (0..5).any(|_| {
        let mut killed = record(&[]);
        wait_for("honeutil records", || has_content(&plain).then_some(()));
        send_noise(20 << 20);
        wait_for("it is recorded", || plain.metadata().is_ok_and(|file| file.len() > 18 << 20).then_some(()));
        killed.signal(Signal::HUP);
        while !has_content(&part) && plain.exists() {
            assert_eq!(killed.ended(), None, "it compresses");
        }
        killed.signal(Signal::KILL);
        killed.wait("it is killed");
        let in_time = part.exists();
        if !in_time {
            std::fs::remove_file(path("a.pcapng.zst")).expect("it is compressed");
        }
        in_time
    });
    assert!(killed_in_time && plain.exists());
    Recording::read(&plain);

    let mut next = record(&["--duration", "1"]);
    let ended = next.wait("the next one ends");
    let message =
        std::io::read_to_string(next.child().stderr.take().expect("it is a pipe")).expect("it is text");
    assert!(ended.success(), "{message}");
    let names = names(place.path());
    assert!(
        names.contains(&"a.pcapng.zst".to_owned()) && !names.contains(&"a.pcapng".to_owned()),
        "{names:?}"
    );
    assert!(names.iter().all(|name| !name.ends_with(".part")), "{names:?}");
}

/// What is in a directory.
fn names(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).expect("the directory is ours");
    let mut names: Vec<_> = files
        .map(|file| file.expect("the directory is ours").path())
        .filter_map(|file: PathBuf| file.file_name().and_then(OsStr::to_str).map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Sends so many bytes over the loopback interface that cannot be compressed.
fn send_noise(bytes: usize) {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    sender.connect(receiver.local_addr().expect("it is bound")).expect("it is there");
    let mut state = 1_u64;
    let mut buffer = vec![0; 1 << 16];
    // Each packet is recorded twice, sent and received.
    for _ in 0..bytes / 2 / 60_000 + 1 {
        let mut data = Vec::with_capacity(60_000);
        while data.len() < 60_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let _ = data.write_all(&state.to_le_bytes());
        }
        sender.send(&data).expect("it is sent");
        receiver.recv(&mut buffer).expect("it is received");
    }
}
