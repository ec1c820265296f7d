//! Connections that are older than the driver: WFP authorises each of them again with its next packet, after a filter was
//! added or removed ("ALE Reauthorization").
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use common::{
    Fake, FakeBuffer, FakeIndication, connect, driver, indicate, open, read, set_now, start, times, values,
    words,
};
use hone_documented::Field;
use hone_driver::callouts::{Family, Layer};
use hone_driver::{Driver, Value};
use hone_packet::protocol;

/// `FWP_CONDITION_FLAG_IS_REAUTHORIZE` and, with another meaning, `FWP_CONDITION_FLAG_IS_LOOPBACK` ("Filtering condition
/// flags").
const REAUTHORIZE: u32 = 4;
const LOOPBACK: u32 = 1;

/// The layers that authorise connections.
const AUTHORIZING: [(Layer, Family); 4] = [
    (Layer::AuthConnect, Family::V4),
    (Layer::AuthConnect, Family::V6),
    (Layer::AuthRecvAccept, Family::V4),
    (Layer::AuthRecvAccept, Family::V6),
];

/// A connection of process 9 is authorised, with these flags.
fn authorize(driver: &Driver<Fake>, (layer, family): (Layer, Family), endpoint: u64, flags: u32) {
    let mut indication = FakeIndication {
        endpoint: Some(endpoint),
        process: Some(9),
        values: values(layer, family, protocol::TCP),
        ..FakeIndication::default()
    };
    indication.set(layer, Field::Flags, Value::U32(flags));
    indicate(driver, layer, family, &indication);
}

/// A packet of a connection: an acknowledgement without data.
fn send(driver: &Driver<Fake>, endpoint: u64) {
    let segment = [0x9C, 0x40, 1, 0xBB, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 4, 0, 0, 0, 0, 0];
    let indication = FakeIndication {
        endpoint: Some(endpoint),
        values: values(Layer::OutboundTransport, Family::V4, protocol::TCP),
        buffers: vec![FakeBuffer::new(&segment, 0, usize::MAX)],
        ..FakeIndication::default()
    };
    indicate(driver, Layer::OutboundTransport, Family::V4, &indication);
}

fn close(driver: &Driver<Fake>, endpoint: u64) {
    let indication =
        FakeIndication { endpoint: Some(endpoint), process: Some(9), ..FakeIndication::default() };
    indicate(driver, Layer::EndpointClosure, Family::V4, &indication);
}

#[test]
fn an_older_connection_has_its_process_from_its_first_packet_on() {
    for place in AUTHORIZING {
        let driver = driver();
        start(&driver, 9);
        let reader = open(&driver);
        read(&driver, reader);
        // "TCP Packet Flows": the packet passes the transport layer first.
        send(&driver, 5);
        authorize(&driver, place, 5, REAUTHORIZE);
        send(&driver, 5);
        let told = words(&read(&driver, reader));
        let owned = "packet out (Some(5), Some(9)) 40";
        assert_eq!(
            told,
            ["connection 0x5 of 0 opens", "connection 0x5 of 9 opens", owned, owned],
            "{place:?}"
        );
    }
}

#[test]
fn an_older_connection_is_in_the_state_of_sections_that_begin_later() {
    let driver = driver();
    start(&driver, 9);
    authorize(&driver, AUTHORIZING[0], 5, REAUTHORIZE | LOOPBACK);
    let reader = open(&driver);
    let told = words(&read(&driver, reader));
    assert!(told.contains(&"connection 0x5 of 9 opens".to_owned()), "{told:?}");
    send(&driver, 5);
    assert_eq!(words(&read(&driver, reader)), ["packet out (Some(5), Some(9)) 40"]);
}

#[test]
fn a_known_connection_is_not_opened_twice() {
    for place in AUTHORIZING {
        let driver = driver();
        start(&driver, 9);
        start(&driver, 10);
        connect(&driver, 5, 10);
        let reader = open(&driver);
        read(&driver, reader);
        // What the driver saw when the connection was made counts.
        authorize(&driver, place, 5, REAUTHORIZE);
        assert_eq!(words(&read(&driver, reader)), [""; 0], "{place:?}");
    }
}

#[test]
fn a_closed_connection_stays_closed() {
    for place in AUTHORIZING {
        let driver = driver();
        start(&driver, 9);
        connect(&driver, 5, 9);
        let reader = open(&driver);
        read(&driver, reader);
        close(&driver, 5);
        authorize(&driver, place, 5, REAUTHORIZE);
        assert_eq!(words(&read(&driver, reader)), ["connection 0x5 of 9 closes"], "{place:?}");
        // A new connection can have the same handle.
        authorize(&driver, place, 5, LOOPBACK);
        assert_eq!(words(&read(&driver, reader)), ["connection 0x5 of 9 opens"], "{place:?}");
    }
}

#[test]
fn a_connection_that_is_authorised_again_is_recorded_at_that_time() {
    let driver = driver();
    start(&driver, 9);
    let reader = open(&driver);
    read(&driver, reader);
    set_now(7);
    authorize(&driver, AUTHORIZING[2], 5, REAUTHORIZE);
    assert_eq!(times(&read(&driver, reader)), [common::START + 7_000_000_000]);
}
