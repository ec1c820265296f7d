//! Process events: changes the process table and encodes the events as blocks. Called by
//! [`Engine::handle`](crate::Engine::handle), under the embedder's one lock.

use alloc::{borrow::Cow, vec::Vec};

use hone_pcapng::{Block, ProcessEvent, ProcessEventKind};

use crate::{
    EventError, ExecutableHash, Nanos, ProcessKey, ProcessStart, StartKind,
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
        let parent = event.parent.filter(|parent| *parent != pid);
        let known = self.same_process(start.process);
        let mut running = match known {
            Some(known) => Running { parent: known.identity.parent.or(parent), ..known.identity },
            None => {
                let marks = self.marks_of_parent(parent, since);
                Running { start: since, born: start.at, parent, marks }
            }
        };
        queues.mark(&event, running.born, &mut running.marks);
        let bytes = encode(&Block::Process(event))?;

        self.processes.make_room(pid, &mut queues.store)?;
        let role = if self.same_process(start.process).is_some() { Role::Continues } else { Role::Begins };
        let about = About::event(pid.into(), role);
        let block = queues.store.insert(bytes, Kind::Process, start.at, about)?;
        self.processes.insert(pid, running, block, start.at, &mut queues.store, &mut self.timeline)?;
        queues.offer(block, Kind::Process);
        Ok(())
    }

    /// The marks of the process that started another one, as far as it is known; `since`: when that one started.
    fn marks_of_parent(&self, parent: Option<u32>, since: Nanos) -> Marks {
        let parent = parent.and_then(|parent| self.processes.get(parent));
        // A process that has the parent's id now, but is younger, is another one.
        parent.filter(|known| known.identity.start <= since).map_or(Marks::NONE, |known| known.identity.marks)
    }

    /// Lets all processes wait to be compared with the selection that has this place.
    pub(crate) fn await_marks(&mut self, place: usize) {
        self.processes.iter_mut().for_each(|known| known.identity.marks.wait(place));
    }

    /// Adds processes that wait to be compared with this selection, as many as there is room for.
    pub(crate) fn list_waiting(&self, selecting: &Selecting, waiting: &mut Vec<(Nanos, u32)>) {
        let waits = |marks: Marks| selecting.place.is_some_and(|place| marks.waits(place));
        let all = self.processes.iter().filter(|(_, known)| waits(known.identity.marks));
        let room = waiting.capacity() - waiting.len();
        for (pid, known) in all.take(room) {
            fallible::push_reserved(waiting, (known.identity.start, pid));
        }
    }

    /// Compares these processes with a selection. `waits_for_parent`: a process waits on whose parent does.
    pub(crate) fn mark_processes(
        &mut self,
        waiting: &[(Nanos, u32)],
        selecting: &Selecting,
        waits_for_parent: bool,
        store: &Store,
    ) {
        let waits = |marks: Marks| selecting.place.is_some_and(|place| marks.waits(place));
        for &(since, pid) in waiting {
            // Another process may have the id by now. It was compared, or waits itself.
            let Some(known) = self.same_process(ProcessKey { pid, start: since }) else { continue };
            let Running { mut marks, born, parent, .. } = known.identity;
            let Some(event) = parse_process(store.bytes(known.block)).filter(|_| waits(marks)) else {
                continue;
            };
            let parent = self.marks_of_parent(parent, since);
            if waits_for_parent && selecting.selection.children() && waits(parent) {
                continue;
            }
            selecting.mark_waiting(&event, born, parent, &mut marks);
            if let Some(known) = self.processes.get_mut(pid) {
                known.identity.marks = marks;
            }
        }
    }

    /// Calls `look` for each process that has not ended.
    pub(crate) fn for_each_running(&self, look: &mut impl FnMut(ProcessKey)) {
        let running = self.processes.iter().filter(|(_, known)| known.ended().is_none());
        running.for_each(|(pid, known)| look(ProcessKey { pid, start: known.identity.start }));
    }

    /// How many processes the table knows.
    pub(crate) fn known_processes(&self) -> usize {
        self.processes.known()
    }

    /// The hash of a process's executable is known. Its event in the table gets it, at its place in time, so that later
    /// snapshots have it; readers get an event that has the hash alone.
    pub(crate) fn process_hashed(
        &mut self,
        process: ProcessKey,
        hash: ExecutableHash,
        at: Nanos,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let pid = process.pid;
        let known = self.same_process(process);
        let Some((known, event)) =
            known.and_then(|known| Some((known, parse_process(queues.store.bytes(known.block))?)))
        else {
            return Ok(());
        };
        let identity = known.ended().is_none().then_some(known.identity);
        let started = event.timestamp;
        let bytes = encode(&Block::Process(ProcessEvent { hash: Some(hash), ..event }))?;
        let news = ProcessEvent {
            process: pid,
            timestamp: at,
            kind: ProcessEventKind::Hashed,
            hash: Some(hash),
            ..ProcessEvent::default()
        };
        let news = encode(&Block::Process(news))?;
        if let Some(identity) = identity {
            let about = About::event(pid.into(), Role::Continues);
            let block = queues.store.insert(bytes, Kind::Process, started, about)?;
            self.processes.insert(pid, identity, block, at, &mut queues.store, &mut self.timeline)?;
        }
        if queues.has_readers() {
            queues.offer_event(news, Kind::Process, pid.into(), at)?;
        }
        Ok(())
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
    let born = start.born.or_else(|| itself?.born);
    let executions = start.executions.or_else(|| itself?.executions);
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
        born,
        executions,
        // A fork runs its parent's executable. Another program's hash is not that of the former.
        hash: start.hash.or(base.hash),
        other: Vec::new(),
    }
}
