//! Rotation by size and time, the number of files, compression: from a scripted source, so that every packet counts.

mod common;

use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Contents, NOON, Recorded, Script, Step, contents, contents_of, packets, record_to};
use hone_engine::SnapLength;
use honeutil::output::archive::Keep;
use honeutil::output::{Output, OutputError, Target};
use honeutil::record::control::Control;
use honeutil::record::recorder::Options;
use honeutil::record::rotation::Rotation;
use honeutil::record::summary;

const MIB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);

/// Records into `directory` and says what the output's report is.
fn record(script: Script, target: Target, options: Options, keep: Keep) -> (Recorded, Output) {
    let mut control = Control::new();
    let mut output = Output::open(target, "box", NOON, &mut control).unwrap();
    if keep != Keep::default() {
        output.keep(keep).unwrap();
    }
    let recorded = record_to(script, &mut output, options, &mut control);
    (recorded, output)
}

fn by_size(size: u64) -> Options {
    Options { rotation: Rotation { size: Some(size), time: None }, ..Options::default() }
}

/// The files of a directory in the order in which they were made.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let number = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let stem = name.split('.').next().unwrap();
        stem.split('_').nth(3).map_or(0, |number| number.parse::<u32>().unwrap())
    };
    files.sort_by_key(number);
    files
}

fn read(path: &Path) -> Contents {
    if path.extension().is_some_and(|extension| extension == "zst") {
        contents(&zstd::stream::decode_all(fs::File::open(path).unwrap()).unwrap())
    } else {
        contents_of(path)
    }
}

/// Packets of all sizes and of a process that starts before them, then the stop.
fn traffic(count: usize) -> Script {
    let mut steps = vec![Step::Start { pid: 7, path: "/usr/bin/seven", user: "alice" }];
    for index in 0..count {
        let size = if index % 50 == 0 { 60_000 } else { 60 + index * 37 % 1400 };
        steps.push(Step::Packet { pid: Some(7), outbound: index % 2 == 0, size });
    }
    steps.push(Step::Stop);
    Script::new(steps)
}

#[test]
fn no_file_is_larger_than_asked_and_no_packet_is_lost() {
    for (size, snap_length) in [(MIB, 0), (3 * MIB, 0), (MIB, 96)] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { snap_length: SnapLength::lenient(snap_length), ..by_size(size) };
        let target = Target::Directory(directory.path().to_owned());
        let ((outcome, tally, result), _) = record(traffic(20_000), target, options, Keep::default());
        result.unwrap();
        let files = files(directory.path());
        assert!(files.len() >= 2, "{files:?}");
        let mut packets = 0;
        let mut bytes = 0;
        for (index, path) in files.iter().enumerate() {
            let length = fs::metadata(path).unwrap().len();
            assert!(length <= size, "{length} of {size}");
            // The last one is what is left; the others are full but for one largest packet.
            assert!(index + 1 == files.len() || length + 263 * 1024 > size, "{length} of {size}");
            let contents = contents_of(path);
            assert_eq!(contents.sections, 1);
            assert_eq!(contents.delivered, [contents.packets.len() as u64]);
            assert!(contents.packets.iter().all(|pid| *pid == Some(7)));
            assert_eq!(contents.processes, [1, 7], "each file tells of the processes it needs");
            packets += contents.packets.len();
            bytes += length;
        }
        assert_eq!((packets, tally.total.packets(), outcome.written), (20_000, 20_000, bytes));
        let text = summary::render(&outcome, &tally);
        assert!(text.contains(&format!("{} files, ", files.len())), "{text}");
    }
}

#[test]
fn a_state_larger_than_the_size_does_not_make_a_file_for_each_packet() {
    let directory = tempfile::tempdir().unwrap();
    let mut script = traffic(10_000);
    script.running =
        (0..60_000).map(|pid| Step::Start { pid: 1000 + pid, path: "/usr/bin/some", user: "root" }).collect();
    let target = Target::Directory(directory.path().to_owned());
    let ((_, tally, result), _) = record(script, target, by_size(MIB), Keep::default());
    result.unwrap();
    let files = files(directory.path());
    assert!(fs::metadata(&files[0]).unwrap().len() > 2 * MIB);
    assert!(files.len() < 10, "{}", files.len());
    let packets: usize = files.iter().map(|path| contents_of(path).packets.len()).sum();
    assert_eq!((packets, tally.total.packets()), (10_000, 10_000));
}

#[test]
fn time_begins_the_next_file_also_when_nothing_happens() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        rotation: Rotation { size: None, time: Some(Duration::from_millis(200)) },
        duration: Some(Duration::from_millis(900)),
        ..Options::default()
    };
    let mut steps = packets(1, 10, 100);
    steps.push(Step::Sleep(Duration::from_millis(300)));
    steps.extend(packets(1, 10, 100));
    let target = Target::Directory(directory.path().to_owned());
    let ((_, _, result), _) = record(Script::new(steps), target, options, Keep::default());
    result.unwrap();
    let counts: Vec<_> = files(directory.path()).iter().map(|path| contents_of(path).packets.len()).collect();
    assert!((3..=5).contains(&counts.len()), "{counts:?}");
    assert_eq!((counts[0], counts.iter().sum::<usize>()), (10, 20), "{counts:?}");
}

