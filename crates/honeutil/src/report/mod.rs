//! `honeutil report`: recordings as one page to look at.
//!
//! `collect` takes the rows of recordings (`crate::tables`) in bounded memory. `page` writes them, as `columns`, into a page
//! that shows them by itself; its own code is in `page/`.

mod collect;
mod columns;
mod hosts;
mod page;
#[cfg(test)]
mod tests;
mod texts;
mod timeline;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;

use hone_select::Selection;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::collect::{Collected, NONE};
use self::columns::{ALIGNMENT, Column, Place};
use self::hosts::Host;
use self::timeline::Sums;
use crate::cut::{CutFile, FileError};
use crate::show::ShowError;
use crate::show::input::Input;
use crate::show::time::{Span, Times};
use crate::text::{printable, thousands};

/// What was written.
#[derive(Debug, Default)]
pub struct Report {
    /// Hosts.
    pub hosts: usize,
    /// Packets.
    pub packets: u64,
    /// Connections, with flows of packets without one.
    pub connections: usize,
    /// Processes.
    pub processes: usize,
    /// What the page says is missing in it.
    pub notes: Vec<String>,
}

/// An input, as the page gets it.
#[derive(Debug, Serialize)]
struct Source {
    name: String,
    bytes: Option<u64>,
    sha256: Option<String>,
    /// Why there is no hash.
    no_hash: &'static str,
    /// Why it was not read to its end.
    failed: Option<String>,
}

/// A series of the timeline: a program of a host. Name 0 is packets without a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
struct Series {
    host: u16,
    name: u32,
}

/// Where the timeline begins and how long its spans are, in microseconds.
#[derive(Debug, Serialize)]
struct TimelineHead {
    start: f64,
    width: f64,
    bins: u64,
    series: Vec<Series>,
}

/// The head of the data.
#[derive(Debug, Serialize)]
struct Head<'a> {
    version: u32,
    program: &'static str,
    files: &'a [Source],
    hosts: &'a [Host],
    /// The words that the report was made with, for the commands that it shows.
    words: Vec<[String; 2]>,
    notes: &'a [String],
    timeline: TimelineHead,
    columns: HashMap<&'static str, Place>,
}

/// Reads the inputs and writes the report of what the selection and the span admit. `failed` gets the error of an input that
/// cannot be read to its end; the report has what comes before.
///
/// # Errors
/// [`FileError`] of the report.
pub fn make(
    inputs: &[Input],
    selection: &Rc<Selection>,
    span: Span,
    out: CutFile,
    mut failed: impl FnMut(&Input, &ShowError),
) -> Result<Report, FileError> {
    let hashes = hashes(inputs);
    let mut collected = Collected::default();
    let mut errors: HashMap<String, String> = HashMap::new();
    let Ok(()) = crate::tables::read(inputs, selection, span, &mut collected, |input, error| {
        errors.insert(input.name(), error.to_string());
        failed(input, error);
    });
    collected.finish();
    let hashes = hashes.join().unwrap_or_else(|_| vec![None; inputs.len()]);
    let sources: Vec<_> = inputs
        .iter()
        .zip(hashes)
        .map(|(input, sha256)| Source {
            name: input.name(),
            bytes: size(input),
            sha256,
            no_hash: if input.is_file() {
                "could not be read again"
            } else {
                "none: it can be read only once"
            },
            failed: errors.remove(&input.name()),
        })
        .collect();
    let report = Report {
        hosts: collected.hosts.all.len(),
        packets: collected.hosts.packets(),
        connections: collected.connections.open.len(),
        processes: collected.processes.pid.len(),
        notes: notes(&collected),
    };
    let mut out = Out { file: out, error: None };
    let written = write(&mut out, collected, &sources, words(selection, span), &report.notes);
    match (written, out.error) {
        (_, Some(error)) => Err(error),
        (Err(source), None) => Err(FileError::Write { name: out.file.name().to_owned(), source }),
        (Ok(()), None) => out.file.finish().map(|()| report),
    }
}

