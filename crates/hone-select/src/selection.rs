//! Which events are wanted. An event must meet a condition of every word that was given; of one word, any one is enough.
//! It must meet no negated condition.

use alloc::vec::Vec;

use hone_types::ConnectionId;

use crate::condition::Condition;
use crate::error::{ConditionError, Contradiction, Excerpt};
use crate::fallible::push;
use crate::view::{PacketView, ProcessView};
use crate::word::Word;
use crate::{MAX_CONDITIONS, MAX_TEXT_BYTES};

/// The conditions. Without any, everything is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those of processes.
    processes: Vec<Condition>,
    /// Those of packets.
    packets: Vec<Condition>,
    children: bool,
    /// Bytes of the text form.
    text_bytes: usize,
}

/// What is remembered of a process for a selection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// It meets the words of processes, or descends from a process that does.
    is_wanted: bool,
    /// It meets a negated condition, or descends from a process that does.
    is_unwanted: bool,
}

impl Mark {
    /// The mark in two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.is_wanted as u8 | (self.is_unwanted as u8) << 1
    }

    /// The mark with these bits; others are ignored.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Self {
        Self { is_wanted: bits & 1 != 0, is_unwanted: bits & 2 != 0 }
    }
}

impl Selection {
    /// Adds a condition.
    ///
    /// # Errors
    /// The word has no such value, or the selection has no room for it. It is unchanged then.
    pub fn add(&mut self, word: Word, is_negated: bool, text: &str) -> Result<(), ConditionError> {
        if self.processes.len() + self.packets.len() == MAX_CONDITIONS {
            return Err(ConditionError::TooMany);
        }
        let condition = Condition::new(word, is_negated, text)?;
        let bytes = self.text_bytes.saturating_add(super::encoding::bytes_of(&condition));
        if bytes > MAX_TEXT_BYTES {
            return Err(ConditionError::TooLong);
        }
        let list = if word.is_of_process() { &mut self.processes } else { &mut self.packets };
        push(list, condition)?;
        self.text_bytes = bytes;
        Ok(())
    }

    /// Whether the words of processes also match the descendants of what they match.
    pub fn set_children(&mut self, children: bool) {
        self.children = children;
    }

    /// Whether the words of processes also match the descendants of what they match.
    #[must_use]
    pub fn children(&self) -> bool {
        self.children
    }

    /// The conditions: those of processes, then those of packets, each in the order in which they were added.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.processes.iter().chain(&self.packets)
    }

    /// Whether everything is wanted.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.processes.is_empty() && self.packets.is_empty()
    }

    /// Whether a word of processes was given, also negated.
    #[must_use]
    pub fn has_process_words(&self) -> bool {
        !self.processes.is_empty()
    }

    /// How many conditions of processes there are.
    #[must_use]
    pub fn process_words(&self) -> usize {
        self.processes.len()
    }

    /// Whether a word of packets was given, also negated.
    #[must_use]
    pub fn has_packet_words(&self) -> bool {
        !self.packets.is_empty()
    }

    /// Whether names of the network are compared, which only recordings have.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        self.packets.iter().any(Condition::needs_names)
    }

    /// Whether something without a process and a connection is never wanted.
    #[must_use]
    pub fn needs_processes(&self) -> bool {
        let mut wanted = self.conditions().filter(|condition| !condition.is_negated);
        wanted.any(|condition| condition.word.is_of_process() || condition.word == Word::Conn)
    }

    /// Finds a value that is wanted and unwanted.
    ///
    /// # Errors
    /// What contradicts itself.
    pub fn check(&self) -> Result<(), Contradiction> {
        if self.children && self.processes.is_empty() {
            return Err(Contradiction::ChildrenOfNone);
        }
        for wanted in self.conditions().filter(|condition| !condition.is_negated) {
            let unwanted =
                |other: &Condition| other.is_negated && other.word == wanted.word && other.includes(wanted);
            if let Some(unwanted) = self.conditions().find(|other| unwanted(other)) {
                return Err(Contradiction::Both {
                    word: wanted.word,
                    wanted: Excerpt::of(wanted.text()),
                    unwanted: Excerpt::of(unwanted.text()),
                });
            }
        }
        Ok(())
    }

    /// What to remember of a process, when it starts, executes another program, or more of it becomes known.
    ///
    /// `before`: for a fork, and for a process that was running before the recording, the mark of its parent; for
    /// anything that happens to a process later, its own mark. Both only matter with [`children`](Self::children): so a
    /// descendant keeps the mark when its parent ends or when it executes another program.
    #[must_use]
    pub fn mark(&self, process: &ProcessView<'_>, before: Mark) -> Mark {
        let before = if self.children { before } else { Mark::default() };
        let has = |condition: &Condition| condition.is_of_process(process);
        Mark {
            is_wanted: before.is_wanted || has_all(&self.processes, has),
            is_unwanted: before.is_unwanted || has_unwanted(&self.processes, has),
        }
    }

    /// Whether what belongs to a process with this mark is wanted; `None`: to no process. Without words of processes, the mark does not
    /// matter: it may be of another selection.
    #[must_use]
    pub fn admits(&self, mark: Option<Mark>) -> bool {
        if self.processes.is_empty() {
            return true;
        }
        match mark {
            Some(mark) => mark.is_wanted && !mark.is_unwanted,
            None => self.processes.iter().all(|condition| condition.is_negated),
        }
    }

    /// Whether what belongs to this process is wanted, apart from its ancestors; `None`: to no process.
    #[must_use]
    pub fn process_matches(&self, process: Option<&ProcessView<'_>>) -> bool {
        self.admits(process.map(|process| self.mark(process, Mark::default())))
    }

    /// Whether a packet meets the words of packets.
    #[must_use]
    pub fn packet_matches(&self, packet: &PacketView<'_>) -> bool {
        // Nothing is known of the packet, so even `not port 53` is not met.
        let unknown = |condition: &Condition| condition.word != Word::Conn;
        if packet.is_undecoded && self.packets.iter().any(unknown) {
            return false;
        }
        let has = |condition: &Condition| condition.is_of_packet(packet);
        has_all(&self.packets, has) && !has_unwanted(&self.packets, has)
    }

    /// Whether what is no packet meets the words of packets: only `conn` can be met by it, with its connection.
    #[must_use]
    pub fn connection_matches(&self, connection: Option<ConnectionId>) -> bool {
        let view = PacketView { connection, ..PacketView::default() };
        let has = |condition: &Condition| condition.word == Word::Conn && condition.is_of_packet(&view);
        has_all(&self.packets, has) && !has_unwanted(&self.packets, has)
    }
}

/// Whether a value of every word that is wanted is there.
fn has_all(conditions: &[Condition], has: impl Fn(&Condition) -> bool) -> bool {
    let (mut given, mut met) = (0_u16, 0_u16);
    for condition in conditions.iter().filter(|condition| !condition.is_negated) {
        let word = 1 << condition.word as u16;
        given |= word;
        if met & word == 0 && has(condition) {
            met |= word;
        }
    }
    given == met
}

/// Whether an unwanted value is there.
fn has_unwanted(conditions: &[Condition], has: impl Fn(&Condition) -> bool) -> bool {
    conditions.iter().any(|condition| condition.is_negated && has(condition))
}

#[cfg(test)]
mod tests;
