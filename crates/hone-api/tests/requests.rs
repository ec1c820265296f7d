//! What a service accepts and refuses, and that nothing from outside makes it panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hone_api::{
    ConnectionIds, Family, List, LogLevels, OpenConnection, OpenConnections, Operation, Request,
    RequestError, SnapLength, Statistics, limits,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[track_caller]
fn refused(operation: Operation, input: &[u8], message: &str) {
    assert_eq!(Request::parse(operation, input).unwrap_err().to_string(), message);
}

#[test]
fn inputs_of_fixed_length() {
    refused(
        Operation::SetSnapLength,
        &[1, 2, 3],
        "IOCTL_HONE_SET_SNAP_LENGTH: the input has 3 bytes; allowed: at least 4",
    );
    refused(
        Operation::SetDataEvent64,
        &[0; 7],
        "IOCTL_HONE_SET_DATA_EVENT_64: the input has 7 bytes; allowed: at least 8",
    );
    refused(Operation::SetRingBytes, &[0; 5], "IOCTL_HONE_SET_RING_BYTES: the input has 5 bytes; allowed: 4");
    refused(Operation::GetVersion, &[0], "IOCTL_HONE_GET_VERSION: the input has 1 bytes; allowed: 0");
    // The original's programs may pass more than is needed.
    assert_eq!(
        Request::parse(Operation::SetSnapLength, &[7, 0, 0, 0, 9]),
        Ok(Request::SetSnapLength(SnapLength::lenient(7)))
    );
    assert_eq!(Request::parse(Operation::MarkRestart, &[9; 9]), Ok(Request::MarkRestart));
}

#[test]
fn snap_lengths_beyond_every_packet_are_unlimited() {
    for (asked, meant) in [(0, 0), (1, 1), (262_144, 262_144), (262_145, 0), (u32::MAX, 0)] {
        let input = asked.to_le_bytes();
        assert_eq!(
            Request::parse(Operation::SetSnapLength, &input),
            Ok(Request::SetSnapLength(SnapLength::new(meant).expect("it is in range")))
        );
    }
}

#[test]
fn ring_sizes_within_bounds() {
    for (bytes, allowed) in [(0, false), (1023, false), (1024, true), (131_072, true), (16 << 20, true)] {
        let input = u32::to_le_bytes(bytes);
        assert_eq!(Request::parse(Operation::SetRingBytes, &input).is_ok(), allowed, "{bytes}");
    }
    refused(
        Operation::SetRingBytes,
        &u32::to_le_bytes((16 << 20) + 1),
        "IOCTL_HONE_SET_RING_BYTES: the size of the ring buffer at byte 0 is 16777217; allowed: 1024 to 16777216",
    );
}

#[test]
fn log_levels_are_a_mask_that_always_has_errors() {
    for (mask, levels) in [(0, 1), (6, 7), (0x1F, 0x1F)] {
        let input = u32::to_le_bytes(mask);
        let request = Request::parse(Operation::SetLogLevels, &input);
        let expected = LogLevels::from_mask(mask).expect("they are levels");
        assert_eq!((request, expected.mask()), (Ok(Request::SetLogLevels(expected)), levels));
    }
    refused(
        Operation::SetLogLevels,
        &u32::to_le_bytes(0x20),
        "IOCTL_HONE_SET_LOG_LEVELS: the mask of the log levels at byte 0 is 32; allowed: 0 to 31",
    );
    refused(Operation::SetLogLevels, &[7], "IOCTL_HONE_SET_LOG_LEVELS: the input has 1 bytes; allowed: 4");
    assert_eq!(
        hone_api::log_levels(&[0xE4, 0, 0, 0, 9]).map(LogLevels::mask),
        Ok(5),
        "newer ones are ignored"
    );
    assert!(hone_api::log_levels(&[7, 0, 0]).is_err());
}

#[test]
fn lists_of_ids_within_bounds() {
    let longest = vec![0xAB; limits::MAX_FILTER_IDS * 8];
    let Ok(Request::IncludeConnections(ids)) = Request::parse(Operation::IncludeConnections64, &longest)
    else {
        panic!("a list of the longest length");
    };
    assert_eq!((ids.len(), ids.iter().last()), (4096, Some(0xABAB_ABAB_ABAB_ABAB)));
    let too_long = [&longest[..], &[0; 8]].concat();
    refused(
        Operation::IncludeConnections64,
        &too_long,
        "IOCTL_HONE_INCLUDE_CONNECTIONS_64: the input has 32776 bytes; allowed: 0 to 32768, a multiple of 8",
    );
    refused(
        Operation::FilterProcesses,
        &[0; 6],
        "IOCTL_HONE_FILTER_PROCESSES: the input has 6 bytes; allowed: 0 to 16384, a multiple of 4",
    );
    let Ok(Request::FilterConnections(ids)) = Request::parse(Operation::FilterConnections, &[]) else {
        panic!("an empty list");
    };
    assert!(ids.is_empty());
}

