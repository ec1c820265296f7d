//! `read -w \\.\pipe\NAME`: records into a named pipe, its own or another program's.

use hone_wine_tests::{
    Driver, Failed, Honeutil, LATER, NOW, Native, Pipe, Probe, assert_same, driver, happen, start_processes,
    wait,
};

const NAME: &str = r"\\.\pipe\hone-wine-test";

/// `ERROR_FILE_NOT_FOUND`.
const NOT_FOUND: Result<Pipe, Failed> = Err(2);

fn waiting(driver: &Driver) -> Honeutil {
    let honeutil = driver.honeutil(&["read", "-v", "-w", NAME]);
    honeutil.await_told(&format!("{NAME} waits for its reader"));
    honeutil
}

/// Asserts that the pipe gets the same bytes as a file, from beginning to end.
fn gets_everything(driver: &mut Driver, honeutil: Honeutil, probe: &mut Probe, pipe: Pipe) {
    driver.stand_in.set_clock(NOW);
    let mut stream = probe.read_pipe(pipe, 28);
    let files = driver.files();
    let beside = driver.record(&files, "a.pcapng", &[]);
    let mut native = Native::like(&files.read("a.pcapng"));
    assert_eq!(beside.interrupted().code, Some(0));
    let reader = native.attach(0, NOW);
    let mut expected = native.read(reader, NOW);

    happen(driver, &mut native, NOW + 1_000_000);
    driver.stand_in.set_clock(LATER);
    honeutil.interrupt();
    stream.extend(probe.read_pipe(pipe, usize::MAX));
    native.mark_restart(reader, LATER);
    expected.extend(native.read(reader, LATER));
    assert_same(&stream, &expected, "the stream");
    let ended = honeutil.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(&format!(" to {NAME}\n")), "{ended:?}");
    probe.close_pipe(pipe);
    assert_eq!(probe.open_pipe(NAME), NOT_FOUND, "nothing is left");
}

#[test]
fn it_makes_a_pipe_whose_reader_gets_everything() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    let honeutil = waiting(&driver);
    let pipe = probe.open_pipe(NAME).expect("it is there");
    gets_everything(&mut driver, honeutil, &mut probe, pipe);
}

#[test]
fn a_pipe_that_somebody_has_made_gets_everything() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    let pipe = probe.make_pipe(NAME);
    let honeutil = driver.honeutil(&["read", "-w", NAME]);
    gets_everything(&mut driver, honeutil, &mut probe, pipe);
}

#[test]
fn a_reader_that_closes_it_ends_the_recording_without_a_word() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    for own in [true, false] {
        let made = (!own).then(|| probe.make_pipe(NAME));
        let honeutil = driver.honeutil(&["read", "-w", NAME]);
        let pipe = made.unwrap_or_else(|| wait("pipe", || probe.open_pipe(NAME).ok()));
        assert_eq!(probe.read_pipe(pipe, 28).len(), 28);
        probe.close_pipe(pipe);
        // On Windows, only a write shows that the pipe has no reader any more.
        start_processes(&mut driver, 10_000, 1);
        let ended = honeutil.end();
        let begins = format!("Recording to {NAME}\n");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), begins.as_str()), "{own}: {ended:?}");
    }
    assert!(driver.stop(), "no reader is left");
}

#[test]
fn ctrl_c_ends_it_while_nobody_has_opened_the_pipe() {
    let Some(driver) = driver() else { return };
    let ended = waiting(&driver).interrupted();
    let told = format!("honeutil: stopped before anything opened {NAME} for reading\n");
    assert!(ended.code == Some(1) && ended.stderr.ends_with(&told), "{ended:?}");
    assert_eq!(driver.probe().open_pipe(NAME), NOT_FOUND);
}

#[test]
fn what_can_not_be_done_with_a_pipe_is_told_at_once() {
    let Some(driver) = driver() else { return };
    let ended = driver.run_honeutil(&["read", "-w", NAME, "--rotate-size", "1M"]);
    assert!(ended.code == Some(2) && ended.stderr.contains(" are for files: "), "{ended:?}");
    let ended = driver.run_honeutil(&["read", "-w", r"\\.\pipe\"]);
    assert!(ended.stderr.starts_with(r"honeutil: cannot open \\.\pipe\: "), "{ended:?}");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    // The pipe has one reader. Another recording can neither write it nor make another instance of it.
    let first = waiting(&driver);
    let second = driver.run_honeutil(&["read", "-w", NAME]);
    assert!(second.stderr.starts_with(&format!("honeutil: cannot open {NAME}: ")), "{second:?}");
    assert!(second.stderr.ends_with(": name a place that you may write to\n"), "{second:?}");
    assert_eq!(first.interrupted().code, Some(1));
}
