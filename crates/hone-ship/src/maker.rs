//! Makes batches of segments: one thread, in the order of their numbers.
//!
//! A segment begins with all processes and connections of its moment, so most of their rows are the same in each. Those that were
//! made before, and are the same, are left out: a process is there once a day, and whenever something of it has changed. What is
//! known of that is lost when the program ends; then the rows are there once more, as `honeutil export` has them.
//!
//! A packet may get another process after it was recorded: a correction says so, which may be in the next segment. So the latest
//! segment waits for `SETTLE`, or until the next one is whole, and what that has by then is read for corrections.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use hone_pcapng::Item;
use hone_rows::Span;
use hone_rows::corrections::Corrections;
use hone_rows::event::Shown;
use hone_rows::rows::Maker;
use hone_rows::stream::{Source, Stream, StreamError};
use hone_select::Selection;
use hone_tables::schema::{Row, SCHEMA_VERSION, Texts, Values};
use hone_tables::write::{self, TableWriter};
use hone_tables::{ConnectionRow, NameRow, PacketRow, ProcessRow, Rows, SectionRow, State, Table, day};

use crate::batch::{DESCRIPTION, Description, Format, RECORDINGS, TableFile};
use crate::config::{Config, Recordings};
use crate::counters::{Counters, Part};
use crate::destination::Stop;
use crate::hashed::Hashed;
use crate::recording::Recording;
use crate::spool::{Segment, Spool, batch_id};

/// The file of the recording, in the folder of its batch.
const RECORDING: &str = "recording.pcapng.zst";
/// Bytes that are read of a segment at once.
const CHUNK: usize = 128 << 10;
/// Most files that are written at once; each has rows in memory.
const MAX_OPEN: usize = 8;
/// Most processes and connections of which it is known that their rows were made.
const MAX_KNOWN: usize = 1 << 17;
/// How long the latest segment waits for corrections of its packets. Most come when a process reads what it had received, so within
/// fractions of a second; there is no longest time.
const SETTLE: Duration = Duration::from_secs(10);
/// How long to wait before a batch that could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Makes batches until the program is to end and none is left to make. `selection`: of which packets anything is delivered but what
/// connections add up.
pub fn run(
    config: &Config,
    selection: Selection,
    format: Format,
    spool: &Spool,
    counters: &Counters,
    stop: &Stop,
    end: &Stop,
) {
    // Connections count all packets, so rows are made of all; the selection is of what is delivered of single packets.
    let everything = Selection::default();
    let mut maker = Maker::new(&everything, Span::default());
    let selection = Rc::new(selection);
    let mut known = Known::default();
    loop {
        // If the program is to end, nothing more comes.
        let is_last = stop.is_set();
        let settle = if is_last { Duration::ZERO } else { SETTLE };
        let Some(segment) = spool.next_segment(settle) else {
            if is_last {
                return;
            }
            spool.wait(Duration::from_millis(500));
            continue;
        };
        let Segment { number, path, .. } = &segment;
        let number = *number;
        let made = spool.begin_batch(number).and_then(|folder| {
            let mut batch = Making::new(config, format, &selection, folder, &mut known);
            read(&segment, &selection, &mut maker, &mut batch)?;
            let made = batch.finish(&spool.id(), number)?;
            spool.end_batch(number, made)?;
            Ok(made)
        });
        match made {
            Ok(made) => {
                counters.made_batches.add(made.is_some().into());
                counters.is_fine(Part::Batches);
            }
            Err(error) => {
                // What is known was perhaps not made.
                known = Known::default();
                spool.give_up_batch(number);
                counters.problem(
                    Part::Batches,
                    &format!("cannot make a batch of {}: {error}. Trying again", path.display()),
                );
                if end.is_set() || stop.is_set() {
                    return;
                }
                std::thread::sleep(AGAIN);
            }
        }
    }
}

/// Why the reading of a segment stops.
enum Stopped {
    Stream(StreamError),
    Rows(io::Error),
}

impl From<StreamError> for Stopped {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// Makes the rows of a segment. One that is torn has rows up to there.
fn read(
    Segment { number, path, following }: &Segment,
    selection: &Rc<Selection>,
    maker: &mut Maker<'_>,
    batch: &mut Making<'_>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    // Corrections come after the packets that they correct, so the segment is read twice. The following one may end anywhere, or be
    // gone: then it has none.
    let mut corrections = Corrections::default();
    let following = following.as_ref().and_then(|path| File::open(path).ok());
    corrections.collect_all([Some(File::open(path)?), following], selection, &mut chunk);
    let mut file = File::open(path)?;
    maker.begin(format!("segment {number}"), "unknown".to_owned());
    let mut stream = Stream::new(selection);
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let taken = stream
            .feed(&chunk[..count])
            .map_err(Stopped::Stream)
            .and_then(|()| take(&mut stream, &mut corrections, maker, batch));
        match taken {
            Ok(()) => {}
            Err(Stopped::Rows(error)) => return Err(error),
            Err(Stopped::Stream(error)) => {
                tracing::warn!("{}: {error}. What comes before is delivered", path.display());
                break;
            }
        }
    }
    maker.end(batch)
}

