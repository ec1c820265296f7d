//! One recording that is split into several files.

use std::fs;
use std::time::Duration;

use hone_wine_tests::{Folder, LATER, NOW, Native, Step, assert_same, driver, happen, packet, wait};

use crate::held;

#[test]
fn ctrl_break_begins_the_next_file_and_together_they_hold_everything_once() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let (files, mut probe) = (driver.files(), driver.probe());
    fs::write(files.file("a_1.pcapng"), "somebody else's").expect("there is room");
    let honeutil = driver.record(&files, "a.pcapng", &[]);
    let mut native = Native::like(&files.read("a.pcapng"));
    let reader = native.attach(0, NOW);
    let mut first = native.read(reader, NOW);

    happen(&mut driver, &mut native, NOW + 1_000_000);
    driver.stand_in.set_clock(LATER);
    assert_eq!(probe.break_honeutils(), 1);
    files.await_file("a_2.pcapng", 1);
    native.mark_restart(reader, LATER);
    first.extend(native.read(reader, LATER));
    let mut second = native.read(reader, LATER);

    driver.stand_in.step(LATER, &Step::End(5004));
    native.step(LATER, &Step::End(5004));
    happen(&mut driver, &mut native, LATER + 1_000_000);
    let end = LATER + 1_000_000_000;
    driver.stand_in.set_clock(end);
    let ended = honeutil.interrupted();
    native.mark_restart(reader, end);
    second.extend(native.read(reader, end));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("\nRecorded    22 packets,"), "{ended:?}");
    assert!(
        ended.stderr.contains(r" 2 files, C:\hone\files\a.pcapng to C:\hone\files\a_2.pcapng"),
        "{ended:?}"
    );
    assert_same(&files.read("a.pcapng"), &first, "the first file");
    assert_same(&files.read("a_2.pcapng"), &second, "the second file");
    assert_eq!(files.read("a_1.pcapng"), b"somebody else's");
    for recording in [&first, &second] {
        let held = held(recording);
        assert_eq!((held.sections, held.packets.len(), held.statistics.len()), (1, 11, 1));
    }
}

#[test]
fn files_are_rotated_by_size_compressed_and_the_oldest_removed() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let arguments = ["--rotate-size", "1M", "--max-files", "2", "--compress"];
    let honeutil = driver.record(&files, "a.pcapng", &arguments);
    driver.stand_in.step(NOW, &Step::Open(0, 7, 5000));
    for round in 1..=4 {
        // More than fits into one file. Data that waits when the file is full is still part of it.
        for at in 0..20 {
            driver.stand_in.step(NOW + (round * 100 + at) * 1_000_000, &packet(7, 60_000));
        }
        wait("next file", || (newest(&files) >= round).then_some(()));
    }
    let ended = honeutil.interrupted();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let newest = newest(&files);
    let older = format!("; {} older ones were removed\n", newest - 1);
    assert!(ended.stderr.contains(&older) && ended.stderr.contains(", compressed to "), "{ended:?}");
    assert_eq!(files.list(), [newest - 1, newest].map(|number| format!("a_{number}.pcapng.zst")));

    let names = files.list().iter().map(|name| files.name(name)).collect::<Vec<_>>();
    let shown = driver.run_honeutil(&["show", &names[0], &names[1]]).silently();
    let count = |kind: &str| shown.lines().filter(|line| line.contains(kind)).count();
    assert_eq!((count(" HEAD "), count(" STAT ")), (2, 2), "{shown}");
    let packets = count(" PAKT ");
    assert!((1..80).contains(&packets), "{shown}");
}

#[test]
fn files_are_rotated_by_time_and_together_hold_everything_once() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let honeutil = driver.record(&files, "a.pcapng", &["--rotate-time", "1s"]);
    driver.stand_in.step(NOW, &Step::Open(0, 7, 5000));
    // Each packet has a different length, so that it can be recognized. Some packets are recorded before a file ends,
    // some after the next file has begun.
    let mut sent = 0;
    while newest(&files) < 3 {
        assert!(sent < 60_000, "no next file: {:?}", files.list());
        driver
            .stand_in
            .step(NOW + 1_000_000 * (sent + 1), &packet(7, usize::try_from(sent).expect("it is small")));
        sent += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = honeutil.interrupted();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let names: Vec<_> = (0..=newest(&files)).map(numbered).collect();
    assert_eq!(files.list(), names);
    let held: Vec<_> = names.iter().map(|name| held(&files.read(name))).collect();
    for (name, held) in names.iter().zip(&held) {
        assert_eq!((held.sections, held.statistics.len()), (1, 1), "{name}");
    }
    assert!(held[..3].iter().all(|held| !held.packets.is_empty()), "time passes in each: {held:?}");
    let lengths: Vec<_> = held.iter().flat_map(|held| &held.packets).map(|(length, _)| *length).collect();
    let expected: Vec<_> =
        (0..u32::try_from(sent).expect("it is small")).map(|payload| 28 + payload).collect();
    assert_eq!(lengths, expected, "everything once, in order");
    assert!(ended.stderr.contains(&format!(" {} files, ", names.len())), "{ended:?}");
}

/// The name of a recording's next file.
fn numbered(number: u64) -> String {
    if number == 0 { "a.pcapng".to_owned() } else { format!("a_{number}.pcapng") }
}

/// The highest number of a file `a_NUMBER.pcapng`, compressed or not.
fn newest(files: &Folder) -> u64 {
    let number = |name: &String| name.strip_prefix("a_")?.split_once('.')?.0.parse().ok();
    files.list().iter().filter_map(number).max().unwrap_or(0)
}
