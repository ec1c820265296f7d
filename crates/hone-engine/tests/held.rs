//! One readable case for each promise about packets without a known owner: which packets are held, how the
//! open-connection list attributes packets, and how long processes and connections stay known.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{
    Attribution, Config, Engine, Event, Family, Method, NoOwner, OpenConnection, OpenListError, Owner,
    ProcessKey, ReaderId, ReaderOptions, SnapLength, Used, Wait,
};

/// A packet of a connection, for which the sensor names no process.
fn ask(connection: u64, at: u64) -> Event<'static> {
    packet(Some(connection), Owner::Ask, at, &TCP)
}

/// A TCP packet from 10.0.0.1:5000 to 10.0.0.2:443.
const TCP: [u8; 24] =
    [0x45, 0, 0, 24, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88, 0x01, 0xBB];

fn reading(config: Config) -> (Engine, ReaderId) {
    let mut engine = Engine::new(config).expect("there is memory");
    let reader = attach(&mut engine);
    story(&mut engine, reader);
    (engine, reader)
}

/// The blocks that the reader reads now, in words, without section header and interface.
fn news(engine: &mut Engine, reader: ReaderId) -> Vec<String> {
    let mut parser = hone_pcapng::Reader::new();
    // The parser needs a section header first.
    let frame = attach(engine);
    let mut stream = bytes(engine, frame).remove(0).expect("a section begins");
    engine.detach(frame);
    let skip = {
        parser.feed(&stream).expect("there is memory");
        std::iter::from_fn(|| parser.next_block().expect("it is sound").map(|_| ())).count()
    };
    stream.extend(bytes(engine, reader).into_iter().flatten().flatten());
    let mut parser = hone_pcapng::Reader::new();
    parser.feed(&stream).expect("there is memory");
    let mut told = Vec::new();
    while let Some(item) = parser.next_block().expect("it is sound") {
        told.push(tell(&item.block, item.nanos.unwrap_or_default()));
    }
    told.split_off(skip)
}

/// Numbers of packets: held now, held and then queued with a process, held and then queued without one.
fn held(engine: &Engine) -> (u64, u64, u64) {
    let totals = engine.statistics();
    assert_eq!(totals.held_total, totals.held + totals.held_attributed + totals.held_unattributed);
    (totals.held, totals.held_attributed, totals.held_unattributed)
}

fn released(engine: &Engine, reason: NoOwner) -> u64 {
    engine.statistics().no_owner.get(reason)
}

#[test]
fn a_packet_waits_for_its_connections_owner_and_order_is_kept() {
    let (mut engine, reader) = reading(Config::default());
    handle(&mut engine, &[opened(5, None, 1), ask(5, 2), ask(6, 3), ask(5, 4)]);
    handle(&mut engine, &[packet(Some(5), Owner::None(NoOwner::Kernel), 5, &[])]);
    assert_eq!(held(&engine), (3, 0, 0));
    handle(&mut engine, &[opened(5, Some(PROCESS), 6), ask(5, 7)]);
    assert_eq!(
        news(&mut engine, reader),
        [
            "1: connection 5 opened by 0",
            "2: packet of 7, 24 of 24",
            "3: connection 6 opened by 0",
            "4: packet of 7, 24 of 24",
            "5: packet of nobody, 0 of 0",
            "6: connection 5 opened by 7",
            "7: packet of 7, 24 of 24",
        ]
    );
    assert_eq!((held(&engine), engine.statistics().methods.get(Method::Connection)), ((1, 2, 0), 3));
}

#[test]
fn a_later_packet_and_a_listing_name_the_owner_too() {
    let (mut engine, reader) = reading(Config::default());
    handle(&mut engine, &[ask(5, 1), ask(6, 2)]);
    handle(&mut engine, &[packet(Some(5), Owner::Process(PROCESS, Method::Accepted), 3, &[])]);
    engine.restate(&opened(6, Some(OTHER), 4)).expect("there is memory");
    assert_eq!(
        news(&mut engine, reader),
        [
            "1: connection 5 opened by 0",
            "1: packet of 7, 24 of 24",
            "2: connection 6 opened by 0",
            "2: packet of 8, 24 of 24",
            "3: connection 5 opened by 7",
            "3: packet of 7, 0 of 0",
            "4: connection 6 opened by 8",
        ]
    );
    handle(&mut engine, &[packet(Some(5), Owner::Process(OTHER, Method::CurrentTask), 5, &[]), ask(5, 6)]);
    let told = ["5: packet of 8, 0 of 0", "6: packet of 7, 24 of 24"];
    assert_eq!(news(&mut engine, reader), told, "who shares a connection does not take it over");
}