/// Takes all blocks that are whole.
fn take(
    stream: &mut Stream,
    corrections: &mut Corrections,
    maker: &mut Maker<'_>,
    batch: &mut Making<'_>,
) -> Result<(), Stopped> {
    while let Some(taken) = stream.step(|source, shown| {
        let shown = shown.map(|shown| corrections.apply(shown));
        if let Source::Block(item) = source {
            batch.block(item, shown.as_ref())?;
        }
        shown.map_or(Ok(()), |shown| maker.event(&shown, batch))
    })? {
        taken.map_err(Stopped::Rows)?;
    }
    Ok(())
}

/// The files of a batch that is being made.
struct Making<'a> {
    config: &'a Config,
    format: Format,
    folder: PathBuf,
    known: &'a mut Known,
    open: BTreeMap<(Table, String, Option<i64>), Open>,
    files: Vec<TableFile>,
    /// Files that were begun.
    begun: usize,
    recording: Option<Recording>,
    /// Of which packets there are rows, names, and the recording.
    selection: &'a Selection,
    /// Whether the packet that is looked at is one of them.
    is_selected: bool,
    host: Option<String>,
    from: Option<u64>,
    to: Option<u64>,
    texts: Texts,
}

/// A file that is written.
struct Open {
    name: String,
    rows: u64,
    writer: Writer,
}

enum Writer {
    Plain(TableWriter<Hashed>),
    Compressed(TableWriter<zstd::stream::write::Encoder<'static, Hashed>>),
}

impl<'a> Making<'a> {
    fn new(
        config: &'a Config,
        format: Format,
        selection: &'a Selection,
        folder: PathBuf,
        known: &'a mut Known,
    ) -> Self {
        Self {
            config,
            format,
            folder,
            known,
            open: BTreeMap::new(),
            files: Vec::new(),
            begun: 0,
            recording: None,
            selection,
            is_selected: false,
            host: None,
            from: None,
            to: None,
            texts: Texts::default(),
        }
    }

    fn row<R: Row>(&mut self, row: &R) -> io::Result<()> {
        let time = row.partition_time();
        if self.host.is_none() {
            self.host = Some(row.host().to_owned());
        }
        self.from = match (self.from, time) {
            (Some(from), Some(time)) => Some(from.min(time)),
            (from, time) => from.or(time),
        };
        self.to = self.to.max(time);
        let key = (R::TABLE, row.host().to_owned(), time.map(day::of));
        if !self.open.contains_key(&key) {
            if self.open.len() >= MAX_OPEN {
                self.finish_open()?;
            }
            let opened = self.begin(R::TABLE)?;
            self.open.insert(key.clone(), opened);
        }
        let Some(open) = self.open.get_mut(&key) else { return Ok(()) };
        open.rows += 1;
        match &mut open.writer {
            Writer::Plain(writer) => writer.row(row, &mut self.texts),
            Writer::Compressed(writer) => writer.row(row, &mut self.texts),
        }
    }

    fn begin(&mut self, table: Table) -> io::Result<Open> {
        let name = format!("{}.{}", self.begun, self.format.extension());
        self.begun += 1;
        let hashed = Hashed::create(&self.folder.join(&name))?;
        let writer = match self.format {
            Format::Parquet => Writer::Plain(TableWriter::new(write::Format::Parquet, table, hashed)?),
            Format::Json => {
                let encoder = zstd::stream::write::Encoder::new(hashed, 0)?;
                Writer::Compressed(TableWriter::new(write::Format::JsonLines, table, encoder)?)
            }
        };
        Ok(Open { name, rows: 0, writer })
    }

    fn finish_open(&mut self) -> io::Result<()> {
        while let Some(((table, host, day), Open { name, rows, writer })) = self.open.pop_first() {
            let (bytes, sha256) = match writer {
                Writer::Plain(writer) => writer.finish()?.finish()?,
                Writer::Compressed(writer) => writer.finish()?.finish()?.finish()?,
            };
            self.files.push(TableFile {
                table: table.name().to_owned(),
                host,
                date: day.map(day::text),
                file: name,
                rows,
                bytes,
                sha256,
            });
        }
        Ok(())
    }

