//! Process events: what they do to the process table and what readers are told. Called by [`Engine::handle`], under
//! the embedder's one lock.

use alloc::borrow::Cow;

use hone_pcapng::{Block, ProcessEvent, ProcessEventKind};

use crate::{
    Engine, EventError, Nanos, ProcessKey, ProcessStart, StartKind,
    block::{cut, encode, parse_process},
    statistics::Kind,
};

impl Engine {
    /// A process starts, forks, or executes a new image.
    pub(crate) fn process_started(&mut self, start: &ProcessStart<'_>) -> Result<(), EventError> {
        let ProcessKey { pid, start: since } = start.process;
        match self.processes.get(pid) {
            // It has ended, or its fork is told after what it executed.
            Some(known)
                if known.identity == since && (known.ended.is_some() || start.kind == StartKind::Forked) =>
            {
                self.counts.ignored.processes += 1;
                return Ok(());
            }
            // The id is another process's now: nobody told that the first one ended.
            Some(known) if known.identity != since && known.ended.is_none() => {
                let unseen = ProcessKey { pid, start: known.identity };
                if self.process_ended(unseen, start.at).is_err() {
                    self.counts.lost.processes += 1;
                }
            }
            _ => {}
        }

        let parent = start.parent.filter(|_| start.kind == StartKind::Forked);
        let parent = parent.and_then(|parent| self.processes.get(parent));
        let parent = parent.and_then(|parent| parse_process(self.store.bytes(parent.block)));
        let bytes = encode(&Block::Process(started(start, parent.unwrap_or_default())))?;

        self.processes.make_room(pid, &mut self.store)?;
        let block = self.store.insert(bytes, Kind::Process, start.at)?;
        self.store.set_about(block, pid.into(), false);
        self.processes.insert(pid, since, block, &mut self.store, &mut self.timeline)?;
        self.offer(block, Kind::Process);
        Ok(())
    }

    /// A process ended. It stays known for a while.
    pub(crate) fn process_ended(&mut self, process: ProcessKey, at: Nanos) -> Result<(), EventError> {
        let ProcessKey { pid, start } = process;
        if !self.processes.get(pid).is_some_and(|known| known.identity == start && known.ended.is_none()) {
            self.counts.ignored.processes += 1;
            return Ok(());
        }
        self.processes.end(pid, at, &mut self.store, &mut self.timeline);
        if self.readers.is_empty() {
            return Ok(());
        }
        let event = ProcessEvent {
            process: pid,
            timestamp: at,
            kind: ProcessEventKind::Ended,
            ..ProcessEvent::default()
        };
        self.tell(encode(&Block::Process(event))?, Kind::Process, pid.into(), at)?;
        Ok(())
    }
}

/// The event of a start; a process that runs its parent's image also takes the rest of what it does not say itself.
fn started<'a>(start: &ProcessStart<'a>, parent: ProcessEvent<'a>) -> ProcessEvent<'a> {
    let text = |own: Option<&'a [u8]>, parents| own.map(|own| Cow::Borrowed(cut(own))).or(parents);
    ProcessEvent {
        process: start.process.pid,
        timestamp: start.at,
        kind: match start.kind {
            StartKind::Started => ProcessEventKind::Started,
            StartKind::Forked => ProcessEventKind::Forked,
            StartKind::KernelThread => ProcessEventKind::KernelThread,
        },
        // Path and arguments may be longer than one option.
        path: start.path.map(Cow::Borrowed).or(parent.path),
        arguments: start.arguments.map(Cow::Borrowed).or(parent.arguments),
        parent: start.parent,
        user: start.user.or(parent.user),
        group: start.group.or(parent.group),
        user_name: text(start.user_name, parent.user_name),
        group_name: text(start.group_name, parent.group_name),
        security_id: text(start.security_id, parent.security_id),
        command_line: text(start.command_line, parent.command_line),
        container: text(start.container, None),
        namespace_pid: start.namespace_pid,
        network_namespace: start.network_namespace,
        other: alloc::vec::Vec::new(),
    }
}
