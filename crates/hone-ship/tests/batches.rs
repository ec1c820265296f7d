//! Batches that are made of segments: what they have of packets, and what later segments change.

#![cfg(target_os = "linux")]

use std::borrow::Cow;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, HostId,
    Interface, Method, Packet, ProcessEvent, Reader, Resolution, Section,
};
use hone_ship::batch::{Batch, Format};
use hone_ship::config::Config;
use hone_ship::counters::Counters;
use hone_ship::destination::{self, Stop};
use hone_ship::maker;
use hone_ship::spool::Spool;

const SECOND: u64 = 1_000_000_000;
/// 2026-07-31 00:00:00 UTC.
const MIDNIGHT: u64 = 1_785_456_000 * SECOND;
/// A server that hands its connection on to another process.
const SERVER: u32 = 500;
const WORKER: u32 = 501;
const CONNECTION: u64 = 7;
/// What each packet has behind its headers.
const CONTENTS: &[u8] = b"a secret";

/// A segment as honed sends it: it begins with two processes and an open connection.
struct Segment(Vec<u8>);

impl Segment {
    fn new(at: u64) -> Self {
        let mut segment = Self(Vec::new());
        segment.block(&Block::Section(Section {
            host: Some(HostId::Name(Cow::Borrowed("web-1"))),
            boot: Some([1; 16]),
            ..Section::default()
        }));
        segment.block(&Block::Interface(Interface {
            link_type: 101,
            snap_length: 0,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: Vec::new(),
        }));
        for (process, path) in [(SERVER, "/usr/sbin/server"), (WORKER, "/usr/sbin/worker")] {
            segment.block(&Block::Process(ProcessEvent {
                process,
                timestamp: at,
                path: Some(Cow::Borrowed(path.as_bytes())),
                born: Some(u64::from(process)),
                executions: Some(1),
                ..ProcessEvent::default()
            }));
        }
        segment.connection(at, SERVER, ConnectionEventKind::Opened, None);
        segment
    }

    fn block(&mut self, block: &Block<'_>) {
        block.emit(ByteOrder::Little, &mut self.0).unwrap();
    }

    fn connection(
        &mut self,
        at: u64,
        process: u32,
        kind: ConnectionEventKind,
        correction: Option<Correction>,
    ) {
        let event = ConnectionEvent {
            connection: CONNECTION,
            process,
            timestamp: at,
            kind,
            correction,
            ..ConnectionEvent::default()
        };
        self.block(&Block::Connection(event));
    }

    /// A TCP packet that the server receives at a port, with options in its header.
    fn packet(mut self, at: u64, port: u16, sequence: u32) -> Self {
        let mut data = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        data.extend([40_000_u16.to_be_bytes(), port.to_be_bytes()].concat());
        data.extend(
            [&sequence.to_be_bytes()[..], &[0, 0, 0, 0, 0x80, 0x18, 0, 0, 0, 0, 0, 0], &[1; 12]].concat(),
        );
        data.extend(CONTENTS);
        let length = u32::try_from(data.len()).unwrap();
        data[2..4].copy_from_slice(&length.to_be_bytes()[2..]);
        self.block(&Block::Packet(Packet {
            timestamp: at,
            original_length: length,
            data: Cow::Owned(data),
            flags: Some(1),
            connection: Some(CONNECTION),
            process: Some(SERVER),
            how: Some(Ok(Method::LastReceiver)),
            ..Packet::default()
        }));
        self
    }

    /// The worker has read the bytes up to here.
    fn correction(mut self, at: u64, from: u32, to: u32) -> Self {
        let correction = Correction {
            packets: Corrected::Bytes { from, to },
            direction: Direction::Inbound,
            how: Some(Ok(Method::Reader)),
        };
        self.connection(at, WORKER, ConnectionEventKind::Correction, Some(correction));
        self
    }
}

