//! Programs' requests to the device: reads and control requests, valid and malformed.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use std::sync::atomic::Ordering::Relaxed;

use common::{Fake, Passive, control, driver, event, open, read, set_now, start, words};
use hone_api::{LogLevels, Operation, OriginalStatistics, Statistics};
use hone_driver::{Control, Driver, Handle, READ_BYTES, Setting, Status};

#[test]
fn a_section_ends_at_a_mark_and_the_next_begins() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    control(&driver, reader, Operation::MarkRestart, &[], 0).expect("it is attached");
    assert_eq!(control(&driver, reader, Operation::MarkRestart, &[], 0), Err(Status::DEVICE_BUSY));
    start(&driver, 10);
    let first = words(&read(&driver, reader));
    assert_eq!(first[2..], ["process 9 <- None x - - -", "statistics"]);
    let second = words(&read(&driver, reader));
    assert_eq!(second[..2], first[..2]);
    assert_eq!(second[2..], ["process 9 <- None x - - -", "process 10 <- None x - - -"]);
    assert!(read(&driver, reader).is_empty());
}

#[test]
fn each_reader_has_its_own_snap_length_filters_and_ring() {
    let driver = driver();
    let (small, large) = (driver.open(Some(1024)), driver.open(Some(131_072)));
    let (small, large) = (small.expect("there is memory"), large.expect("there is memory"));
    control(&driver, large, Operation::SetSnapLength, &96_u32.to_le_bytes(), 0).expect("it is in range");
    assert_eq!(control(&driver, small, Operation::GetSnapLength, &[], 4), Ok(vec![0; 4]));
    assert_eq!(control(&driver, large, Operation::GetSnapLength, &[], 4), Ok(vec![96, 0, 0, 0]));
    for (reader, ring_bytes) in [(small, 1024), (large, 131_072)] {
        let reply = control(&driver, reader, Operation::GetStatistics2, &[], 4096).expect("there is room");
        let statistics = Statistics::parse(&reply).expect("it is sound");
        assert_eq!((statistics.reader.ring_bytes, statistics.readers), (ring_bytes, 2));
        let reply = control(&driver, reader, Operation::GetStatistics, &[], 80).expect("there is room");
        let original = OriginalStatistics::parse(&reply).expect("it is sound");
        assert_eq!(u64::from(original.reader_ring_bytes), ring_bytes);
        assert_eq!((original.readers, original.ring_bytes), (2, 131_072), "the size in the registry now");
    }
}

#[test]
fn a_full_ring_drops_and_counts() {
    let driver = driver();
    let reader = driver.open(Some(1024)).expect("there is memory");
    for pid in 0..200 {
        start(&driver, 1000 + pid);
    }
    let reply = control(&driver, reader, Operation::GetStatistics2, &[], 4096).expect("there is room");
    let got = Statistics::parse(&reply).expect("it is sound").reader;
    assert_eq!((got.received.processes, got.queued.processes, got.dropped.processes), (200, 128, 72));
    assert_eq!(words(&read(&driver, reader)).len(), 2 + 128);
}

#[test]
fn a_ring_size_out_of_range_is_not_used_and_said() {
    common::messages();
    let driver = driver();
    for bytes in [0, 1023, 131_073, u32::MAX] {
        let reader = driver.open(Some(bytes)).expect("there is memory");
        let reply = control(&driver, reader, Operation::GetStatistics2, &[], 4096).expect("there is room");
        assert_eq!(Statistics::parse(&reply).expect("it is sound").reader.ring_bytes, 16_384);
        assert!(common::messages().iter().any(|message| message.contains("RingBufferSize")));
    }
    let reader = open(&driver);
    let set = |bytes: u32| control(&driver, reader, Operation::SetRingBytes, &bytes.to_le_bytes(), 0);
    assert_eq!((set(32_768), set(1 << 20)), (Ok(vec![]), Err(Status::INVALID_PARAMETER)));
    assert_eq!(common::kept(), [(Setting::RingBytes, 32_768)], "a refused one is not kept");
    let later = open(&driver);
    let reply = control(&driver, later, Operation::GetStatistics2, &[], 4096).expect("there is room");
    assert_eq!(Statistics::parse(&reply).expect("it is sound").reader.ring_bytes, 32_768);
}