#[test]
fn nothing_waits_for_ever() {
    let config = || Config { hold_time: 10, ..Config::default() };
    let (mut engine, reader) = reading(config());
    handle(&mut engine, &[ask(5, 100), ask(6, 105), started(PROCESS, 109)]);
    assert_eq!((held(&engine), engine.tick(109)), ((2, 0, 0), Some(110)));
    handle(&mut engine, &[started(PROCESS, 110)]);
    assert_eq!((held(&engine), engine.tick(110)), ((1, 0, 1), Some(115)));
    assert_eq!(engine.tick(115), None);
    assert_eq!((held(&engine), released(&engine, NoOwner::HoldExpired)), ((0, 0, 2), 2));
    assert_eq!(news(&mut engine, reader).iter().filter(|told| told.contains("packet of nobody")).count(), 2);

    // The time of a read does not expire held packets: earlier events may not have been reported yet.
    handle(&mut engine, &[ask(5, 200)]);
    assert!(matches!(engine.read(reader, &mut [0; 1000], 10_000), Ok(hone_engine::Read::Empty)));
    assert_eq!(held(&engine).0, 1);

    // The clock is set back.
    let (mut engine, _) = reading(config());
    handle(&mut engine, &[ask(5, 1_000_000)]);
    engine.tick(999_995);
    assert_eq!(held(&engine), (1, 0, 0));
    engine.tick(500);
    assert_eq!(held(&engine), (0, 0, 1));
}

#[test]
fn the_oldest_of_the_same_connection_makes_room_then_the_oldest_of_all() {
    let (mut engine, reader) = reading(Config { max_held_packets: 3, ..Config::default() });
    handle(&mut engine, &[ask(5, 1), ask(6, 2), ask(6, 3), ask(6, 4)]);
    let full = |engine: &Engine| released(engine, NoOwner::HoldFull);
    assert_eq!((held(&engine), full(&engine)), ((3, 0, 1), 1));
    assert_eq!(news(&mut engine, reader).last().map(String::as_str), Some("2: packet of nobody, 24 of 24"));
    handle(&mut engine, &[ask(7, 5)]);
    let told = ["1: packet of nobody, 24 of 24", "5: connection 7 opened by 0"];
    assert_eq!(news(&mut engine, reader), told);
    assert_eq!((held(&engine), full(&engine)), ((3, 0, 2), 2));
}

#[test]
fn a_packet_too_large_to_hold_does_not_overtake_its_connection() {
    let (mut engine, reader) = reading(Config { max_held_bytes: 400, ..Config::default() });
    handle(&mut engine, &[ask(5, 1), ask(6, 2), packet(Some(6), Owner::Ask, 3, &[0; 401])]);
    let told = news(&mut engine, reader).split_off(2);
    assert_eq!(told, ["2: packet of nobody, 24 of 24", "3: packet of nobody, 401 of 401"]);
    assert_eq!((held(&engine), engine.statistics().held_bytes <= 400), ((1, 0, 1), true));
    let (mut engine, reader) = reading(Config { max_held_packets: 0, ..Config::default() });
    handle(&mut engine, &[ask(5, 1)]);
    assert_eq!((news(&mut engine, reader).len(), released(&engine, NoOwner::HoldFull)), (2, 1));
}

#[test]
fn a_closed_connection_is_waited_for_no_longer() {
    let (mut engine, reader) = reading(Config::default());
    handle(&mut engine, &[ask(5, 1), closed(5, 2), ask(5, 3)]);
    let told = [
        "1: connection 5 opened by 0",
        "1: packet of nobody, 24 of 24",
        "2: connection 5 closed by 0",
        "3: packet of nobody, 24 of 24",
    ];
    assert_eq!(news(&mut engine, reader), told);
    assert_eq!(released(&engine, NoOwner::UnknownSocket), 2);
}

#[test]
fn a_held_packet_goes_to_the_section_queued_when_it_leaves() {
    let mut engine = engine();
    let reader = attach(&mut engine);
    handle(&mut engine, &[ask(5, 1)]);
    engine.mark_restart(reader, 2).expect("there is memory");
    handle(&mut engine, &[opened(5, Some(PROCESS), 3)]);
    assert_eq!(
        story(&mut engine, reader),
        [
            "section ",
            "interface 0",
            "1: connection 5 opened by 0",
            "statistics 0 0 1",
            "end",
            "section ",
            "interface 0",
            "1: connection 5 opened by 0",
            "1: packet of 7, 24 of 24",
            "3: connection 5 opened by 7",
        ]
    );
}

