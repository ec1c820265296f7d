//! Process events: changes the process table and encodes the events as blocks. Called by
//! [`Engine::handle`](crate::Engine::handle), under the embedder's one lock.

use alloc::borrow::Cow;

use hone_pcapng::{Block, ProcessEvent, ProcessEventKind};

use crate::{
    EventError, Nanos, ProcessKey, ProcessStart, StartKind,
    blocks::{About, Role, cut, encode, parse_process},
    readers::queues::Queues,
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
        let bytes = encode(&Block::Process(started(start, base.unwrap_or_default())))?;

        self.processes.make_room(pid, &mut queues.store)?;
        let block = queues.store.insert(bytes, Kind::Process, start.at)?;
        let known = self.same_process(start.process);
        let running = known.map_or(Running { start: since, born: start.at }, |known| known.identity);
        let role = if known.is_some() { Role::Continues } else { Role::Begins };
        queues.store.set_about(block, About::event(pid.into(), role));
        self.processes.insert(pid, running, block, start.at, &mut queues.store, &mut self.timeline)?;
        queues.offer(block, Kind::Process);
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
        other: alloc::vec::Vec::new(),
    }
}
