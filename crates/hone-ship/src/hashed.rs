//! A file of a batch while it is written.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use hone_rows::text::hexadecimal;
use sha2::{Digest as _, Sha256};

/// A file, and the hash of what was written to it.
pub(crate) struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Hashed {
    /// Makes the file, which must not exist.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create_new(path)?), hash: Sha256::new(), bytes: 0 })
    }

    /// Writes it through to the disk. Returns how many bytes it has, and their SHA-256 in hexadecimal.
    pub(crate) fn finish(mut self) -> io::Result<(u64, String)> {
        self.file.flush()?;
        self.file.get_ref().sync_data()?;
        Ok((self.bytes, hexadecimal(&self.hash.finalize())))
    }
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
