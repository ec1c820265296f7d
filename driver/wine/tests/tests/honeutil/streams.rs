//! `read -w -`: records into a pipe.

use std::io::Read as _;
use std::time::Duration;

use hone_wine_tests::{LATER, NOW, Native, assert_same, driver, happen, start_processes, wait};

#[test]
fn a_pipe_gets_what_a_file_gets() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let beside = driver.record(&files, "a.pcapng", &[]);
    let mut native = Native::like(&files.read("a.pcapng"));
    assert_eq!(beside.interrupted().code, Some(0));
    let (honeutil, mut pipe) = driver.honeutil_piped(&["read", "-w", "-"]);
    let reader = native.attach(0, NOW);
    let mut expected = native.read(reader, NOW);
    let mut beginning = vec![0; expected.len()];
    pipe.read_exact(&mut beginning).expect("it is a pipe");

    happen(&mut driver, &mut native, NOW + 1_000_000);
    driver.stand_in.set_clock(LATER);
    honeutil.interrupt();
    let mut rest = Vec::new();
    pipe.read_to_end(&mut rest).expect("it is a pipe");
    native.mark_restart(reader, LATER);
    expected.extend(native.read(reader, LATER));
    assert_same(&[beginning, rest].concat(), &expected, "the stream");
    let ended = honeutil.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(" to standard output\n"), "{ended:?}");
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_recording_without_a_word() {
    let Some(mut driver) = driver() else { return };
    let (honeutil, mut pipe) = driver.honeutil_piped(&["read", "-w", "-"]);
    pipe.read_exact(&mut [0; 28]).expect("it records");
    drop(pipe);
    // On Windows, only a write shows that the pipe has no reader any more.
    start_processes(&mut driver, 10_000, 1);
    let ended = honeutil.end();
    let begins = "Recording to standard output\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), begins), "{ended:?}");
    assert!(driver.stop(), "no reader is left");
}

#[test]
fn a_second_ctrl_c_ends_it_while_nobody_reads_the_pipe() {
    let Some(mut driver) = driver() else { return };
    let (mut honeutil, mut pipe) = driver.honeutil_piped(&["read", "-w", "-"]);
    pipe.read_exact(&mut [0; 28]).expect("it records");
    // More data than fits into any pipe.
    start_processes(&mut driver, 10_000, 4000);
    wait("end", || {
        honeutil.interrupt();
        std::thread::sleep(Duration::from_millis(100));
        honeutil.has_ended().then_some(())
    });
    let ended = honeutil.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    drop(pipe);
    assert!(driver.stop(), "no reader is left");
}

#[test]
fn a_pipeline_of_two_shows_the_end_after_ctrl_c() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let (recorder, pipe) = driver.honeutil_piped(&["read", "-q", "-w", "-"]);
    let show = driver.honeutil_with(&["show"], pipe);
    show.await_told(" HEAD ");
    start_processes(&mut driver, 10_000, 1);
    show.await_told(" EXEC   10000 ");
    // A console sends its events to all its programs.
    show.interrupt();
    assert_eq!(recorder.interrupted().silently(), "");
    let shown = show.end().silently();
    assert!(shown.lines().last().is_some_and(|line| line.contains(" STAT ")), "{shown}");
}
