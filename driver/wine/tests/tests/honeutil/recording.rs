//! `read` into one file: its content, and when the recording ends.

use hone_wine_tests::{LATER, NOW, Native, assert_same, driver, happen, stock_readers};

use crate::held;

#[test]
fn a_recording_ended_by_ctrl_c_is_the_engines_block_for_block() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let honeutil = driver.record(&files, "a.pcapng", &[]);
    let mut native = Native::like(&files.read("a.pcapng"));
    let reader = native.attach(0, NOW);
    let mut expected = native.read(reader, NOW);

    happen(&mut driver, &mut native, NOW + 1_000_000);
    driver.stand_in.set_clock(LATER);
    let ended = honeutil.interrupted();
    native.mark_restart(reader, LATER);
    expected.extend(native.read(reader, LATER));
    let recording = files.read("a.pcapng");
    assert_same(&recording, &expected, "the file");
    stock_readers(&recording);

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], r"Recording to C:\hone\files\a.pcapng", "{ended:?}");
    let lines = &lines[1..];
    assert!(lines[0].starts_with("Recorded    11 packets, 3.0 KiB on the wire, in "), "{ended:?}");
    assert!(lines[1].ends_with(r" KiB to C:\hone\files\a.pcapng"), "{ended:?}");
    assert_eq!(
        lines[2..],
        [
            "Dropped     nothing",
            "Attributed  100 % of the packets that have a process, to 2 processes",
            "",
            "PROCESS       PID  USER  BYTES IN  BYTES OUT  PACKETS IN  PACKETS OUT  MOSTLY WITH",
            "y.exe        5004           152 B    1.5 KiB           4            5  [fd00::2]:443 tcp",
            "                                                                       10.0.0.2:4660 udp",
            "                                                                       127.0.0.2 to local port 443 tcp, and 3 more",
            "browsér.exe  5000             0 B    1.4 KiB           0            2  10.0.0.2:443 tcp",
        ],
        "{ended:?}"
    );
}

#[test]
fn packets_are_cut_and_counted_exactly() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let honeutil = driver.record(&files, "a.pcapng", &["-s", "60", "--count", "3", "-q"]);
    let mut native = Native::like(&files.read("a.pcapng"));
    let reader = native.attach(60, NOW);
    happen(&mut driver, &mut native, NOW + 1_000_000);
    assert_eq!(honeutil.end().silently(), "");

    let (recording, expected) = (held(&files.read("a.pcapng")), held(&native.read(reader, LATER)));
    assert_eq!(recording.packets, expected.packets[..3]);
    let lengths: Vec<_> = recording.packets.iter().map(|(whole, kept)| (*whole, kept.len())).collect();
    assert_eq!(lengths, [(1341, 60), (36, 36), (32, 32)]);
    assert_eq!(recording.statistics.len(), 1, "the section has its end");
}

#[test]
fn a_recording_ends_after_its_time() {
    let Some(mut driver) = driver() else { return };
    let files = driver.files();
    let name = files.name("a.pcapng");
    let ended = driver.run_honeutil(&["read", "--duration", "200ms", "-w", &name]);
    assert!(ended.stderr.contains("\nRecorded    0 packets, 0 B on the wire, in 0."), "{ended:?}");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let recording = held(&files.read("a.pcapng"));
    assert_eq!((recording.sections, recording.statistics.len()), (1, 1));
    assert!(driver.stop(), "no reader is left");
}

#[test]
fn without_the_driver_it_says_what_to_do_and_leaves_nothing() {
    let Some(mut driver) = driver() else { return };
    assert!(driver.stop());
    let files = driver.files();
    let name = files.name("a.pcapng");
    let absent = "honeutil: the driver does not run: `honeutil start` starts it once `honeutil install` has installed it\n";
    for arguments in [&["read", "-w", &name][..], &["get-stats"], &["get-stats", "--json"], &["send-conns"]] {
        driver.run_honeutil(arguments).failed(absent);
    }
    assert!(files.list().is_empty());
}
