//! Programs' requests: the event, and malformed requests of every kind.

use hone_api::Operation;
use hone_wine_tests::{Step, driver, hex};

/// Windows' error numbers (winerror.h).
const ERROR_INVALID_FUNCTION: u32 = 1;
const ERROR_INVALID_HANDLE: u32 = 6;
const ERROR_INVALID_PARAMETER: u32 = 87;
const ERROR_INSUFFICIENT_BUFFER: u32 = 122;
const ERROR_BUSY: u32 = 170;

#[test]
fn the_event_is_set_when_there_is_something_to_read_again() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let event = probe.event();
    // A 32-bit program passes 4 bytes with a separate control code. A 64-bit program may use that code too.
    for (pid, operation, bytes) in
        [(5000, Operation::SetDataEvent64, 8), (6000, Operation::SetDataEvent32, 4)]
    {
        probe.control(file, operation, &event.0.to_le_bytes()[..bytes]).expect("it is an event");
        assert!(probe.wait(event, 5000), "for what waits already");
        probe.read(file);
        assert!(!probe.wait(event, 50), "nothing has happened");
        let start = Step::Start { pid, parent: 4, path: "x", command_line: "x", arguments: &["x"] };
        driver.stand_in.step(1_790_000_000_000_000_000, &start);
        assert!(probe.wait(event, 5000), "a process has started");
        driver.stand_in.step(1_790_000_000_001_000_000, &Step::End(pid));
        assert!(!probe.wait(event, 50), "it has been set for what has not been read yet");
        assert!(!probe.read(file).is_empty());
        probe.control(file, operation, &[0; 8][..bytes]).expect("none is always there");
        driver.stand_in.step(1_790_000_000_002_000_000, &Step::Open(0, 7, pid));
        assert!(!probe.wait(event, 50), "there is no event any more");
    }
    let wrong = probe.control(file, Operation::SetDataEvent64, &0xFFF0_u64.to_le_bytes());
    assert_eq!(wrong, Err(ERROR_INVALID_HANDLE));
}

#[test]
fn a_name_after_the_devices_opens_no_reader() {
    const STATUS_OBJECT_NAME_NOT_FOUND: &str = "c0000034";
    let Some(mut driver) = driver() else { return };
    assert_eq!(driver.stand_in.tell("open -"), "0");
    for name in [r"\x", r"\"] {
        let answer = driver.stand_in.tell(&format!("open {}", hex(name.as_bytes())));
        assert_eq!(answer, STATUS_OBJECT_NAME_NOT_FOUND, "{name}");
    }
    assert!(driver.unload().is_nothing(), "no reader is left");
}

#[test]
fn a_program_of_32_bits_opens_waits_and_reads() {
    let Some(mut driver) = driver() else { return };
    let Some(mut probe) = driver.probe32() else { return };
    let mut wide = driver.probe();
    let (file, other) = (probe.open().expect("it is opened"), wide.open().expect("it is opened"));
    let event = probe.event();
    let handle = u32::try_from(event.0).expect("its handles have 32 bits");
    probe.control(file, Operation::SetDataEvent32, &handle.to_le_bytes()).expect("it is an event");
    assert!(probe.wait(event, 5000), "for what waits already");
    assert_eq!(probe.read(file), wide.read(other));
    assert!(!probe.wait(event, 50), "nothing has happened");
    let start = Step::Start { pid: 5000, parent: 4, path: "x", command_line: "x", arguments: &["x"] };
    driver.stand_in.step(1_790_000_000_000_000_000, &start);
    assert!(probe.wait(event, 5000), "a process has started");
    let (read, expected) = (probe.read(file), wide.read(other));
    assert!(!read.is_empty() && read == expected);
    assert_eq!(
        probe.control(file, Operation::SetDataEvent32, &[0xF0, 0xFF, 0, 0]),
        Err(ERROR_INVALID_HANDLE)
    );
    probe.control(file, Operation::SetDataEvent32, &[0; 4]).expect("none is always there");
    driver.stand_in.step(1_790_000_000_001_000_000, &Step::End(5000));
    assert!(!probe.wait(event, 50), "there is no event any more");
}

