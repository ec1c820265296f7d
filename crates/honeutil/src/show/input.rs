//! The inputs to show: files and standard input, compressed or not. Owns the open file.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use super::ahead::read_ahead;
use crate::platform;
use crate::platform::file::FileId;
use crate::text::shown_path;

/// How a gzip member begins (RFC 1952): with deflate, the only method.
const GZIP_MAGIC: [u8; 3] = [0x1F, 0x8B, 8];
/// How a zstd frame begins.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Largest window of a compressed file, as a power of two: 128 MiB, the most that zstd itself takes by default.
const MAX_WINDOW_LOG: u32 = 27;

/// An input to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, or a named pipe.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// An input that is open.
pub(crate) struct Opened {
    /// Its content, decompressed.
    pub(crate) stream: Box<dyn Read>,
    /// Whether it was compressed.
    pub(crate) compressed: bool,
}

impl Input {
    /// The input that an argument names; `-` is standard input.
    #[must_use]
    pub fn named(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// The name, made safe for display.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => shown_path(path),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// The name of its file without the folder, as text.
    pub(crate) fn stem(&self) -> String {
        match self {
            Self::File(path) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Self::Stdin => "-".to_owned(),
        }
    }

    /// Whether it can be read twice, that is, whether it is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        match self {
            Self::File(path) => std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
            Self::Stdin => false,
        }
    }

    /// Which file it is, if it is a regular file that can be opened.
    pub(crate) fn file_id(&self) -> Option<FileId> {
        match self {
            Self::File(path) if self.is_file() => FileId::of(&File::open(path).ok()?).ok(),
            _ => None,
        }
    }

    /// Opens it. Compressed content is decompressed.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read>> {
        self.open_noting().map(|opened| opened.stream)
    }

    /// Opens it. Returns also whether it is compressed.
    pub(crate) fn open_noting(&self) -> io::Result<Opened> {
        match self {
            Self::File(path) => {
                let file = File::open(path)?;
                if file.metadata()?.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                decompressed(file)
            }
            Self::Stdin if io::stdin().is_terminal() => {
                Err(io::Error::other("it is a terminal, and recordings are binary: name a FILE"))
            }
            Self::Stdin => {
                // Ctrl-C goes to every program of a pipeline. The recorder before this one then ends its stream, and
                // this end must still be shown.
                if platform::file::is_input_piped()? {
                    platform::signals::outlast_one_interrupt()?;
                }
                decompressed(io::stdin())
            }
        }
    }
}

/// The stream, decompressed if necessary, in a thread of its own. Waits for its first four bytes only.
pub(super) fn decompressed(mut stream: impl Read + Send + 'static) -> io::Result<Opened> {
    let mut begin = Vec::with_capacity(ZSTD_MAGIC.len());
    stream.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut begin)?;
    let (zstd, gzip) = (begin == ZSTD_MAGIC, begin.starts_with(&GZIP_MAGIC));
    let whole = io::Cursor::new(begin).chain(stream);
    let stream: Box<dyn Read> = if zstd {
        let mut decoder = zstd::stream::read::Decoder::new(whole)?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        read_ahead(decoder)
    } else if gzip {
        read_ahead(flate2::read::MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    };
    Ok(Opened { stream, compressed: zstd || gzip })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompressed(io::Cursor::new(bytes))?.stream.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn compressed_or_not_it_reads_the_same() {
        let data = b"some data ".repeat(100_000);
        assert_eq!(read(data.clone()).unwrap(), data);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&data).unwrap();
        for frame in [zstd::stream::encode_all(&data[..], 1).unwrap(), encoder.finish().unwrap()] {
            assert_eq!(read(frame.clone()).unwrap(), data);
            assert_eq!(read([frame.clone(), frame.clone()].concat()).unwrap(), data.repeat(2), "two frames");
            assert!(read(frame[..frame.len() - 1].to_vec()).is_err(), "cut off");
        }
        for short in 0..4 {
            assert_eq!(read(ZSTD_MAGIC[..short].to_vec()).unwrap(), &ZSTD_MAGIC[..short]);
        }
        for short in 0..3 {
            assert_eq!(read(GZIP_MAGIC[..short].to_vec()).unwrap(), &GZIP_MAGIC[..short]);
        }
    }
}
