//! Connections that are older than the driver. When it is loaded, it makes the filter engine authorise them again, each
//! with its next packet. So their packets have processes, without a list from a program.

use std::collections::BTreeMap;

use hone_pcapng::{Block, ConnectionEventKind, Reader};
use hone_wine_tests::{Driver, NOW, Step, driver};

const SECOND: u64 = 1_000_000_000;

/// The callouts at whose layers connections are authorised, and the transport layers' callout that their packets pass
/// first, going in and out.
const AUTHORIZING: [(u64, usize, usize); 8] =
    [(70, 0, 10), (71, 0, 12), (72, 1, 11), (73, 1, 13), (74, 2, 10), (75, 2, 12), (76, 3, 11), (77, 3, 13)];

/// What a reader read of one connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The process of each event that opens it; 0: not known.
    opened: Vec<u32>,
    /// The process of each packet.
    packets: Vec<Option<u32>>,
}

fn seen(bytes: &[u8]) -> BTreeMap<u64, Seen> {
    let mut reader = Reader::new();
    reader.feed(bytes).expect("there is memory");
    let mut seen: BTreeMap<u64, Seen> = BTreeMap::new();
    while let Some(item) = reader.next_block().expect("the recording is sound") {
        match item.block {
            Block::Connection(event) if event.kind == ConnectionEventKind::Opened => {
                seen.entry(event.connection).or_default().opened.push(event.process);
            }
            Block::Packet(packet) => {
                let connection = packet.connection.expect("each packet of this test has one");
                seen.entry(connection).or_default().packets.push(packet.process);
            }
            _ => {}
        }
    }
    seen
}

/// A datagram of a connection passes a transport layer's callout.
fn pass(driver: &mut Driver, place: usize, endpoint: u64) {
    let [one, other] = if place.is_multiple_of(2) {
        ["0a000001", "0a000002"]
    } else {
        ["fd000000000000000000000000000001", "fd000000000000000000000000000002"]
    };
    // The ports of an arriving packet are the local one, which is its destination, and the remote one.
    let way = if place < 12 { "ports=53,4660 transport=8 headroom=8" } else { "ports=4660,53 headroom=0" };
    let ends = format!("local={one} remote={other}");
    let command =
        format!("classify {place} endpoint={endpoint} protocol=17 {ends} {way} packet=1234003500080000");
    driver.stand_in.tell(&command);
}

/// Loads the driver while these connections of process 5000 exist, and sends two packets of each.
fn record(driver: &mut Driver) -> BTreeMap<u64, Seen> {
    driver.load(true);
    driver.stand_in.set_clock(NOW);
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let mut bytes = probe.read(file);
    let path = r"C:\older.exe";
    driver
        .stand_in
        .step(NOW, &Step::Start { pid: 5000, parent: 4, path, command_line: "older", arguments: &["older"] });
    for (endpoint, authorized, transport) in AUTHORIZING {
        driver.stand_in.tell(&format!("older {endpoint} 5000 {authorized}"));
        pass(driver, transport, endpoint);
        pass(driver, transport, endpoint);
    }
    // Packets that still wait for their owner have then waited long enough.
    driver.stand_in.step(NOW + SECOND, &Step::End(5000));
    bytes.extend(probe.read(file));
    probe.close(file);
    seen(&bytes)
}

#[test]
fn packets_of_older_connections_have_their_process_without_a_list() {
    let Some(mut driver) = driver() else { return };
    driver.probe().command("install").expect("nothing is in the way");
    driver.unload();
    let seen = record(&mut driver);
    driver.probe().command("uninstall").expect("the driver's filters have gone");
    let expected = Seen { opened: vec![0, 5000], packets: vec![Some(5000); 2] };
    assert_eq!(seen.len(), AUTHORIZING.len());
    for (endpoint, seen) in seen {
        assert_eq!(seen, expected, "connection {endpoint}");
    }
    let left = driver.unload();
    assert!(left.is_nothing(), "the driver has closed its session: {left:?}");
}

#[test]
fn without_the_filter_engine_or_installed_filters_the_driver_loads_all_the_same() {
    let Some(mut driver) = driver() else { return };
    let _ = driver.probe().command("uninstall");
    for (is_installed, runs) in [(false, true), (true, false)] {
        if is_installed {
            driver.probe().command("install").expect("nothing is in the way");
        }
        driver.unload();
        driver.run_filter_engine(runs);
        let seen = record(&mut driver);
        driver.run_filter_engine(true);
        let expected = Seen { opened: vec![0], packets: vec![None; 2] };
        assert!(
            seen.values().all(|seen| *seen == expected),
            "installed: {is_installed}, runs: {runs}: {seen:?}"
        );
        let left = driver.unload();
        assert!(left.is_nothing(), "installed: {is_installed}, runs: {runs}: {left:?}");
        driver.load(true);
    }
    driver.probe().command("uninstall").expect("nothing else refers to it");
}
