//! JSON, one object a line.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::push_time;
use crate::row::Table;
use crate::schema::{Column, Row, Texts, Values, push_json};

/// Bytes that are collected before they are written.
const BUFFER: usize = 64 << 10;

/// Writes objects.
pub(super) struct JsonLines<W: Write> {
    columns: &'static [Column],
    out: W,
    text: String,
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(table: Table, out: W) -> Self {
        Self { columns: table.columns(), out, text: String::with_capacity(2 * BUFFER) }
    }

    pub(super) fn row(&mut self, row: &impl Row, texts: &mut Texts) -> io::Result<()> {
        let mut members = Members { columns: self.columns.iter(), text: &mut self.text };
        let start = members.text.len();
        row.values(&mut members, texts);
        // Each member begins with a comma; the first one becomes the brace.
        self.text.replace_range(start..=start, "{");
        self.text.push_str("}\n");
        if self.text.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

/// The members of an object.
struct Members<'a> {
    columns: std::slice::Iter<'a, Column>,
    text: &'a mut String,
}

impl Members<'_> {
    fn put(&mut self, value: impl FnOnce(&mut String)) {
        let name = self.columns.next().map_or("", |column| column.name);
        let _ = write!(self.text, ",\"{name}\":");
        let start = self.text.len();
        value(self.text);
        if self.text.len() == start {
            self.text.push_str("null");
        }
    }
}

impl Values for Members<'_> {
    fn text(&mut self, value: Option<&str>) {
        self.put(|out| value.into_iter().for_each(|text| push_json(text, out)));
    }

    fn int(&mut self, value: Option<i64>) {
        self.put(|out| value.into_iter().for_each(|value| _ = write!(out, "{value}")));
    }

    fn bool(&mut self, value: Option<bool>) {
        self.put(|out| out.extend(value.map(|value| if value { "true" } else { "false" })));
    }

    fn micros(&mut self, value: Option<i64>) {
        self.put(|out| {
            if let Some(micros) = value {
                out.push('"');
                push_time(micros, out);
                out.push('"');
            }
        });
    }
}