#[test]
fn requests_count_and_size_go_together() {
    let directory = tempfile::tempdir().unwrap();
    let mut steps = packets(1, 100, 1000);
    steps.push(Step::Restart);
    steps.extend(packets(1, 100_000, 1000));
    let options = Options { count: NonZeroU64::new(3000), ..by_size(MIB) };
    let path = directory.path().join("a.pcapng");
    let ((_, tally, result), _) =
        record(Script::new(steps), Target::File(path.clone()), options, Keep::default());
    result.unwrap();
    assert_eq!(tally.total.packets(), 3000);
    assert_eq!(contents_of(&path).packets.len(), 100, "the request");
    let count = fs::read_dir(&directory).unwrap().count();
    let mut packets = 100;
    for number in 1..count {
        let path = directory.path().join(format!("a_{number}.pcapng"));
        assert!(fs::metadata(&path).unwrap().len() <= MIB);
        packets += contents_of(&path).packets.len();
    }
    assert_eq!(packets, 3000);
}

#[test]
fn only_the_newest_files_of_this_recording_are_kept() {
    for compress in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        for name in ["a_2.pcapng", "other.pcapng", "a_1.txt"] {
            fs::write(directory.path().join(name), "precious").unwrap();
        }
        let keep = Keep { max_files: NonZeroU32::new(3), compress, newest: None };
        let ((outcome, tally, result), output) =
            record(traffic(20_000), Target::File(path.clone()), by_size(MIB), keep);
        result.unwrap();
        let report = output.report().unwrap();
        assert_eq!(report.failures, 0);
        assert_eq!(report.kept.len(), 3);
        assert!(report.removed > 2);
        for name in ["a_2.pcapng", "other.pcapng", "a_1.txt"] {
            assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"precious", "{name}");
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3 + 3, "nothing else is left");
        for (path, next) in report.kept.iter().zip(&report.kept[1..]) {
            assert_ne!(path, next);
        }
        let packets: usize = report.kept.iter().map(|path| read(path).packets.len()).sum();
        assert!(packets > 0 && packets < 20_000);
        let text = summary::render(&outcome, &tally);
        assert!(text.contains("older ones were removed"), "{text}");
        assert!(report.kept.iter().all(|path| text.contains(path.to_str().unwrap())), "{text}");
        // For programs: all files that were written, as the bytes are of all of them.
        let paths = &outcome.paths;
        assert_eq!((paths.count, paths.gone), (report.removed + 3, report.removed));
        let [first, last] = [&report.kept[0], &report.kept[2]].map(|path| path.to_str());
        assert_eq!((paths.first.as_deref(), paths.last.as_deref()), (first, last));
    }
}

/// Many files a second, of which only the last stay: their names are in the order in which they were made.
#[test]
fn no_name_is_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    // Taken by others, so that the number runs ahead of the count.
    for number in 1..=4 {
        fs::write(directory.path().join(format!("box_20260730_120000_{number}.pcapng")), "precious").unwrap();
    }
    let keep = Keep { max_files: NonZeroU32::new(1), compress: false, newest: None };
    let target = Target::Directory(directory.path().to_owned());
    let ((_, _, result), output) = record(traffic(20_000), target, by_size(MIB), keep);
    result.unwrap();
    let report = output.report().unwrap();
    let last = format!("box_20260730_120000_{}.pcapng", 4 + report.removed);
    assert!(report.removed > 4, "{report:?}");
    assert_eq!(report.kept, [directory.path().join(last)]);
}

#[test]
fn what_killed_recorders_left_is_removed_and_nothing_else() {
    for (target, of_ours, others) in [
        (
            None,
            ["box_20260101_000000.pcapng", "box_20260101_000000_3.pcapng"],
            ["other_20260101_000000.pcapng", "box.pcapng"],
        ),
        (Some("a.pcapng"), ["a_1.pcapng", "a_22.pcapng"], ["ab.pcapng", "a_b.pcapng"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for plain in of_ours.iter().chain(&others) {
            fs::write(path(plain), "whole").unwrap();
            fs::write(path(&format!("{plain}.zst.part")), "half").unwrap();
        }
        // Nothing but this is left of its recording.
        fs::write(path("a_7.pcapng.zst.part"), "half").unwrap();
        fs::write(path("box_20260101_000007.pcapng.zst.part"), "half").unwrap();
        let target = target
            .map_or_else(|| Target::Directory(directory.path().to_owned()), |name| Target::File(path(name)));
        let mut output = Output::open(target, "box", NOON, &mut Control::new()).unwrap();
        output.keep(Keep { max_files: None, compress: true, newest: None }).unwrap();
        output.finish(&mut Control::new()).unwrap();
        let mut left: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".part"))
            .collect();
        left.sort();
        let mut expected = others.map(|name| format!("{name}.zst.part")).to_vec();
        expected.extend(["a_7.pcapng.zst.part", "box_20260101_000007.pcapng.zst.part"].map(str::to_owned));
        expected.sort();
        assert_eq!(left, expected);
    }
}

