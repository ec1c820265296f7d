//! Comma-separated values.

use std::io::{self, Write};

use super::push_time;
use crate::row::Table;
use crate::schema::{Row, Texts, Values};

/// Spreadsheets take a value that begins so for a formula, which can run programs.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes lines.
pub(super) struct Csv<W: Write> {
    writer: csv::Writer<W>,
    text: String,
}

impl<W: Write> Csv<W> {
    pub(super) fn new(table: Table, out: W) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(table.columns().iter().map(|column| column.name))?;
        Ok(Self { writer, text: String::new() })
    }

    pub(super) fn row(&mut self, row: &impl Row, texts: &mut Texts) -> io::Result<()> {
        let mut fields = Fields { csv: self, failed: None };
        row.values(&mut fields, texts);
        if let Some(error) = fields.failed {
            return Err(error.into());
        }
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// The fields of a line.
struct Fields<'a, W: Write> {
    csv: &'a mut Csv<W>,
    failed: Option<csv::Error>,
}

impl<W: Write> Fields<'_, W> {
    fn put(&mut self, text: &str) {
        if let Err(error) = self.csv.writer.write_field(text) {
            self.failed.get_or_insert(error);
        }
    }

    fn made(&mut self, make: impl FnOnce(&mut String)) {
        let mut text = std::mem::take(&mut self.csv.text);
        text.clear();
        make(&mut text);
        self.put(&text);
        self.csv.text = text;
    }
}

impl<W: Write> Values for Fields<'_, W> {
    fn text(&mut self, value: Option<&str>) {
        match value {
            Some(text) if text.starts_with(FORMULA) => self.made(|out| out.extend(["'", text])),
            text => self.put(text.unwrap_or_default()),
        }
    }

    fn int(&mut self, value: Option<i64>) {
        self.made(|out| out.extend(value.map(|value| value.to_string())));
    }

    fn bool(&mut self, value: Option<bool>) {
        self.put(value.map_or("", |value| if value { "true" } else { "false" }));
    }

    fn micros(&mut self, value: Option<i64>) {
        self.made(|out| value.into_iter().for_each(|micros| push_time(micros, out)));
    }
}
