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
    Config, Engine, Event, MAX_COMPARISONS, MAX_PROCESS_SELECTIONS, Method, NewSelection, NoOwner, Owner,
    ProcessKey, ProcessStart, ReaderId, SelectionError, StartKind, UnknownReader,
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
    engine.set_selection(reader, &mut Some(selection), 0).expect("there is room");
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

/// Else the last packets of a connection, whose peer closes after the process has ended, would be missing.
#[test]
fn what_the_kernel_does_for_an_ended_connection_is_wanted_with_its_owner() {
    let mut engine = engine();
    handle(&mut engine, &[start(SHELL, StartKind::Started, PROCESS, b"/bin/sh")]);
    let shells = selecting(&mut engine, selection(&[(Word::Name, false, "sh")], false));
    let others = selecting(&mut engine, selection(&[(Word::Name, true, "sh")], false));
    let late = |connection, at| packet(connection, Owner::None(NoOwner::TimeWait), at, b"E");
    handle(
        &mut engine,
        &[
            opened(5, Some(SHELL), 1001),
            opened(6, Some(PROCESS), 1002),
            closed(5, 1003),
            ended(SHELL, 1004),
            late(Some(5), 1005),
            late(Some(6), 1006),
            late(None, 1007),
            packet(Some(5), Owner::None(NoOwner::Shared), 1008, b"E"),
        ],
    );
    assert_eq!(times(&mut engine, shells), [1005]);
    assert_eq!(times(&mut engine, others), [1006, 1007, 1008]);
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

/// As `honeutil run` selects: a stranger that gets the command's process id later is another process.
#[test]
fn with_children_a_process_id_names_the_process_that_had_it_when_the_reader_came() {
    let mut engine = engine();
    // Reported late: the process started before the reader was attached.
    let reader = attach_at(&mut engine, 250);
    let words = [(Word::Pid, false, "20")];
    engine.set_selection(reader, &mut Some(selection(&words, true)), 250).expect("there is room");
    let again = ProcessKey { pid: SHELL.pid, start: 600 };
    handle(
        &mut engine,
        &[
            start(SHELL, StartKind::Started, PROCESS, b"/bin/sh"),
            of(SHELL, 1001),
            exec(SHELL, 1002, b"/bin/curl"),
            start(GRANDCHILD, StartKind::Forked, SHELL, b""),
            of(SHELL, 1003),
            ended(SHELL, 1004),
            start(again, StartKind::Forked, PROCESS, b""),
            of(again, 1005),
            exec(again, 1006, b"/bin/nc"),
            of(again, 1007),
            of(GRANDCHILD, 1008),
        ],
    );
    assert_eq!(times(&mut engine, reader), [1001, 1003, 1008]);
    // Without them, an id is a number, also of processes to come; and a selection that is set later finds what runs.
    let number = selecting(&mut engine, selection(&words, false));
    let family = attach_at(&mut engine, 500);
    engine.set_selection(family, &mut Some(selection(&words, true)), 1009).expect("there is room");
    handle(&mut engine, &[of(again, 1009), exec(again, 1010, b"/bin/cat"), of(again, 1011)]);
    assert_eq!(times(&mut engine, number), [1009, 1011]);
    assert_eq!(times(&mut engine, family), [1009, 1011]);
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

/// So many processes that a step does not compare all: each the child of the one before it.
fn chain(engine: &mut Engine) -> Vec<ProcessKey> {
    let key = |index: u32| ProcessKey { pid: 9000 - index, start: 1000 + u64::from(index) };
    let processes: Vec<ProcessKey> = (0..1000).map(key).collect();
    let parents = [PROCESS].into_iter().chain(processes.iter().copied());
    let starts: Vec<_> = processes
        .iter()
        .zip(parents)
        .map(|(process, parent)| start(*process, StartKind::Started, parent, b"/bin/x"))
        .collect();
    handle(engine, &starts);
    processes
}

/// Begins to set a selection.
fn begun_only(engine: &mut Engine, reader: ReaderId, selection: Selection) -> NewSelection {
    let mut new = NewSelection::new(Some(selection));
    new.reserve(engine.known_processes()).expect("there is memory");
    engine.begin_selection(&mut new, Some(reader), 5000).expect("there is room");
    new
}

/// The same, and makes the list and one step.
fn begun(engine: &mut Engine, reader: ReaderId, selection: Selection) -> NewSelection {
    let mut new = begun_only(engine, reader, selection);
    for _ in 0..2 {
        assert_eq!(engine.mark_processes(&mut new), Ok(false), "there is more to compare");
        new.sort();
    }
    new
}

/// The remaining steps, between each of which `between` is done.
fn finish(
    engine: &mut Engine,
    reader: ReaderId,
    mut new: NewSelection,
    mut between: impl FnMut(&mut Engine),
) {
    while !engine.mark_processes(&mut new).expect("it comes to an end") {
        new.sort();
        between(engine);
    }
    engine.exchange_selection(reader, &mut new).expect("it is attached");
}

#[test]
fn while_processes_are_marked_in_steps_the_former_selection_counts_and_nothing_that_starts_is_missed() {
    let mut engine = engine();
    let processes = chain(&mut engine);
    let (first, last) = (processes[0], processes[999]);
    let leaf = ProcessKey { pid: 30_000, start: 3000 };
    handle(&mut engine, &[start(leaf, StartKind::Started, last, b"/bin/x")]);
    let again = ProcessKey { start: 5014, ..leaf };
    let reader = selecting(&mut engine, selection(&[(Word::Pid, false, "9000")], false));
    let by_pid = &format!("{}", processes[500].pid);
    let new = begun(&mut engine, reader, selection(&[(Word::Pid, false, by_pid)], true));
    handle(&mut engine, &[of(first, 5001), of(last, 5002)]);
    // The parents of these wait still, and execute another program; one ends before its turn, and its id is used again.
    let forks: Vec<ProcessKey> =
        (0..6).map(|index| ProcessKey { pid: 20_000 + index, start: 5010 + u64::from(index) }).collect();
    handle(
        &mut engine,
        &[
            start(forks[0], StartKind::Forked, last, b""),
            start(forks[1], StartKind::Forked, forks[0], b""),
            start(last, StartKind::Started, processes[998], b"/bin/y"),
            start(forks[1], StartKind::Started, forks[0], b"/bin/z"),
            start(forks[2], StartKind::Forked, first, b""),
            ended(leaf, 5013),
            start(again, StartKind::Started, PROCESS, b"/bin/x"),
        ],
    );
    let mut count = 0;
    finish(&mut engine, reader, new, |engine| {
        if count < 2 {
            count += 1;
            handle(engine, &[start(forks[2 + count], StartKind::Forked, last, b"")]);
        }
    });
    handle(&mut engine, &[start(forks[5], StartKind::Forked, forks[1], b"")]);
    let wanted = [processes[500], processes[501], last, forks[0], forks[1], forks[3], forks[4], forks[5]];
    let unwanted = [first, processes[499], forks[2], again];
    for (at, process) in (6000..).zip(wanted) {
        handle(&mut engine, &[of(process, at)]);
    }
    for (at, process) in (7000..).zip(unwanted) {
        handle(&mut engine, &[of(process, at)]);
    }
    let expected: Vec<u64> = [5001].into_iter().chain(6000..6008).collect();
    assert_eq!(times(&mut engine, reader), expected);
}

/// What executes a program reports the parent that it has then. If its own one has ended, that is another process.
#[test]
fn who_executes_after_its_parent_has_ended_is_a_descendant_nevertheless() {
    let mut engine = engine();
    let processes = chain(&mut engine);
    let last = processes[999];
    let [before, during] = [CHILD, GRANDCHILD].map(|child| ProcessKey { start: 3000, ..child });
    let reader = attach(&mut engine);
    let forks = [before, during].map(|child| start(child, StartKind::Forked, last, b""));
    handle(&mut engine, &forks);
    let executes = |child, at| {
        [start(child, StartKind::Started, PROCESS, b"/bin/y"), ended(child, at), of(child, at + 1)]
    };
    let [exec_before, ..] = executes(before, 0);
    handle(&mut engine, &[ended(last, 3001), exec_before]);
    let by_pid = &format!("{}", processes[998].pid);
    let new = begun(&mut engine, reader, selection(&[(Word::Pid, false, by_pid)], true));
    // It waits to be compared, as does the parent that has ended.
    handle(&mut engine, &executes(during, 6000));
    finish(&mut engine, reader, new, |_| ());
    handle(&mut engine, &[of(before, 6002), of(during, 6003), of(processes[997], 6004)]);
    assert_eq!(times(&mut engine, reader), [6001, 6002, 6003]);
}

#[test]
fn a_selection_that_is_abandoned_half_way_leaves_the_former_one_and_its_place() {
    let mut engine = engine();
    let processes = chain(&mut engine);
    let reader = selecting(&mut engine, selection(&[(Word::Pid, false, "9000")], false));
    for _ in 0..MAX_PROCESS_SELECTIONS {
        let mut new = begun(&mut engine, reader, selection(&[(Word::Name, false, "x")], true));
        engine.abandon_selection(&mut new);
        assert_eq!(new.into_selection(), Some(selection(&[(Word::Name, false, "x")], true)));
    }
    let mut new = begun(&mut engine, reader, selection(&[(Word::Name, false, "x")], true));
    engine.detach(reader);
    assert_eq!(engine.exchange_selection(reader, &mut new), Err(UnknownReader));
    engine.abandon_selection(&mut new);
    let other = selecting(&mut engine, selection(&[(Word::Pid, false, "8999")], false));
    handle(&mut engine, &[of(processes[0], 5001), of(processes[1], 5002)]);
    assert_eq!(times(&mut engine, other), [5002]);
}

#[test]
fn who_forks_without_end_cannot_keep_a_selection_from_coming_to_its_end() {
    let mut engine = engine();
    let last = chain(&mut engine)[999];
    let reader = attach(&mut engine);
    let mut new = begun(&mut engine, reader, selection(&[(Word::Name, false, "x")], true));
    // A chain that is one process longer at each step, so that the newest always waits.
    let mut parent = last;
    let result = (0_u32..1000).find_map(|index| {
        let child = ProcessKey { pid: 20_000 + index, start: 5010 + u64::from(index) };
        handle(&mut engine, &[start(child, StartKind::Forked, parent, b"")]);
        parent = child;
        let step = engine.mark_processes(&mut new);
        new.sort();
        (step != Ok(false)).then_some(step)
    });
    assert!(matches!(result, Some(Ok(true) | Err(SelectionError::Busy))), "{result:?}");
}

/// The clock of Windows' starts stands still for up to 16 ms.
#[test]
fn a_child_that_started_in_the_same_instant_as_its_parent_is_a_child() {
    let mut engine = engine();
    let (child, parent) = (ProcessKey { pid: 30, start: 100 }, ProcessKey { pid: 31, start: 100 });
    handle(
        &mut engine,
        &[
            start(parent, StartKind::Started, PROCESS, b"/bin/sh"),
            start(child, StartKind::Started, parent, b"/bin/b"),
        ],
    );
    let reader = selecting(&mut engine, selection(&[(Word::Name, false, "sh")], true));
    handle(&mut engine, &[of(child, 1001), of(parent, 1002)]);
    assert_eq!(times(&mut engine, reader), [1001, 1002]);
    // Each is the other's parent: nobody waits for ever.
    handle(&mut engine, &[start(ProcessKey { pid: 31, start: 100 }, StartKind::Supplemented, child, b"")]);
    let both = selecting(&mut engine, selection(&[(Word::Name, false, "sh")], true));
    handle(&mut engine, &[of(parent, 1003)]);
    assert_eq!(times(&mut engine, both), [1003]);
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
    assert_eq!(engine.set_selection(one_more, &mut refused, 0), Err(SelectionError::TooMany));
    assert_eq!(refused, Some(by_name()), "it is not taken");
    // All of them can replace theirs, also at the same time.
    let mut coming: Vec<NewSelection> =
        readers.iter().map(|reader| begun_only(&mut engine, *reader, by_name())).collect();
    assert_eq!(engine.set_selection(one_more, &mut refused, 0), Err(SelectionError::TooMany));
    let mut second = NewSelection::new(Some(by_name()));
    let begun = engine.begin_selection(&mut second, Some(readers[0]), 0);
    assert_eq!(begun, Err(SelectionError::TooMany), "one at a time");
    for (reader, new) in readers.iter().zip(&mut coming) {
        while !engine.mark_processes(new).expect("it comes to an end") {
            new.sort();
        }
        engine.exchange_selection(*reader, new).expect("it is attached");
    }
    let mut without = Some(selection(&[(Word::Direction, false, "out")], false));
    engine.set_selection(one_more, &mut without, 0).expect("words about packets need no place");
    let left = readers.swap_remove(7);
    engine.detach(left);
    let mut other = Some(selection(&[(Word::Name, false, "curl")], false));
    engine.set_selection(one_more, &mut other, 0).expect("a place is free");
    assert!(other.is_some_and(|former| former.has_packet_words()), "the former one is handed back");
    handle(&mut engine, &[of(SHELL, 1001)]);
    assert_eq!(times(&mut engine, one_more), [], "the marks of the reader before it are gone");
    assert_eq!(times(&mut engine, readers[0]), [1001]);
    engine.set_selection(readers[0], &mut None, 0).expect("it is attached");
    handle(&mut engine, &[of(OTHER, 1002)]);
    assert_eq!(bytes(&mut engine, readers[0]).len(), 1, "all packets again");
    assert_eq!(engine.set_selection(left, &mut None, 0), Err(SelectionError::UnknownReader));
}

/// The time of a setting is bounded, however many processes run and words are given.
#[test]
fn a_selection_with_too_many_words_for_so_many_processes_is_refused_and_the_former_one_stays() {
    const WORDS: usize = 256;
    let mut engine = engine();
    let one = selection(&[(Word::Pid, false, "1000")], false);
    let reader = selecting(&mut engine, one);
    let most = u32::try_from(MAX_COMPARISONS / WORDS).expect("it is small");
    let known = u32::try_from(engine.known_processes()).expect("it is small");
    let first = 1000 - known;
    let begin = |pid| start(ProcessKey { pid, start: 100 }, StartKind::Started, PROCESS, b"/bin/sh");
    for pid in 1000..first + most {
        handle(&mut engine, &[begin(pid)]);
    }
    assert_eq!(engine.known_processes(), most as usize);
    let pids: Vec<String> = (0..WORDS).map(|index| (2000 + index).to_string()).collect();
    let words: Vec<_> = pids.iter().map(|pid| (Word::Pid, false, pid.as_str())).collect();
    let long = || Some(selection(&words, false));
    let other = attach(&mut engine);
    engine.set_selection(other, &mut long(), 0).expect("just as many as are allowed");
    handle(&mut engine, &[begin(first + most)]);
    let mut refused = long();
    let too_long = SelectionError::TooLong { words: WORDS, processes: most as usize + 1 };
    assert_eq!(engine.set_selection(reader, &mut refused, 0), Err(too_long));
    assert_eq!(refused, long(), "it is not taken");
    let mut filtered = |pid| {
        handle(&mut engine, &[of(ProcessKey { pid, start: 100 }, 1001)]);
        [reader, other].map(|reader| engine.reader_statistics(reader).map(|counts| counts.filtered.packets))
    };
    assert_eq!(filtered(1000), [Some(0), Some(1)]);
    assert_eq!(filtered(2000), [Some(1), Some(1)]);
    assert!(too_long.to_string().contains("allowed are 255;"), "{too_long}");
}
