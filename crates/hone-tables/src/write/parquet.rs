//! Apache Parquet. Rows are collected by columns and written as row groups of limited size.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use crate::row::Table;
use crate::schema::{Column, Kind, Row, SCHEMA_VERSION, Texts, Values};

/// Most rows of a row group.
const MAX_ROWS: usize = 1 << 17;
/// Most bytes of the values of a row group, approximately.
const MAX_BYTES: usize = 16 << 20;
/// The fastest level: higher ones save little of what dictionaries leave.
const ZSTD_LEVEL: i32 = 1;

/// Writes row groups.
pub(super) struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Collected>,
    rows: usize,
    /// Most rows of a row group.
    pub(super) most_rows: usize,
    bytes: usize,
}

/// The values of a column that are not yet written.
struct Collected {
    values: Collection,
    /// 1 for a value, 0 for null.
    levels: Vec<i16>,
}

enum Collection {
    Texts(CollectedTexts),
    Numbers(Vec<i64>),
    Bools(Vec<bool>),
}

/// Texts one after the other: one piece of memory for all.
#[derive(Default)]
struct CollectedTexts {
    text: String,
    /// Where each value begins and ends.
    places: Vec<Range<usize>>,
}

impl CollectedTexts {
    /// Returns how many bytes more are in use.
    fn push(&mut self, value: &str) -> usize {
        // Rows that follow each other have many texts in common.
        let last = self.places.last().filter(|last| self.text.get((*last).clone()) == Some(value)).cloned();
        let bytes = if last.is_some() { 0 } else { value.len() };
        let place = last.unwrap_or_else(|| {
            let begin = self.text.len();
            self.text.push_str(value);
            begin..self.text.len()
        });
        self.places.push(place);
        bytes + size_of::<Range<usize>>()
    }

    /// Takes them all.
    fn take(&mut self) -> Vec<ByteArray> {
        let text = Bytes::from(std::mem::take(&mut self.text).into_bytes());
        self.places.drain(..).map(|place| text.slice(place).into()).collect()
    }
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(table: Table, out: W) -> io::Result<Self> {
        let columns = table.columns();
        let schema = Arc::new(parse_message_type(&message(table, columns)).map_err(failed)?);
        let metadata =
            [("hone.schema_version", SCHEMA_VERSION.to_string()), ("hone.table", table.name().to_owned())];
        let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let mut properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(failed)?))
            .set_created_by(concat!("Hone ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(metadata.into()));
        for column in columns.iter().filter(|column| is_ascending(column)) {
            let path = ColumnPath::from(column.name);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(out, schema, properties).map_err(failed)?;
        let columns = columns.iter().map(Collected::of).collect();
        Ok(Self { writer, columns, rows: 0, most_rows: MAX_ROWS, bytes: 0 })
    }

    pub(super) fn row(&mut self, row: &impl Row, texts: &mut Texts) -> io::Result<()> {
        let mut cells = Cells { columns: self.columns.iter_mut(), bytes: 0 };
        row.values(&mut cells, texts);
        self.bytes += cells.bytes;
        self.rows += 1;
        if self.rows >= self.most_rows || self.bytes >= MAX_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.writer.into_inner().map_err(failed)
    }

    /// Writes a row group.
    fn flush(&mut self) -> io::Result<()> {
        (self.rows, self.bytes) = (0, 0);
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for column in &mut self.columns {
            column.write(&mut group).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        Ok(())
    }
}

/// Whether its numbers are nearly all different, and come nearly in order: then differences are short, and a dictionary is not.
fn is_ascending(column: &Column) -> bool {
    column.kind == Kind::Time || column.name.ends_with("_ns") || column.name == "frame"
}

/// The schema in the language of the format.
fn message(table: Table, columns: &[Column]) -> String {
    let mut message = format!("message {} {{", table.name());
    for Column { name, kind } in columns {
        message.push_str(&match kind {
            Kind::Text => format!(" optional binary {name} (STRING);"),
            Kind::Int => format!(" optional int64 {name};"),
            Kind::Bool => format!(" optional boolean {name};"),
            Kind::Time => format!(" optional int64 {name} (TIMESTAMP(MICROS,true));"),
        });
    }
    message.push_str(" }");
    message
}

impl Collected {
    fn of(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text => Collection::Texts(CollectedTexts::default()),
            Kind::Int | Kind::Time => Collection::Numbers(Vec::new()),
            Kind::Bool => Collection::Bools(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let levels = &self.levels;
        match &mut self.values {
            Collection::Texts(values) => write::<ByteArrayType, W>(&values.take(), levels, group)?,
            Collection::Numbers(values) => {
                write::<Int64Type, W>(values, levels, group)?;
                values.clear();
            }
            Collection::Bools(values) => {
                write::<BoolType, W>(values, levels, group)?;
                values.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}

fn write<T: DataType, W: Write + Send>(
    values: &[T::T],
    levels: &[i16],
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, Some(levels), None)?;
        column.close()?;
    }
    Ok(())
}

/// The values of a row, each for its column.
struct Cells<'a> {
    columns: std::slice::IterMut<'a, Collected>,
    bytes: usize,
}

impl Values for Cells<'_> {
    fn text(&mut self, value: Option<&str>) {
        let Some(column) = self.columns.next() else { return };
        column.levels.push(value.is_some().into());
        if let (Some(value), Collection::Texts(values)) = (value, &mut column.values) {
            self.bytes += values.push(value);
        }
    }

    fn int(&mut self, value: Option<i64>) {
        let Some(column) = self.columns.next() else { return };
        column.levels.push(value.is_some().into());
        if let (Some(value), Collection::Numbers(values)) = (value, &mut column.values) {
            values.push(value);
            self.bytes += size_of::<i64>();
        }
    }

    fn bool(&mut self, value: Option<bool>) {
        let Some(column) = self.columns.next() else { return };
        column.levels.push(value.is_some().into());
        if let (Some(value), Collection::Bools(values)) = (value, &mut column.values) {
            values.push(value);
            self.bytes += 1;
        }
    }

    fn micros(&mut self, value: Option<i64>) {
        self.int(value);
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
