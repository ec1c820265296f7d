//! `read` with words that select: the driver applies them.

use hone_pcapng::{Block, Reader};
use hone_wine_tests::{LATER, NOW, Native, Step, assert_same, driver, happen, packet};

use crate::held;

/// The processes of a recording's packets, and those that it has events of.
fn processes(recording: &[u8]) -> (Vec<Option<u32>>, Vec<u32>) {
    let mut reader = Reader::new();
    reader.feed(recording).expect("there is memory");
    let (mut owners, mut events) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next_block().expect("it is sound") {
        match item.block {
            Block::Packet(packet) => owners.push(packet.process),
            Block::Process(event) => events.push(event.process),
            _ => {}
        }
    }
    (owners, events)
}

#[test]
fn a_name_is_selected_by_the_driver_from_the_first_packet_on_and_another_reader_gets_all() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let whole = driver.record(&files, "all.pcapng", &["-q"]);
    let words = ["--name", "Y.EXE", "--not-filter", "icmp6", "--all-events", "-v"];
    let honeutil = driver.record(&files, "a.pcapng", &words);
    let mut native = Native::like(&files.read("a.pcapng"));
    let all = native.attach(0, NOW);
    let reader = native.attach(0, NOW);
    native.set_selection(reader, b"--name\0y.exe\0--not-filter\0icmp6\0", NOW);
    native.mark_restart(reader, NOW);
    native.read(reader, NOW);
    let mut expected = native.read(reader, NOW);
    let mut expected_of_all = native.read(all, NOW);

    happen(&mut driver, &mut native, NOW + 1_000_000);
    driver.stand_in.set_clock(LATER);
    let ended = honeutil.interrupted();
    assert_eq!(whole.interrupted().silently(), "");
    native.mark_restart(reader, LATER);
    native.mark_restart(all, LATER);
    expected.extend(native.read(reader, LATER));
    expected_of_all.extend(native.read(all, LATER));
    let recording = files.read("a.pcapng");
    assert_same(&recording, &expected, "the file of the selection");
    assert_same(&files.read("all.pcapng"), &expected_of_all, "the file of everything");
    let (owners, _) = processes(&recording);
    assert_eq!(owners, [Some(5004); 8]);

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(" INFO the driver applies the whole selection\n"), "{ended:?}");
    assert!(ended.stderr.contains("\nRecorded    8 packets, "), "{ended:?}");
    assert!(ended.stderr.contains("\nLeft out    3 packets, by what was selected\n"), "{ended:?}");
    assert!(ended.stderr.contains("\nDropped     nothing\n"), "{ended:?}");
}

#[test]
fn a_recording_of_a_selection_has_the_processes_of_its_packets_with_their_ancestors_only() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let honeutil = driver.record(&files, "a.pcapng", &["--pid", "5004", "--count", "3", "-q"]);
    let start = |pid, parent| Step::Start { pid, parent, path: "x", command_line: "x", arguments: &["x"] };
    for (pid, parent) in [(5000, 4_000_000), (5004, 5000), (5008, 5004)] {
        driver.stand_in.step(NOW + 1, &start(pid, parent));
        driver.stand_in.step(NOW + 1, &Step::Open(0, pid.into(), pid));
    }
    for at in 1..=3 {
        for pid in [5000, 5004, 5008] {
            driver.stand_in.step(NOW + 1 + at, &packet(pid, 10));
        }
    }
    assert_eq!(honeutil.end().silently(), "");
    let (owners, mut events) = processes(&files.read("a.pcapng"));
    assert_eq!(owners, [Some(5004); 3]);
    events.sort_unstable();
    events.dedup();
    assert_eq!(events, [5000, 5004]);
    assert_eq!(held(&files.read("a.pcapng")).statistics.len(), 1);
}

