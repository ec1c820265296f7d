//! The recording loop from a scripted source to files: sections, names, ends.

mod common;

use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use common::{NOON, Script, Step, contents_of, packets, record};
use hone_engine::{PerKind, SnapLength};
use honeutil::output::{Output, OutputError, Target};
use honeutil::record::control::Control;
use honeutil::record::error::RecordError;
use honeutil::record::recorder::Options;
use honeutil::record::summary;

fn names(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_recording_is_one_whole_section() {
    let directory = tempfile::tempdir().unwrap();
    let mut steps = vec![Step::Start { pid: 7, path: "/usr/bin/seven", user: "alice" }];
    steps.extend(packets(7, 10_000, 900));
    steps.push(Step::Stop);
    // Still in the kernel's buffer at the stop: belongs to the recording.
    steps.extend(packets(7, 5, 60));
    let mut script = Script::new(steps);
    script.drops = PerKind { packets: 3, ..PerKind::default() };
    let (outcome, tally, result) =
        record(script, Target::Directory(directory.path().to_owned()), Options::default());
    result.unwrap();
    assert_eq!(names(&directory), ["box_20260730_120000.pcapng"]);
    let path = directory.path().join("box_20260730_120000.pcapng");
    let contents = contents_of(&path);
    assert_eq!((contents.sections, contents.packets.len()), (1, 10_005));
    assert_eq!(contents.processes, [1, 7]);
    assert_eq!((contents.delivered, contents.dropped), (vec![10_005], vec![3]));
    assert_eq!(tally.total.packets(), 10_005);
    assert_eq!(outcome.written, fs::metadata(&path).unwrap().len());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn names_that_are_taken_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let script = Script::new([Step::Stop]);
        record(script, Target::Directory(directory.path().to_owned()), Options::default()).2.unwrap();
    }
    assert_eq!(
        names(&directory),
        ["box_20260730_120000.pcapng", "box_20260730_120000_1.pcapng", "box_20260730_120000_2.pcapng"]
    );
}

fn two_files() -> Script {
    let mut steps = vec![Step::Start { pid: 7, path: "/usr/bin/seven", user: "alice" }];
    steps.extend(packets(7, 100, 100));
    steps.push(Step::Restart);
    steps.extend(packets(7, 50, 100));
    steps.push(Step::Stop);
    Script::new(steps)
}

#[test]
fn every_rotated_file_stands_alone() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::Directory(directory.path().to_owned());
    let (outcome, tally, result) = record(two_files(), target, Options::default());
    result.unwrap();
    let names = names(&directory);
    assert_eq!(names, ["box_20260730_120000.pcapng", "box_20260730_120000_1.pcapng"]);
    for (name, count) in names.iter().zip([100, 50]) {
        let contents = contents_of(directory.path().join(name));
        assert_eq!(contents.sections, 1);
        assert_eq!(contents.packets, vec![Some(7); count]);
        assert_eq!(contents.processes, [1, 7], "each file tells of the processes it needs");
        assert_eq!(contents.delivered, [count as u64]);
    }
    assert_eq!(tally.total.packets(), 150);
    let text = summary::render(&outcome, &tally);
    assert!(text.contains("2 files, ") && text.contains("_120000_1.pcapng"), "{text}");
}

#[test]
fn a_named_file_has_numbered_successors_that_overwrite_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.pcapng");
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    fs::write(directory.path().join("web_1.pcapng"), "precious").unwrap();
    record(two_files(), Target::File(path.clone()), Options::default()).2.unwrap();
    assert_eq!(names(&directory), ["web.pcapng", "web_1.pcapng", "web_2.pcapng"]);
    assert_eq!(contents_of(&path).packets.len(), 100);
    assert_eq!(fs::read(directory.path().join("web_1.pcapng")).unwrap(), b"precious");
    assert_eq!(contents_of(directory.path().join("web_2.pcapng")).packets.len(), 50);
}

#[test]
fn a_rotation_that_cannot_make_its_file_leaves_a_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut control = Control::new();
    let mut output = Output::open(Target::File(inner.join("a")), "box", NOON, &mut control).unwrap();
    let moved = directory.path().join("moved");
    fs::rename(&inner, &moved).unwrap();
    let (_, _, result) = common::record_to(two_files(), &mut output, Options::default(), &mut control);
    let message = result.unwrap_err().to_string();
    assert!(message.contains("inner/a_1: No such file") && message.contains("mkdir"), "{message}");
    assert_eq!(contents_of(moved.join("a")).delivered, [100]);
}

#[test]
fn the_count_is_exact() {
    for count in [1, 2, 2047, 2048, 2049, 5000] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        let script =
            Script::new([Step::Forever(Box::new(Step::Packet { pid: Some(1), outbound: false, size: 60 }))]);
        let options = Options { count: NonZeroU64::new(count), ..Options::default() };
        record(script, Target::File(path.clone()), options).2.unwrap();
        let contents = contents_of(&path);
        assert_eq!(contents.packets.len() as u64, count);
        assert_eq!(contents.delivered, [count]);
    }
}