fn config(folder: &Path, text: &str) -> Config {
    let folder = folder.display();
    let text = format!(
        "{text}\n[spool]\nfolder = '{folder}/spool'\nsize = 256\n[metrics]\nfile = '{folder}/metrics'\n\
         [destination]\nurl = 'file://{folder}/out'\n"
    );
    Config::parse(Path::new("ship.toml"), &text).unwrap()
}

/// A spool with these segments, made into batches.
fn batches(config: &mut Config, format: Format, segments: &[Segment]) -> Spool {
    let selection = std::mem::take(&mut config.selection);
    let spool = Spool::open(&config.spool).unwrap();
    for segment in segments {
        let (number, mut file) = spool.begin_segment().unwrap();
        file.write_all(&segment.0).unwrap();
        spool.end_segment(number, &file, segment.0.len() as u64).unwrap();
    }
    let stop = Stop::default();
    stop.set();
    let counters = Counters::default();
    maker::run(config, selection, format, &spool, &counters, &stop, &stop);
    assert_eq!(counters.problems(), []);
    assert_eq!(counters.made_batches.get(), segments.len() as u64);
    assert!(!spool.has_segments());
    spool
}

fn batch(config: &Config, number: u64) -> Batch {
    let folder = config.spool.folder.join("batches");
    Batch::open(&folder.join(format!("{number:010}")))
        .unwrap_or_else(|error| panic!("batch {number}: {error}. There are {:?}", files(&folder)))
}

/// Of each row of a table, the values of these columns.
fn rows(batch: &Batch, table: &str, columns: &[&str]) -> Vec<String> {
    let files = batch.description.files.iter().filter(|file| file.table == table);
    let lines = files.flat_map(|file| batch.lines(file).unwrap());
    lines
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let values: Vec<_> = columns.iter().map(|column| row[*column].to_string()).collect();
            values.join(" ").replace('"', "")
        })
        .collect()
}

/// The data of the packets of a delivered recording.
fn packets(path: &Path) -> Vec<Vec<u8>> {
    let bytes = zstd::stream::decode_all(fs::File::open(path).unwrap()).unwrap();
    let (mut reader, mut found) = (Reader::new(), Vec::new());
    reader.feed(&bytes).unwrap();
    while let Some(item) = reader.next_block().unwrap() {
        if let Block::Packet(packet) = &item.block {
            found.push(packet.data.to_vec());
        }
    }
    reader.finish().unwrap();
    found
}

/// The names of all files below a folder, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

#[test]
fn a_correction_counts_for_a_packet_of_the_batch_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), "");
    let at = MIDNIGHT + 60 * SECOND;
    let first = Segment::new(at).packet(at, 80, 1000).packet(at + SECOND, 80, 1008);
    // The worker reads the second packet of the first segment, and the first one of the second.
    let second = Segment::new(at + 2 * SECOND).packet(at + 2 * SECOND, 80, 1016);
    let second = second.correction(at + 3 * SECOND, 1008, 1024);
    let _spool = batches(&mut config, Format::Json, &[first, second]);
    let of = |number| rows(&batch(&config, number), "connections", &["process_name", "packets_in"]);
    assert_eq!(of(1), ["server 1", "worker 1"]);
    assert_eq!(of(2), ["worker 1"]);
}

