//! Readers' selections: which packets a reader wants, by words about their process and about themselves (`hone_select`).
//!
//! What the words about processes say of a process is found when the process starts, forks or executes a program, not for
//! each packet. It is kept with the process, as [`Marks`]: so a name follows its processes, and with
//! [`Selection::children`] a descendant keeps its mark when its parent ends. What the other words say is found for each
//! packet, whose headers are parsed once for all readers. [`new_selection`](crate::engine::new_selection) marks the processes that
//! run when a selection is set.
//!
//! Called under the embedder's one lock.

use hone_packet::Headers;
use hone_pcapng::ProcessEvent;
use hone_select::{Mark, PacketView, ProcessView, Selection};

use crate::{Attribution, Nanos, NoOwner, Packet, tables::Tables};

/// Most readers of one engine that can have words about processes in their selections at the same time.
pub const MAX_PROCESS_SELECTIONS: usize = 64;
/// How many selections have marks: each reader has a place for its selection, and one beside it for the next.
pub(crate) const PLACES: usize = 2 * MAX_PROCESS_SELECTIONS;
/// How many places are in one word of [`Marks`].
const WORD: usize = u64::BITS as usize;

/// The place beside this one, of the same reader.
pub(crate) const fn beside(place: usize) -> usize {
    place ^ 1
}

/// The marks of a process, for each reader that selects by processes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The two bits of [`Mark::bits`], each for all readers. Both together have a meaning of their own: the process waits to
    /// be compared with a selection that a reader gets. For a mark, they would say no more than the second alone: what is
    /// unwanted stays so, whether it is wanted, too.
    bits: [[u64; PLACES / WORD]; 2],
}

/// Both bits.
const WAITS: u8 = 0b11;
/// The second.
const UNWANTED: u8 = 0b10;

impl Marks {
    /// Those of a process that inherits nothing.
    pub(crate) const NONE: Self = Self { bits: [[0; PLACES / WORD]; 2] };

    fn bits(self, place: usize) -> u8 {
        let bit = |index: usize| u8::from(self.bits[index][place / WORD] >> (place % WORD) & 1 == 1) << index;
        bit(0) | bit(1)
    }

    fn set_bits(&mut self, place: usize, new: u8) {
        for (index, bits) in self.bits.iter_mut().enumerate() {
            let (word, place) = (&mut bits[place / WORD], place % WORD);
            *word = *word & !(1 << place) | u64::from(new >> index & 1) << place;
        }
    }

    fn of(self, place: usize) -> Mark {
        match self.bits(place) {
            WAITS => Mark::default(),
            bits => Mark::of_bits(bits),
        }
    }

    fn set(&mut self, place: usize, mark: Mark) {
        let bits = mark.bits();
        self.set_bits(place, if bits & UNWANTED == 0 { bits } else { UNWANTED });
    }

    /// Whether the process waits to be compared with the selection that has this place.
    pub(crate) fn waits(self, place: usize) -> bool {
        self.bits(place) == WAITS
    }

    /// Lets the process wait, whatever mark it had from a selection that had this place before.
    pub(crate) fn wait(&mut self, place: usize) {
        self.set_bits(place, WAITS);
    }
}

/// A selection that a reader has or gets.
pub(crate) struct Selecting {
    pub(crate) selection: Selection,
    /// Which bits of [`Marks`] are this one's; below [`PLACES`]. `None`: it has no words about
    /// processes.
    pub(crate) place: Option<usize>,
    /// When it was asked for.
    pub(crate) since: Nanos,
}

impl Selecting {
    /// Notes what the words say of a process. `marks` has its former marks, or those of its parent: see
    /// [`Selection::mark`]. With [`Selection::children`], one that waits stays so. `born`: when the process was first seen.
    ///
    /// With [`Selection::children`], a process id names the process that has it when the selection is asked for. A process
    /// that starts later and gets the same id is another one.
    pub(crate) fn mark(&self, event: &ProcessEvent<'_>, born: Nanos, marks: &mut Marks) {
        let Some(place) = self.place else { return };
        if self.selection.children() && marks.waits(place) {
            return;
        }
        let mut process = view(event);
        if self.selection.children() && born > self.since {
            process.pid = None;
        }
        marks.set(place, self.selection.mark(&process, marks.of(place)));
    }

    /// The same for a process that waits; `parent`: the marks of its parent.
    pub(crate) fn mark_waiting(
        &self,
        event: &ProcessEvent<'_>,
        born: Nanos,
        parent: Marks,
        marks: &mut Marks,
    ) {
        if let Some(place) = self.place {
            marks.set(place, parent.of(place));
            self.mark(event, born, marks);
        }
    }

    /// Whether packets of a process with these marks may be wanted.
    pub(crate) fn may_want(&self, marks: Marks) -> bool {
        self.place.is_none_or(|place| self.selection.admits(Some(marks.of(place))))
    }

    /// Whether a packet is wanted.
    pub(crate) fn admits(&self, packet: &Inspected<'_>) -> bool {
        let by_process = match (self.place, packet.process) {
            (None, _) => true,
            (Some(_), None) => self.selection.admits(None),
            (Some(place), Some((_, Some(marks)))) => self.selection.admits(Some(marks.of(place))),
            (Some(_), Some((pid, None))) => self
                .selection
                .process_matches(Some(&ProcessView { pid: Some(pid), ..ProcessView::default() })),
        };
        by_process && self.selection.packet_matches(&packet.view)
    }
}

/// A packet as selections see it.
pub(crate) struct Inspected<'a> {
    view: PacketView<'a>,
    /// The id of its process, and the marks of that process if it is known.
    process: Option<(u32, Option<Marks>)>,
}

impl<'a> Inspected<'a> {
    /// Looks at a packet. `headers`: whether a selection has words about packets.
    pub(crate) fn new(packet: &Packet<'a>, attribution: Attribution, tables: &Tables, headers: bool) -> Self {
        let owner = match attribution {
            Ok((process, _)) => Some(process),
            // What the kernel does for a connection that has ended is wanted with the connection.
            Err(NoOwner::TimeWait) => {
                packet.connection.and_then(|connection| tables.connection(connection)?.identity)
            }
            Err(_) => None,
        };
        let process = owner
            .map(|process| (process.pid, tables.same_process(process).map(|known| known.identity.marks)));
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
        pid: Some(event.process),
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
        let mut marks = Marks::NONE;
        let written: [Mark; PLACES] =
            core::array::from_fn(|place| Mark::of_bits(u8::try_from(place % 3).unwrap_or(0)));
        for _ in 0..2 {
            written.iter().enumerate().for_each(|(place, mark)| marks.set(place, *mark));
        }
        for (place, mark) in written.iter().enumerate() {
            assert_eq!(marks.of(place), *mark, "{place}");
        }
    }
}
