//! Writes what honed keeps to a file: segments that it sends as they are on its disk.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hone_client::{Connection, Read, ReaderError};
use hone_engine::BYTE_ORDER;
use hone_pcapng::{block, view};

use super::coverage::Asked;
use super::join::Saved;
use crate::cut::{CutFile, FileError};

/// Bytes that are received before they are written: more than the largest block of honed's.
const BUFFER_BYTES: usize = 1 << 20;

/// Why what honed keeps was not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// honed refuses, or ended before all was sent.
    #[error(transparent)]
    Service(#[from] ReaderError),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What came are no blocks.
    #[error("what honed has sent is no recording: a block of it is longer than {BUFFER_BYTES} bytes")]
    Block,
}

/// Asks honed for what it keeps, and writes it to the file `path`, which must not exist.
///
/// # Errors
/// [`ReceiveError`]. Nothing is left of the file.
pub fn receive(connection: &mut Connection, path: &Path) -> Result<Saved, ReceiveError> {
    // Before honed begins: a file that cannot be made is found first.
    let mut file = CutFile::create(path)?;
    let kept = connection.save()?;
    let ended = SystemTime::now();
    let (mut buffer, mut packets) = (vec![0; BUFFER_BYTES], 0);
    for _ in 0..kept.segments {
        let mut filled = 0;
        while let Read::Bytes(count) =
            connection.await_read(&mut buffer[filled..], "to send what it keeps")?
        {
            filled += count;
            let whole = view::whole(&buffer[..filled], BYTE_ORDER);
            if whole == 0 && filled == buffer.len() {
                return Err(ReceiveError::Block);
            }
            let blocks = &buffer[..whole];
            packets +=
                view::blocks(blocks, BYTE_ORDER).filter(|found| found.kind() == block::PACKET).count() as u64;
            file.write(blocks)?;
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
        if filled > 0 {
            tracing::info!("a segment ends within a block: all before it is saved");
        }
    }
    file.finish()?;
    let oldest = kept.began.and_then(|began| UNIX_EPOCH.checked_add(began));
    let covers = oldest.and_then(|oldest| ended.duration_since(oldest).ok());
    let asked = Asked::parse(&String::from_utf8_lossy(&kept.asked));
    let less = asked.zip(covers).zip(oldest);
    let less = less.and_then(|((asked, covers), oldest)| asked.less(covers, oldest, kept.bytes));
    let bytes = path.metadata().map_or(0, |data| data.len());
    Ok(Saved { path: path.to_owned(), bytes, packets, covers, less, is_whole: true })
}
