//! Packets that a selection left out, and that were found later to be of a selected process: the recording does not have
//! them. Held packets wait for their process, so this is about those that are read long after they came, or are handed to
//! another process.

use std::rc::Rc;

use hone_engine::BYTE_ORDER;
use hone_pcapng::view;
use hone_pcapng::{ProcessEvent, block};
use hone_select::Selection;

use crate::show::processes::Processes;
use crate::traffic::tally::Tally;

/// Counts them.
#[derive(Debug)]
pub(super) struct Late {
    selection: Rc<Selection>,
    processes: Processes,
    /// Corrections in favour of a selected process, of packets that are not recorded.
    pub(super) corrections: u64,
}

impl Late {
    /// For a recording with this selection; `None` if no process is left out.
    pub(super) fn new(selection: &Selection) -> Option<Self> {
        if !selection.has_process_words() {
            return None;
        }
        let mut text = Vec::new();
        selection.to_text(&mut text).ok()?;
        let selection = Rc::new(Selection::parse(&text).ok()?);
        Some(Self { processes: Processes::new(&selection), selection, corrections: 0 })
    }

    /// Looks at all blocks of the stream, once the tally has counted those that are written.
    pub(super) fn note(&mut self, blocks: &[u8], tally: &mut Tally) {
        for found in view::blocks(blocks, BYTE_ORDER) {
            match found.kind() {
                block::SECTION => self.processes.clear(),
                block::PROCESS => {
                    if let Ok(event) = ProcessEvent::parse(found.body(), BYTE_ORDER) {
                        self.processes.note(&event, None);
                    }
                }
                block::CONNECTION => {
                    let Some((event, correction)) = found.correction() else { continue };
                    let is_late = correction.has_process()
                        && self.is_selected(event.process)
                        && !tally.has_counted(event.connection, &correction);
                    self.corrections += u64::from(is_late);
                }
                _ => {}
            }
        }
    }

    fn is_selected(&self, pid: u32) -> bool {
        self.processes.get(pid).is_some_and(|process| self.selection.admits(Some(process.mark)))
    }
}
