//! Reads a part of an input: the blocks from one to another.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use hone_select::Selection;

use super::parts::Part;
use crate::show::event::Shown;
use crate::show::input::Input;
use crate::show::stream::{FillError, Source, Stream};
use crate::show::{CHUNK_BYTES, ShowError};

/// An input that is read.
pub(super) struct Reading {
    input: usize,
    name: String,
    bytes: Box<dyn io::Read>,
    stream: Stream,
    chunk: Vec<u8>,
    /// Bytes that were read.
    offset: u64,
    /// Blocks that were read.
    number: u64,
    /// The blocks that are wanted: from this one on, before that one.
    first: u64,
    end: u64,
    skips_packets: bool,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("name", &self.name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Reading {
    /// Opens a part. Goes on with an `idle` reading of the same input, if it is not past the part.
    pub(super) fn open(
        inputs: &[Input],
        part: &Part,
        idle: &mut HashMap<usize, Self>,
        selection: &Rc<Selection>,
    ) -> Result<Self, ShowError> {
        let (first, end) = (part.first, part.end);
        if let Some(reading) = idle.remove(&part.input).filter(|reading| reading.number <= first) {
            return Ok(Self { first, end, ..reading });
        }
        let input = &inputs[part.input];
        let bytes = input.open().map_err(|source| ShowError::Open { name: input.name(), source })?;
        Ok(Self {
            input: part.input,
            name: input.name(),
            bytes,
            stream: Stream::new(selection),
            chunk: vec![0; CHUNK_BYTES],
            offset: 0,
            number: 0,
            first,
            end,
            skips_packets: false,
        })
    }

    /// Keeps it for the next part of its input, if there is one.
    pub(super) fn close(self, idle: &mut HashMap<usize, Self>) {
        if self.end != u64::MAX {
            idle.insert(self.input, self);
        }
    }

    /// Leaves out packets.
    pub(super) fn skip_packets(&mut self) {
        self.skips_packets = true;
    }

    /// The link type of a libpcap file, once it is known.
    pub(super) fn classic_link_type(&self) -> Option<u32> {
        self.stream.classic_link_type()
    }

    /// Hands the next block of the part to `sink`; `None` if more must be read first.
    pub(super) fn step<R>(
        &mut self,
        sink: impl FnOnce(Source<'_>, Option<Shown<'_>>) -> R,
    ) -> Result<Option<R>, ShowError> {
        let malformed = |source| ShowError::Malformed { name: self.name.clone(), source };
        while self.number < self.first {
            if self.stream.step(|_, _| ()).map_err(malformed)?.is_none() {
                return Ok(None);
            }
            self.number += 1;
        }
        if self.number >= self.end {
            return Ok(None);
        }
        let stepped = self.stream.step(sink).map_err(malformed)?;
        self.number += u64::from(stepped.is_some());
        Ok(stepped)
    }

    /// Reads on; false at the part's end.
    pub(super) fn fill(&mut self) -> Result<bool, ShowError> {
        if self.number >= self.end {
            return Ok(false);
        }
        let name = || self.name.clone();
        match self.stream.fill(&mut self.bytes, &mut self.chunk) {
            Ok(0) => {
                let stream = std::mem::replace(&mut self.stream, Stream::new(&Rc::default()));
                let ended = stream.finish();
                ended.map(|()| false).map_err(|source| ShowError::Malformed { name: name(), source })
            }
            Ok(count) => {
                self.offset += count as u64;
                if self.skips_packets {
                    self.stream.skip_packets();
                }
                Ok(true)
            }
            Err(FillError::Stream(source)) => Err(ShowError::Malformed { name: name(), source }),
            Err(FillError::Input(source)) => {
                Err(ShowError::Read { name: name(), offset: self.offset, source })
            }
        }
    }

    /// Hands the next block of the part to `sink`, reading as much as that takes; `None` at the part's end.
    pub(super) fn next<R>(
        &mut self,
        sink: impl FnOnce(Source<'_>, Option<Shown<'_>>) -> R,
    ) -> Result<Option<R>, ShowError> {
        let mut sink = Some(sink);
        loop {
            let mut once =
                |source: Source<'_>, shown: Option<Shown<'_>>| sink.take().map(|sink| sink(source, shown));
            if let Some(taken) = self.step(&mut once)? {
                return Ok(taken);
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }
}