#[test]
fn the_duration_ends_a_quiet_recording_and_a_busy_one() {
    let busy = Step::Forever(Box::new(Step::Packet { pid: Some(1), outbound: false, size: 60 }));
    for steps in [vec![], vec![busy]] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { duration: Some(Duration::from_millis(200)), ..Options::default() };
        let started = Instant::now();
        let (outcome, _, result) =
            record(Script::new(steps), Target::File(directory.path().join("a")), options);
        result.unwrap();
        assert!(outcome.elapsed >= Duration::from_millis(200));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        contents_of(directory.path().join("a"));
    }
}

#[test]
fn snap_length_cuts_data_but_not_counts() {
    let directory = tempfile::tempdir().unwrap();
    let mut steps = packets(1, 10, 1000);
    steps.push(Step::Stop);
    let options = Options { snap_length: SnapLength::lenient(40), ..Options::default() };
    let (outcome, tally, result) =
        record(Script::new(steps), Target::File(directory.path().join("a")), options);
    result.unwrap();
    assert_eq!(tally.total.bytes_out, 10_000);
    assert!(outcome.written < 3000, "{}", outcome.written);
}

#[test]
fn a_source_that_fails_leaves_a_whole_section() {
    let directory = tempfile::tempdir().unwrap();
    let mut steps = packets(1, 10, 100);
    steps.push(Step::Fail);
    let (_, tally, result) =
        record(Script::new(steps), Target::File(directory.path().join("a")), Options::default());
    assert!(matches!(result, Err(RecordError::Source(error)) if error.to_string() == "the script says so"));
    assert_eq!(tally.total.packets(), contents_of(directory.path().join("a")).packets.len() as u64);
    assert_eq!(contents_of(directory.path().join("a")).delivered.len(), 1);
}

#[test]
fn opening_alone_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old");
    fs::write(&old, "what was there").unwrap();
    for target in [Target::File(old.clone()), Target::File(directory.path().join("new"))] {
        drop(Output::open(target, "box", NOON, &mut Control::new()).unwrap());
    }
    drop(
        Output::open(Target::Directory(directory.path().to_owned()), "box", NOON, &mut Control::new())
            .unwrap(),
    );
    assert_eq!(names(&directory), ["old"]);
    assert_eq!(fs::read(&old).unwrap(), b"what was there");
}

#[test]
fn places_that_cannot_be_written_are_named_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let missing = directory.path().join("missing");
    for (target, name, remedy) in [
        (Target::Directory(missing.clone()), "missing/box_2026", "(mkdir)"),
        (Target::Directory(file), "file/box_2026", "name a directory"),
        (Target::File(missing.join("a")), "missing/a", "(mkdir)"),
        (Target::File(directory.path().to_owned()), "", "use -d"),
        (Target::Directory("/proc".into()), "/proc/box_2026", "(mkdir)"),
    ] {
        let error = Output::open(target, "box", NOON, &mut Control::new()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, OutputError::Open { .. }), "{message}");
        assert!(message.contains(name) && message.contains(remedy), "{message}");
    }
}

#[test]
fn the_summary_tells_who_talked_to_whom() {
    let directory = tempfile::tempdir().unwrap();
    let steps = [
        Step::Start { pid: 7, path: "/opt/x/evil\x1b[2J\nname", user: "al\u{7}ice" },
        Step::Packet { pid: Some(7), outbound: true, size: 1000 },
        Step::Packet { pid: Some(7), outbound: false, size: 2000 },
        Step::Packet { pid: Some(1), outbound: false, size: 100 },
        Step::Packet { pid: None, outbound: true, size: 50 },
        Step::Stop,
    ];
    let (mut outcome, tally, result) =
        record(Script::new(steps), Target::File(directory.path().join("a")), Options::default());
    result.unwrap();
    outcome.elapsed = Duration::from_millis(1500);
    outcome.files = "a.pcapng".to_owned();
    outcome.written = 4096;
    assert_eq!(
        summary::render(&outcome, &tally),
        "\
Recorded    4 packets, 3.1 KiB on the wire, in 1.5 s
Written     4.0 KiB to a.pcapng
Dropped     nothing
Attributed  100 % of the packets that have a process, to 2 processes
            without a process: 1 of the kernel itself

PROCESS              PID  USER       BYTES IN  BYTES OUT  PACKETS IN  PACKETS OUT  MOSTLY WITH
evil\\x1b[2J\\x0aname    7  al\\x07ice   2.0 KiB     1000 B           1            1  192.0.2.1:443 udp
init                   1  root          100 B        0 B           1            0  192.0.2.1:443 udp
(no process)                              0 B       50 B           0            1  192.0.2.1:443 udp
"
    );
}