#[test]
fn a_user_is_selected_by_name_though_the_driver_knows_only_identifiers() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let read = driver.run_honeutil(&["read", "-q", "--duration", "1ms", "-w", &files.name("b.pcapng")]);
    assert_eq!(read.code, Some(0), "{read:?}");
    // A process of Wine's own account, which is called as the user who runs the tests.
    let recording = files.read("b.pcapng");
    let mut reader = Reader::new();
    reader.feed(&recording).expect("there is memory");
    let mut own = None;
    while let Some(item) = reader.next_block().expect("it is sound") {
        if let Block::Process(event) = item.block
            && event.security_id.as_deref() == Some(b"S-1-5-21-0-0-0-1000")
        {
            own = Some(event.process);
        }
    }
    let own = own.expect("Wine's programs run");
    let name = std::process::Command::new("id").arg("-un").output().expect("it is there").stdout;
    let name = String::from_utf8(name).expect("it is text");
    let honeutil = driver.record(&files, "a.pcapng", &["--user", name.trim(), "--count", "1", "-q"]);
    let other = Step::Start { pid: 500_000, parent: 4, path: "x", command_line: "x", arguments: &["x"] };
    driver.stand_in.step(NOW + 1, &other);
    driver.stand_in.step(NOW + 2, &Step::Open(0, 7, 500_000));
    driver.stand_in.step(NOW + 3, &Step::Open(0, 8, own));
    driver.stand_in.step(NOW + 4, &packet(7, 10));
    driver.stand_in.step(NOW + 5, &packet(8, 10));
    assert_eq!(honeutil.end().silently(), "");
    assert_eq!(processes(&files.read("a.pcapng")).0, [Some(own)]);

    // `show` knows it with its domain, too, which is this computer.
    let computer = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("it has a name");
    let with_domain = format!(r"{}\{}", computer.trim(), name.trim());
    let shown = driver.run_honeutil(&["show", "--user", &with_domain, &files.name("a.pcapng")]);
    assert!(shown.stdout.contains(" PAKT "), "{shown:?}");
    let shown = driver.run_honeutil(&["show", "--user", r"NOWHERE\nobody", &files.name("a.pcapng")]);
    assert_eq!(shown.stdout, "", "{shown:?}");
    assert!(
        shown.stderr.contains(r#"this computer does not find the account "NOWHERE\\nobody""#),
        "{shown:?}"
    );
}

#[test]
fn what_no_process_of_windows_can_have_is_refused_before_anything_is_recorded() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    let name = files.name("a.pcapng");
    for (words, message) in [
        (
            ["--unit", "ssh"],
            "--unit: processes of Windows have no unit; --name, --path and --user select them",
        ),
        (["--not-group", "users"], "--not-group: processes of Windows have no group; "),
        (["--container", "x"], "--container: processes of Windows have no container; "),
        (["--user", "no such user"], "--user: this computer does not find the account \"no such user\"; "),
        (["--user", "1000"], "--user: this computer does not find the account \"1000\"; "),
    ] {
        for command in [&["read", "-w", &name][..], &["top"]] {
            let ended = driver.run_honeutil(&[command, &words].concat());
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(ended.stderr.contains(message), "{message}: {ended:?}");
        }
    }
    assert!(files.list().is_empty());
}

#[test]
fn a_selection_that_the_driver_refuses_is_said_with_what_to_do() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    let mut probe = driver.probe();
    let long = format!("udp{}", " or udp".repeat(990));
    let text = format!("--filter\0{long}\0--filter\0{long}\0");
    for _ in 0..2 {
        let file = probe.open().expect("it is opened");
        probe.control(file, hone_api::Operation::SetSelection, text.as_bytes()).expect("there is room");
    }
    let ended = driver.run_honeutil(&["read", "-w", &files.name("a.pcapng"), "--filter", &long]);
    ended.failed(
        "honeutil: the driver refuses the selection: together with those of other programs that record, it is too long, \
         or they are too many. Use fewer words, or end other recordings\n",
    );
}

#[test]
fn a_capture_of_wireshark_has_the_packets_that_its_settings_select() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let settings = driver.run_honeutil(&["extcap", "--extcap-interfaces", "--extcap-version=4.4"]);
    assert!(settings.stdout.contains("{display=Hone selects}"), "{settings:?}");
    let settings = driver.run_honeutil(&["extcap", "--extcap-interface", "hone", "--extcap-config"]);
    assert!(
        settings.stdout.contains("{call=--not-name}") && !settings.stdout.contains("unit"),
        "{settings:?}"
    );
    let fifo = files.name("a.pcapng");
    let capture = ["extcap", "--extcap-interface", "hone", "--capture", "--fifo", &fifo, "--pid", "5004"];
    let honeutil = driver.honeutil(&capture);
    files.await_file("a.pcapng", 1);
    for pid in [5000, 5004] {
        let start = Step::Start { pid, parent: 4_000_000, path: "x", command_line: "x", arguments: &["x"] };
        driver.stand_in.step(NOW + 1, &start);
        driver.stand_in.step(NOW + 1, &Step::Open(0, pid.into(), pid));
        driver.stand_in.step(NOW + 2, &packet(pid.into(), 10));
    }
    driver.stand_in.set_clock(LATER);
    let _ = honeutil.interrupted();
    assert_eq!(processes(&files.read("a.pcapng")).0, [Some(5004)]);
}
