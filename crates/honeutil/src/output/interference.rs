//! What others did to files while they were written: moved or deleted them, or put other files in their places.

use super::error::OutputError;
use crate::text::thousands;

/// Files that are gone, named one by one.
const MAX_NAMED: usize = 4;

/// What others did, over all files of a recording.
#[derive(Debug, Default)]
pub(super) struct Interference {
    /// The first few that are gone.
    gone_names: Vec<String>,
    gone: u64,
    gone_bytes: u64,
    moved: u64,
    /// Where the last one that was moved is now.
    moved_to: String,
}

impl Interference {
    /// A file that was written to its end is elsewhere.
    pub(super) fn add_moved(&mut self, to: String) {
        self.moved += 1;
        self.moved_to = to;
    }

    /// A file that was written to its end has no name any more: what it held is lost.
    pub(super) fn add_gone(&mut self, name: &str, bytes: u64) {
        self.gone += 1;
        self.gone_bytes += bytes;
        if self.gone_names.len() < MAX_NAMED {
            self.gone_names.push(name.to_owned());
        }
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

    /// What to say instead of the name of a recording's only file, if something was done to that.
    pub(super) fn of_only_file(&self, name: &str) -> Option<String> {
        match (self.gone, self.moved) {
            (1, _) => Some(format!("{name}, which was deleted or replaced")),
            (_, 1) => Some(format!("{} (was {name})", self.moved_to)),
            _ => None,
        }
    }

    /// What to say behind the names of several files.
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
