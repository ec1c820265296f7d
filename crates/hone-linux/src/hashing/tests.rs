//! Files that are executed, without the kernel's records of it.

use std::os::linux::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;

/// The file as the kernel would report it, on a file system of this kind.
fn file(path: &Path, kind: u32) -> FileId {
    let found = std::fs::metadata(path).expect("it is there");
    let nanos = u32::try_from(found.st_ctime_nsec()).expect("less than a second");
    FileId {
        device: 0,
        kind,
        inode: found.st_ino(),
        size: found.st_size(),
        changed: (found.st_ctime(), nanos),
    }
}

const EXT4: u32 = 0xEF53;
const TMPFS: u32 = 0x0102_1994;
const OVERLAYFS: u32 = 0x794C_7630;
const FUSE: u32 = 0x6573_5546;

fn executed<'a>(pid: u32, file: FileId, path: &'a Path) -> Executed<'a> {
    Executed {
        process: ProcessKey { pid, start: 1 },
        parent: std::process::id(),
        file: Some(file),
        path: path.as_os_str().as_encoded_bytes(),
    }
}

/// The results that the processes get, in the order of their ids.
fn results(hashing: &mut Hashing, count: usize) -> Vec<(u32, ExecutableHash)> {
    let mut results = Vec::new();
    while results.len() < count {
        hashing.deliver(&mut |process, hash| results.push((process.pid, hash)));
        std::thread::sleep(Duration::from_millis(1));
    }
    results.sort_by_key(|(pid, _)| *pid);
    results
}

fn truth(path: &Path) -> ExecutableHash {
    Ok(Sha256::digest(std::fs::read(path).expect("it can be read")).into())
}

/// A program, and a process that runs it until it is killed.
struct Running(Child);