#[test]
fn lists_of_connections_within_bounds() {
    let operation = Operation::SetOpenConnections2;
    let input = |count: u32, records: usize| [&count.to_le_bytes()[..], &vec![0; records]].concat();
    refused(
        operation,
        &[1, 0, 0],
        "IOCTL_HONE_SET_OPEN_CONNECTIONS_2: the input has 3 bytes; allowed: 4 to 4718596",
    );
    refused(
        operation,
        &input(65_537, 65_537 * 72),
        "IOCTL_HONE_SET_OPEN_CONNECTIONS_2: the number of open connections at byte 0 is 65537; allowed: 0 to 65536",
    );
    refused(
        operation,
        &input(2, 143),
        "IOCTL_HONE_SET_OPEN_CONNECTIONS_2: the input has 147 bytes; allowed: 148",
    );
    refused(
        operation,
        &input(2, 145),
        "IOCTL_HONE_SET_OPEN_CONNECTIONS_2: the input has 149 bytes; allowed: 148",
    );
    // The original's structure has room for one record, whatever the count.
    let one = input(0, 16);
    let Ok(Request::SetOpenConnections(none)) = Request::parse(Operation::SetOpenConnections, &one) else {
        panic!("an empty list");
    };
    assert!(none.is_empty());
}

#[test]
fn records_of_connections_are_checked() {
    let record = |at: usize, value: u8| {
        let mut record = [0; 72];
        record[0] = 2;
        record[at] = value;
        record
    };
    let second = |at, value| [&[2, 0, 0, 0][..], &record(4, 1), &record(at, value)].concat();
    let refused = |at, value, message: &str| {
        let message = format!("IOCTL_HONE_SET_OPEN_CONNECTIONS_2: the {message}");
        refused(Operation::SetOpenConnections2, &second(at, value), &message);
    };
    refused(0, 10, "address family at byte 76 is 10; allowed: 2 (IPv4), 23 (IPv6)");
    refused(2, 0x10, "set of known fields at byte 78 is 16; allowed: 0 to 15");
    refused(3, 1, "reserved field at byte 79 is 1; allowed: 0");
    refused(13, 1, "reserved field at byte 88 is 256; allowed: 0");
    assert!(Request::parse(Operation::SetOpenConnections2, &second(1, 255)).is_ok());

    let mut original = vec![1, 0, 0, 0];
    original.extend([80, 0, 10, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let error = Request::parse(Operation::SetOpenConnections, &original).unwrap_err();
    assert!(matches!(error, RequestError::Value { at: 6, value: 10, .. }), "{error}");
    original[6] = 23;
    assert!(Request::parse(Operation::SetOpenConnections, &original).is_ok());
}

#[test]
fn an_address_of_the_other_family_is_not_written() {
    let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let connection = OpenConnection {
        family: Family::V4,
        protocol: 6,
        local_port: 1,
        local: Some(six),
        remote: Some(SocketAddr::new(six, 1)),
        connection: None,
        process: 1,
        process_start: None,
        opened: 0,
    };
    assert_eq!(connection.record().known, 0);
}

fn open_connection() -> impl Strategy<Value = OpenConnection> {
    let tuple = (any::<bool>(), any::<u8>(), any::<u16>(), of(any::<u128>()), of(any::<(u128, u16)>()));
    let rest = (of(any::<u64>()), any::<u32>(), of(any::<u64>()), any::<u64>());
    (tuple, rest).prop_map(
        |((six, protocol, local_port, local, remote), (connection, process, process_start, opened))| {
            let address = |bits: u128| {
                let six_bits = Ipv6Addr::from_bits(bits);
                let [a, b, c, d, ..] = six_bits.octets();
                if six { IpAddr::V6(six_bits) } else { IpAddr::V4(Ipv4Addr::new(a, b, c, d)) }
            };
            OpenConnection {
                family: if six { Family::V6 } else { Family::V4 },
                protocol,
                local_port,
                local: local.map(address),
                remote: remote.map(|(bits, port)| SocketAddr::new(address(bits), port)),
                connection,
                process,
                process_start,
                opened,
            }
        },
    )
}

/// Inputs that look like those of an operation.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let counted = |size: usize| {
        (
            0..4_u32,
            vec(any::<u8>(), 0..4 * size),
            prop_oneof![Just(2_u8), Just(23), any::<u8>()],
            any::<bool>(),
        )
            .prop_map(move |(count, mut records, family, plain)| {
                records.truncate(if plain { count as usize * size } else { usize::MAX });
                for record in records.chunks_mut(size) {
                    record[if size == 16 { 2.min(record.len() - 1) } else { 0 }] = family;
                    if let (true, 72, Some(flags)) = (plain, size, record.get_mut(2..4)) {
                        flags.copy_from_slice(&[family & 15, 0]);
                    }
                    if let (true, 72, Some(reserved)) = (plain, size, record.get_mut(12..16)) {
                        reserved.fill(0);
                    }
                }
                [&count.to_le_bytes()[..], &records].concat()
            })
    };
    prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..9), counted(16), counted(72)]
}

fn operation() -> impl Strategy<Value = Operation> {
    select(Operation::ALL)
}

