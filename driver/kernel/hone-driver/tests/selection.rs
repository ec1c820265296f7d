//! Readers' selections: which packets they name, and what is refused.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use std::ops::Range;
use std::rc::Rc;

use common::{
    Fake, FakeBuffer, FakeIndication, Passive, before_lock, connect, control, driver, indicate, open, read,
    utf16, values, words,
};
use hone_api::Operation;
use hone_api::limits::MAX_SELECTION_INPUT;
use hone_driver::callouts::{Family, Layer};
use hone_driver::{Driver, Handle, MAX_PROCESSES, Process, Status};

/// Each argument with a zero byte behind it.
fn text(arguments: &[&str]) -> Vec<u8> {
    arguments.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect()
}

fn select(driver: &Driver<Fake>, reader: Handle, arguments: &[&str]) -> Result<Vec<u8>, Status> {
    control(driver, reader, Operation::SetSelection, &text(arguments), 0)
}

fn starts(driver: &Driver<Fake>, pid: u32, parent: u32, path: &str) {
    let path = utf16(path);
    let process = Process {
        pid,
        parent: Some(parent),
        created: Some(1),
        path: Some(&path),
        owner: Some(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
        ..Process::default()
    };
    driver.process_started(Passive, &process);
}

/// Sends a packet of the connection of each process, and returns of which processes the reader gets it.
fn recorded(driver: &Driver<Fake>, reader: Handle, processes: &[u32]) -> Vec<u32> {
    while !read(driver, reader).is_empty() {}
    for &pid in processes {
        connect(driver, u64::from(pid), u64::from(pid));
        let indication = FakeIndication {
            endpoint: Some(u64::from(pid)),
            values: values(Layer::OutboundTransport, Family::V4, 250),
            buffers: vec![FakeBuffer::new(b"x", 0, 1)],
            ..FakeIndication::default()
        };
        indicate(driver, Layer::OutboundTransport, Family::V4, &indication);
    }
    let told = words(&read(driver, reader));
    let is_recorded =
        |pid: &&u32| told.iter().any(|words| words.starts_with(&format!("packet out (Some({pid})")));
    processes.iter().filter(is_recorded).copied().collect()
}

#[test]
fn a_name_selects_its_processes_as_they_start_and_each_reader_has_its_own() {
    let driver = driver();
    let (reader, other) = (open(&driver), open(&driver));
    starts(&driver, 9, 4, r"\??\C:\Tools\Browser.exe");
    starts(&driver, 10, 9, r"\??\C:\Tools\helper.exe");
    select(&driver, reader, &["--name", "browser.EXE"]).expect("it is sound");
    select(&driver, other, &["--not-user", "S-1-5-18"]).expect("it is sound");
    starts(&driver, 11, 4, r"\??\C:\Tools\BROWSER.exe");
    assert_eq!(recorded(&driver, reader, &[9, 10, 11]), [9, 11]);
    assert_eq!(recorded(&driver, other, &[9, 10, 11]), [0_u32; 0]);
    select(&driver, reader, &["--path", r"c:\tools\brow", "--port", "1"]).expect("it is sound");
    assert_eq!(recorded(&driver, reader, &[9, 10, 11]), [0_u32; 0]);
    select(&driver, reader, &["--pid", "9", "--children"]).expect("it is sound");
    starts(&driver, 12, 10, r"\??\C:\Windows\cmd.exe");
    assert_eq!(recorded(&driver, reader, &[9, 10, 11, 12]), [9, 10, 12]);
    control(&driver, reader, Operation::SetSelection, &[], 0).expect("nothing selects all");
    assert_eq!(recorded(&driver, reader, &[9, 10, 11, 12]), [9, 10, 11, 12]);
    assert_eq!(recorded(&driver, other, &[9, 10, 11, 12]), [0_u32; 0]);
}

/// Lets another processor start a child of the last process, whenever the lock is taken next.
fn start_children(driver: Rc<Driver<Fake>>, mut children: Range<u32>) {
    before_lock(move || {
        if let Some(child) = children.next() {
            starts(&driver, child, 2999, r"\??\C:\b.exe");
            start_children(driver, children);
        }
    });
}

#[test]
fn what_happens_between_two_steps_is_selected_too() {
    let driver = driver();
    let reader = open(&driver);
    // Too many for one step.
    (0..2000).for_each(|pid| starts(&driver, 1000 + pid, 999 + pid, r"\??\C:\a.exe"));
    let driver = Rc::new(driver);
    start_children(Rc::clone(&driver), 10_000..10_010);
    select(&driver, reader, &["--pid", "1500", "--children"]).expect("it is sound");
    let expected: Vec<u32> = [1500, 2999].into_iter().chain(10_000..10_010).collect();
    let asked: Vec<u32> = [1499].into_iter().chain(expected.iter().copied()).collect();
    assert_eq!(recorded(&driver, reader, &asked), expected);
}

#[test]
fn a_selection_that_is_not_sound_is_refused_and_the_former_one_stays() {
    let driver = driver();
    let reader = open(&driver);
    starts(&driver, 9, 4, r"\??\C:\a.exe");
    starts(&driver, 10, 4, r"\??\C:\b.exe");
    select(&driver, reader, &["--pid", "9"]).expect("it is sound");
    for wrong in [
        &b"--pid"[..],
        b"--pid\0",
        b"--pid\0x\0",
        b"--what\0x\0",
        b"--filter\0port or\0",
        b"\xFF\0",
        &[b'('; 16_000],
        &[0xFF; MAX_SELECTION_INPUT + 1],
    ] {
        let answer = control(&driver, reader, Operation::SetSelection, wrong, 0);
        assert_eq!(answer, Err(Status::INVALID_PARAMETER), "{}", wrong.escape_ascii());
        assert_eq!(recorded(&driver, reader, &[9, 10]), [9]);
    }
}

#[test]
fn what_all_selections_cost_together_is_bounded() {
    let driver = driver();
    let readers = [(); 3].map(|()| open(&driver));
    let long = format!("udp{}", " or udp".repeat(990));
    let long = ["--filter", &long, "--filter", &long];
    assert!((13_000..MAX_SELECTION_INPUT).contains(&text(&long).len()));
    starts(&driver, 9, 4, r"\??\C:\a.exe");
    select(&driver, readers[2], &["--pid", "9"]).expect("it is short");
    for reader in &readers[..2] {
        select(&driver, *reader, &long).expect("there is room for two");
    }
    assert_eq!(select(&driver, readers[2], &long), Err(Status::QUOTA_EXCEEDED));
    assert_eq!(recorded(&driver, readers[2], &[9]), [9], "the former one stays");
    select(&driver, readers[0], &long).expect("it takes the room of its former one");
    driver.close(Passive, readers[1]);
    select(&driver, readers[2], &long).expect("there is room again");
}

#[test]
fn words_for_too_many_processes_are_refused() {
    let driver = driver();
    let reader = open(&driver);
    (0..MAX_PROCESSES).for_each(|pid| starts(&driver, pid, 4, "a"));
    let pids: Vec<String> = (0..65).map(|pid| pid.to_string()).collect();
    let words: Vec<&str> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    assert_eq!(select(&driver, reader, &words), Err(Status::IMPLEMENTATION_LIMIT));
    select(&driver, reader, &words[..128]).expect("so many are allowed");
    assert_eq!(recorded(&driver, reader, &[63, 64]), [63]);
}