#[test]
fn the_log_levels_take_effect_at_once_and_are_kept() {
    let driver = driver();
    common::messages();
    let reader = open(&driver);
    let levels = || control(&driver, reader, Operation::GetLogLevels, &[], 4);
    let set = |mask: u32| control(&driver, reader, Operation::SetLogLevels, &mask.to_le_bytes(), 0);
    assert_eq!(levels(), Ok(vec![0x1F, 0, 0, 0]), "at first, the kernel's mask alone decides");
    start(&driver, 9);
    assert!(common::messages().iter().any(|message| message == "Information: process 9 starts"));
    assert_eq!((set(0x02), levels()), (Ok(vec![]), Ok(vec![3, 0, 0, 0])));
    assert_eq!(common::kept(), [(Setting::LogLevels, 3)]);
    start(&driver, 10);
    assert_eq!(common::messages(), [""; 0]);
    assert_eq!(control(&driver, reader, Operation::SetSnapLength, &[], 0), Err(Status::INVALID_PARAMETER));
    assert!(common::messages()[0].starts_with("Warning: reader 0: "));
    assert_eq!((set(0x20), levels()), (Err(Status::INVALID_PARAMETER), Ok(vec![3, 0, 0, 0])));
    assert_eq!(common::kept(), []);
}

#[test]
fn a_setting_that_cannot_be_kept_is_refused_and_changes_nothing() {
    let driver = driver();
    let reader = open(&driver);
    common::fill_registry(true);
    for (operation, value) in [(Operation::SetRingBytes, 2048_u32), (Operation::SetLogLevels, 1)] {
        let answer = control(&driver, reader, operation, &value.to_le_bytes(), 0);
        assert_eq!(answer, Err(Status::INSUFFICIENT_RESOURCES));
    }
    let reply = control(&driver, reader, Operation::GetStatistics2, &[], 4096).expect("there is room");
    assert_eq!(Statistics::parse(&reply).expect("it is sound").ring_bytes, 16_384);
    assert_eq!(driver.log_levels(), LogLevels::all());
}

#[test]
fn log_levels_of_the_registry_are_used_if_they_are_levels() {
    let driver = driver();
    common::messages();
    for (mask, expected) in [(None, 0x1F), (Some(0x20), 0x1F), (Some(6), 7), (Some(0x40), 7)] {
        driver.restore_log_levels(mask);
        assert_eq!(driver.log_levels().mask(), expected, "{mask:?}");
        let is_said = common::messages().iter().any(|message| message.starts_with("Warning: LogLevels is "));
        assert_eq!(is_said, mask.is_some_and(|mask| mask > 0x1F), "{mask:?}");
    }
}

#[test]
fn the_event_is_set_when_an_empty_queue_gets_a_block() {
    let driver = driver();
    let reader = open(&driver);
    for (operation, pid) in [(Operation::SetDataEvent32, 10), (Operation::SetDataEvent64, 20)] {
        let (handle, count) = event();
        let set = |handle: u64| {
            let length = if operation == Operation::SetDataEvent32 { 4 } else { 8 };
            control(&driver, reader, operation, &handle.to_le_bytes()[..length], 0)
        };
        set(handle).expect("there is such an event");
        assert_eq!(count.load(Relaxed), 1, "for what may wait already");
        read(&driver, reader);
        start(&driver, pid);
        start(&driver, pid + 1);
        assert_eq!(count.load(Relaxed), 2, "once for both");
        read(&driver, reader);
        driver.process_ended(pid);
        assert_eq!(count.load(Relaxed), 3);
        driver.process_ended(pid + 1);
        assert_eq!(set(0xFFFC), Err(Status::INVALID_HANDLE));
        read(&driver, reader);
        start(&driver, pid + 2);
        assert_eq!(count.load(Relaxed), 4, "a wrong handle leaves the right one");
        set(0).expect("none is always there");
        read(&driver, reader);
        driver.process_ended(pid + 2);
        assert_eq!(count.load(Relaxed), 4);
    }
}

