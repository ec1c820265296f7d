//! A batch: the rows of one segment, as files. It is whole, and never changes once it exists.
//!
//! ```text
//! batches/0000000012/batch.json     what it consists of
//!                    0.parquet ..   a file for each table, host and day
//!                    recording.pcapng.zst   if recordings are delivered
//! ```
//!
//! Batches are numbered in the order in which they were recorded. Its name is that of its spool and its number, so it is unique
//! among all hosts and for all time, and the same whenever it is delivered.

use std::io::{self, BufRead as _, BufReader, Cursor};
use std::path::{Path, PathBuf};

use hone_rows::text::hexadecimal;
use hone_tables::Table;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The name of the file that describes a batch, in its folder.
pub const DESCRIPTION: &str = "batch.json";

/// The folder of recordings, beside those of the tables.
pub const RECORDINGS: &str = "recordings";

/// How the files of tables are written. Each destination takes one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// JSON, one object a line, compressed with zstd.
    Json,
}

impl Format {
    /// How its files end, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Json => "jsonl.zst",
        }
    }
}

/// What a batch consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Unique over hosts and time: the id of the spool, and the number. It is part of the names of delivered files.
    pub id: String,
    /// Its number within the spool, from 1 on.
    pub number: u64,
    /// The id of the host that it was recorded on.
    pub host: String,
    /// The times of the first and the last of its rows, nanoseconds since 1970-01-01 UTC; none if no row has a time.
    pub from: Option<u64>,
    /// See `from`.
    pub to: Option<u64>,
    /// How its files are written.
    pub format: Format,
    /// The version of the schema of the tables.
    pub schema_version: u32,
    /// Its files.
    pub files: Vec<TableFile>,
}

/// The rows of a table of one host and day, or a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFile {
    /// The name of the table: [`Table::name`]; or [`RECORDINGS`].
    pub table: String,
    /// The host.
    pub host: String,
    /// The day, `2026-07-31`; none for rows without a time.
    pub date: Option<String>,
    /// The name of the file in the folder of the batch.
    pub file: String,
    /// Rows; of a recording, packets.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl TableFile {
    /// How delivered files of this kind end, without the first dot.
    #[must_use]
    pub fn extension(&self) -> &str {
        self.file.split_once('.').map_or("", |(_, extension)| extension)
    }

    /// Its table; `None` if it is a recording, or this program does not know it.
    #[must_use]
    pub fn table(&self) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == self.table)
    }
}

/// A batch in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its folder.
    pub folder: PathBuf,
    /// What it consists of.
    pub description: Description,
}

impl Batch {
    /// Opens the batch in this folder.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let text = std::fs::read(folder.join(DESCRIPTION))?;
        Ok(Self { folder: folder.to_owned(), description: serde_json::from_slice(&text)? })
    }

    /// Where one of its files is.
    #[must_use]
    pub fn path(&self, file: &TableFile) -> PathBuf {
        self.folder.join(&file.file)
    }

    /// The content of one of its files.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub fn content(&self, file: &TableFile) -> io::Result<Vec<u8>> {
        let content = std::fs::read(self.path(file))?;
        if hexadecimal(&Sha256::digest(&content)) != file.sha256 {
            return Err(io::Error::other("it is not what was written: its SHA-256 is another one"));
        }
        Ok(content)
    }

    /// The rows of one of its files as JSON objects, for a batch of [`Format::Json`]. The position of a line, with the id of the batch
    /// and the file, identifies the row for all time.
    ///
    /// # Errors
    /// As [`content`](Self::content).
    pub fn lines(&self, file: &TableFile) -> io::Result<impl Iterator<Item = io::Result<String>> + use<>> {
        let decoder = zstd::stream::read::Decoder::new(Cursor::new(self.content(file)?))?;
        Ok(BufReader::new(decoder).lines())
    }

    /// Bytes of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.description.files.iter().map(|file| file.bytes).sum()
    }

    /// Rows of its files.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.description.files.iter().map(|file| file.rows).sum()
    }
}
