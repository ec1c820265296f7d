//! Loading and unloading the driver, and what it leaves behind.

use std::time::{SystemTime, UNIX_EPOCH};

use hone_engine::MAX_RING_BYTES;
use hone_pcapng::{Block, Reader};
use hone_wine_tests::{Step, driver, hex};

/// The error number for a file that could not be opened, under Wine.
const ERROR_INVALID_HANDLE: u32 = 6;

fn start(pid: u32) -> Step {
    Step::Start { pid, parent: 4, path: r"C:\x.exe", command_line: "x 1", arguments: &["x", "1"] }
}

/// Does everything that allocates memory, once.
fn use_it(driver: &mut hone_wine_tests::Driver) {
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    for (at, step) in (1..).zip([start(5000), Step::Open(0, 77, 5000), Step::End(5000)]) {
        driver.stand_in.step(1_790_000_000_000_000_000 + at * 1_000_000, &step);
    }
    driver
        .stand_in
        .tell("classify 12 endpoint=77 protocol=17 local=0a000001 remote=0a000002 packet=1234,003500080000");
    probe.control(file, hone_api::Operation::MarkRestart, &[]).expect("it is attached");
    assert!(!probe.read(file).is_empty());
    probe.control(file, hone_api::Operation::FilterProcesses, &[1; 400]).expect("it is in range");
}

#[test]
fn ten_loads_and_unloads_leave_nothing_behind() {
    let Some(mut driver) = driver() else { return };
    for round in 0..10 {
        if round > 0 {
            driver.load(true);
        }
        assert_eq!(driver.stand_in.tell("callouts").split(' ').count(), 14);
        assert_eq!(driver.stand_in.tell("notify"), "2");
        use_it(&mut driver);
        let left = driver.unload();
        assert!(left.is_nothing(), "round {round}: {left:?}");
        let tags: Vec<&str> = left.tags.keys().map(String::as_str).collect();
        for used in ["HoPg", "HoQc", "HoQk", "HoQp", "HoQr", "HoQs", "HoRi", "Hone"] {
            assert!(tags.contains(&used), "{used} is not among {tags:?}");
        }
    }
}

#[test]
fn callouts_that_are_busy_are_unregistered_before_it_is_unloaded() {
    const DEVICE_BUSY: &str = "80000011";
    const FWP_IN_USE: &str = "c022000a";
    let Some(mut driver) = driver() else { return };
    driver.stand_in.tell(&format!("busy {DEVICE_BUSY} {DEVICE_BUSY} {FWP_IN_USE} {DEVICE_BUSY}"));
    let left = driver.unload();
    assert!(left.is_nothing(), "{left:?}");
}

#[test]
fn it_does_not_stop_while_a_reader_is_attached() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    assert_eq!(probe.command("service-stop").as_deref(), Ok("refused"), "a reader is attached");
    assert_eq!(probe.command("service").as_deref(), Ok("running"));
    assert!(!probe.read(file).is_empty(), "it reads on");
    assert_eq!(driver.stand_in.tell("notify"), "2", "nothing has been given back");
}

#[test]
fn it_stops_when_the_last_reader_has_detached() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    let (one, other) = (probe.open().expect("it is opened"), probe.open().expect("it is opened"));
    probe.close(one);
    probe.close(other);
    assert!(driver.unload().is_nothing());
    assert!(probe.open().is_err());
    driver.load(true);
    assert!(probe.open().is_ok());
}

#[test]
fn a_program_stops_and_starts_it() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    for _ in 0..2 {
        assert_eq!(probe.command("service-stop").as_deref(), Ok("done"));
        assert_eq!(probe.command("service").as_deref(), Ok("stopped"));
    }
    assert!(probe.open().is_err());
    driver.load_by(|| probe.command("service-start").is_ok());
    assert_eq!(probe.command("service-start").as_deref(), Ok(""), "it runs already");
    assert_eq!(probe.command("service").as_deref(), Ok("running"));
    assert!(probe.open().is_ok());
}

#[test]
fn a_program_that_dies_detaches() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    probe.open().expect("it is opened");
    drop(probe);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let statistics = probe.statistics(file);
    assert_eq!((statistics.readers, statistics.readers_total), (1, 2));
    drop(probe);
    assert!(driver.unload().is_nothing());
}

#[test]
fn what_runs_at_load_is_told_sorted_with_path_and_owner() {
    let Some(mut driver) = driver() else { return };
    assert!(driver.stop());
    let mut probe = driver.probe();
    let pid = probe.pid();
    driver.load(true);
    let file = probe.open().expect("it is opened");
    let beginning = probe.read(file);
    let mut reader = Reader::new();
    reader.feed(&beginning).expect("there is memory");
    let (mut times, mut own) = (Vec::new(), None);
    while let Some(item) = reader.next_block().expect("it is sound") {
        if let Block::Process(event) = item.block {
            times.push(event.timestamp);
            if event.process == pid {
                let text = |text: Option<std::borrow::Cow<'_, [u8]>>| {
                    String::from_utf8(text.unwrap_or_default().into_owned()).expect("it is UTF-8")
                };
                own = Some((text(event.path), text(event.security_id), event.timestamp));
            }
        }
    }
    assert!(times.len() > 3 && times.is_sorted(), "{times:?}");
    let (path, owner, created) = own.expect("the probe runs");
    assert_eq!(path, r"C:\hone\hone-probe.exe");
    assert!(owner.starts_with("S-1-5-21-"), "{owner}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos();
    assert!(now.abs_diff(created.into()) < 600_000_000_000, "created {created}, now {now}");
}

