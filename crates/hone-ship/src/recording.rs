//! The recording of a batch: the blocks of its segment, with the packets that are selected, compressed.

use std::io::{self, Write as _};
use std::path::Path;

use hone_pcapng::view::{BlockView, Trimmed};
use hone_pcapng::{Item, SnapLength};
use hone_rows::event::{Event, Packet, Shown};
use hone_rows::ip::{DCCP, ICMP, ICMP6, SCTP, TCP, UDP, UDP_LITE};
use zstd::stream::write::Encoder;

use crate::config::Recordings;
use crate::hashed::Hashed;

/// A recording that is being made.
pub(crate) struct Recording {
    writer: Encoder<'static, Hashed>,
    kept: Recordings,
    packets: u64,
    /// A block that is cut.
    cut: Vec<u8>,
}

impl Recording {
    /// Makes the file, which must not exist.
    pub(crate) fn create(path: &Path, kept: Recordings) -> io::Result<Self> {
        let writer = Encoder::new(Hashed::create(path)?, 0)?;
        Ok(Self { writer, kept, packets: 0, cut: Vec::new() })
    }

    /// Adds a block; `event`: what it is. `is_selected`: of a packet, whether it is.
    pub(crate) fn block(
        &mut self,
        item: &Item<'_>,
        event: Option<&Shown<'_>>,
        is_selected: bool,
    ) -> io::Result<()> {
        let Some(Shown { event: Event::Packet(packet), .. }) = event else {
            return self.writer.write_all(item.raw);
        };
        if !is_selected {
            return Ok(());
        }
        self.packets += 1;
        if self.kept != Recordings::Headers {
            return self.writer.write_all(item.raw);
        }
        // 0 would be all of it.
        let kept = u32::try_from(headers(packet)).unwrap_or(u32::MAX).max(1);
        let trimmed = Trimmed::new(BlockView::new(item.raw, item.order), SnapLength::lenient(kept));
        self.cut.resize(trimmed.len(), 0);
        trimmed.copy(0, &mut self.cut);
        self.writer.write_all(&self.cut)
    }

    /// Completes the file. Returns packets, bytes and SHA-256.
    pub(crate) fn finish(self) -> io::Result<(u64, u64, String)> {
        let (bytes, sha256) = self.writer.finish()?.finish()?;
        Ok((self.packets, bytes, sha256))
    }
}

/// How many bytes of a packet's data are headers, up to that of the transport protocol: none of its contents.
fn headers(packet: &Packet<'_>) -> usize {
    let Some(headers) = &packet.headers else { return packet.header.len() + packet.link_length };
    let transport = match headers.protocol {
        // With its options, which its fourth byte of words counts.
        TCP => headers.transport.get(12).map_or(20, |offset| usize::from(offset >> 4) * 4).max(20),
        UDP | UDP_LITE | ICMP | ICMP6 => 8,
        SCTP | DCCP => 12,
        _ => 0,
    };
    // A later fragment has no transport header.
    let transport = transport.min(headers.transport.len());
    packet.header.len() + packet.link_length + headers.transport_offset + transport
}
