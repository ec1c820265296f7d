//! What comes and goes leaves nothing.

use hone_client::api::{List, Request};
use hone_client::{Component, Connection, MemoryRow, Options};
use hone_testing::{Service, ready, wait_for};

use crate::traffic::{new_tag, send};

fn row(report: &[MemoryRow], component: Component) -> (u64, u64) {
    let row = report.iter().find(|row| row.component == component.number()).expect("the report has it");
    (row.count, row.bytes)
}

fn round(connection: &mut Connection, buffer: &mut [u8]) {
    let mut ids = [0; 4000];
    let ids = List::write(0..1000_u32, &mut ids).expect("there is room");
    connection.control(&Request::FilterProcesses(ids)).expect("honed answers");
    connection.attach(&Options::default()).expect("honed takes readers");
    let _ = connection.read(buffer, std::time::Duration::from_millis(20)).expect("the stream goes on");
    connection.mark_restart().expect("no other mark is set");
    connection.detach().expect("it is attached");
}

#[test]
fn a_thousand_readers_leave_the_memory_report_where_it_began() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut watcher = service.connect();
    let mut buffer = vec![0; 1 << 16];
    // What is taken once and kept: tables that grow, buffers that are used again.
    for _ in 0..20 {
        round(&mut service.connect(), &mut buffer);
    }
    send(new_tag(), 100, 100);
    let settled = |watcher: &mut Connection| {
        wait_for("the others are gone", || {
            let report = watcher.memory().expect("honed answers");
            (row(&report, Component::Links).0 == 1).then_some(report)
        })
    };
    let mut thousand = || {
        let before = settled(&mut watcher);
        let mut connection = service.connect();
        for number in 0..1000 {
            // Half of them on one connection, half on a new one each.
            if number % 2 == 0 {
                connection = service.connect();
            }
            round(&mut connection, &mut buffer);
        }
        drop(connection);
        let after = settled(&mut watcher);
        for component in [Component::Rings, Component::IdLists, Component::Links] {
            assert_eq!(row(&before, component), row(&after, component), "{component:?}");
        }
        // Processes and sockets of the machine come and go meanwhile, each a block.
        // (The engine keeps buffers of blocks for the next ones; they are among the bytes of blocks, but are no blocks.)
        let besides = |report: &[MemoryRow]| row(report, Component::All).1 - row(report, Component::Blocks).1;
        let blocks = |report: &[MemoryRow]| row(report, Component::Blocks).0;
        let bytes = besides(&after).saturating_sub(besides(&before));
        (bytes, blocks(&after).saturating_sub(blocks(&before)))
    };
    // What a thousand readers leave shows each time; tables that grow with what else goes on here, at most once or twice.
    let grown: Vec<_> = std::iter::repeat_with(&mut thousand).take(3).collect();
    assert!(grown.iter().any(|(bytes, blocks)| *bytes < 256 << 10 && *blocks < 900), "{grown:?}");
    drop(watcher);
    service.stop();
}
