//! What other programs did to files while they were written: moved, deleted or replaced them.

use super::error::OutputError;
use crate::text::thousands;

/// Most missing files that are named one by one.
const MAX_NAMED: usize = 4;

/// What other programs did to all files of a recording.
#[derive(Debug, Default)]
pub(super) struct Interference {
    /// The first few missing files.
    gone_names: Vec<String>,
    gone: u64,
    gone_bytes: u64,
    moved: u64,
    /// The present path of the file that was moved last.
    moved_to: String,
}

impl Interference {
    /// Notes that a finished file is now at another path.
    pub(super) fn add_moved(&mut self, to: String) {
        self.moved += 1;
        self.moved_to = to;
    }

    /// Notes that a finished file has no name any more: its content is lost.
    pub(super) fn add_gone(&mut self, name: &str, bytes: u64) {
        self.gone += 1;
        self.gone_bytes += bytes;
        if self.gone_names.len() < MAX_NAMED {
            self.gone_names.push(name.to_owned());
        }
    }

    /// How many finished files were not where they were written.
    pub(super) fn files(&self) -> u64 {
        self.gone + self.moved
    }

    /// # Errors
    /// [`OutputError::Gone`] if files are gone.
    pub(super) fn result(&self) -> Result<(), OutputError> {
        let names = self.gone_names.join(", ");
        let names = match self.gone {
            0 => return Ok(()),
            1 => format!("{names} was"),
            count if self.gone_names.len() as u64 == count => format!("{names} were"),
            count => format!("{} files ({names} and others) were", thousands(count)),
        };
        Err(OutputError::Gone { names, lost: self.gone_bytes })
    }

    /// What is shown instead of the name if the recording has only one file and something was done to it.
    pub(super) fn of_only_file(&self, name: &str) -> Option<String> {
        match (self.gone, self.moved) {
            (1, _) => Some(format!("{name}, which was deleted or replaced")),
            (_, 1) => Some(format!("{} (was {name})", self.moved_to)),
            _ => None,
        }
    }

    /// What is shown after the names of several files.
    pub(super) fn of_several(&self) -> String {
        let mut text = String::new();
        for (count, what) in [(self.gone, "deleted or replaced"), (self.moved, "moved")] {
            match count {
                0 => {}
                1 => text.push_str(&format!("; 1 was {what} while recording")),
                count => text.push_str(&format!("; {} were {what} while recording", thousands(count))),
            }
        }
        text
    }
}