/// Every part of a request is within bounds, and its bytes mean the same again.
fn check(request: Request<'_>) {
    match request {
        Request::SetSnapLength(length) => assert!(length.number() <= limits::MAX_SNAP_LENGTH),
        Request::SetRingBytes(bytes) => {
            assert!((limits::MIN_RING_BYTES..=limits::HARD_MAX_RING_BYTES).contains(&bytes));
        }
        Request::FilterConnections(ids) => {
            assert!(ids.len() <= limits::MAX_FILTER_IDS);
            assert_eq!(ids.iter().count(), ids.len());
        }
        Request::FilterProcesses(ids) | Request::IncludeProcesses(ids) => {
            assert!(ids.len() <= limits::MAX_FILTER_IDS);
            assert_eq!(ids.iter().count(), ids.len());
        }
        Request::IncludeConnections(ids) => assert_eq!(ids.iter().count(), ids.len()),
        Request::SetOpenConnections(connections) => {
            assert!(connections.len() <= limits::MAX_OPEN_CONNECTIONS);
            assert_eq!(connections.iter().count(), connections.len(), "every record is sound");
        }
        _ => {}
    }
    let mut buffer = vec![0; limits::MAX_FILTER_IDS * 8];
    let length = request.encode(&mut buffer).expect("no test makes a longer one");
    assert_eq!(Request::parse(request.operation(), &buffer[..length]), Ok(request));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 2_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_input_is_an_error_or_a_request_within_bounds(operation in operation(), input in input()) {
        match Request::parse(operation, &input) {
            Ok(request) => check(request),
            Err(error) => prop_assert!(error.to_string().starts_with(operation.name())),
        }
    }

    #[test]
    fn connections_come_back_equal(connections in vec(open_connection(), 0..8)) {
        let mut buffer = [0; 8 * 72];
        let records = List::write(connections.iter().map(OpenConnection::record), &mut buffer).unwrap();
        let request = Request::SetOpenConnections(OpenConnections::Full(records));
        check(request);
        let Request::SetOpenConnections(list) = request else { unreachable!() };
        prop_assert_eq!(list.iter().collect::<Vec<_>>(), &connections[..]);

        // The original's records say less.
        let mut buffer = [0; 8 * 16];
        let records = List::write(connections.iter().map(OpenConnection::original), &mut buffer).unwrap();
        for (told, known) in OpenConnections::Original(records).iter().zip(&connections) {
            let expected = OpenConnection {
                local: None, remote: None, connection: None, process_start: None,
                opened: known.opened / 100 * 100, ..*known
            };
            prop_assert_eq!(told, expected);
        }
    }

    #[test]
    fn damaged_requests_are_refused_or_sound(
        connections in vec(open_connection(), 0..4), damage in vec((any::<Index>(), any::<u8>()), 1..4),
        kept in any::<Index>(), operation in operation(),
    ) {
        let mut records = [0; 4 * 72];
        let records = List::write(connections.iter().map(OpenConnection::record), &mut records).unwrap();
        let mut input = vec![0; 300];
        let length = Request::SetOpenConnections(OpenConnections::Full(records)).encode(&mut input).unwrap();
        input.truncate(length);
        if kept.index(2) == 0 {
            input.truncate(kept.index(length + 1));
        }
        for (at, byte) in damage {
            if !input.is_empty() {
                let at = at.index(input.len());
                input[at] = byte;
            }
        }
        for operation in [operation, Operation::SetOpenConnections2, Operation::SetOpenConnections] {
            if let Ok(request) = Request::parse(operation, &input) {
                check(request);
            }
        }
    }

    #[test]
    fn ids_come_back_equal(short in vec(any::<u32>(), 0..20), long in vec(any::<u64>(), 0..20)) {
        let mut buffer = [0; 20 * 8];
        let ids = ConnectionIds::Bits32(List::write(short.iter().copied(), &mut buffer).unwrap());
        check(Request::FilterConnections(ids));
        prop_assert!(ids.iter().eq(short.iter().copied().map(u64::from)));
        let ids = ConnectionIds::Bits64(List::write(long.iter().copied(), &mut buffer).unwrap());
        check(Request::FilterConnections(ids));
        prop_assert!(ids.iter().eq(long.iter().copied()));
        let error = List::write(long.iter().copied().chain([0; 21]), &mut buffer).unwrap_err();
        prop_assert_eq!((error.needed, error.available), (168, 160));
    }

    #[test]
    fn any_reply_is_an_error_or_statistics(mut reply in vec(any::<u8>(), 0..800), sound in any::<bool>()) {
        if let (true, Some(head)) = (sound, reply.get_mut(..4)) {
            head.copy_from_slice(&[2, 0, 0xD8, 2]);
        }
        if let Ok(statistics) = Statistics::parse(&reply) {
            prop_assert_eq!(&statistics.reply()[8..], &reply[8..Statistics::REPLY_LENGTH]);
            prop_assert_eq!(statistics.to_original().packets, statistics.received.packets);
        }
    }
}
