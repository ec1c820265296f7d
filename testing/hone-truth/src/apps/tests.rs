//! Tests with faults that are made on purpose. The judge must find each one.

use std::net::{IpAddr, SocketAddr};

use super::control;
use super::judge::{Basis, Fault, Judgement, Verdict, judge};
use super::trace::{Call, Kind};
use super::truth::Truth;
use crate::packet::{ACK, Direction, Protocol, SYN};
use crate::recording::Record;

const MS: u64 = 1_000_000;
const BASE: u64 = 1_000_000 * MS;

/// The client; the process that listened first and has ended; the server; and the server's child.
const CLIENT: u32 = 100;
const BINDER: u32 = 200;
const SERVER: u32 = 201;
const CHILD: u32 = 202;

fn server() -> SocketAddr {
    "10.0.0.1:80".parse().unwrap()
}

fn client() -> SocketAddr {
    "10.0.0.2:4000".parse().unwrap()
}

fn call(kind: Kind, process: u32, at: u64, result: i64, socket: u64) -> Call {
    let (local, remote) = match socket {
        1 => (client(), server()),
        2 => (server(), client()),
        _ => (server(), "0.0.0.0:0".parse().unwrap()),
    };
    let time = BASE + at * MS;
    let (flags, peer, prefix, protocol) = (0, None, Vec::new(), Protocol::Tcp);
    Call {
        kind,
        enter: time,
        exit: time,
        result,
        process,
        flags,
        socket,
        protocol,
        local,
        remote,
        peer,
        prefix,
    }
}

/// A listener that is passed to another process, a connection to it, and a child that reads the connection's data.
fn truth() -> Truth {
    Truth::new(&[
        call(Kind::Held, BINDER, 0, 0, 3),
        call(Kind::Forked, SERVER, 1, BINDER.into(), 0),
        call(Kind::Ended, BINDER, 2, 0, 0),
        call(Kind::Held, CLIENT, 100, 0, 1),
        call(Kind::Write, CLIENT, 110, 50, 1),
        call(Kind::Held, SERVER, 120, 0, 3),
        call(Kind::Held, SERVER, 120, 0, 2),
        call(Kind::Forked, CHILD, 130, SERVER.into(), 0),
        call(Kind::Read, CHILD, 140, 50, 2),
        call(Kind::Write, CHILD, 150, 10, 2),
        call(Kind::Read, CLIENT, 160, 10, 1),
        call(Kind::Closed, CHILD, 170, 0, 2),
        call(Kind::Closed, CLIENT, 170, 0, 1),
        call(Kind::Held, SERVER, 500, 0, 3),
    ])
}

/// A packet from the client or to it, as one end of the connection recorded it.
fn record(
    direction: Direction,
    at: u64,
    process: u32,
    from_client: bool,
    flags: u8,
    sequence: u32,
    length: usize,
) -> Record {
    let (from, to) = if from_client { (client(), server()) } else { (server(), client()) };
    let mut data = vec![0; 40 + length];
    data[0] = 0x45;
    data[2..4].copy_from_slice(&u16::try_from(40 + length).unwrap().to_be_bytes());
    data[9] = 6;
    for (at, end) in [(12, from), (16, to)] {
        let IpAddr::V4(address) = end.ip() else { unreachable!("both are IPv4") };
        data[at..at + 4].copy_from_slice(&address.octets());
    }
    data[20..22].copy_from_slice(&from.port().to_be_bytes());
    data[22..24].copy_from_slice(&to.port().to_be_bytes());
    data[24..28].copy_from_slice(&sequence.to_be_bytes());
    data[32] = 5 << 4;
    data[33] = flags;
    Record {
        nanos: BASE + at * MS,
        direction: Some(direction),
        process: Some(process),
        arguments: Some(0),
        data,
        ..Record::default()
    }
}

/// The recording that a recorder without faults makes.
fn recording() -> Vec<Record> {
    use Direction::{In, Out};
    vec![
        record(Out, 100, CLIENT, true, SYN, 1000, 0),
        record(In, 100, SERVER, true, SYN, 1000, 0),
        record(Out, 101, SERVER, false, SYN | ACK, 5000, 0),
        record(In, 101, CLIENT, false, SYN | ACK, 5000, 0),
        record(Out, 110, CLIENT, true, ACK, 1001, 50),
        record(In, 110, CHILD, true, ACK, 1001, 50),
        record(Out, 150, CHILD, false, ACK, 5001, 10),
        record(In, 150, CLIENT, false, ACK, 5001, 10),
    ]
}

const ADDRESSES: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

fn judged(records: &[Record]) -> Judgement {
    judge(&truth(), records, &ADDRESSES.map(|address| address.parse().unwrap()))
}

