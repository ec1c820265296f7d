//! Which events the process monitor makes from processes.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use common::{START, driver, open, read, set_now, utf16, words};
use hone_driver::Process;

#[test]
fn a_start_tells_path_command_line_arguments_owner_and_parent() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    driver.process_started(&Process {
        pid: 1234,
        parent: Some(4),
        created: Some(START),
        path: Some(&utf16(r"\??\C:\Program Files\\u{e9}.exe")),
        command_line: Some(&utf16(r#""C:\Program Files\e.exe" -x "a b""#)),
        owner: Some(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
    });
    driver.process_ended(1234);
    driver.process_ended(1234);
    driver.process_ended(99);
    assert_eq!(
        words(&read(&driver, reader)),
        [
            r#"process 1234 <- Some(4) C:\Program Files\\u{e9}.exe "C:\Program Files\e.exe" -x "a b" C:\Program Files\e.exe|-x|a b| S-1-5-18"#,
            "process 1234 ends",
        ]
    );
}

#[test]
fn what_runs_at_load_begins_each_section_sorted_by_time() {
    let driver = driver();
    let listed = [(30, 3), (10, 1), (40, 4), (20, 2)];
    for (pid, second) in listed {
        let created = Some(START - 100 + second);
        driver.process_found(&Process { pid, created, ..Process::default() });
    }
    driver.process_started(&Process { pid: 50, ..Process::default() });
    let reader = open(&driver);
    let told = words(&read(&driver, reader));
    let pids: Vec<_> =
        told.iter().filter_map(|words| words.strip_prefix("process ")).map(|words| &words[..2]).collect();
    assert_eq!(pids, ["10", "20", "30", "40", "50"]);
    assert_eq!(
        told[0],
        format!(
            "section 64-bit x86 workstation / Windows 10.0 64-bit build 19045 / Hone {}",
            env!("CARGO_PKG_VERSION")
        )
    );
    assert_eq!(told[1], "interface 0");
}

#[test]
fn what_was_seen_starting_or_ending_is_newer_than_a_listing() {
    let driver = driver();
    let process = |pid| Process { pid, created: Some(START), path: None, ..Process::default() };
    let path = utf16("seen");
    driver.process_started(&Process { path: Some(&path), ..process(1) });
    driver.process_started(&process(2));
    driver.process_ended(2);
    driver.process_found(&process(1));
    driver.process_found(&process(2));
    let reader = open(&driver);
    assert_eq!(words(&read(&driver, reader))[2..], ["process 1 <- None seen - - -"]);
}

#[test]
fn the_first_image_tells_the_path_that_the_start_did_not() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    let (path, command_line) = (utf16(r"C:\x.exe"), utf16("x -1"));
    let owner = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    for created in [None, Some(7)] {
        let process = Process { pid: 8, created, ..Process::default() };
        driver.process_started(&Process {
            parent: Some(4),
            command_line: Some(&command_line),
            owner: Some(&owner),
            ..process
        });
        set_now(1);
        assert!(driver.wants_image(8));
        driver.process_named(&Process { path: Some(&path), ..process });
        assert!(!driver.wants_image(8), "of the images after the first nothing is recorded");
        let later = open(&driver);
        let named = r"process 8 <- Some(4) C:\x.exe x -1 x|-1| S-1-5-18";
        assert_eq!(words(&read(&driver, later))[2..], [named]);
        driver.close(later);
        driver.process_ended(8);
        assert_eq!(
            words(&read(&driver, reader)),
            ["process 8 <- Some(4) - x -1 x|-1| S-1-5-18", named, "process 8 ends"]
        );
    }
    // Details that arrive with the image are newer than those from the start.
    let newer = utf16("y");
    driver.process_started(&Process { pid: 9, command_line: Some(&command_line), ..Process::default() });
    driver.process_named(&Process {
        pid: 9,
        command_line: Some(&newer),
        path: Some(&path),
        ..Process::default()
    });
    assert_eq!(
        words(&read(&driver, reader)),
        ["process 9 <- None - x -1 x|-1| -", r"process 9 <- None C:\x.exe y y| -"]
    );
    assert!(driver.wants_image(9));
    assert!(!driver.wants_image(9));
    driver.process_started(&Process { pid: 10, ..Process::default() });
    driver.process_ended(10);
    assert!(!driver.wants_image(10), "the id may be another process's");
}

#[test]
fn the_list_of_processes_without_a_path_is_bounded() {
    let driver = driver();
    for pid in 0..1000 {
        driver.process_started(&Process { pid, created: Some(1), ..Process::default() });
    }
    assert_eq!((0..1000).filter(|&pid| driver.wants_image(pid)).count(), 64);
}