    /// A block of the segment, and the event that it is, before its rows are made.
    fn block(&mut self, item: &Item<'_>, event: Option<&Shown<'_>>) -> io::Result<()> {
        self.is_selected = event.is_some_and(|shown| shown.is_selected(self.selection, &[]));
        if self.config.recordings == Recordings::None {
            return Ok(());
        }
        let recording = match &mut self.recording {
            Some(recording) => recording,
            none => none.insert(Recording::create(&self.folder.join(RECORDING), self.config.recordings)?),
        };
        recording.block(item, event, self.is_selected)
    }

    /// Completes the recording. One without packets says nothing that the tables do not.
    fn finish_recording(&mut self, host: &str) -> io::Result<()> {
        let Some(recording) = self.recording.take() else { return Ok(()) };
        let (packets, bytes, sha256) = recording.finish()?;
        if packets == 0 {
            return fs::remove_file(self.folder.join(RECORDING));
        }
        self.files.push(TableFile {
            table: RECORDINGS.to_owned(),
            host: host.to_owned(),
            date: self.to.map(|nanos| day::text(day::of(nanos))),
            file: RECORDING.to_owned(),
            rows: packets,
            bytes,
            sha256,
        });
        Ok(())
    }

    /// Completes the files and describes them. Returns bytes and rows; `None`: there are no rows.
    fn finish(mut self, spool: &str, number: u64) -> io::Result<Option<(u64, u64)>> {
        self.finish_open()?;
        let Some(host) = self.host.take() else { return Ok(None) };
        self.finish_recording(&host)?;
        let description = Description {
            id: batch_id(spool, number),
            number,
            host,
            from: self.from,
            to: self.to,
            format: self.format,
            schema_version: SCHEMA_VERSION,
            files: self.files,
        };
        let mut file = File::create(self.folder.join(DESCRIPTION))?;
        file.write_all(serde_json::to_string(&description)?.as_bytes())?;
        file.sync_all()?;
        fs::File::open(&self.folder)?.sync_all()?;
        let sum = |value: fn(&TableFile) -> u64| description.files.iter().map(value).sum();
        Ok(Some((sum(|file| file.bytes), sum(|file| file.rows))))
    }
}

impl Rows for Making<'_> {
    type Error = io::Error;

    fn wants(&self, table: Table) -> bool {
        self.config.wants(table)
    }

    fn process(&mut self, row: &ProcessRow<'_>) -> io::Result<()> {
        // Up to when it is known changes with each segment; the day of that is its partition. Its beginning is another one after
        // honed was restarted: of a process that is found running, only the fork is known. Its id says which program it is.
        let same = ProcessRow {
            seen: row.seen.map(|seen| seen - seen % NANOS_PER_DAY),
            start: row.start.filter(|_| row.run.is_none()),
            ..row.clone()
        };
        if self.known.is_new(row.process_uid, &same) { self.row(row) } else { Ok(()) }
    }

    fn connection(&mut self, row: &ConnectionRow<'_>) -> io::Result<()> {
        if row.packets_in + row.packets_out == 0 {
            let same = ConnectionRow { state: State::SectionEnd, ..row.clone() };
            if !self.known.is_new(row.connection_uid, &same) {
                return Ok(());
            }
        }
        self.row(row)
    }

    fn packet(&mut self, row: &PacketRow<'_>) -> io::Result<()> {
        if self.is_selected && self.wants(Table::Packets) { self.row(row) } else { Ok(()) }
    }

    fn name(&mut self, row: &NameRow<'_>) -> io::Result<()> {
        if self.is_selected && self.wants(Table::Names) { self.row(row) } else { Ok(()) }
    }

    fn section(&mut self, row: &SectionRow<'_>) -> io::Result<()> {
        if self.wants(Table::Sections) { self.row(row) } else { Ok(()) }
    }
}

const NANOS_PER_DAY: u64 = 86_400 * 1_000_000_000;

/// The rows that were made, by their ids: a hash of each. If there are too many, all are forgotten.
#[derive(Debug, Default)]
struct Known(HashMap<String, u64>);

impl Known {
    /// Whether no row like this was made for the id; takes note of it.
    fn is_new(&mut self, uid: &str, row: &impl Row) -> bool {
        let mut hash = Hash(DefaultHasher::new());
        row.values(&mut hash, &mut Texts::default());
        let hash = hash.0.finish();
        if self.0.get(uid) == Some(&hash) {
            return false;
        }
        if self.0.len() >= MAX_KNOWN {
            self.0.clear();
        }
        self.0.insert(uid.to_owned(), hash);
        true
    }
}

/// Hashes the values of a row.
struct Hash(DefaultHasher);

impl Values for Hash {
    fn text(&mut self, value: Option<&str>) {
        value.hash(&mut self.0);
    }

    fn int(&mut self, value: Option<i64>) {
        value.hash(&mut self.0);
    }

    fn bool(&mut self, value: Option<bool>) {
        value.hash(&mut self.0);
    }

    fn micros(&mut self, value: Option<i64>) {
        value.hash(&mut self.0);
    }
}