#[test]
fn filters_leave_packets_out() {
    use common::{FakeBuffer, FakeIndication, connect, indicate, values};
    use hone_driver::callouts::{Family, Layer};
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    start(&driver, 10);
    connect(&driver, 5, 9);
    connect(&driver, 0x1_0000_0005, 10);
    read(&driver, reader);
    let packets = || {
        for endpoint in [5, 0x1_0000_0005] {
            let indication = FakeIndication {
                endpoint: Some(endpoint),
                values: values(Layer::OutboundTransport, Family::V4, 250),
                buffers: vec![FakeBuffer::new(b"x", 0, 1)],
                ..FakeIndication::default()
            };
            indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
        }
        let told = words(&read(&driver, reader));
        let of = |of: &str| told.iter().any(|words| words.starts_with(of));
        (of("packet out (Some(5)"), of("packet out (Some(4294967301)"))
    };
    let set = |operation, ids: &[u8]| control(&driver, reader, operation, ids, 0).expect("they are in range");
    assert_eq!(packets(), (true, true));
    set(Operation::FilterConnections, &5_u32.to_le_bytes());
    assert_eq!(packets(), (false, true));
    set(Operation::FilterConnections64, &0x1_0000_0005_u64.to_le_bytes());
    assert_eq!(packets(), (true, false));
    set(Operation::FilterConnections, &[]);
    set(Operation::FilterProcesses, &9_u32.to_le_bytes());
    assert_eq!(packets(), (false, true));
    set(Operation::FilterProcesses, &[]);
    set(Operation::IncludeProcesses, &9_u32.to_le_bytes());
    assert_eq!(packets(), (true, false));
    set(Operation::IncludeProcesses, &[]);
    set(Operation::IncludeConnections64, &0x1_0000_0005_u64.to_le_bytes());
    assert_eq!(packets(), (false, true));
}

#[test]
fn a_list_of_open_connections_names_owners() {
    use common::{FakeBuffer, FakeIndication, indicate, values};
    use hone_driver::callouts::{Family, Layer};
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    let record =
        hone_api::OriginalConnection { local_port: 4000, family: 2, protocol: 17, process: 9, opened: 0 };
    let unknown = hone_api::OriginalConnection { process: 77, local_port: 4001, ..record };
    let input = [2_u32.to_le_bytes().as_slice(), &record.encode(), &unknown.encode()].concat();
    control(&driver, reader, Operation::SetOpenConnections, &input, 0).expect("it is in range");
    read(&driver, reader);
    for port in [4000_u16, 4001] {
        let mut datagram = [0, 0, 0, 53, 0, 8, 0, 0];
        datagram[..2].copy_from_slice(&port.to_be_bytes());
        let indication = FakeIndication {
            values: values(Layer::OutboundTransport, Family::V4, 17),
            buffers: vec![FakeBuffer::new(&datagram, 0, 8)],
            ..FakeIndication::default()
        };
        indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    }
    assert_eq!(
        words(&read(&driver, reader)),
        ["packet out (None, Some(9)) 28", "packet out (None, None) 28"]
    );
}

#[test]
fn a_list_of_as_many_connections_as_the_table_holds_is_taken() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    let record =
        hone_api::OriginalConnection { local_port: 4000, family: 2, protocol: 17, process: 9, opened: 0 };
    let most = u32::try_from(hone_api::limits::MAX_OPEN_CONNECTIONS).expect("it fits");
    assert_eq!(most, hone_driver::MAX_CONNECTIONS);
    let mut input = most.to_le_bytes().to_vec();
    (0..most).for_each(|_| input.extend(record.encode()));
    control(&driver, reader, Operation::SetOpenConnections, &input, 0).expect("it is in range");
}

#[test]
fn a_read_gives_whole_blocks_and_no_more_than_its_bound() {
    let driver = driver();
    let reader = open(&driver);
    assert_eq!(driver.read(reader, &mut []), Err(Status::INVALID_PARAMETER));
    let path = vec![u16::from(b'x'); 60_000];
    for pid in 0..20 {
        let path = Some(path.as_slice());
        driver.process_started(
            Passive,
            &hone_driver::Process { pid, created: Some(1), path, ..Default::default() },
        );
    }
    let mut buffer = vec![0; 4 << 20];
    let length = driver.read(reader, &mut buffer).expect("it is attached");
    assert!(length <= READ_BYTES);
    assert_eq!(words(&buffer[..length]).len(), 2 + 8, "it ends with a block");
    let mut byte = [0];
    assert_eq!(driver.read(reader, &mut byte), Ok(1), "a block goes in parts into a buffer too small");
}