impl Running {
    fn start(path: &Path) -> Self {
        std::fs::copy("/bin/sleep", path).expect("there is a program");
        Self(Command::new(path).arg("1000").spawn().expect("it can be executed"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_is_hashed_once_and_everybody_who_waits_gets_the_hash() {
    let directory = TempDir::new().expect("there is room");
    let path = directory.path().join("program");
    std::fs::copy("/bin/sleep", &path).expect("there is a program");
    let file = file(&path, EXT4);
    let mut hashing = Hashing::start().expect("there is room for a thread");
    // Nobody has these ids, so the file is found by its path.
    let process = |number: u32| 4_200_000 + number;
    for number in 0..3 {
        let executed = executed(process(number), file, &path);
        assert_eq!(hashing.executed(&executed), Err(NoHash::Pending));
    }
    hashing.forked(ProcessKey { pid: process(3), start: 1 }, process(2));
    // It does not wait any more.
    let other = executed(process(1), FileId { size: MAX_SIZE + 1, ..file }, &path);
    assert_eq!(hashing.executed(&other), Err(NoHash::TooLarge));
    let hash = truth(&path);
    let expected: Vec<_> = [0, 2, 3].map(|number| (process(number), hash)).into();
    assert_eq!(results(&mut hashing, 3), expected);
    std::fs::remove_file(&path).expect("it is there");
    assert_eq!(hashing.executed(&executed(process(4), file, &path)), hash, "known without the file");
    assert_eq!(hashing.listed, 0);
}

#[test]
fn what_is_not_the_executed_file_has_no_hash() {
    let directory = TempDir::new().expect("there is room");
    let path = directory.path().join("program");
    let running = Running::start(&path);
    let pid = running.0.id();
    let right = file(&path, EXT4);
    let mut hashing = Hashing::start().expect("there is room for a thread");
    let mut hash = |executed: &Executed<'_>| {
        assert_eq!(hashing.executed(executed), Err(NoHash::Pending));
        results(&mut hashing, 1)[0].1
    };
    // What the process runs is right, whatever is at the path.
    let right_hash = truth(&path);
    std::fs::rename(&path, directory.path().join("moved")).expect("it is there");
    std::fs::write(&path, "another").expect("there is room");
    let moved = file(&directory.path().join("moved"), EXT4);
    assert_eq!(hash(&executed(pid, moved, &path)), right_hash);
    // The name of a file changes its time, too.
    assert_eq!(hash(&executed(pid, right, &path)), Err(NoHash::Changed));
    let nobody = 4_200_000;
    assert_eq!(hash(&executed(nobody, right, &path)), Err(NoHash::Changed));
    assert_eq!(hash(&executed(nobody, right, &directory.path().join("none"))), Err(NoHash::Gone));
    // A symbolic link was never executed, and is not followed.
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path().join("moved"), &link).expect("there is room");
    assert_eq!(hash(&executed(nobody, moved_away(moved), &link)), Err(NoHash::Changed));
    let mut unread = executed(nobody, FileId { kind: FUSE, ..right }, &path);
    assert_eq!(
        hashing.executed(&unread),
        Err(NoHash::Unreadable),
        "its program could keep the reader waiting"
    );
    unread.file = None;
    assert_eq!(hashing.executed(&unread), Err(NoHash::Unreadable));
}

/// The same file, which is not known yet.
fn moved_away(file: FileId) -> FileId {
    FileId { device: file.device + 1, ..file }
}

/// On tmpfs, a file can change without another time. As long as a process executes it, it cannot.
#[test]
fn where_changes_are_hidden_a_hash_needs_a_process_that_runs() {
    let directory = TempDir::new().expect("there is room");
    let path = directory.path().join("program");
    let running = Running::start(&path);
    let pid = running.0.id();
    let file = file(&path, TMPFS);
    let mut hashing = Hashing::start().expect("there is room for a thread");
    let hash = truth(&path);
    for _ in 0..2 {
        assert_eq!(hashing.executed(&executed(pid, file, &path)), Err(NoHash::Pending), "never known before");
        assert_eq!(results(&mut hashing, 1), [(pid, hash)]);
    }
    drop(running);
    assert_eq!(hashing.executed(&executed(pid, file, &path)), Err(NoHash::Pending));
    assert_eq!(results(&mut hashing, 1), [(pid, Err(NoHash::Gone))]);
}

/// On overlayfs, the time that the kernel reports of a file in a lower layer can be an older one.
#[test]
fn where_the_time_shows_late_the_file_is_opened_each_time() {
    let directory = TempDir::new().expect("there is room");
    let path = directory.path().join("program");
    std::fs::copy("/bin/sleep", &path).expect("there is a program");
    let reported = file(&path, OVERLAYFS);
    let mut hashing = Hashing::start().expect("there is room for a thread");
    let hash = truth(&path);
    let executed = executed(4_200_000, reported, &path);
    for _ in 0..2 {
        assert_eq!(hashing.executed(&executed), Err(NoHash::Pending));
        assert_eq!(results(&mut hashing, 1)[0].1, hash);
    }
    let mut bytes = std::fs::read(&path).expect("it can be read");
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).expect("there is room");
    assert_eq!(hashing.executed(&executed), Err(NoHash::Pending));
    assert_eq!(results(&mut hashing, 1)[0].1, Err(NoHash::Changed));
}

/// Small files do not wait for a large one, and what has no room is said at once.
#[test]
fn the_smallest_file_comes_first_and_what_waits_is_bounded() {
    let directory = TempDir::new().expect("there is room");
    let path = |name: &str| directory.path().join(name);
    std::fs::File::create(path("large")).and_then(|file| file.set_len(100 << 20)).expect("it takes no room");
    std::fs::copy("/bin/sleep", path("small")).expect("there is a program");
    let mut hashing = Hashing::start().expect("there is room for a thread");
    let large = file(&path("large"), EXT4);
    assert_eq!(hashing.executed(&executed(4_200_000, large, &path("large"))), Err(NoHash::Pending));
    let small = file(&path("small"), EXT4);
    assert_eq!(hashing.executed(&executed(4_200_001, small, &path("small"))), Err(NoHash::Pending));
    assert_eq!(results(&mut hashing, 1), [(4_200_001, truth(&path("small")))]);
    // A file for each, as far as the kernel says.
    let (mut busy, path) = (0_u64, path("large"));
    for device in 1..5_000 {
        let file = FileId { device, ..large };
        let executed = executed(4_200_001 + device, file, &path);
        busy += u64::from(hashing.executed(&executed) == Err(NoHash::Busy));
    }
    hashing.deliver(&mut |_, hash| busy += u64::from(hash == Err(NoHash::Busy)));
    assert!(busy > 0 && hashing.left_out == busy, "{busy}");
}

#[test]
fn a_file_that_has_just_changed_is_read_when_another_change_would_show() {
    let at = |seconds, nanos| FileId { changed: (seconds, nanos), ..FileId::default() };
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1000);
    assert_eq!(at(999, 999_000_000).settles_in(now), Duration::from_millis(49));
    assert_eq!(at(999, 1).settles_in(now), Duration::ZERO);
    assert_eq!(at(999, 0).settles_in(now), Duration::from_millis(1100), "whole seconds");
    assert_eq!(
        at(1001, 5).settles_in(now),
        Duration::ZERO,
        "a change would get a time that is not in the future"
    );
    assert_eq!(at(-5, 5).settles_in(now), Duration::ZERO);
}
