//! Readers' selections: which packets a reader wants, by words about their process and about themselves (`hone_select`).
//!
//! What the words about processes say of a process is found when the process starts, forks or executes a program, not for
//! each packet. It is kept with the process, as [`Marks`]: so a name follows its processes, and with
//! [`Selection::children`] a descendant keeps its mark when its parent ends. What the other words say is found for each
//! packet, whose headers are parsed once for all readers.
//!
//! Called under the embedder's one lock.

use hone_packet::Headers;
use hone_pcapng::ProcessEvent;
use hone_select::{Mark, PacketView, ProcessView, Selection};

use crate::{Attribution, Packet, tables::Tables};

/// Most readers of one engine that can have words about processes in their selections at the same time.
pub const MAX_PROCESS_SELECTIONS: usize = u64::BITS as usize;

/// The marks of a process, for each reader that selects by processes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The two bits of [`Mark::bits`], each for all readers.
    bits: [u64; 2],
}

impl Marks {
    fn of(self, place: usize) -> Mark {
        let bit = |index: usize| u8::from(self.bits[index] >> place & 1 == 1) << index;
        Mark::of_bits(bit(0) | bit(1))
    }

    fn set(&mut self, place: usize, mark: Mark) {
        for (index, bits) in self.bits.iter_mut().enumerate() {
            *bits = *bits & !(1 << place) | u64::from(mark.bits() >> index & 1) << place;
        }
    }
}

/// A reader's selection.
pub(crate) struct Selecting {
    pub(crate) selection: Selection,
    /// Which bits of [`Marks`] are this reader's; below [`MAX_PROCESS_SELECTIONS`]. `None`: it has no words about
    /// processes.
    pub(crate) place: Option<usize>,
}

impl Selecting {
    /// Notes what the words say of a process. `marks` has its former marks, or those of its parent: see
    /// [`Selection::mark`].
    pub(crate) fn mark(&self, event: &ProcessEvent<'_>, marks: &mut Marks) {
        if let Some(place) = self.place {
            marks.set(place, self.selection.mark(&view(event), marks.of(place)));
        }
    }

    /// Removes this reader's bits.
    pub(crate) fn forget(&self, marks: &mut Marks) {
        if let Some(place) = self.place {
            marks.set(place, Mark::default());
        }
    }

    /// Takes over this reader's bits.
    pub(crate) fn inherit(&self, from: Marks, marks: &mut Marks) {
        if let Some(place) = self.place {
            marks.set(place, from.of(place));
        }
    }

    /// Whether a packet is wanted.
    pub(crate) fn admits(&self, packet: &Inspected<'_>) -> bool {
        let by_process = match (self.place, packet.process) {
            (None, _) => true,
            (Some(_), None) => self.selection.admits(None),
            (Some(place), Some((_, Some(marks)))) => self.selection.admits(Some(marks.of(place))),
            (Some(_), Some((pid, None))) => {
                self.selection.process_matches(Some(&ProcessView { pid, ..ProcessView::default() }))
            }
        };
        by_process && self.selection.packet_matches(&packet.view)
    }
}

/// A packet as selections see it.
pub(crate) struct Inspected<'a> {
    view: PacketView<'a>,
    /// Its process id, and the marks of that process if it is known.
    process: Option<(u32, Option<Marks>)>,
}

impl<'a> Inspected<'a> {
    /// Looks at a packet. `headers`: whether a selection has words about packets.
    pub(crate) fn new(packet: &Packet<'a>, attribution: Attribution, tables: &Tables, headers: bool) -> Self {
        let process = attribution.ok().map(|(process, _)| {
            (process.pid, tables.same_process(process).map(|known| known.identity.marks))
        });
        let mut view = PacketView { connection: packet.connection, ..PacketView::default() };
        if headers {
            view.ip = packet.data;
            view.headers = Headers::parse(packet.data).ok();
            view.length = packet.original_length();
            view.direction = Some(packet.direction);
        }
        Self { view, process }
    }
}

fn view<'a>(event: &'a ProcessEvent<'_>) -> ProcessView<'a> {
    ProcessView {
        pid: event.process,
        path: event.path.as_deref().unwrap_or_default(),
        user: event.user,
        user_name: event.user_name.as_deref().unwrap_or_default(),
        security_id: event.security_id.as_deref().unwrap_or_default(),
        group: event.group,
        group_name: event.group_name.as_deref().unwrap_or_default(),
        container: event.container.as_deref().unwrap_or_default(),
        unit: event.unit.as_deref().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_bits_of_its_own() {
        let mut marks = Marks::default();
        let written: [Mark; MAX_PROCESS_SELECTIONS] =
            core::array::from_fn(|place| Mark::of_bits(u8::try_from(place % 4).unwrap_or(0)));
        for _ in 0..2 {
            written.iter().enumerate().for_each(|(place, mark)| marks.set(place, *mark));
        }
        for (place, mark) in written.iter().enumerate() {
            assert_eq!(marks.of(place), *mark, "{place}");
        }
    }
}
