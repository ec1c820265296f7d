//! The numbers and bytes that programs elsewhere count on.

use std::net::{IpAddr, Ipv4Addr};

use hone_api::{
    Access, ApiVersion, ControlCode, Fixed, Held, Mechanism, Method, NO_READER, NoOwner, OpenConnection,
    Operation, OriginalConnection, OriginalStatistics, PerKind, ReaderStatistics, Reply, ReplyError, Request,
    SnapLength, Statistics, Transfer, UnknownOperation, limits,
};
use hone_api::{
    BufferTooSmall, ConnectionIds, ConnectionRecord, DataEvent, Family, List, LogLevels, OpenConnections,
};

/// `CTL_CODE` as the Windows headers define it.
fn ctl_code(device_type: u32, function: u32, method: u32, access: u32) -> u32 {
    (device_type << 16) | (access << 14) | (function << 2) | method
}

#[test]
fn control_codes_are_the_originals() {
    let codes = [
        (0x800, 3, 3, "IOCTL_HONE_MARK_RESTART"),
        (0x801, 0, 3, "IOCTL_HONE_FILTER_CONNECTIONS"),
        (0x802, 0, 3, "IOCTL_HONE_FILTER_PROCESSES"),
        (0x803, 0, 3, "IOCTL_HONE_SET_SNAP_LENGTH"),
        (0x804, 0, 1, "IOCTL_HONE_GET_SNAP_LENGTH"),
        (0x805, 0, 3, "IOCTL_HONE_SET_DATA_EVENT_32"),
        (0xC05, 0, 3, "IOCTL_HONE_SET_DATA_EVENT_64"),
        (0x806, 0, 3, "IOCTL_HONE_SET_OPEN_CONNECTIONS"),
        (0x807, 0, 1, "IOCTL_HONE_GET_STATISTICS"),
    ];
    let original: Vec<_> = Operation::ALL.iter().filter(|operation| operation.is_original()).collect();
    assert_eq!(original.len(), codes.len());
    for (operation, (function, method, access, name)) in original.into_iter().zip(codes) {
        assert_eq!(operation.control_code().0, ctl_code(0x22, function, method, access), "{name}");
        assert_eq!((u32::from(operation.number()), operation.name()), (function, name));
    }
}

#[test]
fn every_operation_is_found_by_its_numbers() {
    assert_eq!(Operation::ALL.len(), 20);
    for &operation in Operation::ALL {
        assert_eq!(Operation::try_from(operation.number()), Ok(operation));
        let code = operation.control_code();
        assert_eq!(Operation::try_from(code), Ok(operation));
        // Nothing else has the same function.
        for wrong in [code.0 ^ 1, code.0 ^ 1 << 14, code.0 ^ 1 << 16, code.0 ^ 1 << 31] {
            assert_eq!(Operation::try_from(ControlCode(wrong)), Err(UnknownOperation(wrong)));
        }
        assert_eq!(operation.transfer() == Transfer::Neither, operation == Operation::MarkRestart);
        let read_only = code.0 >> 14 & 3 == Access::Read as u32;
        assert_eq!(
            read_only,
            operation.reply_length() > 0,
            "who may only read may not change anything: {operation}"
        );
    }
    let known = (0..=u16::MAX).filter(|&number| Operation::try_from(number).is_ok()).count();
    assert_eq!(known, Operation::ALL.len());
    let error = Operation::try_from(0x808).unwrap_err();
    assert_eq!(error.to_string(), "0x808 is not an operation of Hone");
}

#[test]
fn bounds_are_the_documents() {
    assert_eq!(
        (limits::MIN_RING_BYTES, limits::DEFAULT_RING_BYTES, limits::MAX_RING_BYTES),
        (1024, 16_384, 131_072)
    );
    assert_eq!(limits::MAX_INPUT_BYTES, 4 + 65_536 * 72);
}

#[test]
fn an_original_connection_record() {
    let record = OriginalConnection {
        local_port: 0x1234,
        family: 23,
        protocol: 6,
        process: 0x5678_9ABC,
        opened: 0x01DA_3C46_ABCD_EF01,
    };
    let bytes = [0x34, 0x12, 23, 6, 0xBC, 0x9A, 0x78, 0x56, 0x01, 0xEF, 0xCD, 0xAB, 0x46, 0x3C, 0xDA, 0x01];
    assert_eq!(record.encode(), bytes);
    assert_eq!(OriginalConnection::decode(&bytes), record);
}

