//! `honeutil export`: the tables of recordings as files, in folders of their host and day.
//!
//! A file has the rows of one input: `TABLE/host=ID/date=YYYY-MM-DD/INPUT-HASH.parquet`. It is written under another name
//! and renamed when it is whole, and it has the same name whenever the input is exported: so an input that is exported
//! twice is there once. `files` writes them.

mod files;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hone_select::Selection;
use hone_tables::schema::{Column, Row, SCHEMA_VERSION};
use hone_tables::write::Format;
use hone_tables::{ConnectionRow, NameRow, PacketRow, ProcessRow, Rows, SectionRow, Table, uid};
use serde_json::{Value, json};

use self::files::Files;
use crate::show::ShowError;
use crate::show::input::Input;
use crate::show::time::Span;
use crate::tables;
use crate::text::shown_path;

/// The description of the tables, in their folder. Programs that read the tables pass over names that begin so.
const SCHEMA_FILE: &str = "_hone_schema.json";
/// How much of an input its name is made of.
const BEGIN_BYTES: u64 = 64 << 10;

/// Why the tables cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is something in the folder, and it is not to be added to.
    #[error("{0} is not empty: add to its tables with --append, or name another folder")]
    NotEmpty(String),
    /// The folder is not one of tables.
    #[error("{0} has no tables of Hone to add to: {SCHEMA_FILE} is missing. Name another folder")]
    NoTables(String),
    /// The tables in the folder are of another version of Hone.
    #[error(
        "the tables in {name} are of version {version} of the schema, and this program writes version {SCHEMA_VERSION}: \
         name another folder"
    )]
    Version {
        /// The folder.
        name: String,
        /// The version, as it stands there.
        version: Value,
    },
    /// The files in the folder are of another format: programs that read all of them would fail.
    #[error(
        "the tables in {name} are {format} files, not {wanted}: add to them with --to {format}, or name another folder"
    )]
    Format {
        /// The folder.
        name: String,
        /// The format, as `--to` names it.
        format: String,
        /// The format that was asked for.
        wanted: &'static str,
    },
    /// Something cannot be written.
    #[error("cannot write {name}: {source}. The files that were complete before are kept")]
    Write {
        /// The file or folder.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The times of a recording are of too many days.
    #[error("{name} has rows of more than {} days: are its times right?", files::MAX_PARTITIONS)]
    TooManyDays {
        /// The input.
        name: String,
    },
}

/// What is exported, and where.
#[derive(Debug)]
pub struct Options {
    /// The folder.
    pub directory: PathBuf,
    /// The format of the files.
    pub format: Format,
    /// Which tables.
    pub tables: Vec<Table>,
    /// Whether the folder may have tables already.
    pub is_append: bool,
}

/// How much was written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Written {
    /// Rows of each table, in the order of [`Table::ALL`].
    pub rows: [u64; Table::ALL.len()],
    /// Files.
    pub files: u64,
}

/// Exports the inputs. `failed` gets the error of an input that cannot be read to its end: what comes before is exported,
/// and the other inputs too.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    inputs: &[Input],
    selection: &Rc<Selection>,
    options: Options,
    failed: impl FnMut(&Input, &ShowError),
) -> Result<Written, ExportError> {
    prepare(&options)?;
    let names = inputs.iter().map(|input| file_name(input, selection)).collect();
    let mut export =
        Export { files: Files::new(options.directory, options.format), tables: options.tables, names };
    tables::read(inputs, selection, Span::default(), &mut export, failed)?;
    export.files.finish()?;
    Ok(export.files.written)
}

/// Makes the folder, and refuses one that this must not be written into.
fn prepare(options: &Options) -> Result<(), ExportError> {
    let directory = &options.directory;
    let failed = |source| ExportError::Write { name: shown_path(directory), source };
    let description = directory.join(SCHEMA_FILE);
    let is_empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    if !is_empty && !options.is_append {
        return Err(ExportError::NotEmpty(shown_path(directory)));
    }
    if is_empty {
        fs::create_dir_all(directory).map_err(failed)?;
        let text = format!("{:#}\n", schema(options.format));
        return fs::write(&description, text)
            .map_err(|source| ExportError::Write { name: shown_path(&description), source });
    }
    let known = fs::read(&description).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let known = known.ok_or_else(|| ExportError::NoTables(shown_path(directory)))?;
    let version = &known["schema_version"];
    if *version != SCHEMA_VERSION {
        return Err(ExportError::Version { name: shown_path(directory), version: version.clone() });
    }
    let wanted = options.format.extension();
    match known["format"].as_str() {
        Some(format) if format != wanted => {
            let format = crate::text::printable(format, usize::MAX);
            Err(ExportError::Format { name: shown_path(directory), format, wanted })
        }
        _ => Ok(()),
    }
}

