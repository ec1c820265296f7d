//! What a recording is written to at the moment: opened, or made under a name that is free.

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

/// How many taken names are tried for one file.
const MAX_NUMBER: u32 = 9999;

/// What is written to now.
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

/// Makes the first of `path` with numbers from `number` on that does not exist yet; `number` is then the one it has.
pub(super) fn create_numbered(path: &Path, number: &mut u32) -> Result<(Sink, String), OutputError> {
    let first = *number;
    loop {
        let candidate = file_names::numbered(path, *number);
        // The name of a file that was compressed is taken as well.
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

/// Makes the file, or named pipe of Windows, or opens the existing one; waits for the reader of a named pipe.
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

/// Standard output, whatever that is, and how it is called.
pub(super) fn standard_output() -> Result<(Sink, String), OutputError> {
    let name = "standard output".to_owned();
    match file::standard_output().and_then(|file| sink_for(file, RegularFile::inherited)) {
        Ok(sink) => Ok((sink, name)),
        Err(source) => Err(OutputError::Open { name, source }),
    }
}

/// Lets a pipe's reader come for a moment, unless it is to stop.
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
