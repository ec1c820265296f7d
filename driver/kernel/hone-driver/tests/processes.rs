//! Which events the process monitor makes from processes.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use common::{Passive, START, driver, open, read, set_links, set_now, utf16, words};
use hone_driver::Process;

#[test]
fn a_start_tells_path_command_line_arguments_owner_and_parent() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    driver.process_started(
        Passive,
        &Process {
            pid: 1234,
            parent: Some(4),
            created: Some(START),
            path: Some(&utf16(r"\??\C:\Program Files\\u{e9}.exe")),
            command_line: Some(&utf16(r#""C:\Program Files\e.exe" -x "a b""#)),
            owner: Some(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
            ..Process::default()
        },
    );
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
        driver.process_found(Passive, &Process { pid, created, ..Process::default() });
    }
    driver.process_started(Passive, &Process { pid: 50, ..Process::default() });
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
    driver.process_started(Passive, &Process { path: Some(&path), ..process(1) });
    driver.process_started(Passive, &process(2));
    driver.process_ended(2);
    driver.process_found(Passive, &process(1));
    driver.process_found(Passive, &process(2));
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
        driver.process_started(
            Passive,
            &Process { parent: Some(4), command_line: Some(&command_line), owner: Some(&owner), ..process },
        );
        set_now(1);
        assert!(driver.wants_image(8));
        driver.process_named(Passive, &Process { path: Some(&path), ..process });
        assert!(!driver.wants_image(8), "of the images after the first nothing is recorded");
        let later = open(&driver);
        let named = r"process 8 <- Some(4) C:\x.exe x -1 x|-1| S-1-5-18";
        assert_eq!(words(&read(&driver, later))[2..], [named]);
        driver.close(Passive, later);
        driver.process_ended(8);
        assert_eq!(
            words(&read(&driver, reader)),
            ["process 8 <- Some(4) - x -1 x|-1| S-1-5-18", named, "process 8 ends"]
        );
    }
    // Details that arrive with the image are newer than those from the start.
    let newer = utf16("y");
    driver.process_started(
        Passive,
        &Process { pid: 9, command_line: Some(&command_line), ..Process::default() },
    );
    driver.process_named(
        Passive,
        &Process { pid: 9, command_line: Some(&newer), path: Some(&path), ..Process::default() },
    );
    assert_eq!(
        words(&read(&driver, reader)),
        ["process 9 <- None - x -1 x|-1| -", r"process 9 <- None C:\x.exe y y| -"]
    );
    assert!(driver.wants_image(9));
    assert!(!driver.wants_image(9));
    driver.process_started(Passive, &Process { pid: 10, ..Process::default() });
    driver.process_ended(10);
    assert!(!driver.wants_image(10), "the id may be another process's");
}

#[test]
fn the_list_of_processes_without_a_path_is_bounded() {
    let driver = driver();
    for pid in 0..1000 {
        driver.process_started(Passive, &Process { pid, created: Some(1), ..Process::default() });
    }
    let waiting: Vec<_> = (0..1000).filter(|&pid| driver.wants_image(pid)).collect();
    assert_eq!(waiting, Vec::from_iter(936..1000), "those that started last");
}

#[test]
fn processes_that_never_load_an_image_leave_room_for_others() {
    let driver = driver();
    let start =
        |pid| driver.process_started(Passive, &Process { pid, created: Some(1), ..Process::default() });
    // They run on, as the system's own processes do that are no programs.
    (0..64).for_each(start);
    start(100);
    assert!(driver.wants_image(100));
}

/// How the path of a process that starts is recorded.
fn recorded(path: &str) -> String {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    driver.process_started(Passive, &Process { pid: 8, path: Some(&utf16(path)), ..Process::default() });
    let told = words(&read(&driver, reader)).concat();
    let path = told.strip_prefix("process 8 <- None ").and_then(|rest| rest.strip_suffix(" - - -"));
    path.expect("it is a start without the other texts").to_owned()
}

/// Links as Windows 10 and newer have them, with the system on the third volume.
const LINKS: [(&str, &str); 10] = [
    (r"\SystemRoot", r"\Device\BootDevice\Windows"),
    (r"\Device\BootDevice", r"\Device\HarddiskVolume3"),
    (r"\Device\Harddisk0\Partition1", r"\Device\HarddiskVolume1"),
    (r"\Device\LanmanRedirector", r"\Device\Mup\;LanmanRedirector"),
    (r"\??\Volume{7}", r"\Device\HarddiskVolume1"),
    (r"\??\GLOBALROOT", ""),
    (r"\GLOBAL??\C:", r"\Device\HarddiskVolume3"),
    (r"\GLOBAL??\D:", r"\Device\HarddiskVolume1"),
    (r"\GLOBAL??\E:", r"\Device\HarddiskVolume31"),
    (r"\GLOBAL??\Z:", r"\Device\HarddiskVolume4"),
];

