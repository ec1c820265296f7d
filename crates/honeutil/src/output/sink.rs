//! The current file or stream of a recording: an existing one that was opened, or one made under a free name.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use super::compress::compressed_name;
use super::error::OutputError;
use super::file_names;
use super::regular_file::RegularFile;
use super::stream::Stream;
use crate::platform::file::{self, create_new, open_existing};
use crate::record::control::Control;
use crate::text::shown_path;

/// How many names are tried for one file if they are taken.
const MAX_NUMBER: u32 = 9999;

/// What is written to at the moment.
#[derive(Debug)]
pub(super) enum Sink {
    File(RegularFile),
    Stream(Stream),
    /// The last file is finished.
    Ended,
}

impl Sink {
    pub(super) fn written(&self) -> u64 {
        match self {
            Self::File(file) => file.written(),
            Self::Stream(stream) => stream.written(),
            Self::Ended => 0,
        }
    }
}

/// Makes a file with the name of `path` and a number, from `number` on, that does not exist yet. Sets `number` to the
/// one used.
pub(super) fn create_numbered(path: &Path, number: &mut u32) -> Result<(Sink, String), OutputError> {
    let first = *number;
    loop {
        let candidate = file_names::numbered(path, *number);
        // A name also counts as taken if a compressed file has it.
        let opened = match compressed_name(&candidate).try_exists() {
            Ok(true) => Err(ErrorKind::AlreadyExists.into()),
            _ => create_new(&candidate),
        };
        match opened {
            Ok(file) => {
                let name = shown_path(&candidate);
                return Ok((Sink::File(RegularFile::new(file, candidate)), name));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && *number - first < MAX_NUMBER => {
                *number += 1
            }
            Err(source) => return Err(OutputError::Open { name: shown_path(&candidate), source }),
        }
    }
}

/// Makes the file, or a named pipe of Windows, or opens the existing one. Waits until a named pipe has a reader.
pub(super) fn open_file(path: &Path, control: &mut Control) -> Result<Sink, OutputError> {
    let failed = |source: io::Error| OutputError::Open { name: shown_path(path), source };
    if let Some(pipe) = file::make_pipe(path).map_err(failed)? {
        tracing::info!("{} waits for its reader", shown_path(path));
        while !file::has_reader(&pipe).map_err(failed)? {
            pause(path, control)?;
        }
        return Ok(Sink::Stream(Stream::new(pipe)));
    }
    loop {
        match create_new(path) {
            Ok(file) => return Ok(Sink::File(RegularFile::new(file, path.to_owned()))),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        if let Some(file) = open_existing(path).map_err(failed)? {
            return sink_for(file, |file| RegularFile::overwrite(file, path.to_owned())).map_err(failed);
        }
        pause(path, control)?;
    }
}

/// Standard output, whatever it is, and its name.
pub(super) fn standard_output() -> Result<(Sink, String), OutputError> {
    let name = "standard output".to_owned();
    match file::standard_output().and_then(|file| sink_for(file, RegularFile::inherited)) {
        Ok(sink) => Ok((sink, name)),
        Err(source) => Err(OutputError::Open { name, source }),
    }
}

/// Waits a moment for a pipe's reader, unless the recording stops.
fn pause(path: &Path, control: &mut Control) -> Result<(), OutputError> {
    if control.stopping().is_some() {
        return Err(OutputError::NoReader { name: shown_path(path) });
    }
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}

/// The sink for a file that was there before.
fn sink_for(file: File, regular: impl FnOnce(File) -> RegularFile) -> io::Result<Sink> {
    Ok(if file::is_regular(&file)? { Sink::File(regular(file)) } else { Sink::Stream(Stream::new(file)) })
}
