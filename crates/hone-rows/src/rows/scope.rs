//! What the rows of a section have in common, and the ids of its processes.

use std::collections::HashMap;
use std::sync::Arc;

use hone_pcapng::{HostId, Section};
use hone_tables::uid;

use crate::processes::Process;
use crate::text::guid_text;

/// Most owners that are kept. All are made again when there are more.
const MAX_OWNERS: usize = 1 << 16;

/// The host of a section.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Its id, or the file's name.
    pub(super) host: String,
    pub(super) boot: Option<String>,
    /// The owners that were made, by process id and start.
    owners: HashMap<(u32, Option<u64>), Owner>,
}

/// The process of a packet or connection.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) uid: Arc<str>,
    /// The last part of the executable's path; empty if unknown.
    pub(super) name: Arc<str>,
}

impl Scope {
    /// The scope of a section; `name`: that of the file, for a recording without a host.
    pub(super) fn of(section: Option<&Section<'_>>, name: &str) -> Self {
        let host = match section.and_then(|section| section.host.as_ref()) {
            Some(HostId::Guid(guid)) => guid_text(guid),
            Some(HostId::Name(host)) => host.to_string(),
            None => name.to_owned(),
        };
        let boot = section.and_then(|section| section.boot.as_ref()).map(guid_text);
        Self { host, boot, owners: HashMap::new() }
    }

    /// A process as an owner.
    pub(super) fn owner(&mut self, pid: u32, process: Option<&Process>) -> &Owner {
        if self.owners.len() >= MAX_OWNERS {
            self.owners.clear();
        }
        let start = process.and_then(|process| process.start);
        let run = process.and_then(|process| process.run).zip(self.boot.as_deref());
        self.owners.entry((pid, start)).or_insert_with(|| Owner {
            pid,
            uid: match run {
                Some((run, boot)) => uid::run(&self.host, boot, pid, run),
                None => uid::process(&self.host, pid, start),
            },
            name: String::from_utf8_lossy(process.map_or(&[], Process::name)).into(),
        })
    }
}