#[test]
fn a_path_is_recorded_as_users_know_it() {
    set_links(&LINKS);
    for (path, expected) in [
        (r"\??\C:\a\b.exe", r"C:\a\b.exe"),
        (r"\DosDevices\d:\b.exe", r"d:\b.exe"),
        (r"\GLOBAL??\C:\b.exe", r"C:\b.exe"),
        (r"\??\UNC\srv\share\a.exe", r"\\srv\share\a.exe"),
        (r"\??\unc\srv\share\a.exe", r"\\srv\share\a.exe"),
        (r"\Device\Mup\srv\share\a.exe", r"\\srv\share\a.exe"),
        (r"\device\mup\;LanmanRedirector\;Z:00000000000a1b2c\srv\share\a.exe", r"\\srv\share\a.exe"),
        (r"\Device\LanmanRedirector\srv\share\a.exe", r"\\srv\share\a.exe"),
        (r"\SystemRoot\System32\smss.exe", r"C:\Windows\System32\smss.exe"),
        (r"\Device\HarddiskVolume3\Windows\x.exe", r"C:\Windows\x.exe"),
        (r"\DEVICE\harddiskvolume31\x.exe", r"E:\x.exe"),
        (r"\Device\HarddiskVolume4\x.exe", r"Z:\x.exe"),
        (r"\Device\Harddisk0\Partition1\x.exe", r"D:\x.exe"),
        (r"\??\Volume{7}\x.exe", r"D:\x.exe"),
        (r"\??\GLOBALROOT\Device\HarddiskVolume1\x.exe", r"D:\x.exe"),
    ] {
        assert_eq!(recorded(path), expected);
    }
}

#[test]
fn a_path_that_no_name_for_users_exists_for_stays_as_it_is() {
    set_links(&LINKS);
    for path in [
        r"C:\a.exe",
        r"\\srv\share\a.exe",
        "System",
        "x",
        r"\",
        r"\??\",
        r"\??\Volume{8}\x.exe",
        "\\??\\\u{e9}:\\x.exe",
        r"\Device\HarddiskVolume5\x.exe",
        r"\Device\HarddiskVolume3",
        r"\Device\HarddiskVolume33\x.exe",
        r"\Device\Mup\;LanmanRedirector",
        r"\SystemRoot",
        r"\Windows\System32\x.exe",
    ] {
        assert_eq!(recorded(path), path);
    }
    // Before the drive letters exist, and where links lead in a circle.
    set_links(&[LINKS[0], LINKS[1], (r"\a", r"\b"), (r"\b", r"\a")]);
    for path in [r"\SystemRoot\System32\smss.exe", r"\a\x.exe"] {
        assert_eq!(recorded(path), path);
    }
}

#[test]
fn a_running_process_and_a_first_image_have_the_same_form_of_path() {
    set_links(&LINKS);
    let driver = driver();
    let path = utf16(r"\Device\HarddiskVolume3\x.exe");
    driver.process_found(Passive, &Process { pid: 1, path: Some(&path), ..Process::default() });
    driver.process_started(Passive, &Process { pid: 2, ..Process::default() });
    driver.process_named(Passive, &Process { pid: 2, path: Some(&path), ..Process::default() });
    let reader = open(&driver);
    assert_eq!(
        words(&read(&driver, reader))[2..],
        [r"process 1 <- None C:\x.exe - - -", r"process 2 <- None C:\x.exe - - -"]
    );
}

#[test]
fn a_linux_process_has_its_linux_path_and_arguments() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    let path = utf16("/usr/bin/gr\u{e9}p");
    for (pid, list) in (8..).zip(["grep\0-e\0a b\0\0c", "grep\0-e\0a b\0\0c\0"]) {
        let arguments = utf16(list);
        driver.process_started(
            Passive,
            &Process {
                pid,
                path: Some(&path),
                command_line: Some(&arguments),
                is_subsystem: true,
                ..Process::default()
            },
        );
        let told = words(&read(&driver, reader));
        assert_eq!(told, [format!("process {pid} <- None /usr/bin/gr\u{e9}p - grep|-e|a b||c| -")]);
    }
}

#[test]
fn a_subsystem_process_without_a_path_does_not_wait_for_an_image() {
    let driver = driver();
    for pid in 0..1000 {
        driver.process_started(Passive, &Process { pid, is_subsystem: true, ..Process::default() });
    }
    driver.process_started(Passive, &Process { pid: 1000, ..Process::default() });
    assert!(!driver.wants_image(0));
    assert!(driver.wants_image(1000), "there is room for the processes that load images");
}