#[test]
fn held_packets_are_for_those_who_read_when_they_leave() {
    let (mut engine, early) = reading(Config::default());
    handle(&mut engine, &[ask(5, 1)]);
    let late = attach(&mut engine);
    story(&mut engine, late);
    engine.detach(early);
    handle(&mut engine, &[opened(5, Some(PROCESS), 2), ask(6, 3)]);
    assert_eq!(news(&mut engine, late)[0], "1: packet of 7, 24 of 24");
    engine.detach(late);
    assert_eq!((held(&engine), released(&engine, NoOwner::UnknownSocket)), ((0, 1, 1), 1));
    handle(&mut engine, &[ask(6, 4)]);
    assert_eq!((held(&engine), engine.statistics().blocks), ((0, 1, 1), FRAMES + 2), "nobody reads");
}

#[test]
fn what_is_held_at_the_end_of_a_recording_is_in_it() {
    let (mut engine, reader) = reading(Config::default());
    handle(&mut engine, &[ask(5, 1)]);
    engine.flush_held();
    assert_eq!(news(&mut engine, reader)[1], "1: packet of nobody, 24 of 24");
    assert_eq!((held(&engine), released(&engine, NoOwner::UnknownSocket)), ((0, 0, 1), 1));
}

fn listed(process: ProcessKey) -> OpenConnection {
    let family = Family::V4;
    OpenConnection { family, protocol: 6, local_port: 5000, local_address: None, remote: None, process }
}

#[test]
fn the_open_connection_list_names_owners() {
    let (mut engine, reader) = reading(Config::default());
    handle(&mut engine, &[started(PROCESS, 1), started(OTHER, 1), ask(5, 2), ask(5, 3)]);
    engine.set_open_connections(&[listed(PROCESS)], 4).expect("there is memory");
    handle(&mut engine, &[ask(6, 5), packet(None, Owner::Ask, 6, &TCP), ask(6, 7)]);
    assert_eq!(
        news(&mut engine, reader).split_off(2),
        [
            "2: connection 5 opened by 0",
            "2: packet of 7, 24 of 24",
            "3: packet of 7, 24 of 24",
            "4: connection 5 opened by 7",
            "5: connection 6 opened by 7",
            "5: packet of 7, 24 of 24",
            "6: packet of 7, 24 of 24",
            "7: packet of 7, 24 of 24",
        ]
    );
    let methods = engine.statistics().methods;
    assert_eq!((methods.get(Method::Listed), methods.get(Method::Connection)), (2, 3));

    // The record with more fields is used; a new list replaces the old one.
    let full = OpenConnection { remote: Some(([10, 0, 0, 2].into(), 443)), ..listed(OTHER) };
    engine.set_open_connections(&[listed(PROCESS), full], 8).expect("there is memory");
    handle(&mut engine, &[packet(None, Owner::Ask, 9, &TCP)]);
    engine.set_open_connections(&[], 10).expect("there is memory");
    handle(&mut engine, &[packet(None, Owner::Ask, 11, &TCP)]);
    assert_eq!(news(&mut engine, reader), ["9: packet of 8, 24 of 24", "11: packet of nobody, 24 of 24"]);
}

#[test]
fn a_list_names_the_owners_of_all_connections_held() {
    let (mut engine, reader) = reading(Config::default());
    let unlisted = packet(Some(6), Owner::Ask, 4, &[0x45; 24]);
    handle(
        &mut engine,
        &[started(PROCESS, 1), ask(5, 2), ask(5, 3), unlisted, ask(7, 5), ask(5, 6), ask(7, 7)],
    );
    news(&mut engine, reader);
    engine.set_open_connections(&[listed(PROCESS)], 8).expect("there is memory");
    let told = news(&mut engine, reader);
    let begins = |told: &&String| told.contains("connection");
    assert_eq!(told.iter().filter(begins).count(), 2);
    assert_eq!((told.len(), held(&engine)), (7, (1, 5, 0)));
}

#[test]
fn a_listed_process_that_is_gone_is_not_named() {
    let (mut engine, reader) = reading(Config::default());
    handle(&mut engine, &[started(PROCESS, 1)]);
    assert_eq!((engine.process(PROCESS.pid), engine.process(OTHER.pid)), (Some(PROCESS), None));
    engine.set_open_connections(&[listed(PROCESS)], 2).expect("there is memory");
    handle(&mut engine, &[ended(PROCESS, 3), packet(None, Owner::Ask, 4, &TCP)]);
    assert_eq!(engine.process(PROCESS.pid), None);
    let reused = ProcessKey { start: 9, ..PROCESS };
    handle(&mut engine, &[started(reused, 5), packet(None, Owner::Ask, 6, &TCP)]);
    let packets: Vec<_> =
        news(&mut engine, reader).into_iter().filter(|told| told.contains("packet")).collect();
    assert_eq!(packets, ["4: packet of 7, 24 of 24", "6: packet of nobody, 24 of 24"]);
}

