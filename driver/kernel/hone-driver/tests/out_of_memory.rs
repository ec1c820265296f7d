//! Runs a scenario once for each of its allocations: only that one fails, or that one and all later ones. The driver
//! must return statuses and never abort, must work again when there is memory, and must free all of it at the end.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates, it allocates while there is memory"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

use common::{
    FakeBuffer, FakeIndication, Passive, callout, control, driver, irql, open, read, set_links, utf16,
    values, words,
};
use hone_api::Operation;
use hone_documented::Irql;
use hone_driver::callouts::{Family, Layer};
use hone_driver::{Driver, Host, Process};

/// Which allocations of this thread fail.
#[derive(Clone, Copy)]
enum Fail {
    Never,
    Once(u64),
    From(u64),
}

thread_local! {
    static FAIL: Cell<Fail> = const { Cell::new(Fail::Never) };
    static FAILED: Cell<bool> = const { Cell::new(false) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Failing;

fn fails() -> bool {
    let (fails, next) = match FAIL.get() {
        Fail::Never => (false, Fail::Never),
        Fail::Once(0) => (true, Fail::Never),
        Fail::From(0) => (true, Fail::From(0)),
        Fail::Once(left) => (false, Fail::Once(left - 1)),
        Fail::From(left) => (false, Fail::From(left - 1)),
    };
    FAIL.set(next);
    FAILED.set(FAILED.get() || fails);
    fails
}

// SAFETY: each call is passed on to the system's allocator as it is, or refused, which an allocator may do.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return null_mut();
        }
        HELD.set(HELD.get() + 1);
        // SAFETY: the caller's layout, which has a size.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - 1);
        // SAFETY: the caller has the pointer from `alloc` above, so from the system.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Does everything that allocates memory. The results do not matter.
fn scenario(path: &[u16], out: &FakeIndication, connect: &FakeIndication, ids: &[u8], record: &[u8]) {
    let host = Host { version: (10, 0, 19045), architecture: "x86", ..Host::default() };
    let Ok(driver) = Driver::<common::Fake>::new(&host) else { return };
    let process = |pid| Process {
        pid,
        created: Some(1),
        path: Some(path),
        command_line: Some(path),
        owner: Some(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
        ..Process::default()
    };
    driver.process_found(Passive, &process(1));
    let handle = driver.open(None);
    driver.process_started(Passive, &process(9));
    driver.process_started(Passive, &Process { is_subsystem: true, ..process(10) });
    irql::at(Irql::Dispatch, || {
        driver.classify(callout(Layer::AuthConnect, Family::V4), connect);
        driver.classify(callout(Layer::OutboundTransport, Family::V4), out);
    });
    let Ok(handle) = handle else { return };
    for (operation, input) in [
        (Operation::FilterConnections, ids),
        (Operation::IncludeProcesses, ids),
        (Operation::SetOpenConnections, record),
        (
            Operation::SetSelection,
            b"--name\0X.EXE\0--children\0--filter\0tcp port 443 and not net 10.0.0.0/8\0",
        ),
        (Operation::MarkRestart, &[]),
        (Operation::GetStatistics2, &[]),
    ] {
        let mut buffer = [0; 1024];
        buffer[..input.len()].copy_from_slice(input);
        let code = operation.control_code().0;
        let control = hone_driver::Control { code, buffer: &mut buffer, input: input.len(), output: 1024 };
        let _ = driver.control(Passive, handle, control);
    }
    driver.process_ended(9);
    let mut buffer = [0; 4096];
    while driver.read(handle, &mut buffer).expect("reading takes no memory") > 0 {}
    driver.close(Passive, handle);
}

#[test]
fn every_allocation_may_fail() {
    set_links(&[(r"\SystemRoot", r"\Device\Disk"), (r"\GLOBAL??\C:", r"\Device\Disk")]);
    let path = utf16(r"\SystemRoot\x.exe a b");
    let out = FakeIndication {
        endpoint: Some(5),
        values: values(Layer::OutboundTransport, Family::V4, 6),
        buffers: vec![FakeBuffer::new(&[0x55; 100], 0, 9)],
        ..FakeIndication::default()
    };
    let connect = FakeIndication { endpoint: Some(5), process: Some(9), ..FakeIndication::default() };
    let record =
        hone_api::OriginalConnection { local_port: 1, family: 2, protocol: 6, process: 9, opened: 0 };
    let record = [1_u32.to_le_bytes().as_slice(), &record.encode()].concat();
    let ids = [1, 0, 0, 0, 2, 0, 0, 0];
    for way in [Fail::Once, Fail::From] {
        let mut tried = 0;
        loop {
            let held = HELD.get();
            FAILED.set(false);
            FAIL.set(way(tried));
            scenario(&path, &out, &connect, &ids, &record);
            FAIL.set(Fail::Never);
            assert_eq!(HELD.get(), held, "all memory is given back");
            if !FAILED.get() {
                break;
            }
            tried += 1;
        }
        assert!(tried > 30, "only {tried} allocations were tried");
    }
}

#[test]
fn an_event_that_finds_no_memory_is_counted_and_the_next_is_recorded() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    let path = utf16("x");
    for (pid, way) in [(1, Fail::From(0)), (2, Fail::From(1)), (3, Fail::Never)] {
        FAIL.set(way);
        driver.process_started(
            Passive,
            &Process { pid, created: Some(1), path: Some(&path), ..Process::default() },
        );
        FAIL.set(Fail::Never);
    }
    let told = words(&read(&driver, reader));
    assert_eq!(told, ["process 3 <- None x - - -"]);
    let reply = control(&driver, reader, Operation::GetStatistics2, &[], 4096).expect("there is room");
    let statistics = hone_api::Statistics::parse(&reply).expect("it is sound");
    assert_eq!(statistics.dropped_by_source.processes + statistics.lost.processes, 2);
}
