//! Files that others delete, replace or move while they are written: what is said, what is kept, and that nothing of
//! others is touched.

mod common;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use common::{NOON, Script, Step, contents_of, packets, record_to};
use honeutil::output::archive::Keep;
use honeutil::output::{Output, OutputError, Target};
use honeutil::record::control::Control;
use honeutil::record::recorder::Options;
use honeutil::record::summary;

/// An open output with something in it.
fn begun(target: Target, keep: Keep) -> Output {
    let mut control = Control::new();
    let mut output = Output::open(target, "box", NOON, &mut control).unwrap();
    if !keep.is_everything() {
        output.keep(keep).unwrap();
    }
    output.write(&section(), &mut control).unwrap();
    output
}

fn section() -> Vec<u8> {
    let mut out = Vec::new();
    hone_pcapng::Section::default().emit(hone_engine::BYTE_ORDER, &mut out).unwrap();
    out
}

fn gone(output: &mut Output) -> String {
    let error = output.finish(&mut Control::new()).expect_err("a file is gone");
    assert!(matches!(error, OutputError::Gone { .. }), "{error}");
    error.to_string()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    (directory, path)
}

#[test]
fn a_deleted_file_is_no_success() {
    let (_directory, path) = place();
    let mut output = begun(Target::File(path.clone()), Keep::default());
    fs::remove_file(&path).unwrap();
    let message = gone(&mut output);
    assert!(message.contains(&format!("{} was deleted or replaced", path.display())), "{message}");
    assert!(message.contains(&format!("{} B of it are lost", section().len())), "{message}");
    assert_eq!(output.names(), format!("{}, which was deleted or replaced", path.display()));
}

#[test]
fn a_recording_to_a_deleted_file_fails_and_the_summary_does_not_name_it_as_written() {
    let (directory, path) = place();
    let mut output = begun(Target::File(path.clone()), Keep::default());
    fs::remove_dir_all(&directory).unwrap();
    let script = Script::new([packets(1, 10, 100), vec![Step::Stop]].concat());
    let (outcome, tally, result) = record_to(script, &mut output, Options::default(), &mut Control::new());
    let error = result.expect_err("the file is gone").to_string();
    assert!(error.contains("a.pcapng was deleted or replaced"), "{error}");
    let text = summary::render(&outcome, &tally);
    assert!(text.contains("a.pcapng, which was deleted or replaced"), "{text}");
}

#[test]
fn a_replaced_file_is_as_lost_as_a_deleted_one_and_the_other_stays() {
    for keep in [Keep::default(), Keep { max_files: NonZeroU32::new(1), compress: true, newest: None }] {
        let (directory, path) = place();
        let mut output = begun(Target::File(path.clone()), keep);
        let other = directory.path().join("other");
        fs::write(&other, "precious").unwrap();
        fs::rename(&other, &path).unwrap();
        gone(&mut output);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
}

/// As logrotate does it: what was recorded is whole, elsewhere.
#[test]
fn a_moved_file_is_found_again() {
    for keep in [Keep::default(), Keep { max_files: NonZeroU32::new(2), compress: true, newest: None }] {
        let (directory, path) = place();
        let mut output = begun(Target::File(path.clone()), keep);
        let moved = directory.path().join("moved.pcapng");
        fs::rename(&path, &moved).unwrap();
        output.finish(&mut Control::new()).unwrap();
        assert_eq!(output.names(), format!("{} (was {})", moved.display(), path.display()));
        assert_eq!(fs::read(&moved).unwrap(), section(), "nor is it compressed or removed");
        assert_eq!(output.report().map_or(0, |report| report.failures), 0);
    }
}

#[test]
fn recording_goes_on_in_the_next_file_and_the_end_tells_which_are_gone() {
    let (directory, path) = place();
    let mut control = Control::new();
    let mut output = begun(Target::File(path.clone()), Keep::default());
    fs::remove_file(&path).unwrap();
    output.rotate(NOON, &mut control).unwrap();
    output.write(&section(), &mut control).unwrap();
    output.rotate(NOON, &mut control).unwrap();
    output.write(&section(), &mut control).unwrap();
    fs::rename(directory.path().join("a_2.pcapng"), directory.path().join("b")).unwrap();
    let message = gone(&mut output);
    assert!(message.starts_with(&format!("{} was", path.display())), "{message}");
    let names = output.names();
    let counted = "; 1 was deleted or replaced while recording; 1 was moved while recording";
    assert!(names.starts_with("3 files, ") && names.ends_with(counted), "{names}");
    assert_eq!(fs::read(directory.path().join("a_1.pcapng")).unwrap(), section());
}

#[test]
fn of_many_files_that_are_gone_a_few_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut output = begun(Target::Directory(directory.path().to_owned()), Keep::default());
    for number in 0..6 {
        fs::remove_file(output.name()).unwrap();
        if number < 5 {
            output.rotate(NOON, &mut Control::new()).unwrap();
            output.write(&section(), &mut Control::new()).unwrap();
        }
    }
    let message = gone(&mut output);
    assert!(message.starts_with("6 files (") && message.contains("_3.pcapng and others) were"), "{message}");
}

