//! Which level the driver is called at, and that the fake kernel refuses calls above a function's documented maximum.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use common::{
    FakeBuffer, FakeIndication, Passive, arriving, control, driver, event, indicate_at, irql, open, read,
    segment, start, tell, utf16, values, whole,
};
use hone_api::Operation;
use hone_documented::Irql;
use hone_driver::Process;
use hone_driver::callouts::{Family, Layer};
use hone_packet::protocol;

/// What a reader with an event reads of a connection and its packets, which WFP reports at this level.
fn recorded(level: Irql) -> Vec<(String, Vec<u8>)> {
    let driver = driver();
    let reader = open(&driver);
    let (handle, set) = event();
    control(&driver, reader, Operation::SetDataEvent64, &handle.to_le_bytes(), 0)
        .expect("there is the event");
    start(&driver, 9);
    for family in [Family::V4, Family::V6] {
        let at = |layer, indication: &FakeIndication| {
            indicate_at(level, &driver, layer, family, indication);
        };
        let owned = FakeIndication { endpoint: Some(5), process: Some(9), ..FakeIndication::default() };
        let ended = FakeIndication { endpoint: Some(5), ..FakeIndication::default() };
        let segment = segment(protocol::TCP, 50);
        let leaving = FakeIndication {
            endpoint: Some(5),
            values: values(Layer::OutboundTransport, family, protocol::TCP),
            buffers: vec![FakeBuffer::new(&segment, 0, 7)],
            ..FakeIndication::default()
        };
        let packet = whole(family, protocol::TCP, &[], &segment);
        let header = packet.len() - segment.len();
        let arriving = arriving(family, protocol::TCP, &packet, (header, 20), 7);
        for layer in [Layer::AuthConnect, Layer::AuthRecvAccept, Layer::ResourceAssignment] {
            at(layer, &owned);
        }
        at(Layer::OutboundTransport, &leaving);
        at(Layer::InboundTransport, &arriving);
        for layer in [Layer::EndpointClosure, Layer::ResourceRelease] {
            at(layer, &ended);
        }
    }
    assert!(set.load(std::sync::atomic::Ordering::Relaxed) > 0, "the reader is told");
    let told = tell(&read(&driver, reader));
    assert!(driver.close(Passive, reader));
    told
}

#[test]
fn classify_records_the_same_at_either_level() {
    let passive = recorded(Irql::Passive);
    let packets = passive.iter().filter(|(words, _)| words.starts_with("packet")).count();
    assert_eq!(packets, 4, "{passive:?}");
    assert_eq!(passive, recorded(Irql::Dispatch));
}

#[test]
#[should_panic(expected = "ZwOpenSymbolicLinkObject is called at DISPATCH_LEVEL")]
fn a_path_that_is_looked_up_above_passive_level_fails_the_test() {
    let driver = driver();
    let path = utf16(r"\SystemRoot\a.exe");
    let process = Process { pid: 9, path: Some(&path), ..Process::default() };
    irql::at(Irql::Dispatch, || driver.process_started(Passive, &process));
}

#[test]
#[should_panic(expected = "ObReferenceObjectByHandle is called at DISPATCH_LEVEL")]
fn an_event_that_is_looked_up_above_passive_level_fails_the_test() {
    let driver = driver();
    let reader = open(&driver);
    let (handle, _) = event();
    let set = || control(&driver, reader, Operation::SetDataEvent64, &handle.to_le_bytes(), 0);
    let _ = irql::at(Irql::Dispatch, set);
}

#[test]
#[should_panic(expected = "an event is let go of above PASSIVE_LEVEL")]
fn an_event_that_is_released_above_passive_level_fails_the_test() {
    let driver = driver();
    let reader = open(&driver);
    let (handle, _) = event();
    control(&driver, reader, Operation::SetDataEvent64, &handle.to_le_bytes(), 0)
        .expect("there is the event");
    irql::at(Irql::Dispatch, || driver.close(Passive, reader));
}