/// The format of the files, all tables and their columns.
fn schema(format: Format) -> Value {
    let columns = |columns: &[Column]| -> Vec<Value> {
        columns.iter().map(|column| json!({"name": column.name, "type": column.kind.name()})).collect()
    };
    let tables = Table::ALL.map(|table| (table.name().to_owned(), json!(columns(table.columns()))));
    json!({
        "schema_version": SCHEMA_VERSION,
        "written_by": concat!("Hone ", env!("CARGO_PKG_VERSION")),
        "format": format.extension(),
        "tables": serde_json::Map::from_iter(tables),
    })
}

/// The name of an input's files, without their ending.
fn file_name(input: &Input, selection: &Selection) -> String {
    let stem = input.stem();
    let stem = [".zst", ".gz", ".pcapng", ".pcap"]
        .iter()
        .fold(&*stem, |stem, end| stem.strip_suffix(end).unwrap_or(stem));
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let mut stem: String = stem.trim_start_matches(['.', '_']).chars().map(plain).take(100).collect();
    if *input == Input::Stdin {
        "stdin".clone_into(&mut stem);
    }
    let words = selection.conditions().map(|condition| {
        format!("--{} {:?}", condition.word.written(condition.is_negated), condition.text())
    });
    let words =
        words.chain(selection.children().then(|| "--children".to_owned())).collect::<Vec<_>>().join(" ");
    let begin = begin(input).unwrap_or_else(|| format!("{:?}", std::time::SystemTime::now()).into_bytes());
    format!("{stem}-{}", uid::input(&begin, &words))
}

/// The first bytes of an input that can be read twice.
fn begin(input: &Input) -> Option<Vec<u8>> {
    use io::Read as _;
    let mut begin = Vec::new();
    let file = Some(input).filter(|input| input.is_file())?.open().ok()?;
    file.take(BEGIN_BYTES).read_to_end(&mut begin).ok()?;
    Some(begin)
}

/// Writes rows.
struct Export {
    files: Files,
    tables: Vec<Table>,
    /// The names of the inputs that have not begun.
    names: std::collections::VecDeque<String>,
}

impl Export {
    fn row<R: Row>(&mut self, row: &R) -> Result<(), ExportError> {
        if self.wants(R::TABLE) { self.files.row(row) } else { Ok(()) }
    }
}

impl Rows for Export {
    type Error = ExportError;

    fn wants(&self, table: Table) -> bool {
        self.tables.contains(&table)
    }

    fn input(&mut self, name: &str) -> Result<(), ExportError> {
        let file = self.names.pop_front().unwrap_or_default();
        self.files.begin(name, file)
    }

    fn process(&mut self, row: &ProcessRow<'_>) -> Result<(), ExportError> {
        self.row(row)
    }

    fn connection(&mut self, row: &ConnectionRow<'_>) -> Result<(), ExportError> {
        self.row(row)
    }

    fn packet(&mut self, row: &PacketRow<'_>) -> Result<(), ExportError> {
        self.row(row)
    }

    fn name(&mut self, row: &NameRow<'_>) -> Result<(), ExportError> {
        self.row(row)
    }

    fn section(&mut self, row: &SectionRow<'_>) -> Result<(), ExportError> {
        self.row(row)
    }
}

/// The folder of a partition.
fn partition(directory: &Path, table: Table, host: &str, day: Option<i64>) -> PathBuf {
    use std::fmt::Write as _;
    // As Hive writes it: others decode it.
    let mut encoded = String::new();
    for byte in host.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    let day = day.map_or_else(|| "__HIVE_DEFAULT_PARTITION__".to_owned(), hone_tables::day::text);
    directory.join(table.name()).join(format!("host={encoded}")).join(format!("date={day}"))
}