#[test]
fn filetimes() {
    // 2024-01-01 00:00:00 UTC is FILETIME 133485408000000000 and Unix time 1704067200.
    let new_year = OriginalConnection { opened: 133_485_408_000_000_000, ..Default::default() };
    assert_eq!(new_year.opened_nanos(), 1_704_067_200_000_000_000);
    assert_eq!(OriginalConnection::filetime(1_704_067_200_000_000_199), 133_485_408_000_000_001);
    for (opened, nanos) in [(0, 0), (i64::MIN, 0), (i64::MAX, u64::MAX), (116_444_736_000_000_001, 100)] {
        assert_eq!(OriginalConnection { opened, ..Default::default() }.opened_nanos(), nanos);
    }
    assert!(OriginalConnection::filetime(u64::MAX) > 0);
}

#[test]
fn a_full_connection_record() {
    let connection = OpenConnection {
        family: Family::V4,
        protocol: 17,
        local_port: 53,
        local: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        remote: None,
        connection: Some(0x0102_0304_0506_0708),
        process: 42,
        process_start: None,
        opened: 9,
    };
    let mut bytes = [0; 72];
    bytes[..12].copy_from_slice(&[2, 17, 0b101, 0, 42, 0, 0, 0, 53, 0, 0, 0]);
    bytes[16..20].copy_from_slice(&[192, 0, 2, 1]);
    bytes[48] = 9;
    bytes[56..64].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(connection.record().encode(), bytes);
    assert_eq!(<ConnectionRecord as Fixed>::LENGTH, bytes.len());
}

/// Statistics in which every number is another one: field `n` of 64 bits is `n` times 0x0101.
fn statistics() -> Statistics {
    let mut last = 0;
    let mut next = || {
        last += 0x0101;
        last
    };
    let snap = |number: u64| SnapLength::lenient(number.try_into().expect("it is small"));
    macro_rules! counts {
        () => {
            PerKind { packets: next(), processes: next(), connections: next() }
        };
    }
    Statistics {
        version: [1, 2, 3, 4],
        now: next(),
        loaded: next(),
        logging: next(),
        readers: next(),
        readers_total: next(),
        ring_bytes: next(),
        max_snap_length: snap(next()),
        received: counts!(),
        packet_bytes: next(),
        processes: next(),
        process_starts: next(),
        process_ends: next(),
        connections: next(),
        connection_opens: next(),
        connection_closes: next(),
        dropped_by_source: counts!(),
        lost: counts!(),
        ignored: counts!(),
        unopened: next(),
        held: Held {
            waiting: next(),
            waiting_bytes: next(),
            total: next(),
            attributed: next(),
            unattributed: next(),
        },
        methods: [(); 16].map(|()| next()),
        unattributed: [(); 16].map(|()| next()),
        blocks: next(),
        block_bytes: next(),
        max_block_bytes: next(),
        reader: ReaderStatistics {
            id: next(),
            attached: next(),
            ring_bytes: next(),
            ring_slots: next(),
            pinned_bytes: next(),
            queued_bytes: next(),
            snap_length: snap(next()),
            received: counts!(),
            delivered: counts!(),
            dropped: counts!(),
            filtered: counts!(),
            queued: counts!(),
        },
        mechanism: next(),
        filtered_by_source: next(),
    }
}

#[test]
fn extended_statistics_are_a_row_of_numbers() {
    let mut expected = vec![2, 0, 0xE8, 2, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0];
    expected.extend((1..=91_u64).flat_map(|number| (number * 0x0101).to_le_bytes()));
    assert_eq!(expected.len(), Statistics::REPLY_LENGTH);
    assert_eq!(statistics().reply().to_vec(), expected);
    assert_eq!(Statistics::parse(&expected), Ok(statistics()));

    // A later version has more fields, and says so.
    let mut longer = expected.clone();
    longer.extend([0xEE; 16]);
    longer[2] = 0xE8 + 16;
    assert_eq!(Statistics::parse(&longer), Ok(statistics()));

    let operation = Operation::GetStatistics2;
    for length in 0..expected.len() {
        let minimum = Statistics::REPLY_LENGTH;
        assert_eq!(
            Statistics::parse(&expected[..length]),
            Err(ReplyError::Length { operation, length, minimum })
        );
    }
    let mut other = expected.clone();
    other[0] = 3;
    assert_eq!(Statistics::parse(&other), Err(ReplyError::Layout { operation, layout: 3, known: 2 }));
    other[..4].copy_from_slice(&[2, 0, 0xFF, 0xFF]);
    assert_eq!(
        Statistics::parse(&other).unwrap_err().to_string(),
        "IOCTL_HONE_GET_STATISTICS_2: the reply has 744 bytes and needs 65535"
    );
}

