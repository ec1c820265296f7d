//! The files of an export: one for each table and partition that the present input has rows of.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use hone_tables::Table;
use hone_tables::day;
use hone_tables::schema::{Row, Texts};
use hone_tables::write::{Format, TableWriter};

use super::{ExportError, Written, partition};
use crate::text::shown_path;

/// Most files that are open at once. Each has rows in memory.
const MAX_OPEN: usize = 8;
/// Most partitions of one input.
pub(super) const MAX_PARTITIONS: usize = 4096;

/// A table's rows of a host and a day.
type Key = (Table, String, Option<i64>);

/// The files.
pub(super) struct Files {
    directory: PathBuf,
    format: Format,
    /// The input, and the name of its files.
    input: String,
    name: String,
    open: BTreeMap<Key, Open>,
    /// How many files of each partition were begun.
    begun: BTreeMap<Key, u32>,
    texts: Texts,
    clock: u64,
    pub(super) written: Written,
}

/// A file that is written.
struct Open {
    part: Part,
    writer: TableWriter<BufWriter<File>>,
    /// When it was last written to.
    used: u64,
}

/// The temporary name of a file. What is not finished is removed.
struct Part {
    temporary: PathBuf,
    path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // Renamed, as a rule.
        let _ = fs::remove_file(&self.temporary);
    }
}

impl Files {
    pub(super) fn new(directory: PathBuf, format: Format) -> Self {
        Self {
            directory,
            format,
            input: String::new(),
            name: String::new(),
            open: BTreeMap::new(),
            begun: BTreeMap::new(),
            texts: Texts::default(),
            clock: 0,
            written: Written::default(),
        }
    }

    /// Begins with the next input; `name`: that of its files.
    pub(super) fn begin(&mut self, input: &str, name: String) -> Result<(), ExportError> {
        self.finish()?;
        self.begun.clear();
        (self.input, self.name) = (input.to_owned(), name);
        Ok(())
    }

    /// Writes a row.
    pub(super) fn row<R: Row>(&mut self, row: &R) -> Result<(), ExportError> {
        let day = row.partition_time().map(day::of);
        self.clock += 1;
        let clock = self.clock;
        let is_it =
            |(table, host, its_day): &Key| *table == R::TABLE && *its_day == day && host == row.host();
        if !self.open.keys().any(is_it) {
            self.create((R::TABLE, row.host().to_owned(), day))?;
        }
        let Some((_, open)) = self.open.iter_mut().find(|(key, _)| is_it(key)) else { return Ok(()) };
        open.used = clock;
        open.writer.row(row, &mut self.texts).map_err(|source| failed(&open.part.path, source))?;
        self.written.rows[R::TABLE as usize] += 1;
        Ok(())
    }

    /// Completes all files.
    pub(super) fn finish(&mut self) -> Result<(), ExportError> {
        while let Some((_, open)) = self.open.pop_first() {
            self.complete(open)?;
        }
        Ok(())
    }

    fn create(&mut self, key: Key) -> Result<(), ExportError> {
        if self.open.len() >= MAX_OPEN
            && let Some(key) = self.open.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| key.clone())
            && let Some(open) = self.open.remove(&key)
        {
            self.complete(open)?;
        }
        if self.begun.len() >= MAX_PARTITIONS && !self.begun.contains_key(&key) {
            return Err(ExportError::TooManyDays { name: self.input.clone() });
        }
        let begun = self.begun.entry(key.clone()).or_default();
        *begun += 1;
        let folder = partition(&self.directory, key.0, &key.1, key.2);
        let number = if *begun == 1 { String::new() } else { format!("-{begun}") };
        let name = format!("{}{number}.{}", self.name, self.format.extension());
        let (path, temporary) = (folder.join(&name), folder.join(format!(".{name}.part")));
        let opened = fs::create_dir_all(&folder).and_then(|()| File::create(&temporary));
        let file = opened.map_err(|source| failed(&path, source))?;
        let part = Part { temporary, path };
        let writer = TableWriter::new(self.format, key.0, BufWriter::new(file));
        let writer = writer.map_err(|source| failed(&part.path, source))?;
        self.open.insert(key, Open { part, writer, used: self.clock });
        Ok(())
    }

    fn complete(&mut self, open: Open) -> Result<(), ExportError> {
        let Open { part, writer, .. } = open;
        let finished =
            writer.finish().and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error));
        let renamed =
            finished.and_then(|file| file.sync_all()).and_then(|()| fs::rename(&part.temporary, &part.path));
        renamed.map_err(|source| failed(&part.path, source))?;
        self.written.files += 1;
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> ExportError {
    ExportError::Write { name: shown_path(path), source }
}