/// Names go by the clock, but which file is the oldest does not; and nothing waits for a time to come again.
#[test]
fn a_clock_set_back_loses_no_packet_and_removes_no_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut steps = packets(1, 10, 100);
    for count in [20, 30] {
        steps.extend([Step::SetClockBack(HOUR), Step::Restart]);
        steps.extend(packets(1, count, 100));
    }
    steps.push(Step::Stop);
    let options = Options { rotation: Rotation { size: None, time: Some(HOUR) }, ..Options::default() };
    let keep = Keep { max_files: NonZeroU32::new(2), compress: false, newest: None };
    let target = Target::Directory(directory.path().to_owned());
    let ((_, tally, result), _) = record(Script::new(steps), target, options, keep);
    result.unwrap();
    assert_eq!(tally.total.packets(), 60);
    let left = files(directory.path());
    let names: Vec<_> = left.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["box_20260730_100000.pcapng", "box_20260730_110000.pcapng"]);
    let found: Vec<_> = left.iter().map(contents_of).collect();
    assert_eq!([&found[0].delivered[..], &found[1].delivered[..]], [[30], [20]]);
}

#[test]
fn an_overwritten_file_is_not_ours_to_remove() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    fs::write(&path, "old").unwrap();
    let keep = Keep { max_files: NonZeroU32::new(1), compress: false, newest: None };
    let (_, output) = record(traffic(20_000), Target::File(path.clone()), by_size(MIB), keep);
    assert!(output.report().unwrap().kept.contains(&path));
    assert_eq!(contents_of(&path).sections, 1);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
}

#[test]
fn a_file_that_took_a_removed_ones_name_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    let mut control = Control::new();
    let mut output = Output::open(Target::File(path.clone()), "box", NOON, &mut control).unwrap();
    output.keep(Keep { max_files: NonZeroU32::new(1), compress: true, newest: None }).unwrap();
    output.write(&section(), &mut control).unwrap();
    fs::rename(&path, directory.path().join("mine")).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    output.rotate(NOON, &mut control).unwrap();
    output.write(&section(), &mut control).unwrap();
    output.finish(&mut control).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
    assert!(directory.path().join("mine").exists());
}

fn section() -> Vec<u8> {
    let mut out = Vec::new();
    hone_pcapng::Section::default().emit(hone_engine::BYTE_ORDER, &mut out).unwrap();
    out
}

#[test]
fn compressed_files_hold_what_the_plain_ones_held() {
    let plain = tempfile::tempdir().unwrap();
    let compressed = tempfile::tempdir().unwrap();
    for (directory, compress) in [(&plain, false), (&compressed, true)] {
        let keep = Keep { max_files: None, compress, newest: None };
        let target = Target::Directory(directory.path().to_owned());
        let ((outcome, tally, result), output) = record(traffic(10_000), target, by_size(2 * MIB), keep);
        result.unwrap();
        assert_eq!(output.report().map_or(0, |report| report.failures), 0);
        let text = summary::render(&outcome, &tally);
        assert_eq!(text.contains(", compressed to "), compress, "{text}");
    }
    let (plain, compressed) = (files(plain.path()), files(compressed.path()));
    assert!(plain.len() > 2 && plain.len() == compressed.len());
    for (plain, compressed) in plain.iter().zip(&compressed) {
        assert_eq!(
            compressed.file_name().unwrap().to_str().unwrap(),
            format!("{}.zst", plain.file_name().unwrap().to_str().unwrap())
        );
        assert!(read(plain) == read(compressed));
    }
}

#[test]
fn a_recording_with_nothing_in_it_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut control = Control::new();
    let target = Target::Directory(directory.path().to_owned());
    let mut output = Output::open(target, "box", NOON, &mut control).unwrap();
    output.keep(Keep { max_files: None, compress: true, newest: None }).unwrap();
    output.finish(&mut control).unwrap();
    assert_eq!(output.report().unwrap().kept, Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn a_pipe_has_no_files_to_keep() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read(path).unwrap()
    });
    let mut output = Output::open(Target::File(path), "box", NOON, &mut Control::new()).unwrap();
    let error = output.keep(Keep { max_files: None, compress: true, newest: None }).unwrap_err();
    assert!(matches!(error, OutputError::NotAFile { .. }));
    drop(output);
    reader.join().unwrap();
}