#[test]
fn original_statistics_are_80_bytes() {
    let original = OriginalStatistics {
        version_major: 1,
        version_minor: 2,
        version_micro: 0x0304,
        loaded: 0x11,
        logging: 0x12,
        readers: 0x13,
        readers_total: 0x14,
        reader: 0x15,
        ring_bytes: 0x16,
        reader_ring_bytes: 0x17,
        max_snap_length: 0x18,
        reader_snap_length: 0x19,
        packets: 0x2A,
        packet_bytes: 0x2B,
        process_starts: 0x31,
        processes: 0x32,
        process_ends: -1,
        connection_opens: 0x34,
        connections: 0x35,
        connection_closes: 0x36,
    };
    let mut expected = vec![1, 2, 4, 3];
    expected.extend((0x11..=0x19_u32).flat_map(u32::to_le_bytes));
    expected.extend((0x2A..=0x2B_u64).flat_map(u64::to_le_bytes));
    expected.extend([0x31, 0x32, -1, 0x34, 0x35, 0x36_i32].iter().flat_map(|number| number.to_le_bytes()));
    assert_eq!(original.encode().to_vec(), expected);
    assert_eq!(OriginalStatistics::parse(&expected), Ok(original));
    let error = OriginalStatistics::parse(&expected[..79]).unwrap_err();
    assert_eq!(error.to_string(), "IOCTL_HONE_GET_STATISTICS: the reply has 79 bytes and needs 80");
}

#[test]
fn original_statistics_stop_at_their_limits() {
    let mut all = statistics();
    all.loaded = 90_999_999_999;
    let original = all.to_original();
    assert_eq!((original.version_major, original.version_minor, original.version_micro), (1, 2, 3));
    assert_eq!(original.loaded, 90);
    assert_eq!(original.packets, all.received.packets);
    assert_eq!(u64::try_from(original.connection_closes), Ok(all.connection_closes));

    all.version = [u16::MAX; 4];
    all.process_starts = u64::MAX;
    all.readers_total = 1 << 32;
    all.reader.id = NO_READER;
    all.logging = u64::MAX;
    let original = all.to_original();
    assert_eq!((original.version_major, original.version_micro), (u8::MAX, u16::MAX));
    assert_eq!((original.process_starts, original.readers_total), (i32::MAX, u32::MAX));
    assert_eq!((original.reader, original.logging), (u32::MAX, u32::MAX));
}

#[test]
fn kinds_are_at_their_numbers() {
    let methods: Vec<_> = Method::ALL.iter().map(|method| format!("{method:?}")).collect();
    assert_eq!(
        methods.join(", "),
        "CurrentTask, LastSender, LastReceiver, Creator, Accepted, Listener, Connection, Listed, Reader, Writer"
    );
    let reasons: Vec<_> = NoOwner::ALL.iter().map(|reason| format!("{reason:?}")).collect();
    assert_eq!(
        reasons.join(", "),
        "Kernel, NoSocket, UnknownSocket, HoldExpired, HoldFull, TimeWait, Forwarded, Filtered, Shared"
    );
    assert!(Method::ALL.len().max(NoOwner::ALL.len()) <= statistics().methods.len());
    let mechanism = |mechanism| Statistics { mechanism, ..Statistics::default() }.mechanism();
    let known = [Mechanism::Trampolines, Mechanism::Tracepoints, Mechanism::Callouts].map(Some);
    assert_eq!([1, 2, 3].map(mechanism), known);
    assert_eq!([0, 4, u64::MAX].map(mechanism), [None; 3]);
    assert_eq!(Statistics::mechanism_number(None), 0);
}

