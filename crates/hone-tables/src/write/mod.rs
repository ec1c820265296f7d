//! Files of rows, in each format. A writer takes the rows of one table and writes them to whatever takes bytes. Its memory
//! is limited.

mod csv;
mod jsonl;
mod parquet;

use std::fmt::Write as _;
use std::io::{self, Write};

use self::csv::Csv;
use self::jsonl::JsonLines;
use self::parquet::Parquet;
use crate::row::Table;
use crate::schema::{Row, Texts};

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet, compressed with zstd.
    Parquet,
    /// Comma-separated values (RFC 4180), with a line of names first.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// How its files end, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
}

/// Writes a file of one table.
pub struct TableWriter<W: Write + Send>(Writer<W>);

enum Writer<W: Write + Send> {
    Parquet(Box<Parquet<W>>),
    Csv(Box<Csv<W>>),
    JsonLines(JsonLines<W>),
}

impl<W: Write + Send> TableWriter<W> {
    /// A file of this table.
    ///
    /// # Errors
    /// Writing failed.
    pub fn new(format: Format, table: Table, out: W) -> io::Result<Self> {
        Ok(Self(match format {
            Format::Parquet => Writer::Parquet(Box::new(Parquet::new(table, out)?)),
            Format::Csv => Writer::Csv(Box::new(Csv::new(table, out)?)),
            Format::JsonLines => Writer::JsonLines(JsonLines::new(table, out)),
        }))
    }

    /// Writes a row of its table. `texts`: kept by the caller from one row to the next.
    ///
    /// # Errors
    /// Writing failed.
    pub fn row(&mut self, row: &impl Row, texts: &mut Texts) -> io::Result<()> {
        match &mut self.0 {
            Writer::Parquet(writer) => writer.row(row, texts),
            Writer::Csv(writer) => writer.row(row, texts),
            Writer::JsonLines(writer) => writer.row(row, texts),
        }
    }

    /// Ends the file. Returns what it was written to.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Writer::Parquet(writer) => writer.finish(),
            Writer::Csv(writer) => writer.finish(),
            Writer::JsonLines(writer) => writer.finish(),
        }
    }
}

/// A time as RFC 3339 with microseconds: `2026-07-30T12:00:00.123456Z`.
fn push_time(micros: i64, out: &mut String) {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (year, month, day) = crate::day::date(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::{NameKind, NameRow};

    const TEXT: &str = "=1+\"2\",\u{202e}\u{7f}\n";

    fn row<'a>(answers: &'a [std::borrow::Cow<'a, str>]) -> NameRow<'a> {
        NameRow {
            time: Some(1_785_412_800_123_456_789),
            host: "web",
            boot: None,
            process_uid: None,
            pid: Some(7),
            connection_uid: Some("c"),
            kind: NameKind::Dns,
            name: Some(TEXT),
            question_type: Some("A"),
            response_code: None,
            answers,
            ttl: Some(u32::MAX),
            alpn: None,
            version: None,
            ja4: None,
            is_encrypted: false,
            is_cut: true,
        }
    }

    /// A file with one row.
    fn written(format: Format) -> String {
        let answers = ["192.0.2.1".into(), "\\ \"".into()];
        let mut writer = TableWriter::new(format, Table::Names, Vec::new()).unwrap();
        writer.row(&row(&answers), &mut Texts::default()).unwrap();
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn csv_has_no_formulas_and_quotes_what_must_be() {
        assert_eq!(
            written(Format::Csv),
            "time,time_ns,host,boot,process_uid,pid,connection_uid,kind,name,question_type,response_code,answers,ttl,\
             alpn,version,ja4,is_encrypted,is_cut\n\
             2026-07-30T12:00:00.123456Z,1785412800123456789,web,,,7,c,dns,\"'=1+\"\"2\"\",\u{202e}\u{7f}\n\",A,,\
             \"[\"\"192.0.2.1\"\",\"\"\\\\ \\\"\"\"\"]\",4294967295,,,,false,true\n"
        );
    }

    #[test]
    fn json_has_each_column_and_no_character_that_misleads() {
        assert_eq!(
            written(Format::JsonLines),
            "{\"time\":\"2026-07-30T12:00:00.123456Z\",\"time_ns\":1785412800123456789,\"host\":\"web\",\"boot\":null,\
             \"process_uid\":null,\"pid\":7,\"connection_uid\":\"c\",\"kind\":\"dns\",\
             \"name\":\"=1+\\\"2\\\",\\u202e\\u007f\\n\",\"question_type\":\"A\",\"response_code\":null,\
             \"answers\":\"[\\\"192.0.2.1\\\",\\\"\\\\\\\\ \\\\\\\"\\\"]\",\"ttl\":4294967295,\"alpn\":null,\"version\":null,\
             \"ja4\":null,\"is_encrypted\":false,\"is_cut\":true}\n"
        );
    }

    #[test]
    fn parquet_has_every_row_in_groups_of_limited_size() {
        let (rows, answers) = (1500, ["192.0.2.1".into()]);
        let mut writer = Parquet::new(Table::Names, Vec::new()).unwrap();
        writer.most_rows = 1000;
        for _ in 0..rows {
            writer.row(&row(&answers), &mut Texts::default()).unwrap();
        }
        let file = SerializedFileReader::new(bytes::Bytes::from(writer.finish().unwrap())).unwrap();
        let metadata = file.metadata();
        let groups: Vec<_> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [1000, 500]);
        let version = metadata.file_metadata().key_value_metadata().unwrap()[0].clone();
        assert_eq!((&*version.key, version.value.as_deref()), ("hone.schema_version", Some("1")));
        let all: Vec<_> = file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(all.len(), rows);
        let expected = format!("name: \"{TEXT}\", question_type: \"A\", response_code: null");
        assert!(all.iter().all(|row| row.contains(&expected)), "{}", all[0]);
        assert!(all[rows - 1].starts_with("{time: 2026-07-30 12:00:00.123456"), "{}", all[rows - 1]);
    }
}
