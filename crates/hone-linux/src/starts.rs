//! When the running processes last started, forked or executed a program, as far as this has been handed on: by the clock of
//! the BPF programs. The sensor's thread writes it; whoever says of which processes no packet is wanted reads it, perhaps on
//! another thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hone_engine::ProcessKey;

use crate::abi::types::part;

/// Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starts(Arc<Mutex<HashMap<u64, Start>>>);

/// What is known of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// When its latest record was made.
    pub(crate) time: u64,
    /// Whether the programs may have an entry of it.
    pub(crate) has_entry: bool,
}

impl Starts {
    /// A record of the process has been handed on: the engine knows at least so much of it.
    pub(crate) fn handed_on(&self, process: ProcessKey, time: u64) {
        let mut all = self.all();
        let has_entry = all.get(&word(process)).is_some_and(|start| start.has_entry);
        all.insert(word(process), Start { time, has_entry });
    }

    /// The process has ended. Returns what was known of it.
    pub(crate) fn ended(&self, process: ProcessKey) -> Option<Start> {
        self.all().remove(&word(process))
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, HashMap<u64, Start>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of a process, as the programs name it.
pub(crate) const fn word(process: ProcessKey) -> u64 {
    process.start << part::PART_START.0 | process.pid as u64
}