#[test]
fn requests_of_every_size_and_code_are_answered() {
    let driver = driver();
    let reader = open(&driver);
    for &operation in Operation::ALL {
        let reply = operation.reply_length();
        for input in 0..100 {
            for output in [0, 1, reply.saturating_sub(1), reply, reply + 1, 5000] {
                let answer = control(&driver, reader, operation, &vec![0xFF; input], output);
                match answer {
                    Ok(bytes) => assert_eq!(bytes.len(), reply, "{operation} {input} {output}"),
                    Err(status) => {
                        let too_small = output < reply;
                        assert_eq!(
                            status == Status::BUFFER_TOO_SMALL,
                            too_small,
                            "{operation} {input} {output}"
                        );
                    }
                }
            }
        }
    }
    for code in (0x0022_0000..0x0023_0000_u32).step_by(1) {
        let known = Operation::ALL.iter().any(|operation| operation.control_code().0 == code);
        let answer = driver.control(Passive, reader, Control { code, buffer: &mut [], input: 0, output: 0 });
        assert_eq!(answer == Err(Status::INVALID_DEVICE_REQUEST), !known, "{code:#x}");
    }
    for code in [0, u32::MAX, 0x0023_E003, 0xE003] {
        let answer = driver.control(Passive, reader, Control { code, buffer: &mut [], input: 0, output: 0 });
        assert_eq!(answer, Err(Status::INVALID_DEVICE_REQUEST));
    }
    assert!(!read(&driver, reader).is_empty(), "the reader reads on");
}

#[test]
fn an_input_longer_than_the_buffer_is_refused() {
    let driver = driver();
    let reader = open(&driver);
    let code = Operation::SetSnapLength.control_code().0;
    let answer = driver.control(Passive, reader, Control { code, buffer: &mut [0; 3], input: 4, output: 0 });
    assert_eq!(answer, Err(Status::INVALID_PARAMETER));
}

#[test]
fn a_detached_reader_is_unknown() {
    let driver = driver();
    let (gone, other) = (open(&driver), open(&driver));
    assert_eq!(driver.readers(), 2);
    assert!(driver.close(Passive, gone));
    assert!(!driver.close(Passive, gone));
    assert_eq!(driver.readers(), 1);
    assert_eq!(driver.read(gone, &mut [0; 9]), Err(Status::INVALID_HANDLE));
    for &operation in Operation::ALL {
        let concerns_all = matches!(
            operation,
            Operation::SetRingBytes
                | Operation::SetLogLevels
                | Operation::GetLogLevels
                | Operation::SetOpenConnections
                | Operation::SetOpenConnections2
                | Operation::GetVersion
        );
        let answer = control(&driver, gone, operation, &[], 5000);
        assert!(concerns_all || answer.is_err(), "{operation}: {answer:?}");
    }
    // The event is looked up before it is known that there is no such reader, and is released without the lock.
    let (handle, count) = event();
    let answer = control(&driver, gone, Operation::SetDataEvent64, &handle.to_le_bytes(), 0);
    assert_eq!((answer, count.load(Relaxed)), (Err(Status::INVALID_HANDLE), 0));
    assert!(!read(&driver, other).is_empty());
}

#[test]
fn there_are_only_so_many_readers() {
    let driver: Driver<Fake> = driver();
    let readers: Vec<Handle> = (0..64).map(|_| open(&driver)).collect();
    assert_eq!(driver.open(None), Err(Status::TOO_MANY_OPENED_FILES));
    set_now(1);
    driver.close(Passive, readers[7]);
    assert!(driver.open(None).is_ok());
}

#[test]
fn memory_is_charged_to_what_it_is_for() {
    use hone_driver::Purpose;
    let driver = driver();
    common::purposes();
    let reader = open(&driver);
    start(&driver, 9);
    control(&driver, reader, Operation::MarkRestart, &[], 0).expect("it is attached");
    control(&driver, reader, Operation::FilterProcesses, &[0; 4], 0).expect("it is in range");
    // The ring buffer is made between the two, without the lock. A list is made before the lock is taken, and then
    // handed over.
    let expected = [
        Purpose::Reader,
        Purpose::Reader,
        Purpose::Process,
        Purpose::Section,
        Purpose::IdLists,
        Purpose::IdLists,
    ];
    let charged: Vec<_> = expected.iter().flat_map(|&purpose| [purpose, Purpose::Driver]).collect();
    assert_eq!(common::purposes(), charged);
}
