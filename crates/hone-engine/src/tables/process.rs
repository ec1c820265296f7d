//! Process events: changes the process table and encodes the events as blocks. Called by
//! [`Engine::handle`](crate::Engine::handle), under the embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng::{Block, ProcessEvent, ProcessEventKind};

use crate::{
    EventError, Nanos, OutOfMemory, ProcessKey, ProcessStart, StartKind,
    blocks::{About, Role, Store, cut, encode, parse_process},
    fallible,
    readers::{
        queues::Queues,
        selection::{Marks, Selecting},
    },
    statistics::Kind,
    tables::{Running, Tables},
};

impl Tables {
    /// A process starts, forks, or executes a new image.
    pub(crate) fn process_started(
        &mut self,
        start: &ProcessStart<'_>,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let ProcessKey { pid, start: since } = start.process;
        match self.processes.get(pid) {
            // The process has ended, or its fork is reported after a later event of it.
            Some(known)
                if known.identity.start == since
                    && (known.ended().is_some() || start.kind == StartKind::Forked) =>
            {
                queues.counts.ignored.processes += 1;
                return Ok(());
            }
            // Another process has the id now, so the end of the earlier one was not reported.
            Some(known) if known.identity.start != since && known.ended().is_none() => {
                let unseen = ProcessKey { pid, start: known.identity.start };
                if self.process_ended(unseen, start.at, queues).is_err() {
                    queues.counts.lost.processes += 1;
                }
            }
            _ => {}
        }

        let base = match start.kind {
            StartKind::Forked => start.parent.and_then(|parent| self.processes.get(parent)),
            StartKind::Supplemented => self.same_process(start.process),
            StartKind::Started | StartKind::KernelThread => None,
        };
        let base = base.and_then(|base| parse_process(queues.store.bytes(base.block)));
        let event = started(start, base.unwrap_or_default());
        let known = self.same_process(start.process);
        let mut marks = match known {
            Some(known) => known.identity.marks,
            None => self.marks_of_parent(&event, since),
        };
        queues.mark(&event, &mut marks);
        let bytes = encode(&Block::Process(event))?;

        self.processes.make_room(pid, &mut queues.store)?;
        let block = queues.store.insert(bytes, Kind::Process, start.at)?;
        let known = self.same_process(start.process);
        let since_now = Running { start: since, born: start.at, marks };
        let running = known.map_or(since_now, |known| Running { marks, ..known.identity });
        let role = if known.is_some() { Role::Continues } else { Role::Begins };
        queues.store.set_about(block, About::event(pid.into(), role));
        self.processes.insert(pid, running, block, start.at, &mut queues.store, &mut self.timeline)?;
        queues.offer(block, Kind::Process);
        Ok(())
    }

    /// The marks of the process that started this one, as far as it is known; `since`: when this one started.
    fn marks_of_parent(&self, event: &ProcessEvent<'_>, since: Nanos) -> Marks {
        let parent = event.parent.filter(|parent| *parent != event.process);
        let parent = parent.and_then(|parent| self.processes.get(parent));
        // A process that has the parent's id now, but is younger, is another one.
        parent
            .filter(|known| known.identity.start <= since)
            .map(|known| known.identity.marks)
            .unwrap_or_default()
    }

    /// Marks all processes anew for one reader, parents before their children.
    pub(crate) fn mark_processes(&mut self, order: &[(Nanos, u32)], selecting: &Selecting, store: &Store) {
        // First of all: processes that started at the same time are in no order, and a reader that has left may have
        // marked them.
        for (_, pid) in order {
            if let Some(known) = self.processes.get_mut(*pid) {
                selecting.forget(&mut known.identity.marks);
            }
        }
        for &(since, pid) in order {
            let Some(known) = self.processes.get(pid) else { continue };
            let Some(event) = parse_process(store.bytes(known.block)) else { continue };
            let mut marks = known.identity.marks;
            selecting.inherit(self.marks_of_parent(&event, since), &mut marks);
            selecting.mark(&event, &mut marks);
            if let Some(known) = self.processes.get_mut(pid) {
                known.identity.marks = marks;
            }
        }
    }

    /// All processes that the table knows, in the order of their starts.
    pub(crate) fn order_of_starts(&self) -> Result<Vec<(Nanos, u32)>, OutOfMemory> {
        let mut order = fallible::vec(self.processes.known())?;
        self.processes.iter().for_each(|(pid, known)| {
            fallible::push_reserved(&mut order, (known.identity.start, pid));
        });
        order.sort_unstable();
        Ok(order)
    }

    /// A process ended. It stays known for a while.
    pub(crate) fn process_ended(
        &mut self,
        process: ProcessKey,
        at: Nanos,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let pid = process.pid;
        if self.same_process(process).is_none_or(|known| known.ended().is_some()) {
            queues.counts.ignored.processes += 1;
            return Ok(());
        }
        self.processes.end(pid, at, &mut queues.store, &mut self.timeline);
        if !queues.has_readers() {
            return Ok(());
        }
        let event = ProcessEvent {
            process: pid,
            timestamp: at,
            kind: ProcessEventKind::Ended,
            ..ProcessEvent::default()
        };
        queues.offer_event(encode(&Block::Process(event))?, Kind::Process, pid.into(), at)?;
        Ok(())
    }
}

/// Makes the event of a start. Fields that `start` does not have come from `base`. For a fork, that is the last event
/// of the parent, as both run the same image. For [`StartKind::Supplemented`], it is the last event of the process
/// itself.
fn started<'a>(start: &ProcessStart<'a>, base: ProcessEvent<'a>) -> ProcessEvent<'a> {
    let text = |own: Option<&'a [u8]>, base| own.map(|own| Cow::Borrowed(cut(own))).or(base);
    let kind = match start.kind {
        StartKind::Supplemented => base.kind,
        StartKind::Started => ProcessEventKind::Started,
        StartKind::Forked => ProcessEventKind::Forked,
        StartKind::KernelThread => ProcessEventKind::KernelThread,
    };
    // A fork does not inherit its parent's parent, container, unit or namespaces.
    let itself = if start.kind == StartKind::Supplemented { Some(&base) } else { None };
    let parent = start.parent.or_else(|| itself?.parent);
    let namespace_pid = start.namespace_pid.or_else(|| itself?.namespace_pid);
    let network_namespace = start.network_namespace.or_else(|| itself?.network_namespace);
    let (container, unit) = match start.kind {
        StartKind::Supplemented => (base.container, base.unit),
        _ => (None, None),
    };
    ProcessEvent {
        process: start.process.pid,
        timestamp: start.at,
        kind,
        // Not cut, as path and arguments may take more than one option.
        path: start.path.map(Cow::Borrowed).or(base.path),
        arguments: start.arguments.map(Cow::Borrowed).or(base.arguments),
        parent,
        user: start.user.or(base.user),
        group: start.group.or(base.group),
        user_name: text(start.user_name, base.user_name),
        group_name: text(start.group_name, base.group_name),
        security_id: text(start.security_id, base.security_id),
        command_line: text(start.command_line, base.command_line),
        container: text(start.container, container),
        namespace_pid,
        network_namespace,
        unit: text(start.unit, unit),
        other: Vec::new(),
    }
}
