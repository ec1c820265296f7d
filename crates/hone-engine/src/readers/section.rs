//! The parts of a section besides live blocks: header, interface, the snapshot of the state, statistics. Called by the
//! queue manager and by readers, under the embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng::{Block, EventCounts, HostId, Interface, RawOption, Resolution, interface::LINKTYPE_RAW};

use crate::{
    HostIdentity, MAX_HOST_NAME, Nanos, OutOfMemory, SectionInfo, SnapLength,
    blocks::{About, BlockIndex, Store, cut, encode},
    fallible,
    readers::reader::Totals,
    statistics::Kind,
    tables::timeline::{Moment, Timeline},
};

/// `opt_comment`, an option of every block.
const COMMENT: u16 = 1;
/// How many blocks come before the snapshot, the same in all sections: header and interface.
pub(crate) const FRAMES: usize = 2;

/// The part of a section's beginning that is not read yet. The beginning is header, interface, and the snapshot of one
/// moment.
#[derive(Default)]
pub(crate) struct Section {
    /// The next block to read; `None`: all of the beginning has been read.
    pub(crate) front: Option<BlockIndex>,
    /// How many of the frames (header and interface) have been read. The queue manager keeps their blocks.
    read: usize,
    interface: BlockIndex,
    state: Option<Moment>,
    /// The snap length in the interface block. No packet of the section is longer, as far as that is known when the
    /// block is read. Some programs refuse longer packets.
    snap_length: SnapLength,
}

/// Index of the interface among the frames.
const INTERFACE: usize = 1;

impl Section {
    /// Begins a section with a snapshot of the state as it is now, for a reader with this snap length.
    pub(crate) fn begin(
        [header, interface]: [BlockIndex; FRAMES],
        timeline: &mut Timeline,
        snap_length: SnapLength,
    ) -> Result<Self, OutOfMemory> {
        Ok(Self { front: Some(header), read: 0, interface, state: timeline.moment()?, snap_length })
    }

    /// The snap length in the section's interface block, whether it is read already or not.
    pub(crate) const fn snap_length(&self) -> SnapLength {
        self.snap_length
    }

    /// Takes over a change of the reader's snap length, unless reading the interface block has begun. `bare`: no block
    /// has been queued for the section yet. `offset`: bytes of the front that have been read.
    pub(crate) fn change_snap_length(&mut self, snap_length: SnapLength, bare: bool, offset: usize) {
        if (self.read, offset) > (INTERFACE, 0) {
            return;
        }
        self.snap_length = if bare { snap_length } else { self.snap_length.max(snap_length) };
    }

    /// Moves on to the next block, after the front was read.
    pub(crate) fn advance(&mut self, timeline: &mut Timeline) {
        if self.read == FRAMES {
            self.state = self.state.take().and_then(|state| timeline.advance(state));
        } else {
            self.read += 1;
        }
        self.front = if self.read == INTERFACE {
            Some(self.interface)
        } else {
            self.state.as_ref().map(|state| state.block)
        };
    }

    /// Whether its snapshot has not been read to its end yet, and is kept in memory.
    pub(crate) const fn keeps_state(&self) -> bool {
        self.state.is_some()
    }

    /// Closes the snapshot, if it has not been read to its end.
    pub(crate) fn release(self, timeline: &mut Timeline) {
        self.state.into_iter().for_each(|state| timeline.close(state));
    }
}

/// Makes header and interface, with one reference to each. The interface's snap length is filled in when it is read.
pub(crate) fn frames(info: &SectionInfo, store: &mut Store) -> Result<[BlockIndex; FRAMES], OutOfMemory> {
    let header = store.insert(header(info)?, Kind::Frame, 0, About::NONE)?;
    let interface = store.insert(interface(info)?, Kind::Interface, 0, About::NONE)?;
    Ok([header, interface])
}

/// The section header.
fn header(info: &SectionInfo) -> Result<Vec<u8>, OutOfMemory> {
    let mut other = Vec::new();
    if let Some(value) = text(&info.comment) {
        fallible::push(&mut other, RawOption { code: COMMENT, value })?;
    }
    encode(&Block::Section(hone_pcapng::Section {
        hardware: text(&info.hardware),
        os: text(&info.os),
        application: text(&info.application),
        host: host(&info.host),
        boot: info.boot,
        section_length: None,
        other,
    }))
}

fn host(identity: &HostIdentity) -> Option<HostId<'_>> {
    match identity {
        HostIdentity::Guid(guid) => Some(HostId::Guid(*guid)),
        HostIdentity::Name(name) => {
            // If the cut divides a character, the valid text ends before it.
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

/// An option's text, cut to the length of one option; `None` if it is empty.
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