#[test]
fn the_list_finds_held_packets_of_which_little_is_kept() {
    let mut engine = engine();
    let options = ReaderOptions { snap_length: SnapLength::lenient(1), ..ReaderOptions::default() };
    let reader = engine.attach(&options, 1).expect("there is memory");
    handle(&mut engine, &[started(PROCESS, 1), ask(5, 2)]);
    engine.set_open_connections(&[listed(PROCESS)], 3).expect("there is memory");
    assert!(story(&mut engine, reader).contains(&"2: packet of 7, 1 of 24".to_owned()));
}

#[test]
fn a_list_too_long_is_refused() {
    let (mut engine, _) = reading(Config { max_open_connections: 1, ..Config::default() });
    assert_eq!(
        engine.set_open_connections(&[listed(PROCESS); 2], 1),
        Err(OpenListError::TooMany { most: 1 })
    );
}

#[test]
fn a_reused_process_id_and_a_reused_connection_id_are_told_apart() {
    let (mut engine, reader) = reading(Config::default());
    let reused = ProcessKey { start: 9, ..PROCESS };
    handle(&mut engine, &[started(PROCESS, 1), opened(5, Some(PROCESS), 2), closed(5, 3), ended(PROCESS, 4)]);
    handle(&mut engine, &[started(reused, 5), opened(5, Some(reused), 6), ended(PROCESS, 7), closed(5, 8)]);
    handle(&mut engine, &[ended(reused, 9), ended(reused, 10)]);
    assert_eq!(
        news(&mut engine, reader),
        [
            "1: process 7 Started /bin/sh",
            "2: connection 5 opened by 7",
            "3: connection 5 closed by 7",
            "4: process 7 ended",
            "5: process 7 Started /bin/sh",
            "6: connection 5 opened by 7",
            "8: connection 5 closed by 7",
            "9: process 7 ended",
        ]
    );
}

/// A packet that waits for `wait`, and has the attribution `otherwise` if that does not come.
fn waiting(wait: Wait, otherwise: Attribution, at: u64) -> Event<'static> {
    packet(Some(5), Owner::Wait(wait, otherwise), at, &TCP)
}

fn used(process: ProcessKey, used: Used, at: u64) -> Event<'static> {
    Event::ConnectionUsed { connection: 5, process, used, at }
}

#[test]
fn who_reads_a_shared_socket_gets_what_he_reads() {
    let (mut engine, reader) = reading(Config::default());
    let shared = Err(NoOwner::Shared);
    let datagram = |number, at| waiting(Wait::Datagram(number), shared, at);
    let stream = |end, at| waiting(Wait::Stream(end), shared, at);
    handle(&mut engine, &[opened(5, Some(PROCESS), 1), datagram(71, 2), datagram(72, 3)]);
    handle(&mut engine, &[used(OTHER, Used::Datagram(72), 4), used(PROCESS, Used::Datagram(70), 5)]);
    assert_eq!(news(&mut engine, reader), ["1: connection 5 opened by 7", "3: packet of 8, 24 of 24"]);
    // After 2^32 - 1, sequence numbers begin again at 0.
    handle(&mut engine, &[stream(u32::MAX, 6), stream(4, 7), stream(9, 8), used(OTHER, Used::Stream(5), 9)]);
    assert_eq!(news(&mut engine, reader), ["6: packet of 8, 24 of 24", "7: packet of 8, 24 of 24"]);
    assert_eq!(engine.statistics().methods.get(Method::Reader), 3);
    // A new owner of the connection does not show which process reads the stream.
    handle(&mut engine, &[opened(5, Some(OTHER), 10)]);
    assert_eq!(held(&engine), (2, 3, 0));
    handle(&mut engine, &[used(OTHER, Used::Alone, 11)]);
    assert_eq!(held(&engine), (0, 5, 0));
}

#[test]
fn what_is_not_read_in_time_is_what_it_would_be_otherwise() {
    let (mut engine, reader) = reading(Config { hold_time: 10, ..Config::default() });
    let listener = Ok((PROCESS, Method::Listener));
    let unread = waiting(Wait::Stream(1), Err(NoOwner::Shared), 3);
    handle(&mut engine, &[opened(5, Some(PROCESS), 1), waiting(Wait::Use, listener, 2), unread]);
    engine.tick(20);
    let told = ["1: connection 5 opened by 7", "2: packet of 7, 24 of 24", "3: packet of nobody, 24 of 24"];
    assert_eq!(news(&mut engine, reader), told);
    assert_eq!(
        (released(&engine, NoOwner::Shared), engine.statistics().methods.get(Method::Listener)),
        (1, 1)
    );
    handle(&mut engine, &[waiting(Wait::Stream(2), listener, 21), used(OTHER, Used::Accepted, 22)]);
    assert_eq!(held(&engine).0, 1, "who accepts may hand it on");
    engine.tick(31);
    assert_eq!(news(&mut engine, reader), ["21: packet of 8, 24 of 24"]);
}