#[test]
fn replies() {
    let (all, original) = (statistics(), statistics().to_original());
    let version = ApiVersion::of_service([0, 1, 0, 0]);
    assert_eq!(version.encode(), [1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    let replies = [
        (Operation::MarkRestart, Reply::Done, vec![]),
        (Operation::GetSnapLength, Reply::SnapLength(SnapLength::lenient(96)), vec![96, 0, 0, 0]),
        (Operation::GetStatistics, Reply::OriginalStatistics(&original), original.encode().to_vec()),
        (Operation::GetStatistics2, Reply::Statistics(&all), all.reply().to_vec()),
        (Operation::GetVersion, Reply::Version(version), version.encode().to_vec()),
        (Operation::GetLogLevels, Reply::LogLevels(LogLevels::default()), vec![7, 0, 0, 0]),
    ];
    for (operation, reply, expected) in replies {
        let mut buffer = [0xEE; 1000];
        let needed = reply.encode(&mut buffer).unwrap();
        assert_eq!(buffer[..needed], expected);
        assert!(buffer[needed..].iter().all(|&byte| byte == 0xEE));
        assert_eq!((reply.len(), operation.reply_length()), (needed, needed));
        for available in 0..needed {
            let result = reply.encode(&mut buffer[..available]);
            assert_eq!(result, Err(BufferTooSmall { needed, available }));
        }
    }
    assert_eq!(hone_api::snap_length(&[96, 0, 0, 0, 9]), Ok(SnapLength::lenient(96)));
    assert!(hone_api::snap_length(&[96, 0, 0]).is_err());
    assert_eq!(ApiVersion::parse(&version.encode()), Ok(version));
    assert!(version.is_understood() && !ApiVersion { major: 2, ..version }.is_understood());
    assert!(ApiVersion::parse(&[0; 11]).is_err());
}

#[test]
fn requests() {
    let mut buffers = [[0; 200]; 6];
    let [a, b, c, d, e, f] = &mut buffers;
    let record = OriginalConnection { local_port: 80, family: 2, protocol: 6, process: 7, opened: 0 };
    let mut long = OpenConnection::record(&OpenConnection {
        family: Family::V6,
        protocol: 6,
        local_port: 80,
        local: None,
        remote: None,
        connection: None,
        process: 7,
        process_start: Some(1),
        opened: 0,
    });
    long.remote = [9; 16];
    let requests = [
        (Request::MarkRestart, vec![]),
        (
            Request::FilterConnections(ConnectionIds::Bits32(List::write([1, 0xFFFF_FFFF], a).unwrap())),
            vec![1, 0, 0, 0, 255, 255, 255, 255],
        ),
        (Request::FilterConnections(ConnectionIds::Bits64(List::EMPTY)), vec![]),
        (Request::FilterProcesses(List::write([4], b).unwrap()), vec![4, 0, 0, 0]),
        (Request::IncludeConnections(List::write([1 << 32], c).unwrap()), vec![0, 0, 0, 0, 1, 0, 0, 0]),
        (Request::IncludeProcesses(List::write([5], d).unwrap()), vec![5, 0, 0, 0]),
        (Request::SetSnapLength(SnapLength::lenient(96)), vec![96, 0, 0, 0]),
        (Request::SetPacketIds(true), vec![1, 0, 0, 0]),
        (Request::GetSnapLength, vec![]),
        (Request::SetDataEvent(DataEvent::Bits32(0x44)), vec![0x44, 0, 0, 0]),
        (Request::SetDataEvent(DataEvent::Bits64(0x1_0000_0044)), vec![0x44, 0, 0, 0, 1, 0, 0, 0]),
        (
            Request::SetOpenConnections(OpenConnections::Original(List::write([record], e).unwrap())),
            [&[1, 0, 0, 0][..], &record.encode()].concat(),
        ),
        (
            Request::SetOpenConnections(OpenConnections::Full(List::write([long, long], f).unwrap())),
            [&[2, 0, 0, 0][..], &long.encode(), &long.encode()].concat(),
        ),
        (Request::GetStatistics, vec![]),
        (Request::GetStatistics2, vec![]),
        (Request::SetRingBytes(1 << 20), vec![0, 0, 16, 0]),
        (Request::SetLogLevels(LogLevels::default()), vec![7, 0, 0, 0]),
        (Request::GetLogLevels, vec![]),
        (Request::GetVersion, vec![]),
    ];
    for (request, expected) in requests {
        let mut buffer = [0xEE; 200];
        let needed = request.encode(&mut buffer).unwrap();
        assert_eq!(buffer[..needed], expected, "{request:?}");
        assert_eq!(Request::parse(request.operation(), &expected), Ok(request));
        for available in 0..needed {
            let result = request.encode(&mut buffer[..available]);
            assert_eq!(result, Err(BufferTooSmall { needed, available }));
        }
    }
}

#[test]
fn event_handles_of_either_width() {
    assert_eq!(DataEvent::Bits32(0).handle(), None);
    assert_eq!(DataEvent::Bits64(0).handle(), None);
    assert_eq!(DataEvent::Bits32(0x44).handle().unwrap().get(), 0x44);
    assert_eq!(DataEvent::Bits32(0xFFFF_FFFC).handle().unwrap().get(), 0xFFFF_FFFF_FFFF_FFFC);
    assert_eq!(DataEvent::Bits64(u64::MAX).handle().unwrap().get(), u64::MAX);
}