#[test]
fn a_packet_that_waits_for_its_owner_sets_the_event_when_its_time_is_over() {
    let Some(mut driver) = driver() else { return };
    let now = 1_790_000_000_000_000_000;
    driver.stand_in.set_clock(now);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let event = probe.event();
    driver
        .stand_in
        .tell("classify 12 endpoint=77 protocol=17 local=0a000001 remote=0a000002 packet=1234003500080000");
    probe.read(file);
    probe.control(file, Operation::SetDataEvent64, &event.0.to_le_bytes()).expect("it is an event");
    assert!(probe.wait(event, 5000), "it is set at first");
    assert_eq!(probe.statistics(file).held.waiting, 1);
    assert!(!probe.wait(event, 600), "its time is not over");
    driver.stand_in.set_clock(now + 1_000_000_000);
    assert!(probe.wait(event, 5000), "the timer lets it go");
    assert_eq!(probe.statistics(file).held.waiting, 0);
}

#[test]
fn malformed_requests_of_every_size_are_refused_and_harm_nothing() {
    let Some(mut driver) = driver() else { return };
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    for &operation in Operation::ALL {
        let reply = operation.reply_length();
        for input in [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 19, 20, 21, 76, 77, 4096, 65_536, 300_001] {
            for room in [0, 1, reply.saturating_sub(1), reply, reply + 1, 70_000] {
                let given = vec![0xFF; input];
                let answer = probe.control_code(file, operation.control_code().0, &given, room);
                match answer {
                    Ok(bytes) => assert_eq!(bytes.len(), reply, "{operation} {input} {room}"),
                    Err(ERROR_INSUFFICIENT_BUFFER) => assert!(room < reply, "{operation} {input} {room}"),
                    Err(ERROR_INVALID_PARAMETER | ERROR_INVALID_HANDLE | ERROR_BUSY) => {}
                    Err(other) => panic!("{operation} {input} {room}: {other}"),
                }
            }
        }
    }
    for function in (0..0x1000).step_by(37) {
        for (access, method) in [(0, 0), (1, 0), (3, 0), (3, 1), (3, 2), (3, 3)] {
            let code = 0x22_0000 | access << 14 | function << 2 | method;
            let is_known = Operation::ALL.iter().any(|operation| operation.control_code().0 == code);
            if !is_known {
                let answer = probe.control_code(file, code, &[1, 2, 3, 4], 4);
                assert_eq!(answer, Err(ERROR_INVALID_FUNCTION), "{code:#x}");
            }
        }
    }
    let huge = u32::MAX.to_le_bytes();
    let refused = probe.control(file, Operation::SetOpenConnections, &huge);
    assert_eq!(refused, Err(ERROR_INVALID_PARAMETER));
    assert_eq!(probe.read_once(file, 0), Err(ERROR_INVALID_PARAMETER));

    driver.stand_in.tell(&format!("start 5000 4 {} -", hex(b"x")));
    let section = probe.read(file);
    let fresh = probe.open().expect("it is opened");
    assert!(!section.is_empty() && !probe.read(fresh).is_empty(), "it works on");
    drop(probe);
    assert!(driver.unload().is_nothing());
}

#[test]
fn open_connections_are_listed_and_sent() {
    let Some(driver) = driver() else { return };
    let mut probe = driver.probe();
    let answer = probe.command("connections").expect("Wine has the tables");
    let [tcp, udp, listed @ ..] = &answer.split(' ').collect::<Vec<_>>()[..] else { panic!("{answer}") };
    for (protocol, port) in [(6, tcp), (17, udp)] {
        let own = format!("{protocol}/127.0.0.1/{port}/");
        assert!(listed.contains(&own.as_str()), "{own} is not among {listed:?}");
    }
    let file = probe.open().expect("it is opened");
    // Wine does not report the owners of connections. So the driver accepts the list, but attributes nothing by it.
    probe.send_connections(file).expect("the driver takes the list");
}
