//! Apache Parquet. Rows are collected by columns and written as row groups of limited size.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

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
    Texts(Vec<ByteArray>),
    Numbers(Vec<i64>),
    Bools(Vec<bool>),
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(table: Table, out: W) -> io::Result<Self> {
        let columns = table.columns();
        let schema = Arc::new(parse_message_type(&message(table, columns)).map_err(failed)?);
        let metadata =
            [("hone.schema_version", SCHEMA_VERSION.to_string()), ("hone.table", table.name().to_owned())];
        let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(failed)?))
            .set_created_by(concat!("Hone ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(metadata.into()))
            .build();
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(failed)?;
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
            Kind::Text => Collection::Texts(Vec::new()),
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
            Collection::Texts(values) => write::<ByteArrayType, W>(values, levels, group)?,
            Collection::Numbers(values) => write::<Int64Type, W>(values, levels, group)?,
            Collection::Bools(values) => write::<BoolType, W>(values, levels, group)?,
        }
        self.levels.clear();
        Ok(())
    }
}

fn write<T: DataType, W: Write + Send>(
    values: &mut Vec<T::T>,
    levels: &[i16],
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, Some(levels), None)?;
        column.close()?;
    }
    values.clear();
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
            // Rows that follow each other have many texts in common.
            let text = match values.last() {
                Some(last) if last.data() == value.as_bytes() => last.clone(),
                _ => {
                    self.bytes += value.len();
                    ByteArray::from(value)
                }
            };
            values.push(text);
            self.bytes += size_of::<ByteArray>();
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
