//! The process monitor: turns process starts and ends into events of the engine. Called at PASSIVE_LEVEL; takes the
//! lock once for each event.

use alloc::vec::Vec;

use hone_engine::{Event, Nanos, OutOfMemory, ProcessKey, ProcessStart, StartKind};

use crate::kernel::{Kernel, Purpose, log};
use crate::{Driver, command_line, path, sid, text};

/// A process as Windows describes it. Texts are UTF-16. `None` means that a value is not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process<'a> {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent.
    pub parent: Option<u32>,
    /// When it was created, nanoseconds since 1970-01-01 UTC.
    pub created: Option<Nanos>,
    /// Path of the executable, in any of the forms that the kernel uses. It is recorded as users know it.
    pub path: Option<&'a [u16]>,
    /// The command line. In another subsystem: the arguments, separated by NUL.
    pub command_line: Option<&'a [u16]>,
    /// The owner's security identifier, as the kernel lays it out.
    pub owner: Option<&'a [u8]>,
    /// Whether it is a process of another subsystem than Win32, such as the Windows Subsystem for Linux 1. No image shows
    /// the path of such a process.
    pub is_subsystem: bool,
}

/// The texts of a process in UTF-8.
struct Texts {
    path: Option<Vec<u8>>,
    command_line: Option<Vec<u8>>,
    arguments: Option<Vec<u8>>,
    owner: Option<Vec<u8>>,
}

impl Texts {
    fn of<K: Kernel>(passive: K::Passive, process: &Process<'_>) -> Result<Self, OutOfMemory> {
        let path = process.path.map(|path| path::user::<K>(passive, path)).transpose()?;
        let (command_line, arguments) = match process.command_line {
            // There, NUL separates the arguments, and a command line does not exist ("SUBSYSTEM_INFORMATION_TYPE").
            Some(list) if process.is_subsystem => (None, Some(text::utf8_list(list)?)),
            Some(line) => {
                let line = text::utf8(line)?;
                let arguments = command_line::arguments(&line)?;
                (Some(line), Some(arguments))
            }
            None => (None, None),
        };
        let owner = process.owner.map(sid::text).transpose()?.flatten();
        Ok(Self { path, command_line, arguments, owner })
    }
}

impl<K: Kernel> Driver<K> {
    /// Records that a process starts.
    pub fn process_started(&self, passive: K::Passive, process: &Process<'_>) {
        log!(self, Information, "process {} starts", process.pid);
        self.process(passive, process, StartKind::Started, false);
    }

    /// Adds details to a process whose start was recorded without a path: the path, and whatever else is known now.
    /// Values that are `None` stay as they were.
    pub fn process_named(&self, passive: K::Passive, process: &Process<'_>) {
        log!(self, Information, "process {} is named", process.pid);
        self.process(passive, process, StartKind::Supplemented, false);
    }

    /// Records a process that was already running. The list of running processes is made after the driver has
    /// registered for process starts.
    pub fn process_found(&self, passive: K::Passive, process: &Process<'_>) {
        self.process(passive, process, StartKind::Started, true);
    }

    /// Records that a process ends.
    pub fn process_ended(&self, pid: u32) {
        log!(self, Information, "process {pid} ends");
        self.locked(Purpose::Process, |state| {
            let at = state.now;
            state.take_nameless(pid);
            let process = state.queue.engine.process(pid).unwrap_or(ProcessKey { pid, start: 0 });
            // The engine has counted it if it was lost.
            let _ = state.handle(&Event::ProcessEnded { process, at });
        });
    }

    /// Whether the next image that this process loads shows the path that was missing at its start. Called once for
    /// each image.
    pub fn wants_image(&self, pid: u32) -> bool {
        self.locked(Purpose::Process, |state| state.take_nameless(pid))
    }

    fn process(&self, passive: K::Passive, process: &Process<'_>, kind: StartKind, is_listed: bool) {
        let Ok(texts) = Texts::of::<K>(passive, process) else {
            log!(self, Error, "no memory to record that process {} starts", process.pid);
            self.locked(Purpose::Process, |state| {
                state.lost.processes += 1;
                state.queue.engine.report_source_drops(state.lost);
            });
            return;
        };
        self.locked(Purpose::Process, |state| {
            let pid = process.pid;
            // New details about a process must not be taken for another process with the same id.
            let known = || state.queue.engine.process(pid).map(|known| known.start);
            let at = if is_listed { process.created.unwrap_or(self.loaded) } else { state.now };
            let key = ProcessKey { pid, start: process.created.or_else(known).unwrap_or(at) };
            let event = Event::ProcessStarted(ProcessStart {
                parent: process.parent,
                path: texts.path.as_deref(),
                arguments: texts.arguments.as_deref(),
                command_line: texts.command_line.as_deref(),
                security_id: texts.owner.as_deref(),
                ..ProcessStart::new(key, at, kind)
            });
            if is_listed {
                // The engine has counted it if it was lost.
                let _ = state.restate(&event);
                return;
            }
            if texts.path.is_none() && !process.is_subsystem {
                state.await_image(pid);
            }
            // The engine has counted it if it was lost.
            let _ = state.handle(&event);
        });
    }
}
