//! What a section consists of besides live blocks: header, interface, the state restated, statistics. Called by
//! [`Engine::new`], [`Engine::attach`] and [`Engine::mark_restart`], under the embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng::{Block, EventCounts, HostId, Interface, RawOption, Resolution, interface::LINKTYPE_RAW};

use crate::{
    Engine, HostIdentity, MAX_HOST_NAME, Nanos, OutOfMemory, SectionInfo,
    block::{BlockIndex, Store, cut, encode},
    grow,
    reader::{Section, Totals},
    statistics::Kind,
};

/// `opt_comment`, an option of every block.
const COMMENT: u16 = 1;
/// Blocks of a section before the state, the same for all sections: header and interface.
const FRAMES: usize = 2;

impl Engine {
    /// A section that begins with the state as it is now, for a reader with this snap length.
    pub(crate) fn section(&mut self, snap_length: u32) -> Result<Section, OutOfMemory> {
        let length = FRAMES.saturating_add(self.processes.live()).saturating_add(self.connections.live());
        let mut blocks = grow::vec(length)?;
        for block in self.frames {
            grow::push(&mut blocks, block)?;
        }
        for block in self.processes.live_blocks().chain(self.connections.live_blocks()) {
            grow::push(&mut blocks, block)?;
        }
        blocks[FRAMES..].sort_unstable_by(|&one, &other| self.store.order(one).cmp(&self.store.order(other)));
        for &block in &blocks {
            self.store.hold(block);
        }
        Ok(Section::new(blocks, snap_length))
    }
}

/// Header and interface, each referred to once. The interface's snap length is filled in when it is read.
pub(crate) fn frames(info: &SectionInfo, store: &mut Store) -> Result<[BlockIndex; FRAMES], OutOfMemory> {
    let header = store.insert(header(info)?, Kind::Frame, 0)?;
    let interface = store.insert(interface(info)?, Kind::Interface, 0)?;
    Ok([header, interface])
}

/// The section header.
fn header(info: &SectionInfo) -> Result<Vec<u8>, OutOfMemory> {
    let mut other = Vec::new();
    if let Some(value) = text(&info.comment) {
        grow::push(&mut other, RawOption { code: COMMENT, value })?;
    }
    encode(&Block::Section(hone_pcapng::Section {
        hardware: text(&info.hardware),
        os: text(&info.os),
        application: text(&info.application),
        host: host(&info.host),
        section_length: None,
        other,
    }))
}

fn host(identity: &HostIdentity) -> Option<HostId<'_>> {
    match identity {
        HostIdentity::Guid(guid) => Some(HostId::Guid(*guid)),
        HostIdentity::Name(name) => {
            // A character that is cut is the first that is wrong.
            let name = name.get(..MAX_HOST_NAME).unwrap_or(name).utf8_chunks().next()?.valid();
            (!name.is_empty()).then_some(HostId::Name(Cow::Borrowed(name)))
        }
        HostIdentity::Unknown => None,
    }
}

fn interface(info: &SectionInfo) -> Result<Vec<u8>, OutOfMemory> {
    encode(&Block::Interface(Interface {
        link_type: LINKTYPE_RAW,
        snap_length: 0,
        description: text(&info.interface),
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    }))
}

/// The statistics of a section, from `began` to `ended`.
pub(crate) fn statistics(began: Nanos, ended: Nanos, totals: &Totals) -> Result<Vec<u8>, OutOfMemory> {
    let Totals { received, delivered, dropped_by_ring, filtered, dropped_before } = totals;
    encode(&Block::Statistics(hone_pcapng::Statistics {
        interface: 0,
        timestamp: ended,
        start_time: Some(began),
        end_time: Some(ended),
        received: Some(received.packets),
        dropped_by_source: Some(dropped_before.packets),
        accepted: Some(received.packets - filtered.packets),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_as_far_as_there_is_room_in_whole_characters() {
        let given = |name: &str| HostIdentity::Name(Vec::from(name));
        let name = |name| Some(HostId::Name(Cow::Borrowed(name)));
        assert_eq!(host(&given("web-7")), name("web-7"));
        let digits = str::from_utf8(&[b'7'; MAX_HOST_NAME - 1]).expect("they are text");
        let mut long = [b'7'; MAX_HOST_NAME + 1];
        long[MAX_HOST_NAME - 1..].copy_from_slice("é".as_bytes());
        assert_eq!(host(&HostIdentity::Name(Vec::from(long))), name(digits));
        assert_eq!((host(&given("")), host(&HostIdentity::Unknown)), (None, None));
        assert_eq!(host(&HostIdentity::Guid([7; 16])), Some(HostId::Guid([7; 16])));
    }
}
