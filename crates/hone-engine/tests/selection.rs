//! Readers that want some packets only, by words about processes and packets.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{
    Config, Engine, Event, MAX_PROCESS_SELECTIONS, Method, NoOwner, Owner, ProcessKey, ProcessStart,
    ReaderId, SelectionError, StartKind,
};
use hone_select::{Selection, Word};

const SHELL: ProcessKey = ProcessKey { pid: 20, start: 100 };
const CHILD: ProcessKey = ProcessKey { pid: 21, start: 200 };
const GRANDCHILD: ProcessKey = ProcessKey { pid: 22, start: 300 };

fn selection(words: &[(Word, bool, &str)], children: bool) -> Selection {
    let mut selection = Selection::default();
    for (word, is_negated, text) in words {
        selection.add(*word, *is_negated, text).expect("it is a value of the word");
    }
    selection.set_children(children);
    selection
}

/// A reader with this selection.
fn selecting(engine: &mut Engine, selection: Selection) -> ReaderId {
    let reader = attach(engine);
    engine.exchange_selection(reader, &mut Some(selection)).expect("there is room");
    reader
}

fn start(process: ProcessKey, kind: StartKind, parent: ProcessKey, path: &'static [u8]) -> Event<'static> {
    let mut start = ProcessStart::new(process, process.start, kind);
    start.parent = Some(parent.pid);
    start.path = (!path.is_empty()).then_some(path);
    Event::ProcessStarted(start)
}

fn exec(process: ProcessKey, at: u64, path: &'static [u8]) -> Event<'static> {
    let mut start = ProcessStart::new(process, at, StartKind::Started);
    start.path = Some(path);
    Event::ProcessStarted(start)
}

fn of(process: ProcessKey, at: u64) -> Event<'static> {
    packet(None, Owner::Process(process, Method::CurrentTask), at, b"E")
}

/// The times of the packets that the reader reads.
fn times(engine: &mut Engine, reader: ReaderId) -> Vec<u64> {
    let told = story(engine, reader);
    let packets = told.iter().filter(|told| told.contains("packet of"));
    packets.filter_map(|told| told.split(':').next()?.parse().ok()).collect()
}

#[test]
fn a_name_follows_its_processes_and_each_reader_has_its_own_selection() {
    let mut engine = engine();
    handle(&mut engine, &[start(SHELL, StartKind::Started, PROCESS, b"/bin/sh")]);
    let shells = selecting(&mut engine, selection(&[(Word::Name, false, "sh")], false));
    let others = selecting(&mut engine, selection(&[(Word::Name, true, "sh")], false));
    let all = attach(&mut engine);
    handle(
        &mut engine,
        &[
            of(SHELL, 1001),
            start(CHILD, StartKind::Forked, SHELL, b""),
            of(CHILD, 1002),
            exec(CHILD, 1003, b"/usr/bin/curl"),
            of(CHILD, 1004),
            exec(CHILD, 1005, b"/bin/sh"),
            of(CHILD, 1006),
            ended(CHILD, 1007),
            of(CHILD, 1008),
            packet(None, Owner::None(NoOwner::Kernel), 1009, b"E"),
        ],
    );
    assert_eq!(times(&mut engine, shells), [1001, 1002, 1006, 1008]);
    assert_eq!(times(&mut engine, others), [1004, 1009], "what has no process is not left out");
    assert_eq!(times(&mut engine, all), [1001, 1002, 1004, 1006, 1008, 1009]);
    let counts = engine.reader_statistics(shells).expect("it is attached");
    assert_eq!((counts.received.packets, counts.filtered.packets, counts.delivered.packets), (6, 2, 4));
}

#[test]
fn children_are_those_of_parents_that_have_ended_too() {
    let mut engine = engine();
    // In any order, as a listing may have them; the grandchild's parent runs.
    handle(
        &mut engine,
        &[
            start(GRANDCHILD, StartKind::Started, CHILD, b"/bin/c"),
            start(CHILD, StartKind::Started, SHELL, b"/bin/b"),
            start(SHELL, StartKind::Started, PROCESS, b"/bin/sh"),
        ],
    );
    let words = [(Word::Name, false, "sh"), (Word::Name, true, "nc")];
    let reader = selecting(&mut engine, selection(&words, true));
    let later = ProcessKey { pid: 23, start: 400 };
    let last = ProcessKey { pid: 24, start: 500 };
    handle(
        &mut engine,
        &[
            of(GRANDCHILD, 1001),
            ended(SHELL, 1002),
            ended(CHILD, 1003),
            start(later, StartKind::Forked, GRANDCHILD, b""),
            exec(later, 1004, b"/bin/d"),
            of(later, 1005),
            // What is left out is left out with its descendants.
            exec(later, 1006, b"/bin/nc"),
            of(later, 1007),
            start(last, StartKind::Forked, later, b""),
            exec(last, 1008, b"/bin/e"),
            of(last, 1009),
            // The parent's id is used again, by a younger process.
            start(ProcessKey { pid: SHELL.pid, start: 600 }, StartKind::Started, PROCESS, b"/bin/x"),
            of(ProcessKey { pid: SHELL.pid, start: 600 }, 1010),
        ],
    );
    assert_eq!(times(&mut engine, reader), [1001, 1005]);
}

/// The clock of starts can be coarse, so that a parent stands behind its child in their order.
#[test]
fn what_a_reader_that_has_left_selected_is_inherited_by_nobody() {
    let mut engine = engine();
    let (child, parent) = (ProcessKey { pid: 30, start: 100 }, ProcessKey { pid: 31, start: 100 });
    handle(
        &mut engine,
        &[
            start(parent, StartKind::Started, PROCESS, b"/bin/sh"),
            start(child, StartKind::Started, parent, b"/bin/b"),
        ],
    );
    let left = selecting(&mut engine, selection(&[(Word::Name, false, "sh")], true));
    engine.detach(left);
    let reader = selecting(&mut engine, selection(&[(Word::Name, false, "curl")], true));
    handle(&mut engine, &[of(child, 1001), of(parent, 1002)]);
    assert_eq!(times(&mut engine, reader), []);
}

#[test]
fn packets_are_selected_by_their_headers_and_processes_together() {
    let mut engine = engine();
    handle(&mut engine, &[start(SHELL, StartKind::Started, PROCESS, b"/bin/sh")]);
    let words = [(Word::Port, false, "53"), (Word::Pid, false, "20")];
    let both = selecting(&mut engine, selection(&words, false));
    let tcp = selecting(&mut engine, selection(&[(Word::Filter, false, "tcp")], false));
    let mut udp = [0; 28];
    (udp[0], udp[3], udp[9]) = (0x45, 28, 17);
    (udp[23], udp[25]) = (53, 8);
    let mut other = udp;
    other[23] = 54;
    let owned = Owner::Process(SHELL, Method::CurrentTask);
    handle(&mut engine, &[packet(None, owned, 1001, &udp), packet(None, owned, 1002, &other)]);
    handle(&mut engine, &[packet(None, Owner::Process(OTHER, Method::CurrentTask), 1003, &udp)]);
    // Malformed: nothing is known of it.
    handle(&mut engine, &[packet(None, owned, 1004, b"E")]);
    assert_eq!(times(&mut engine, both), [1001]);
    assert_eq!(times(&mut engine, tcp), []);
}

#[test]
fn a_selection_is_replaced_and_its_place_is_used_again() {
    let config = Config { max_readers: 100, ..Config::default() };
    let mut engine = Engine::new(config).expect("there is memory");
    handle(&mut engine, &[start(SHELL, StartKind::Started, PROCESS, b"/bin/sh")]);
    let by_name = || selection(&[(Word::Name, false, "sh")], false);
    let mut readers: Vec<ReaderId> =
        (0..MAX_PROCESS_SELECTIONS).map(|_| selecting(&mut engine, by_name())).collect();
    let one_more = attach(&mut engine);
    let mut refused = Some(by_name());
    assert_eq!(engine.exchange_selection(one_more, &mut refused), Err(SelectionError::TooMany));
    assert_eq!(refused, Some(by_name()), "it is not taken");
    let mut without = Some(selection(&[(Word::Direction, false, "out")], false));
    engine.exchange_selection(one_more, &mut without).expect("words about packets need no place");
    let left = readers.swap_remove(7);
    engine.detach(left);
    let mut other = Some(selection(&[(Word::Name, false, "curl")], false));
    engine.exchange_selection(one_more, &mut other).expect("a place is free");
    assert!(other.is_some_and(|former| former.has_packet_words()), "the former one is handed back");
    handle(&mut engine, &[of(SHELL, 1001)]);
    assert_eq!(times(&mut engine, one_more), [], "the marks of the reader before it are gone");
    assert_eq!(times(&mut engine, readers[0]), [1001]);
    engine.exchange_selection(readers[0], &mut None).expect("it is attached");
    handle(&mut engine, &[of(OTHER, 1002)]);
    assert_eq!(bytes(&mut engine, readers[0]).len(), 1, "all packets again");
    assert_eq!(engine.exchange_selection(left, &mut None), Err(SelectionError::UnknownReader));
}
