//! Entry points for the fuzz targets (`hone-fuzz`) and the tests of [`super::stream`]: the code that reads bytes from
//! outside.

use std::io::{self, Read as _};
use std::rc::Rc;

use hone_select::Selection;

use super::corrections::Corrections;
use super::input::decompressed;
use super::json::Objects;
use super::line::Lines;
use super::names::Finder;
use super::stream::{Stream, StreamError};
use crate::text::prints;

/// The result of showing a stream: how many events, their lines and objects, and what is wrong with it, if anything.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Events that the selection admits.
    pub events: usize,
    /// Text, a line for each event.
    pub lines: String,
    /// JSON, an object a line for each event.
    pub objects: String,
    /// What is wrong; empty if the whole stream is valid.
    pub end: String,
}

/// Shows a stream that arrives in chunks of this length. Collects corrections first, then shows the selected events.
///
/// # Panics
/// The output contains something that must not go to a terminal or a JSON reader.
#[must_use]
pub fn show(bytes: &[u8], chunk: usize, selection: &Rc<Selection>) -> Told {
    let mut corrections = Corrections::default();
    corrections.begin(0);
    let mut stream = Stream::new(selection);
    for chunk in bytes.chunks(chunk) {
        let fed = stream.feed(chunk);
        stream.skip_packets();
        let collected = fed.and_then(|()| {
            stream.drain(|shown| {
                corrections.collect(&shown);
                Ok::<_, StreamError>(())
            })
        });
        if collected.is_err() {
            break;
        }
    }
    corrections.begin(0);
    let mut stream = Stream::new(selection);
    let (mut lines, mut objects, mut names) = (Lines::default(), Objects::default(), Finder::default());
    let (mut text, mut json, mut events) = (Vec::new(), Vec::new(), 0);
    let mut ended = Ok(());
    for chunk in bytes.chunks(chunk) {
        ended = stream.feed(chunk).and_then(|()| {
            stream.drain(|shown| {
                let shown = corrections.apply(shown);
                let noted = names.note(&shown);
                if shown.is_selected(selection, &[]) {
                    lines.write(&shown, &noted, &mut text);
                    objects.write(&shown, &noted, &mut json).expect("memory takes what is written");
                    events += 1;
                }
                Ok::<_, StreamError>(())
            })
        });
        if ended.is_err() {
            break;
        }
    }
    let end = ended.and_then(|()| stream.finish()).map_or_else(|error| error.to_string(), |()| String::new());
    let [lines, objects] = [text, json].map(|bytes| printable(bytes, events));
    Told { events, lines, objects, end }
}

/// A line for each event, of characters that print.
fn printable(bytes: Vec<u8>, events: usize) -> String {
    let text = String::from_utf8(bytes).expect("it is text");
    assert_eq!(text.lines().count(), events);
    if let Some(char) = text.chars().find(|&char| char != '\n' && !prints(char)) {
        panic!("{char:?} is shown: {text:?}");
    }
    text
}

/// The first `most` bytes of a file's content, decompressed if necessary.
///
/// # Errors
/// The compressed data is damaged.
pub fn contents(file: Vec<u8>, most: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decompressed(io::Cursor::new(file))?.stream.take(most).read_to_end(&mut out)?;
    Ok(out)
}
