//! The recording loop into named pipes and devices: live, slow, stuck and gone readers.

mod common;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use common::{NOON, Script, Step, contents, packets, record};
use honeutil::output::{Output, OutputError, Target};
use honeutil::record::control::Control;
use honeutil::record::error::RecordError;
use honeutil::record::recorder::Options;
use rustix::fs::{CWD, FileType, Mode};

fn pipe(directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("pipe");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    path
}

/// Opens the pipe as soon as somebody writes it, then lets `reads` read.
fn reader<T: Send + 'static>(
    path: &Path,
    reads: impl FnOnce(File) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let path = path.to_owned();
    thread::spawn(move || reads(File::open(path).unwrap()))
}

fn endless() -> Script {
    Script::new([Step::Forever(Box::new(Step::Packet { pid: Some(1), outbound: true, size: 1400 }))])
}

#[test]
fn a_slow_reader_gets_everything_and_rotation_is_a_new_section() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(&directory);
    let reader = reader(&path, |mut file| {
        thread::sleep(Duration::from_millis(300));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut steps = packets(1, 3000, 1400);
    steps.push(Step::Restart);
    steps.extend(packets(1, 2000, 200));
    steps.push(Step::Stop);
    let (outcome, _, result) = record(Script::new(steps), Target::File(path), Options::default());
    result.unwrap();
    let bytes = reader.join().unwrap();
    assert_eq!(outcome.written, bytes.len() as u64);
    let contents = contents(&bytes);
    assert_eq!((contents.sections, contents.packets.len()), (2, 5000));
    assert_eq!(contents.delivered, [3000, 2000]);
}

#[test]
fn blocks_flow_while_recording_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(&directory);
    let reader = reader(&path, |mut file| {
        // The one packet must arrive although nothing follows it.
        let mut stream = Vec::new();
        let mut buffer = [0; 4096];
        while !stream.windows(4).any(|four| four == [192, 0, 2, 1]) {
            let count = file.read(&mut buffer).unwrap();
            assert!(count > 0, "the stream ended before the packet came");
            stream.extend_from_slice(&buffer[..count]);
        }
        let arrived = Instant::now();
        while file.read(&mut buffer).unwrap() > 0 {}
        arrived
    });
    let mut steps = packets(1, 1, 100);
    steps.extend([Step::Sleep(Duration::from_millis(1)), Step::Sleep(Duration::from_secs(2)), Step::Stop]);
    record(Script::new(steps), Target::File(path), Options::default()).2.unwrap();
    let (ended, arrived) = (Instant::now(), reader.join().unwrap());
    assert!(ended.duration_since(arrived) > Duration::from_secs(1), "the packet waited for the end");
}

#[test]
fn a_closed_pipe_ends_the_recording() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(&directory);
    let reader = reader(&path, |mut file| file.read_exact(&mut [0; 1000]).unwrap());
    let (_, _, result) = record(endless(), Target::File(path), Options::default());
    assert!(matches!(result, Err(RecordError::Output(OutputError::Closed { .. }))), "{result:?}");
    reader.join().unwrap();
}

#[test]
fn a_closed_pipe_ends_a_quiet_recording_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(&directory);
    let reader = reader(&path, |mut file| file.read_exact(&mut [0; 100]).unwrap());
    let (_, _, result) = record(Script::new([]), Target::File(path), Options::default());
    assert!(matches!(result, Err(RecordError::Output(OutputError::Closed { .. }))), "{result:?}");
    reader.join().unwrap();
}

#[test]
fn a_stuck_reader_cannot_hold_up_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = pipe(&directory);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let reader = reader(&path, move |_file| {
        let _ = wait.recv();
    });
    let options = Options { duration: Some(Duration::from_millis(100)), ..Options::default() };
    let started = Instant::now();
    let (_, _, result) = record(endless(), Target::File(path), options);
    let message = result.unwrap_err().to_string();
    assert!(message.contains("has read nothing for 2 s"), "{message}");
    let took = started.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
    drop(done);
    reader.join().unwrap();
}

#[test]
fn nobody_opening_the_pipe_cannot_hold_up_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut control = Control::new();
    control.stop();
    let error = Output::open(Target::File(pipe(&directory)), "box", NOON, &mut control).unwrap_err();
    assert!(matches!(error, OutputError::NoReader { .. }), "{error}");
}

#[test]
fn a_full_device_is_named_with_a_remedy() {
    let (_, tally, result) = record(endless(), Target::File("/dev/full".into()), Options::default());
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains("/dev/full after 0 bytes: No space left") && message.contains("free some"),
        "{message}"
    );
    assert_eq!(tally.total.packets(), 0);
}