/// What `--max-files` removes itself is no mishap; nor is a file that was finished before others took it.
#[test]
fn a_file_that_was_whole_when_it_was_taken_is_no_failure() {
    let (_directory, path) = place();
    let mut output = begun(
        Target::File(path.clone()),
        Keep { max_files: NonZeroU32::new(3), compress: false, newest: None },
    );
    for _ in 0..5 {
        output.rotate(NOON, &mut Control::new()).unwrap();
        output.write(&section(), &mut Control::new()).unwrap();
    }
    fs::remove_file(path.with_file_name("a_4.pcapng")).unwrap();
    output.finish(&mut Control::new()).unwrap();
    let report = output.report().unwrap();
    let kept = ["a_3.pcapng", "a_5.pcapng"].map(|name| path.with_file_name(name));
    assert_eq!((&report.kept[..], report.removed, report.taken, report.failures), (&kept[..], 3, 1, 0));
    assert!(output.names().contains("; 1 finished before are there no more"), "{}", output.names());
}

/// Nobody can have expected it under a name.
#[test]
fn a_file_that_never_had_a_name_is_not_missed() {
    use std::os::fd::AsRawFd as _;
    let file = tempfile::tempfile().unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut output = begun(Target::File(path.into()), Keep::default());
    output.finish(&mut Control::new()).unwrap();
    assert_eq!(file.metadata().unwrap().len(), section().len() as u64);
}

#[test]
fn a_link_leads_to_the_file_until_that_is_deleted() {
    let (directory, path) = place();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    begun(Target::File(link.clone()), Keep::default()).finish(&mut Control::new()).unwrap();
    let mut output = begun(Target::File(link), Keep::default());
    fs::remove_file(&path).unwrap();
    gone(&mut output);
}

/// Nothing was recorded into it, so nothing is lost.
#[test]
fn a_file_in_which_nothing_is_is_not_missed_and_anothers_is_not_removed() {
    let (_directory, path) = place();
    let mut output = Output::open(Target::File(path.clone()), "box", NOON, &mut Control::new()).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    output.finish(&mut Control::new()).unwrap();
    drop(output);
    assert_eq!(fs::read(Path::new(&path)).unwrap(), b"precious");
}

/// The next recording's file is whole.
#[test]
fn a_rotation_out_of_a_deleted_file_loses_only_that() {
    let (_directory, path) = place();
    let mut control = Control::new();
    let mut output = Output::open(Target::File(path.clone()), "box", NOON, &mut control).unwrap();
    fs::remove_file(&path).unwrap();
    let script = Script::new(
        [packets(1, 10, 100), vec![Step::Restart], packets(1, 5, 100), vec![Step::Stop]].concat(),
    );
    let (_, _, result) = record_to(script, &mut output, Options::default(), &mut control);
    assert!(result.expect_err("one is gone").to_string().contains("a.pcapng was deleted or replaced"));
    assert_eq!(contents_of(path.with_file_name("a_1.pcapng")).delivered, [5]);
}
