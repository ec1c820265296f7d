//! Rows of tables: what recordings become, and that they agree with what `show` prints.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use hone_pcapng::{Block, ByteOrder, ConnectionEventKind, HostId, ProcessEventKind, Section};
use hone_tables::{ConnectionRow, Endpoint, NameRow, PacketRow, ProcessRow, Rows, SectionRow, Table, uid};
use honeutil::show::input::Input;
use honeutil::show::time::Span;
use serde_json::Value;
use tempfile::TempDir;

use crate::corrections::{handed_on, rotated};
use crate::fixture::{Stream, everyday, hostile, tcp, udp, v4};
use crate::tools::{file, honeutil};

/// Rows as texts, and what is counted of them.
#[derive(Debug, Default)]
struct Collected {
    processes: Vec<String>,
    connections: Vec<String>,
    packets: Vec<String>,
    sections: Vec<String>,
    /// Packets and bytes of each process id; those without a process at `None`.
    counted: BTreeMap<Option<u32>, (u64, u64)>,
    of_packets: BTreeMap<Option<u32>, (u64, u64)>,
    uids: HashMap<String, u64>,
}

fn end(end: Option<Endpoint>) -> String {
    match end {
        Some(Endpoint { address, port: Some(port) }) => format!("{address}|{port}"),
        Some(Endpoint { address, port: None }) => address.to_string(),
        None => "-".into(),
    }
}

fn add(counts: &mut BTreeMap<Option<u32>, (u64, u64)>, pid: Option<u32>, packets: u64, bytes: u64) {
    let count = counts.entry(pid).or_default();
    *count = (count.0 + packets, count.1 + bytes);
    counts.retain(|_, count| count.0 > 0);
}

impl Rows for Collected {
    type Error = Infallible;

    fn wants(&self, _: Table) -> bool {
        true
    }

    fn process(&mut self, row: &ProcessRow<'_>) -> Result<(), Infallible> {
        assert_eq!(row.process_uid, &*uid::process(row.host, row.pid, row.start));
        let ended = row.ended_by.map_or("-", hone_tables::End::word);
        let parent = row.parent_uid.map_or("-", |uid| &uid[..4]);
        self.processes.push(format!("{} {} {} {parent} {ended}", &row.process_uid[..4], row.pid, row.name));
        Ok(())
    }

    fn connection(&mut self, row: &ConnectionRow<'_>) -> Result<(), Infallible> {
        let (packets, bytes) = (row.packets_in + row.packets_out, row.bytes_in + row.bytes_out);
        // What has no process is counted with the row of the connection.
        let owner = row.pid.filter(|_| packets > row.packets_unowned);
        add(&mut self.counted, owner, packets - row.packets_unowned, bytes - row.bytes_unowned);
        add(&mut self.counted, None, row.packets_unowned, row.bytes_unowned);
        *self.uids.entry(row.connection_uid.to_owned()).or_default() += 1;
        self.connections.push(format!(
            "{:?} {} {} > {} {}:{} {}:{} {}",
            row.connection_id,
            row.process_name.as_deref().unwrap_or("-"),
            end(row.local),
            end(row.remote),
            row.packets_out,
            row.bytes_out,
            row.packets_in,
            row.bytes_in,
            row.state.word(),
        ));
        Ok(())
    }

    fn packet(&mut self, row: &PacketRow<'_>) -> Result<(), Infallible> {
        add(&mut self.of_packets, row.pid, 1, row.length.into());
        self.packets.push(format!("{} {} {}", row.frame, end(row.source), row.length));
        Ok(())
    }

    fn name(&mut self, _: &NameRow<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn section(&mut self, row: &SectionRow<'_>) -> Result<(), Infallible> {
        let SectionRow { host, packets, bytes, dropped, unowned, unowned_reasons, .. } = row;
        self.sections.push(format!("{host} {packets} {bytes} {dropped:?} {unowned} {unowned_reasons:?}"));
        Ok(())
    }
}

fn rows(inputs: &[&[u8]]) -> Collected {
    let directory = TempDir::new().unwrap();
    let inputs: Vec<_> = (0..)
        .zip(inputs)
        .map(|(number, bytes)| Input::named(&file(&directory, &format!("{number}.pcapng"), bytes)))
        .collect();
    let mut rows = Collected::default();
    let failed = |input: &Input, error: &_| panic!("{}: {error:?}", input.name());
    let Ok(()) = honeutil::tables::read(&inputs, &Default::default(), Span::default(), &mut rows, failed);
    rows
}

/// Packets and bytes of each process id in `show --json`. `all`: also those without IP headers.
fn shown(inputs: &[&[u8]], all: bool) -> BTreeMap<Option<u32>, (u64, u64)> {
    let directory = TempDir::new().unwrap();
    let files = (0..).zip(inputs).map(|(number, bytes)| file(&directory, &format!("{number}.pcapng"), bytes));
    let output = honeutil(["show", "--json"]).args(files).output().unwrap();
    assert!(output.status.success());
    let mut counts = BTreeMap::new();
    for line in str::from_utf8(&output.stdout).unwrap().lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        if object["event"]["action"] == "packet" && (all || object.get("source").is_some()) {
            let pid = object["process"]["pid"].as_u64().map(|pid| u32::try_from(pid).unwrap());
            add(&mut counts, pid, 1, object["network"]["bytes"].as_u64().unwrap());
        }
    }
    counts
}