#[test]
fn a_start_is_told_with_its_owner_and_the_first_image_tells_a_missing_path() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    let (pid, file) = (probe.pid(), probe.open().expect("it is opened"));
    probe.read(file);
    driver.stand_in.set_clock(1_790_000_000_000_000_000);
    let path = hex(br"\Device\HarddiskVolume1\late.exe");
    driver.stand_in.tell(&format!("start {pid} 4 - {}", hex(b"late now")));
    driver.stand_in.tell(&format!("image {pid} {path}"));
    driver.stand_in.tell(&format!("image {pid} {}", hex(b"x.dll")));
    let section = probe.read(file);
    let text = String::from_utf8_lossy(&section);
    assert_eq!(text.matches("S-1-5-21-").count(), 2);
    assert_eq!(text.matches(r"\Device\HarddiskVolume1\late.exe").count(), 1);
    // The second event contains everything that the first one contained.
    let (command_line, arguments) = (text.matches("late now").count(), text.matches("late\0now\0").count());
    assert_eq!((command_line, arguments, text.matches("x.dll").count()), (2, 2, 0));
}

#[test]
fn only_administrators_and_the_system_may_open_it() {
    let Some(mut driver) = driver() else { return };
    // D:P(A;;FA;;;SY)(A;;FA;;;BA) in the layout of [MS-DTYP].
    let expected = concat!(
        "01000490000000000000000000000000",
        "14000000",
        "0200340002000000",
        "00001400ff011f00010100000000000512000000",
        "00001800ff011f0001020000000000052000000020020000"
    );
    assert_eq!(driver.stand_in.tell("security"), expected);
}

#[test]
fn without_a_precise_clock_it_reads_the_systems() {
    let Some(mut driver) = driver() else { return };
    assert!(driver.stop());
    driver.load(false);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos();
    let told = probe.statistics(file).now;
    assert!(now.abs_diff(told.into()) < 60_000_000_000, "{told} is not {now}");
}

#[test]
fn the_registry_says_how_large_ring_buffers_are_and_a_full_one_drops_and_counts() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    let before = probe.open().expect("it is opened");
    driver.set_ring_size(Some(1024));
    let small = probe.open().expect("it is opened");
    driver.set_ring_size(Some(7));
    let invalid = probe.open().expect("it is opened");
    driver.set_ring_size(Some(u32::try_from(MAX_RING_BYTES).expect("it is small")));
    let large = probe.open().expect("it is opened");
    driver.set_ring_size(None);
    let sizes = [before, small, invalid, large].map(|file| probe.statistics(file).reader.ring_bytes);
    assert_eq!(sizes, [16_384, 1024, 1024, 131_072], "a size out of range is not used");

    driver.stand_in.set_clock(1_790_000_000_000_000_000);
    for pid in 10_000..10_300 {
        driver.stand_in.tell(&format!("start {pid} 4 {} -", hex(b"x")));
    }
    for (file, queued) in [(small, 128), (before, 300)] {
        let got = probe.statistics(file).reader;
        let counts = (got.received.processes, got.queued.processes, got.dropped.processes);
        assert_eq!(counts, (300, queued, 300 - queued));
    }
    probe.read(small);
    assert_eq!(probe.statistics(small).reader.delivered.processes, 128);
}

#[test]
fn allocations_that_fail_are_refusals_and_losses_and_no_memory_stays() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    let reader = probe.open().expect("it is opened");
    for fail_after in 0..12 {
        driver.stand_in.tell(&format!("fail {fail_after}"));
        match probe.open() {
            Ok(file) => probe.close(file),
            Err(error) => assert_eq!(error, ERROR_INVALID_HANDLE),
        }
        driver.stand_in.tell(&format!("fail {fail_after}"));
        driver.stand_in.step(1_790_000_000_000_000_000, &start(6000 + fail_after));
        driver.stand_in.tell("fail -");
        probe.read(reader);
    }
    let counts = probe.statistics(reader);
    let lost = counts.lost.processes + counts.dropped_by_source.processes;
    assert!(lost > 0 && counts.received.processes + counts.dropped_by_source.processes >= 12, "{counts:?}");
    drop(probe);
    let left = driver.unload();
    assert!(left.is_nothing(), "{left:?}");
}

/// `FWPS_CALLOUT2`: a callout that allows them would be shown what was never a packet on the wire: several segments or
/// datagrams put together.
#[test]
fn no_callout_allows_offloads() {
    let Some(mut driver) = driver() else { return };
    assert_eq!(driver.stand_in.tell("flags"), ["0"; 14].join(" "));
}