/// Writes the page with all that was collected.
fn write(
    out: &mut impl Write,
    mut collected: Collected,
    sources: &[Source],
    words: Vec<[String; 2]>,
    notes: &[String],
) -> io::Result<()> {
    let timeline = std::mem::take(&mut collected.timeline);
    let mut series = Vec::new();
    let mut places = HashMap::new();
    let processes = &collected.processes;
    let mut numbers: Vec<Option<u32>> = vec![None; processes.pid.len()];
    let mut number = |one: Series| {
        *places.entry(one.clone()).or_insert_with(|| {
            series.push(one);
            u32::try_from(series.len() - 1).unwrap_or(0)
        })
    };
    for (at, known) in numbers.iter_mut().enumerate() {
        if processes.packets[at] > 0.0 {
            *known = Some(number(Series { host: processes.host[at], name: processes.name[at] }));
        }
    }
    let hosts = collected.hosts.all.len();
    let unowned: Vec<_> = (0..hosts)
        .map(|at| number(Series { host: u16::try_from(at).unwrap_or(u16::MAX), name: 0 }))
        .collect();
    let Sums { start, width, bins, sums } = timeline.finish(|process| {
        let at = usize::try_from(process).unwrap_or(usize::MAX);
        let of_host = usize::try_from(NONE - process).unwrap_or(usize::MAX);
        numbers.get(at).copied().flatten().or_else(|| unowned.get(of_host).copied()).unwrap_or(0)
    });
    let bin_of: Vec<_> = sums.iter().map(|sum| u16::try_from(sum.0).unwrap_or(u16::MAX)).collect();
    let series_of: Vec<_> = sums.iter().map(|sum| sum.1).collect();
    let bytes_of: Vec<_> = sums.iter().map(|sum| sum.2 as f64).collect();
    drop(sums);

    let mut columns: Vec<(&'static str, &dyn Column)> =
        vec![("timeline.bin", &bin_of), ("timeline.series", &series_of), ("timeline.bytes", &bytes_of)];
    columns.extend(collected.processes.columns());
    columns.extend(collected.connections.columns());
    columns.extend(collected.names.columns());
    columns.extend(collected.texts.columns());
    let mut offset = 0;
    let mut column_places = HashMap::new();
    for (name, column) in &columns {
        column_places.insert(*name, column.place(offset));
        offset += column.bytes();
    }
    let head = Head {
        version: 1,
        program: concat!("honeutil ", env!("CARGO_PKG_VERSION")),
        files: sources,
        hosts: &collected.hosts.all,
        words,
        notes,
        timeline: TimelineHead { start: start as f64 / 1e3, width: width as f64 / 1e3, bins, series },
        columns: column_places,
    };
    let mut head = serde_json::to_vec(&head)?;
    let length = u32::try_from(head.len()).map_err(io::Error::other)?;
    // The length itself is four bytes.
    head.resize((head.len() + 4).next_multiple_of(ALIGNMENT) - 4, b' ');
    page::write(out, |data| {
        data.write_all(&length.to_le_bytes())?;
        data.write_all(&head)?;
        columns.iter().try_for_each(|(_, column)| column.write(data))
    })
}

/// What the page says is missing in it.
fn notes(collected: &Collected) -> Vec<String> {
    let left_out = &collected.left_out;
    let mut notes = Vec::new();
    if left_out.connections > 0 {
        notes.push(format!(
            "The {} connections with the fewest bytes ({} packets, {} bytes) are left out of all views but this one. A report of a \
             shorter time (--from, --to) or of a selection has room for them.",
            thousands(left_out.connections),
            thousands(left_out.connection_packets),
            thousands(left_out.connection_bytes)
        ));
    }
    if left_out.processes > 0 {
        notes.push(format!(
            "There was no room for all processes: {} times, a packet or a connection is shown without its process.",
            thousands(left_out.processes)
        ));
    }
    if left_out.names > 0 {
        notes.push(format!("There was no room for {} names.", thousands(left_out.names)));
    }
    if collected.texts.is_full {
        notes.push("There was no room for all texts.".to_owned());
    }
    notes
}

/// The words of a selection and a span, each with its value.
fn words(selection: &Selection, span: Span) -> Vec<[String; 2]> {
    let mut words: Vec<_> = selection
        .conditions()
        .map(|condition| {
            let word = format!("--{}", condition.word.written(condition.is_negated));
            [word, printable(condition.text(), texts::MAX_TEXT)]
        })
        .collect();
    if selection.children() {
        words.push(["--children".to_owned(), String::new()]);
    }
    for (word, time) in [("--from", span.from), ("--to", span.to)] {
        if let Some(time) = time {
            words.push([word.to_owned(), Times::default().text(time).to_owned()]);
        }
    }
    words
}

/// The size of a file.
fn size(input: &Input) -> Option<u64> {
    match input {
        Input::File(path) if input.is_file() => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
        _ => None,
    }
}

/// The SHA-256 of each input that is a file, computed beside the reading.
fn hashes(inputs: &[Input]) -> thread::JoinHandle<Vec<Option<String>>> {
    let paths: Vec<Option<PathBuf>> = inputs
        .iter()
        .map(|input| match input {
            Input::File(path) if input.is_file() => Some(path.clone()),
            _ => None,
        })
        .collect();
    thread::spawn(move || {
        let hash = |path: PathBuf| {
            let mut hasher = Sha256::new();
            let mut file = File::open(path).ok()?;
            io::copy(&mut file, &mut io::BufWriter::with_capacity(256 << 10, Hashed(&mut hasher))).ok()?;
            Some(crate::text::hexadecimal(&hasher.finalize()))
        };
        paths.into_iter().map(|path| path.and_then(hash)).collect()
    })
}

/// Bytes on their way into a hash.
struct Hashed<'a>(&'a mut Sha256);

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output, with its own error.
struct Out {
    file: CutFile,
    error: Option<FileError>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.error = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