#[test]
fn rows_agree_with_show_to_the_byte() {
    let name = |name: &'static str| Some(HostId::Name(Cow::Borrowed(name)));
    let [first, second] = rotated([name("here"), name("here")]);
    let (little, big, handed, hostile) =
        (everyday(ByteOrder::Little), everyday(ByteOrder::Big), handed_on(), hostile());
    for inputs in
        [&[&little[..]][..], &[&big], &[&handed], &[&hostile], &[&first, &second], &[&little, &handed]]
    {
        let rows = rows(inputs);
        assert_eq!(rows.of_packets, shown(inputs, true));
        assert_eq!(rows.counted, shown(inputs, false));
    }
}

#[test]
fn what_happened_is_one_row_each() {
    let rows = rows(&[&everyday(ByteOrder::Little)]);
    let host = "30313233-3435-3637-3839-616263646566";
    let uid = |pid, micros: u64| {
        uid::process(host, pid, Some(1_785_412_800_000_000_000 + micros * 1000))[..4].to_owned()
    };
    let [kthread, bash, fork, curl, dnsmasq] = [uid(2, 1), uid(7, 2), uid(8, 3), uid(8, 4), uid(9, 5)];
    let unknown = &uid::process(host, 77, None)[..4];
    assert_eq!(
        rows.processes,
        [
            format!("{fork} 8 bash {bash} exec"),
            format!("{kthread} 2 [kthreadd] - -"),
            format!("{bash} 7 bash - -"),
            format!("{curl} 8 curl {bash} exit"),
            format!("{dnsmasq} 9 dnsmasq - -"),
            format!("{unknown} 77  - -"),
        ]
    );
    assert_eq!(
        rows.connections,
        [
            // With the packet that came after it was closed.
            "Some(12) curl 10.0.0.1|40000 > 192.0.2.1|443 2:180 1:1040 closed",
            "Some(1099511627781) dnsmasq fe80::1|50000 > fe80::2|53 1:78 0:0 section end",
            "None - 10.0.0.1 > 192.0.2.1 0:0 1:28 section end",
            "None - 10.0.0.1 > 192.0.2.1 1:28 0:0 section end",
        ]
    );
    assert_eq!(rows.sections, [format!("{host} 6 1354 Some(1) 1 [(\"kernel\", 1)]")]);
    assert_eq!(rows.packets.len(), 6);
}

/// Rotation states what goes on again: sums over a connection's id are right, and processes keep their ids.
#[test]
fn what_goes_on_in_the_next_section_keeps_its_ids() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.bytes.clear();
    let start = stream.now();
    for section in 0..2 {
        stream.block(&Block::Section(Section { boot: Some([7; 16]), ..Section::default() }));
        let mut with_interface = Stream::new(ByteOrder::Little);
        with_interface
            .bytes
            .drain(..u32::from_le_bytes(with_interface.bytes[4..8].try_into().unwrap()) as usize);
        stream.bytes.append(&mut with_interface.bytes);
        stream.process(5, ProcessEventKind::Started, |event| {
            event.timestamp = start;
            event.path = Some(Cow::Borrowed(b"/bin/ssh"));
        });
        stream.connection(3, 5, ConnectionEventKind::Opened);
        stream.packet(&v4(6, [10, 0, 0, 1], [10, 0, 0, 2], &tcp(7, 22, section)), 2, Some(3), Some(5));
    }
    let rows = rows(&[&stream.bytes]);
    assert_eq!(rows.processes.len(), 2);
    assert_eq!(rows.processes[0], rows.processes[1]);
    assert_eq!(rows.uids.values().collect::<Vec<_>>(), [&2], "one id, a row in each section");
}

#[test]
fn a_datagram_socket_has_a_row_for_each_remote_end_and_process() {
    let mut stream = Stream::new(ByteOrder::Little);
    for pid in [4, 5] {
        stream.exec(pid, b"/usr/sbin/named", 0, b"root");
    }
    stream.connection(9, 4, ConnectionEventKind::Opened);
    for number in 0..40_u8 {
        let question = v4(17, [10, 0, 0, 2 + number % 20], [10, 0, 0, 1], &udp(5000, 53, 30));
        stream.packet(&question, 1, Some(9), Some(4 + u32::from(number / 20)));
        let early = v4(17, [10, 0, 0, 2 + number % 20], [10, 0, 0, 1], &udp(5000, 53, 1));
        stream.packet(&early, 1, Some(9), None);
    }
    let rows = rows(&[&stream.bytes]);
    assert_eq!((rows.connections.len(), rows.uids.len()), (40, 1));
    assert_eq!(
        rows.counted,
        [(None, (40, 40 * 29)), (Some(4), (20, 20 * 58)), (Some(5), (20, 20 * 58))].into()
    );
}

/// A recording may be damaged anywhere, or made to do harm.
#[test]
fn any_bytes_are_rows_or_an_error() {
    struct Any;
    impl Rows for Any {
        type Error = Infallible;

        fn wants(&self, _: Table) -> bool {
            true
        }
    }
    let directory = TempDir::new().unwrap();
    let seeds = [everyday(ByteOrder::Little), handed_on(), hostile()];
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for _ in 0..600 {
        let mut bytes = seeds[random(seeds.len())].clone();
        for _ in 0..1 + random(6) {
            let at = random(bytes.len());
            bytes[at] ^= 1 << random(8);
        }
        let input = Input::named(&file(&directory, "any.pcapng", &bytes));
        let Ok(()) =
            honeutil::tables::read(&[input], &Default::default(), Span::default(), &mut Any, |_, _| {});
    }
}
