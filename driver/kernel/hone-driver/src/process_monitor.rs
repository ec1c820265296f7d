//! The process monitor: processes that run, start and end, as events of the engine. Called at PASSIVE_LEVEL; takes the
//! lock for each event.

use alloc::vec::Vec;

use hone_engine::{Event, Nanos, OutOfMemory, ProcessKey, ProcessStart, StartKind};

use crate::kernel::{Kernel, Purpose, log};
use crate::{Driver, command_line, sid, text};

/// A process as Windows describes it: texts in UTF-16. What is not known is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process<'a> {
    /// Its id.
    pub pid: u32,
    /// The parent's.
    pub parent: Option<u32>,
    /// When it was created, nanoseconds since 1970-01-01 UTC.
    pub created: Option<Nanos>,
    /// The executable.
    pub path: Option<&'a [u16]>,
    /// The command line.
    pub command_line: Option<&'a [u16]>,
    /// The owner's security identifier, as the kernel lays it out.
    pub owner: Option<&'a [u8]>,
}

/// What leads from the kernel's names to those of drives.
const DOS_DEVICES: &[u8] = br"\??\";

/// The texts of a process in UTF-8.
struct Texts {
    path: Option<Vec<u8>>,
    command_line: Option<Vec<u8>>,
    arguments: Option<Vec<u8>>,
    owner: Option<Vec<u8>>,
}

impl Texts {
    fn of(process: &Process<'_>) -> Result<Self, OutOfMemory> {
        let utf8 = |units: Option<&[u16]>| units.map(text::utf8).transpose();
        let command_line = utf8(process.command_line)?;
        let arguments = command_line.as_deref().map(command_line::arguments).transpose()?;
        let owner = process.owner.map(sid::text).transpose()?.flatten();
        Ok(Self { path: utf8(process.path)?, command_line, arguments, owner })
    }

    fn path(&self) -> Option<&[u8]> {
        self.path.as_deref().map(|path| path.strip_prefix(DOS_DEVICES).unwrap_or(path))
    }
}

impl<K: Kernel> Driver<K> {
    /// A process starts.
    pub fn process_started(&self, process: &Process<'_>) {
        log!(K, Information, "process {} starts", process.pid);
        self.process(process, StartKind::Started, false);
    }

    /// The path of a process has become known, which its start did not tell, and perhaps more. What is `None` is as its
    /// start told it.
    pub fn process_named(&self, process: &Process<'_>) {
        log!(K, Information, "process {} is named", process.pid);
        self.process(process, StartKind::Supplemented, false);
    }

    /// A process runs that a listing shows, made after the driver began to be told of starts.
    pub fn process_found(&self, process: &Process<'_>) {
        self.process(process, StartKind::Started, true);
    }

    /// A process ends.
    pub fn process_ended(&self, pid: u32) {
        log!(K, Information, "process {pid} ends");
        self.locked(Purpose::Process, |state| {
            let at = state.now;
            state.take_nameless(pid);
            let process = state.queue.engine.process(pid).unwrap_or(ProcessKey { pid, start: 0 });
            // Losses are counted by the engine.
            let _ = state.handle(&Event::ProcessEnded { process, at });
        });
    }

    /// Whether the next image that this process loads tells its path, which its start did not. Asked once for each image.
    pub fn wants_image(&self, pid: u32) -> bool {
        self.locked(Purpose::Process, |state| state.take_nameless(pid))
    }

    fn process(&self, process: &Process<'_>, kind: StartKind, is_listed: bool) {
        let Ok(texts) = Texts::of(process) else {
            log!(K, Error, "no memory to record that process {} starts", process.pid);
            self.locked(Purpose::Process, |state| {
                state.lost.processes += 1;
                state.queue.engine.report_source_drops(state.lost);
            });
            return;
        };
        self.locked(Purpose::Process, |state| {
            let pid = process.pid;
            // Telling more of a process must not be taken for another one with the same id.
            let known = || state.queue.engine.process(pid).map(|known| known.start);
            let at = if is_listed { process.created.unwrap_or(self.loaded) } else { state.now };
            let key = ProcessKey { pid, start: process.created.or_else(known).unwrap_or(at) };
            let event = Event::ProcessStarted(ProcessStart {
                parent: process.parent,
                path: texts.path(),
                arguments: texts.arguments.as_deref(),
                command_line: texts.command_line.as_deref(),
                security_id: texts.owner.as_deref(),
                ..ProcessStart::new(key, at, kind)
            });
            if is_listed {
                // Losses are counted by the engine.
                let _ = state.queue.engine.restate(&event);
                state.queue.wake();
                return;
            }
            if texts.path.is_none() {
                state.await_image(pid);
            }
            // Losses are counted by the engine.
            let _ = state.handle(&event);
        });
    }
}