#[test]
fn a_clock_that_is_set_back_changes_nothing_that_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), "tables = ['packets']");
    // By two days between two batches, and by an hour within the third: it began in the future of its end.
    let segments =
        [MIDNIGHT + 60 * SECOND, MIDNIGHT - 2 * 86_400 * SECOND, MIDNIGHT - 86_400 * SECOND + 1800 * SECOND]
            .map(|at| Segment::new(at).packet(at, 80, 1).packet(at - 3600 * SECOND, 80, 9));
    let spool = batches(&mut config, Format::Parquet, &segments);
    let mut destination = destination::open(&config.destination).unwrap();
    let out = folder.path().join("out");
    let mut before = Vec::new();
    for number in 1..=3 {
        let (next, path) = spool.next_batch().unwrap();
        assert_eq!(next, number, "the number says what comes next, not the time");
        destination.deliver(&Batch::open(&path).unwrap(), &Stop::default()).unwrap();
        let delivered: Vec<_> =
            files(&out).into_iter().map(|name| (fs::read(out.join(&name)).unwrap(), name)).collect();
        assert!(before.iter().all(|file| delivered.contains(file)), "{number}");
        assert!(before.len() < delivered.len());
        before = delivered;
        spool.delivered(number).unwrap();
    }
    let days = |table: &str| {
        let names = before.iter().filter_map(|(_, name)| name.strip_prefix(table)?.split('/').nth(2));
        let mut days: Vec<_> = names.map(str::to_owned).collect();
        days.sort();
        days
    };
    // The packets are in the days that they say, and every manifest is there.
    let day = |day: &str| format!("date=2026-07-{day}");
    assert_eq!(days("packets"), ["28", "29", "29", "30", "30", "31"].map(day));
    assert_eq!(days("_manifests"), ["29", "30", "31"].map(day));
}

#[test]
fn recordings_have_what_the_selection_says_and_connections_count_everything() {
    for (kept, contents) in [("headers", &b""[..]), ("packets", CONTENTS)] {
        let folder = tempfile::tempdir().unwrap();
        let text =
            format!("recordings = '{kept}'\ntables = ['packets']\n[selection]\nport = 443\nname = 'worker'");
        let mut config = config(folder.path(), &text);
        let at = MIDNIGHT + 60 * SECOND;
        // Of these, the one to port 443 that the worker has read is selected; and nothing of the second segment.
        let first = Segment::new(at).packet(at, 80, 1).packet(at, 443, 9).packet(at, 443, 17);
        let segments =
            [first.correction(at + SECOND, 1, 17), Segment::new(at + SECOND).packet(at + SECOND, 443, 25)];
        let spool = batches(&mut config, Format::Parquet, &segments);
        let mut destination = destination::open(&config.destination).unwrap();
        for number in 1..=2 {
            // The second time, all is there already.
            for _ in 0..2 {
                destination.deliver(&batch(&config, number), &Stop::default()).unwrap();
            }
        }
        let of = |number: u64, table: &str| -> u64 {
            let batch = batch(&config, number);
            batch.description.files.iter().filter(|file| file.table == table).map(|file| file.rows).sum()
        };
        assert_eq!((of(1, "packets"), of(2, "packets")), (1, 0));
        // The server's and the worker's to each port.
        assert_eq!((of(1, "connections"), of(2, "connections")), (3, 1));
        let out = folder.path().join("out");
        let recordings: Vec<_> = files(&out)
            .into_iter()
            .filter(|name| name.starts_with("recordings/host=web-1/date=2026-07-31/"))
            .collect();
        assert_eq!(recordings.len(), 1, "{recordings:?}");
        assert!(recordings[0].ends_with(".pcapng.zst"), "{recordings:?}");
        let manifest = fs::read_to_string(
            out.join(files(&out).into_iter().find(|name| name.contains("-0000000001.json")).unwrap()),
        );
        let manifest: serde_json::Value = serde_json::from_str(&manifest.unwrap()).unwrap();
        let listed = manifest["files"].as_array().unwrap().iter().find(|file| file["name"] == recordings[0]);
        let listed = listed.unwrap();
        assert_eq!((listed["table"].as_str(), listed["rows"].as_u64()), (Some("recordings"), Some(1)));
        assert_eq!(listed["bytes"], fs::metadata(out.join(&recordings[0])).unwrap().len());
        let [packet] = &packets(&out.join(&recordings[0]))[..] else { panic!("not one packet") };
        assert_eq!(&packet[24..28], [0, 0, 0, 9]);
        assert_eq!(&packet[52..], contents, "20 bytes of IP and 32 of TCP, with its options, and {kept}");
        drop(spool);
    }
}
