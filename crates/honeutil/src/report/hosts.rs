//! The hosts of a report, and what their sections say.

use std::collections::BTreeMap;

use hone_tables::SectionRow;
use serde::Serialize;

use crate::text::printable;

/// Most hosts. Those beyond are counted as the last one.
const MAX_HOSTS: usize = 1000;
/// Most characters of a name.
const MAX_NAME: usize = 256;

/// A host, as the page gets it. Times are microseconds since 1970-01-01 UTC.
#[derive(Debug, Default, Serialize)]
pub(super) struct Host {
    name: String,
    os: String,
    application: String,
    first: Option<u64>,
    last: Option<u64>,
    packets: u64,
    bytes: u64,
    dropped: Option<u64>,
    unowned: u64,
    reasons: BTreeMap<&'static str, u64>,
    /// The places of the inputs that have something of it.
    files: Vec<usize>,
    #[serde(skip)]
    id: String,
    #[serde(skip)]
    first_nanos: Option<u64>,
}

/// The hosts.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    pub(super) all: Vec<Host>,
    /// The last one that was asked for.
    recent: usize,
    /// The input that is read, counted from 1.
    input: usize,
}

impl Hosts {
    /// Another input begins.
    pub(super) fn next_input(&mut self) {
        self.input += 1;
    }

    /// The number of the host with this id.
    pub(super) fn number(&mut self, id: &str) -> u16 {
        if self.all.get(self.recent).is_none_or(|host| host.id != id) {
            let known = self.all.iter().position(|host| host.id == id);
            self.recent = known.unwrap_or_else(|| {
                if self.all.len() == MAX_HOSTS {
                    return MAX_HOSTS - 1;
                }
                let name = printable(id, MAX_NAME);
                self.all.push(Host { id: id.to_owned(), name, ..Host::default() });
                self.all.len() - 1
            });
        }
        u16::try_from(self.recent).unwrap_or(u16::MAX)
    }

    /// Packets of all hosts.
    pub(super) fn packets(&self) -> u64 {
        self.all.iter().map(|host| host.packets).sum()
    }

    /// The time of a host's first packet.
    pub(super) fn first(&self, number: u16) -> Option<u64> {
        self.all.get(usize::from(number))?.first_nanos
    }

    /// Adds what a section says.
    pub(super) fn section(&mut self, row: &SectionRow<'_>) {
        let at = usize::from(self.number(row.host));
        let host = &mut self.all[at];
        let text = |text: &Option<_>| {
            text.as_ref().map(|text| printable(AsRef::<str>::as_ref(text), MAX_NAME)).unwrap_or_default()
        };
        let micros = |nanos: Option<u64>| nanos.map(|nanos| nanos / 1000);
        host.os = text(&row.os);
        host.application = text(&row.application);
        host.first_nanos = host.first_nanos.into_iter().chain(row.first).min();
        host.first = micros(host.first_nanos);
        host.last = host.last.into_iter().chain(micros(row.last)).max();
        host.packets += row.packets;
        host.bytes += row.bytes;
        if let Some(dropped) = row.dropped {
            *host.dropped.get_or_insert_default() += dropped;
        }
        host.unowned += row.unowned;
        for (reason, count) in row.unowned_reasons {
            *host.reasons.entry(reason).or_default() += count;
        }
        let file = self.input.saturating_sub(1);
        if !host.files.contains(&file) {
            host.files.push(file);
        }
    }
}
