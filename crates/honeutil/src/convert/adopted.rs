//! Processes that another program has described, as Hone's own events.
//!
//! A process block becomes an event in its place, or before the first packet of the section if it stands before that. A
//! packet's process is described again if the last event of its id is of another process: Hone's readers go by the order of
//! the events.

use std::borrow::Cow;
use std::collections::HashMap;

use hone_pcapng::{ByteOrder, EmitError, Interface, ProcessEvent, ProcessEventKind};

use crate::show::processes::Process;

/// Most bytes of what is remembered, approximately.
const MAX_BYTES: usize = 32 << 20;

/// A process as a block describes it.
#[derive(Debug)]
struct Described {
    process: Process,
    arguments: Option<Vec<u8>>,
    parent: Option<u32>,
    /// When it started.
    start: Option<u64>,
}

/// The processes of a section.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// The first interface, whose clock is that of events.
    clock: Option<Interface<'static>>,
    /// The time of the latest packet.
    latest: Option<u64>,
    by_pid: HashMap<u32, Vec<Described>>,
    /// What the last event of each id says.
    written: HashMap<u32, Process>,
    /// Ids whose last block waits for the first packet.
    waiting: Vec<u32>,
    bytes: usize,
}

impl Adopted {
    /// Another section begins. Returns how many processes are lost: a section without a packet has no time for them.
    pub(super) fn clear(&mut self) -> u64 {
        std::mem::take(self).waiting()
    }

    /// How many processes wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Takes note of the section's clock.
    pub(super) fn interface(&mut self, interface: &Interface<'_>) {
        let Interface { link_type, snap_length, resolution, offset_seconds, .. } = *interface;
        self.clock.get_or_insert_with(|| Interface {
            link_type,
            snap_length,
            description: None,
            resolution,
            offset_seconds,
            other: Vec::new(),
        });
    }

    /// Takes a block of a process; `start` is when it started.
    pub(super) fn block(
        &mut self,
        event: &ProcessEvent<'_>,
        process: &Process,
        start: Option<u64>,
        order: ByteOrder,
        out: &mut Vec<u8>,
    ) -> Result<(), EmitError> {
        let described = Described {
            process: process.clone(),
            arguments: event.arguments.as_deref().map(<[u8]>::to_vec),
            parent: event.parent,
            start,
        };
        self.bytes += 2 * process.bytes() + described.arguments.as_ref().map_or(0, Vec::len);
        self.by_pid.entry(event.process).or_default().push(described);
        if self.latest.is_none() {
            self.waiting.push(event.process);
            return Ok(());
        }
        self.written.remove(&event.process);
        self.describe(event.process, process, order, out)
    }

    /// A packet comes: describes what waits, and its process.
    pub(super) fn packet(
        &mut self,
        nanos: Option<u64>,
        process: Option<(u32, &Process)>,
        order: ByteOrder,
        out: &mut Vec<u8>,
    ) -> Result<(), EmitError> {
        self.latest = nanos.or(self.latest).or(Some(0));
        for pid in std::mem::take(&mut self.waiting) {
            let last = self.by_pid.get(&pid).and_then(|all| Some(all.last()?.process.clone()));
            if let Some(process) = last.filter(|process| self.written.get(&pid) != Some(process)) {
                self.describe(pid, &process, order, out)?;
            }
        }
        match process {
            Some((pid, process)) if self.written.get(&pid) != Some(process) => {
                self.describe(pid, process, order, out)
            }
            _ => Ok(()),
        }
    }

    fn describe(
        &mut self,
        pid: u32,
        process: &Process,
        order: ByteOrder,
        out: &mut Vec<u8>,
    ) -> Result<(), EmitError> {
        if self.bytes > MAX_BYTES {
            self.by_pid.clear();
            self.written.clear();
            self.bytes = 0;
        }
        let known = self.by_pid.get(&pid).and_then(|all| all.iter().rev().find(|it| it.process == *process));
        let nanos = known.and_then(|known| known.start).or(self.latest).unwrap_or(0);
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| Cow::Owned(bytes.to_vec()));
        let event = ProcessEvent {
            process: pid,
            timestamp: self.clock.as_ref().and_then(|clock| clock.timestamp(nanos)).unwrap_or(0),
            kind: ProcessEventKind::Started,
            path: text(&process.path),
            arguments: known.and_then(|known| known.arguments.clone()).map(Cow::Owned),
            parent: known.and_then(|known| known.parent),
            user: process.user,
            group: process.group,
            user_name: text(&process.user_name),
            group_name: text(&process.group_name),
            container: text(&process.container),
            ..ProcessEvent::default()
        };
        event.emit(order, out)?;
        self.bytes += process.bytes();
        self.written.insert(pid, process.clone());
        Ok(())
    }
}
