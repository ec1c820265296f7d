//! Makes batches of segments: one thread, in the order of their numbers.
//!
//! A segment begins with all processes and connections of its moment, so most of their rows are the same in each. Those that were
//! made before, and are the same, are left out: a process is there once a day, and whenever something of it has changed. What is
//! known of that is lost when the program ends; then the rows are there once more, as `honeutil export` has them.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hone_rows::Span;
use hone_rows::corrections::Corrections;
use hone_rows::rows::Maker;
use hone_rows::stream::{Stream, StreamError};
use hone_rows::text::hexadecimal;
use hone_select::Selection;
use hone_tables::schema::{Row, SCHEMA_VERSION, Texts, Values};
use hone_tables::write::{self, TableWriter};
use hone_tables::{ConnectionRow, NameRow, PacketRow, ProcessRow, Rows, SectionRow, State, Table, day};
use sha2::{Digest as _, Sha256};

use crate::batch::{DESCRIPTION, Description, Format, TableFile};
use crate::config::Config;
use crate::counters::{Counters, Part};
use crate::destination::Stop;
use crate::spool::{Spool, batch_id};

/// Bytes that are read of a segment at once.
const CHUNK: usize = 128 << 10;
/// Most files that are written at once; each has rows in memory.
const MAX_OPEN: usize = 8;
/// Most processes and connections of which it is known that their rows were made.
const MAX_KNOWN: usize = 1 << 17;
/// How long to wait before a batch that could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Makes batches until the program is to end and none is left to make.
pub fn run(config: &Config, format: Format, spool: &Spool, counters: &Counters, stop: &Stop, end: &Stop) {
    let selection = Rc::new(Selection::default());
    let mut maker = Maker::new(&selection, Span::default());
    let mut known = Known::default();
    loop {
        let Some((number, path)) = spool.next_segment() else {
            if stop.is_set() {
                return;
            }
            spool.wait(Duration::from_millis(500));
            continue;
        };
        let made = spool.begin_batch(number).and_then(|folder| {
            let mut batch = Making::new(config, format, folder, &mut known);
            read(&path, number, &selection, &mut maker, &mut batch)?;
            let made = batch.finish(&spool.id(), number)?;
            spool.end_batch(number, made)?;
            Ok(made)
        });
        match made {
            Ok(made) => counters.made_batches.add(made.is_some().into()),
            Err(error) => {
                // What is known was perhaps not made.
                known = Known::default();
                spool.give_up_batch(number);
                counters.problem(Part::Spool, &format!("cannot make a batch of {}: {error}", path.display()));
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
    path: &Path,
    number: u64,
    selection: &Rc<Selection>,
    maker: &mut Maker<'_>,
    batch: &mut Making<'_>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    // Corrections come after the packets that they correct, so the segment is read twice.
    let mut corrections = Corrections::default();
    corrections.collect_all([Some(File::open(path)?)], selection, &mut chunk);
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
        let taken = stream.feed(&chunk[..count]).map_err(Stopped::Stream).and_then(|()| {
            stream.drain(|shown| maker.event(&corrections.apply(shown), batch).map_err(Stopped::Rows))
        });
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

/// A file, and the hash of what was written to it.
struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<'a> Making<'a> {
    fn new(config: &'a Config, format: Format, folder: PathBuf, known: &'a mut Known) -> Self {
        Self {
            config,
            format,
            folder,
            known,
            open: BTreeMap::new(),
            files: Vec::new(),
            begun: 0,
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
        let file = BufWriter::new(File::create_new(self.folder.join(&name))?);
        let hashed = Hashed { file, hash: Sha256::new(), bytes: 0 };
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
            let mut hashed = match writer {
                Writer::Plain(writer) => writer.finish()?,
                Writer::Compressed(writer) => writer.finish()?.finish()?,
            };
            hashed.file.flush()?;
            hashed.file.get_ref().sync_data()?;
            self.files.push(TableFile {
                table: table.name().to_owned(),
                host,
                date: day.map(day::text),
                file: name,
                rows,
                bytes: hashed.bytes,
                sha256: hexadecimal(&hashed.hash.finalize()),
            });
        }
        Ok(())
    }

    /// Completes the files and describes them. Returns bytes and rows; `None`: there are no rows.
    fn finish(mut self, spool: &str, number: u64) -> io::Result<Option<(u64, u64)>> {
        self.finish_open()?;
        let Some(host) = self.host.take() else { return Ok(None) };
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
        if self.wants(Table::Packets) { self.row(row) } else { Ok(()) }
    }

    fn name(&mut self, row: &NameRow<'_>) -> io::Result<()> {
        if self.wants(Table::Names) { self.row(row) } else { Ok(()) }
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