/// The judgement of the recording after a change.
fn changed(change: impl FnOnce(&mut Vec<Record>)) -> Judgement {
    let mut records = recording();
    change(&mut records);
    judged(&records)
}

fn fault(judgement: &Judgement, at: usize) -> Option<Fault> {
    match judgement.verdicts[at] {
        Verdict::Wrong(fault, _) => Some(fault),
        _ => None,
    }
}

#[test]
fn a_recording_without_faults_is_right() {
    let judgement = judged(&recording());
    let (by_data, by_holders) = (Verdict::Right(Basis::Data), Verdict::Right(Basis::Holders));
    assert_eq!(judgement.verdicts[..4], vec![by_holders; 4]);
    assert_eq!(judgement.verdicts[4..], vec![by_data; 4]);
    let lists = [judgement.before_birth, judgement.missing, judgement.doubled, judgement.unsound];
    assert!(lists.iter().all(Vec::is_empty), "{lists:?}");
}

#[test]
fn data_belongs_to_the_process_that_takes_it_out() {
    assert_eq!(fault(&changed(|records| records[5].process = Some(SERVER)), 5), Some(Fault::Data));
    assert_eq!(fault(&changed(|records| records[6].process = Some(SERVER)), 6), Some(Fault::Data));
    let without = changed(|records| records[5].process = None);
    assert!(matches!(without.verdicts[5], Verdict::Without(_)));
}

#[test]
fn a_listener_is_not_the_process_that_bound_it_and_has_ended() {
    assert_eq!(fault(&changed(|records| records[1].process = Some(BINDER)), 1), Some(Fault::Ended));
}

#[test]
fn nobody_sends_before_it_is_born_or_on_a_socket_that_it_never_had() {
    let acknowledged =
        |process| changed(|records| records.push(record(Direction::Out, 125, process, false, ACK, 5001, 0)));
    assert_eq!(fault(&acknowledged(SERVER), 8), None);
    assert_eq!(fault(&acknowledged(CHILD), 8), Some(Fault::Unborn));
    assert_eq!(fault(&acknowledged(CLIENT), 8), Some(Fault::Stranger));
}

#[test]
fn nobody_has_what_it_has_closed() {
    let calls = [
        call(Kind::Held, SERVER, 120, 0, 2),
        call(Kind::Forked, CHILD, 130, SERVER.into(), 0),
        call(Kind::Closed, SERVER, 140, 1, 2),
        call(Kind::Held, CHILD, 300, 0, 2),
    ];
    let acknowledged = [record(Direction::Out, 200, SERVER, false, ACK, 5001, 0)];
    let judged = |calls: &[Call]| {
        judge(&Truth::new(calls), &acknowledged, &ADDRESSES.map(|address| address.parse().unwrap()))
    };
    assert_eq!(fault(&judged(&calls), 0), Some(Fault::Closed));
    // A process may have several descriptors of one socket.
    let another = Call { result: 0, ..calls[2].clone() };
    let [first, second, _, last] = calls;
    assert_eq!(fault(&judged(&[first, second, another, last]), 0), None);
}

#[test]
fn a_packet_stands_behind_the_start_of_its_process() {
    assert_eq!(changed(|records| records[5].arguments = None).before_birth.len(), 1);
}

#[test]
fn packets_that_are_missing_or_there_twice_are_counted() {
    // Data is missing in one direction.
    assert_eq!(changed(|records| drop(records.remove(5))).missing.len(), 1);
    // A packet without data is missing.
    assert_eq!(changed(|records| drop(records.remove(3))).missing.len(), 1);
    let twice = changed(|records| records.push(records[7].clone()));
    assert_eq!((twice.doubled.len(), twice.missing.len()), (1, 0));
}

#[test]
fn a_trace_that_contradicts_the_bytes_is_no_truth() {
    let mut read = call(Kind::Read, CHILD, 140, 50, 2);
    read.prefix = vec![1; 48];
    let truth = Truth::new(&[call(Kind::Held, SERVER, 120, 0, 2), read]);
    let judgement = judge(&truth, &recording(), &ADDRESSES.map(|address| address.parse().unwrap()));
    assert_eq!(judgement.unsound.len(), 1);
    assert_eq!(judgement.verdicts[5], Verdict::Unclear);
}

#[test]
fn what_is_falsified_is_found() {
    let (truth, records) = (truth(), recording());
    let addresses = ADDRESSES.map(|address| address.parse().unwrap());
    let judgement = judge(&truth, &records, &addresses);
    assert_eq!(control::control(&truth, records, &judgement, &addresses), (11, 11));
}
