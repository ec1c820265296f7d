//! What processes run, with the chain of their parents: for the details of a row. Memory is limited.

use std::collections::HashMap;
use std::fmt::Write as _;

use hone_engine::Nanos;
use hone_pcapng::{ExecutableHash, NoHash, ProcessEvent, ProcessEventKind};

use crate::text::{base_name, escape, escaped};
use hone_rows::event::arguments;

/// Most bytes of all, approximately.
const MAX_BYTES: usize = 32 << 20;
/// Bytes of an entry besides its texts, approximately.
const ENTRY_BYTES: usize = 256;
/// Most bytes that are kept of a path, and of the arguments.
const MAX_PATH: usize = 1024;
const MAX_ARGUMENTS: usize = 2048;
/// Most bytes that are kept of a group's name.
const MAX_NAME: usize = 256;
/// Most ancestors that are displayed.
const MAX_ANCESTORS: usize = 32;

/// What a process runs.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The executable's path; empty if unknown.
    pub path: Vec<u8>,
    /// The arguments, a NUL after each.
    pub arguments: Vec<u8>,
    /// The parent's process id.
    pub parent: Option<u32>,
    /// The group, by name or number; empty if unknown.
    pub group: String,
    /// The hash of the executable, or why there is none.
    pub hash: Option<ExecutableHash>,
    /// When it began.
    pub start: Nanos,
    /// When it ended.
    pub end: Option<Nanos>,
}

impl Program {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.path.len() + self.arguments.len() + self.group.len()
    }

    /// The command line, each argument as one word; empty if it is not known.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut line = String::new();
        for (at, argument) in arguments(&self.arguments).enumerate() {
            if at > 0 {
                line.push(' ');
            }
            if argument.is_empty() {
                line.push_str("''");
            }
            escape(argument, &mut line);
        }
        line
    }

    /// The hash, in words; `None`: executables are not hashed.
    #[must_use]
    pub fn hash(&self) -> Option<String> {
        Some(match self.hash? {
            Ok(hash) => crate::text::hexadecimal(&hash),
            Err(reason) => format!("none: {}", NoHash::words(reason)),
        })
    }
}

/// The programs, by process id.
#[derive(Debug, Default)]
pub struct Programs {
    by_pid: HashMap<u32, Program>,
    bytes: usize,
}

impl Programs {
    /// What the process of this id runs.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<&Program> {
        self.by_pid.get(&pid)
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, event: &ProcessEvent<'_>) {
        let pid = event.process;
        match event.kind {
            ProcessEventKind::Ended => {
                if let Some(program) = self.by_pid.get_mut(&pid) {
                    program.end = Some(event.timestamp);
                }
                return;
            }
            ProcessEventKind::Hashed => {
                if let Some(program) = self.by_pid.get_mut(&pid) {
                    program.hash = event.hash;
                }
                return;
            }
            _ => {}
        }
        let before = self.by_pid.remove(&pid);
        self.bytes -= before.as_ref().map_or(0, Program::bytes);
        // A child runs its parent's program until it says otherwise.
        let from = match event.kind {
            ProcessEventKind::Forked => event.parent.and_then(|parent| self.by_pid.get(&parent)).cloned(),
            _ => before.filter(|program| program.end.is_none()),
        };
        let mut program =
            Program { start: event.timestamp, end: None, hash: event.hash, ..from.unwrap_or_default() };
        program.parent = event.parent.or(program.parent);
        if let Some(path) = &event.path {
            program.path = path[path.len().saturating_sub(MAX_PATH)..].to_vec();
            program.arguments.clear();
        }
        if let Some(arguments) = &event.arguments {
            program.arguments = arguments[..arguments.len().min(MAX_ARGUMENTS)].to_vec();
        }
        match (&event.group_name, event.group) {
            (Some(name), _) => program.group = escaped(&name[..name.len().min(MAX_NAME)], MAX_NAME),
            (None, Some(group)) => program.group = group.to_string(),
            (None, None) => {}
        }
        self.bytes += program.bytes();
        self.by_pid.insert(pid, program);
        if self.bytes > MAX_BYTES {
            self.shrink();
        }
    }

    /// Makes room: removes those that have ended, and all if that is not enough.
    fn shrink(&mut self) {
        self.by_pid.retain(|_, program| program.end.is_none());
        self.bytes = self.by_pid.values().map(Program::bytes).sum();
        if self.bytes > MAX_BYTES / 2 {
            self.by_pid.clear();
            self.bytes = 0;
        }
    }

    /// The process after its parents: `init 1 > sh 40 > curl 41`.
    #[must_use]
    pub fn chain(&self, pid: u32) -> String {
        let mut pids = vec![pid];
        while let Some(parent) = pids.last().and_then(|pid| self.get(*pid)?.parent) {
            // 0 is no process, and an id that is used again may lead back to itself.
            if parent == 0 || pids.contains(&parent) || pids.len() > MAX_ANCESTORS {
                break;
            }
            pids.push(parent);
        }
        let mut text = String::new();
        for pid in pids.into_iter().rev() {
            if !text.is_empty() {
                text.push_str(" > ");
            }
            match self.get(pid).map(|program| base_name(&program.path)).filter(|name| !name.is_empty()) {
                Some(name) => escape(name, &mut text),
                None => text.push('?'),
            }
            let _ = write!(text, " {pid}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn event(
        pid: u32,
        kind: ProcessEventKind,
        parent: u32,
        path: Option<&'static str>,
    ) -> ProcessEvent<'static> {
        ProcessEvent {
            process: pid,
            kind,
            parent: Some(parent),
            path: path.map(|path| Cow::Borrowed(path.as_bytes())),
            ..ProcessEvent::default()
        }
    }

    #[test]
    fn a_process_is_named_after_its_parents() {
        let mut programs = Programs::default();
        programs.note(&event(1, ProcessEventKind::Started, 0, Some("/sbin/init")));
        programs.note(&event(7, ProcessEventKind::Started, 1, Some("/bin/sh")));
        programs.note(&event(8, ProcessEventKind::Forked, 7, None));
        let mut exec = event(8, ProcessEventKind::Started, 7, Some("/bin/a b\x1b"));
        exec.arguments = Some(Cow::Borrowed(b"a b\0\0--x\0"));
        assert_eq!(programs.chain(8), "init 1 > sh 7 > sh 8");
        programs.note(&exec);
        assert_eq!(programs.chain(8), "init 1 > sh 7 > a\\x20b\\x1b 8");
        assert_eq!(programs.get(8).unwrap().command_line(), "a\\x20b '' --x");
        assert_eq!(programs.chain(9), "? 9");
        programs.note(&event(1, ProcessEventKind::Started, 8, Some("/sbin/init")));
        assert_eq!(programs.chain(8), "init 1 > sh 7 > a\\x20b\\x1b 8", "a circle ends");
        programs.note(&event(8, ProcessEventKind::Ended, 7, None));
        assert!(programs.get(8).unwrap().end.is_some(), "it stays, for its last packets");
    }

    #[test]
    fn memory_is_bounded() {
        let mut programs = Programs::default();
        let path: &'static str = Box::leak("x".repeat(5000).into_boxed_str());
        for pid in 1..100_000 {
            programs.note(&event(pid, ProcessEventKind::Started, 0, Some(path)));
            assert!(programs.bytes <= MAX_BYTES);
        }
        assert!(programs.get(99_999).is_some());
    }
}
