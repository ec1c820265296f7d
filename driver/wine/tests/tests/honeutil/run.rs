//! `run -- COMMAND`: the command is suspended until the recording has begun, and is selected with its descendants.

use hone_pcapng::{Block, Reader};
use hone_wine_tests::{NOW, Step, driver, packet, wait};

/// The processes of a recording's packets.
fn owners(recording: &[u8]) -> Vec<Option<u32>> {
    let mut reader = Reader::new();
    reader.feed(recording).expect("there is memory");
    let mut owners = Vec::new();
    while let Some(item) = reader.next_block().expect("it is sound") {
        if let Block::Packet(packet) = item.block {
            owners.push(packet.process);
        }
    }
    owners
}

#[test]
fn a_commands_packets_are_recorded_without_others_and_its_exit_status_is_passed_on() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let files = driver.files();
    let told = files.file("told.txt");
    // It waits for its standard input to end.
    let line = format!("echo begun> {} & set /p x= & exit 3", files.name("told.txt"));
    let name = files.name("a.pcapng");
    let (input, hold) = std::io::pipe().expect("there are descriptors");
    let honeutil = driver.honeutil_with(&["run", "-v", "-w", &name, "--", "cmd", "/c", &line], input);
    wait("the command", || told.exists().then_some(()));
    let pid = honeutil.await_number("the command is process ");
    let stranger = 500_000;
    let start = Step::Start { pid: stranger, parent: 4, path: "x", command_line: "x", arguments: &["x"] };
    driver.stand_in.step(NOW + 1, &start);
    for pid in [pid, stranger] {
        driver.stand_in.step(NOW + 2, &Step::Open(0, pid.into(), pid));
        driver.stand_in.step(NOW + 3, &packet(pid.into(), 10));
        driver.stand_in.step(NOW + 4, &Step::Close(0, pid.into()));
    }
    drop(hold);
    let ended = honeutil.end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("\nRecorded    1 packet, "), "{ended:?}");
    assert_eq!(owners(&files.read("a.pcapng")), [Some(pid)]);
}

#[test]
fn a_command_that_does_not_exist_is_not_recorded() {
    let Some(driver) = driver() else { return };
    let files = driver.files();
    let ended = driver.run_honeutil(&["run", "-w", &files.name("a.pcapng"), "--", "no-such-command"]);
    assert_eq!(ended.code, Some(127), "{ended:?}");
    assert_eq!(ended.stderr, "honeutil: no-such-command: command not found; nothing is recorded\n");
    assert_eq!(files.list(), [""; 0]);
}
