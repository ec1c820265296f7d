//! `honeutil convert`: a recording in the form that another program reads.
//!
//! `converter` turns blocks into the bytes of a [`Form`]; `native` has the process blocks of Wireshark and Apple, `pcap` writes libpcap
//! files and the PKTAP header, `libpcap` makes blocks of libpcap files, `live` converts while a recording is made, `comment` has the
//! words of a comment, `adopted` makes Hone's events of what others describe, and `lost` counts what has no place. Reading,
//! corrections and the file that is written are those of `show` and of `show -w`.

mod adopted;
mod comment;
mod converter;
mod form;
mod libpcap;
pub(crate) mod live;
mod lost;
mod native;
mod pcap;

use std::rc::Rc;

use self::converter::Converter;
pub use self::converter::Refused;
pub use self::form::Form;
use self::libpcap::Libpcap;
use self::live::{Live, LiveError};
pub use self::lost::Lost;
use crate::cut::{CutFile, FileError};
use crate::show::corrections::{self, Corrections};
use crate::show::input::Input;
use crate::show::stream::{FillError, Source, Stream, StreamError};
use crate::show::{CHUNK_BYTES, OUT_BYTES, ShowError};

/// Why an input was not converted, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The output cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The input has no such form.
    #[error("{name} cannot be converted to {form}: {source}", form = form.name())]
    Refused {
        /// The input.
        name: String,
        /// What it should become.
        form: Form,
        /// Why not.
        source: Refused,
    },
}

/// What came of a conversion.
#[derive(Debug)]
pub struct Converted {
    /// What was written, and what has no place.
    pub lost: Lost,
    /// Whether anything was written: an input without a block makes no file.
    pub is_written: bool,
    /// Why the input was not read to its end. What comes before was written.
    pub failed: Option<ShowError>,
}

/// Writes an input in another form.
///
/// # Errors
/// [`ConvertError`]: nothing is left of the output.
pub fn convert(input: &Input, form: Form, mut file: CutFile) -> Result<Converted, ConvertError> {
    let mut corrections = Corrections::default();
    if input.is_file()
        && let Ok(bytes) = input.open()
    {
        corrections.begin(0);
        corrections.collect_from(bytes, &Rc::default(), &mut vec![0; CHUNK_BYTES]);
        corrections::report_left_out(&corrections);
    }
    corrections.begin(0);
    let mut conversion = Conversion {
        converter: Converter::new(form),
        corrections,
        libpcap: Libpcap::new(form),
        of_libpcap: Live::new(form),
        blocks: Vec::new(),
        out: Vec::with_capacity(2 * OUT_BYTES),
    };
    let mut is_written = false;
    let failed;
    match input.open() {
        Err(source) => failed = Some(ShowError::Open { name: input.name(), source }),
        Ok(mut bytes) => {
            let mut stream = Stream::new(&Rc::default());
            let mut chunk = vec![0; CHUNK_BYTES];
            let mut offset = 0;
            let malformed = |source| Some(ShowError::Malformed { name: input.name(), source });
            loop {
                let filled = match stream.fill(&mut bytes, &mut chunk) {
                    Ok(count) => {
                        offset += count as u64;
                        Ok(count)
                    }
                    Err(FillError::Stream(error)) => Err(Stop::Stream(error)),
                    Err(FillError::Input(source)) => {
                        failed = Some(ShowError::Read { name: input.name(), offset, source });
                        break;
                    }
                };
                let is_end = matches!(filled, Ok(0));
                let mut write = |out: &mut Vec<u8>| {
                    is_written |= !out.is_empty();
                    let written = file.write(out);
                    out.clear();
                    written
                };
                let drained = filled.and_then(|count| match count {
                    0 => conversion.finish(&stream, &mut write),
                    // So that a pipe's reader has everything while this waits for more.
                    _ => conversion.drain(&mut stream, &mut write),
                });
                match drained {
                    Ok(()) if is_end => {
                        failed = stream.finish().err().and_then(malformed);
                        break;
                    }
                    Ok(()) => {}
                    Err(Stop::Stream(error)) => {
                        failed = malformed(error);
                        break;
                    }
                    Err(Stop::File(error)) => return Err(error.into()),
                    Err(Stop::Refused(source)) => {
                        return Err(ConvertError::Refused { name: input.name(), form, source });
                    }
                }
            }
        }
    }
    if is_written {
        file.finish()?;
    }
    Ok(Converted { lost: conversion.lost(), is_written, failed })
}

/// Why a stream is not converted further.
enum Stop {
    Stream(StreamError),
    File(FileError),
    Refused(Refused),
}

impl From<LiveError> for Stop {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Stream(error) => Self::Stream(error),
            LiveError::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

struct Conversion {
    converter: Converter,
    corrections: Corrections,
    /// Makes blocks of a libpcap file, and what converts them.
    libpcap: Libpcap,
    of_libpcap: Live,
    blocks: Vec<u8>,
    out: Vec<u8>,
}

impl Conversion {
    /// Converts what is whole.
    fn drain(
        &mut self,
        stream: &mut Stream,
        mut write: impl FnMut(&mut Vec<u8>) -> Result<(), FileError>,
    ) -> Result<(), Stop> {
        let Self { converter, corrections, libpcap, of_libpcap, blocks, out } = self;
        let ended = loop {
            let step = stream.step(|source, shown| match source {
                Source::Block(item) => {
                    let shown = shown.map(|shown| corrections.apply(shown));
                    Ok(converter.take(item, shown.as_ref(), out)?)
                }
                Source::Record(record) => {
                    blocks.clear();
                    libpcap.packet(&record, blocks).map_err(Refused::from)?;
                    out.extend(of_libpcap.of(blocks)?);
                    Ok(())
                }
            });
            match step {
                Ok(Some(Ok(()))) if out.len() < OUT_BYTES => {}
                Ok(Some(Ok(()))) => write(out).map_err(Stop::File)?,
                Ok(Some(Err(stop))) => return Err(stop),
                Ok(None) => break Ok(()),
                // What comes before is kept.
                Err(error) => break Err(Stop::Stream(error)),
            }
        };
        write(out).map_err(Stop::File)?;
        ended
    }

    /// Converts what comes at the end.
    fn finish(
        &mut self,
        stream: &Stream,
        mut write: impl FnMut(&mut Vec<u8>) -> Result<(), FileError>,
    ) -> Result<(), Stop> {
        let Some(link_type) = stream.classic_link_type() else { return Ok(()) };
        self.blocks.clear();
        self.libpcap.finish(link_type, &mut self.blocks).map_err(Refused::from)?;
        self.out.extend(self.of_libpcap.of(&self.blocks)?);
        write(&mut self.out).map_err(Stop::File)
    }

    /// What has no place: a stream is either blocks or a libpcap file.
    fn lost(&self) -> Lost {
        let of_libpcap = self.of_libpcap.lost();
        if of_libpcap.packets > 0 { self.libpcap.lost(of_libpcap) } else { self.converter.lost() }
    }
}
