//! What a section consists of besides live blocks: header, interface, the state restated, statistics. Called by
//! [`Engine::attach`] and [`Engine::mark_restart`], under the embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng::{Block, EventCounts, HostId, Interface, RawOption, Resolution, interface::LINKTYPE_RAW};

use crate::{
    Engine, Nanos, OutOfMemory, SectionInfo,
    block::{cut, encode},
    grow,
    reader::{Section, Totals},
    statistics::Kind,
};

/// `opt_comment`, an option of every block.
const COMMENT: u16 = 1;
/// Blocks of a section before the state: header and interface.
const FRAMES: usize = 2;

impl Engine {
    /// A section that begins with the state as it is now, for a reader with this snap length.
    pub(crate) fn section(&mut self, snap_length: u32) -> Result<Section, OutOfMemory> {
        let length = FRAMES.saturating_add(self.processes.live()).saturating_add(self.connections.live());
        let mut blocks = grow::vec(length)?;
        let interface = self.store.insert(interface(&self.info, snap_length)?, Kind::Frame, 0)?;
        grow::push(&mut blocks, self.header)?;
        grow::push(&mut blocks, interface)?;
        for block in self.processes.live_blocks().chain(self.connections.live_blocks()) {
            grow::push(&mut blocks, block)?;
        }
        blocks[FRAMES..].sort_unstable_by_key(|&block| self.store.order(block));
        // The interface's block has just been made for this section alone; all others are referred to once more.
        for &block in blocks.iter().filter(|&&block| block != interface) {
            self.store.hold(block);
        }
        Ok(Section::new(blocks))
    }
}

/// The section header.
pub(crate) fn header(info: &SectionInfo) -> Result<Vec<u8>, OutOfMemory> {
    let mut other = Vec::new();
    if let Some(value) = text(&info.comment) {
        grow::push(&mut other, RawOption { code: COMMENT, value })?;
    }
    encode(&Block::Section(hone_pcapng::Section {
        hardware: text(&info.hardware),
        os: text(&info.os),
        application: text(&info.application),
        host: (info.host != [0; 16]).then_some(HostId::Guid(info.host)),
        section_length: None,
        other,
    }))
}

fn interface(info: &SectionInfo, snap_length: u32) -> Result<Vec<u8>, OutOfMemory> {
    encode(&Block::Interface(Interface {
        link_type: LINKTYPE_RAW,
        snap_length,
        description: text(&info.interface),
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    }))
}

/// The statistics of a section, from `began` to `ended`.
pub(crate) fn statistics(began: Nanos, ended: Nanos, totals: &Totals) -> Result<Vec<u8>, OutOfMemory> {
    let Totals { received, delivered, dropped_by_ring, dropped_before } = totals;
    encode(&Block::Statistics(hone_pcapng::Statistics {
        interface: 0,
        timestamp: ended,
        start_time: Some(began),
        end_time: Some(ended),
        received: Some(received.packets),
        dropped_by_source: Some(dropped_before.packets),
        accepted: Some(received.packets),
        dropped_by_ring: Some(dropped_by_ring.packets),
        delivered: Some(delivered.packets),
        processes: EventCounts {
            received: Some(received.processes),
            dropped_by_source: Some(dropped_before.processes),
            dropped_by_ring: Some(dropped_by_ring.processes),
            delivered: Some(delivered.processes),
        },
        connections: EventCounts {
            received: Some(received.connections),
            dropped_by_source: Some(dropped_before.connections),
            dropped_by_ring: Some(dropped_by_ring.connections),
            delivered: Some(delivered.connections),
        },
        other: Vec::new(),
    }))
}

/// An option's text; none if it is empty.
fn text(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    (!text.is_empty()).then_some(Cow::Borrowed(cut(text)))
}
