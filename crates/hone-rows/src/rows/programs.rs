//! The programs that processes run, from their first event to their row. Memory is limited: if there is no room, all get
//! their rows early.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hone_pcapng::{NoHash, ProcessEvent, ProcessEventKind};
use hone_tables::{End, ProcessRow, Rows};

use super::LINGER;
use super::scope::Scope;
use crate::event::arguments;
use crate::processes::Process;
use crate::text;

/// Most bytes of the table, approximately.
const MAX_BYTES: usize = 48 << 20;
/// Bytes of an entry besides its texts, approximately.
const ENTRY_BYTES: usize = 400;
/// Ancestors that are wanted with a process, at most.
const MAX_ANCESTORS: usize = 256;

/// A program.
#[derive(Debug)]
struct Program {
    uid: Arc<str>,
    parent_uid: Option<Arc<str>>,
    parent: Option<u32>,
    is_wanted: bool,
    process: Process,
    arguments: Option<Vec<u8>>,
    command_line: Option<Vec<u8>>,
    network_namespace: Option<u32>,
    namespace_pid: Option<u32>,
    /// When and how it ended.
    end: Option<(Option<u64>, End)>,
}

impl Program {
    fn bytes(&self) -> usize {
        let length = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
        ENTRY_BYTES + self.process.bytes() + length(&self.arguments) + length(&self.command_line)
    }
}

/// The program of each process.
#[derive(Debug, Default)]
pub(super) struct Programs {
    by_pid: BTreeMap<u32, Program>,
    bytes: usize,
    /// Those that have ended, by the time of that.
    ended: VecDeque<(u64, u32, Arc<str>)>,
}

impl Programs {
    /// Takes note of an event. `process`: what is known of the process now. `is_wanted`: whether it gets a row in any case.
    pub(super) fn event<R: Rows>(
        &mut self,
        event: &ProcessEvent<'_>,
        nanos: Option<u64>,
        process: &Process,
        is_wanted: bool,
        scope: &mut Scope,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        let pid = event.process;
        if event.kind == ProcessEventKind::Hashed {
            self.by_pid.get_mut(&pid).into_iter().for_each(|program| program.process.hash = event.hash);
            return Ok(());
        }
        let is_end = event.kind == ProcessEventKind::Ended;
        if is_end && let Some(program) = self.by_pid.get_mut(&pid).filter(|program| program.end.is_none()) {
            program.end = Some((nanos, End::Exit));
            program.is_wanted |= is_wanted;
            let uid = Arc::clone(&program.uid);
            self.note_end(nanos, pid, uid);
            return Ok(());
        }
        let uid = Arc::clone(&scope.owner(pid, Some(process)).uid);
        let mut was_wanted = false;
        match self.by_pid.get_mut(&pid) {
            // More is known of it.
            Some(program) if program.uid == uid && program.end.is_none() => {
                was_wanted = program.is_wanted;
                self.remove(pid);
            }
            Some(program) => {
                let end = match event.kind {
                    ProcessEventKind::Started => End::Exec,
                    _ => End::OtherProcess,
                };
                program.end.get_or_insert((process.start, end));
                self.finish(pid, None, scope, rows)?;
            }
            None => {}
        }
        let owned = |text: &Option<Cow<'_, [u8]>>| text.as_deref().map(<[u8]>::to_vec);
        let program = Program {
            uid,
            parent_uid: self.parent_uid(event.parent, pid),
            parent: event.parent,
            is_wanted: is_wanted || was_wanted,
            process: process.clone(),
            arguments: owned(&event.arguments),
            command_line: owned(&event.command_line),
            network_namespace: event.network_namespace,
            namespace_pid: event.namespace_pid,
            end: is_end.then_some((nanos, End::Exit)),
        };
        if is_end {
            self.note_end(nanos, pid, Arc::clone(&program.uid));
        }
        self.insert(pid, program);
        if self.bytes > MAX_BYTES {
            self.finish_all(nanos, scope, rows)?;
        }
        Ok(())
    }

    /// Remembers when one has ended. Without more time passing, no more are remembered than there are programs.
    fn note_end(&mut self, nanos: Option<u64>, pid: u32, uid: Arc<str>) {
        if self.ended.len() > 2 * self.by_pid.len() + 1024 {
            let known = &self.by_pid;
            self.ended.retain(|(_, pid, uid)| known.get(pid).is_some_and(|program| program.uid == *uid));
        }
        self.ended.push_back((nanos.unwrap_or(0), pid, uid));
    }

    /// A wanted packet or connection names a program; `process`: what is known of it. It gets a row, and so do the
    /// programs that are known as its ancestors.
    pub(super) fn want(&mut self, pid: u32, process: Option<&Process>, uid: &Arc<str>) {
        if self.by_pid.get(&pid).is_some_and(|program| program.is_wanted) {
            return;
        }
        if !self.by_pid.contains_key(&pid) {
            // Only the packet names it.
            let program = Program {
                uid: Arc::clone(uid),
                parent_uid: None,
                parent: None,
                is_wanted: true,
                process: process.cloned().unwrap_or_default(),
                arguments: None,
                command_line: None,
                network_namespace: None,
                namespace_pid: None,
                end: None,
            };
            self.insert(pid, program);
        }
        let mut next = Some(pid);
        for _ in 0..MAX_ANCESTORS {
            let Some(program) = next.and_then(|pid| self.by_pid.get_mut(&pid)) else { return };
            program.is_wanted = true;
            next = program.parent.filter(|parent| *parent != pid);
        }
    }

    /// Makes the rows of those that ended a while before `now`. Until then, packets may name them.
    pub(super) fn expire<R: Rows>(&mut self, now: u64, scope: &Scope, rows: &mut R) -> Result<(), R::Error> {
        while let Some((ended, pid, uid)) = self.ended.front() {
            if ended.saturating_add(LINGER) > now {
                return Ok(());
            }
            let is_it = |program: &Program| program.uid == *uid && program.end.is_some();
            let pid = Some(*pid).filter(|pid| self.by_pid.get(pid).is_some_and(is_it));
            self.ended.pop_front();
            if let Some(pid) = pid {
                self.finish(pid, None, scope, rows)?;
            }
        }
        Ok(())
    }

    /// Makes the rows of all that are left: the section ends here.
    pub(super) fn finish_all<R: Rows>(
        &mut self,
        now: Option<u64>,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        let mut all = std::mem::take(&mut self.by_pid);
        self.bytes = 0;
        self.ended.clear();
        let uids: BTreeMap<u32, Arc<str>> =
            all.iter().map(|(pid, program)| (*pid, Arc::clone(&program.uid))).collect();
        for (pid, program) in &mut all {
            if program.parent_uid.is_none() {
                program.parent_uid = program
                    .parent
                    .filter(|parent| parent != pid)
                    .and_then(|parent| uids.get(&parent).cloned());
            }
            row(*pid, program, now, scope, rows)?;
        }
        Ok(())
    }

    fn finish<R: Rows>(
        &mut self,
        pid: u32,
        now: Option<u64>,
        scope: &Scope,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        let Some(mut program) = self.remove(pid) else { return Ok(()) };
        if program.parent_uid.is_none() {
            program.parent_uid = self.parent_uid(program.parent, pid);
        }
        row(pid, &program, now, scope, rows)
    }

    /// The program that a process runs now.
    pub(super) fn uid(&self, pid: u32) -> Option<&Arc<str>> {
        self.by_pid.get(&pid).map(|program| &program.uid)
    }

    fn parent_uid(&self, parent: Option<u32>, pid: u32) -> Option<Arc<str>> {
        let parent = parent.filter(|parent| *parent != pid)?;
        self.by_pid.get(&parent).map(|program| Arc::clone(&program.uid))
    }

    fn insert(&mut self, pid: u32, program: Program) {
        self.bytes += program.bytes();
        self.by_pid.insert(pid, program);
    }

    fn remove(&mut self, pid: u32) -> Option<Program> {
        let program = self.by_pid.remove(&pid)?;
        self.bytes -= program.bytes();
        Some(program)
    }
}

/// Makes the row of a program, if it is wanted.
fn row<R: Rows>(
    pid: u32,
    program: &Program,
    now: Option<u64>,
    scope: &Scope,
    rows: &mut R,
) -> Result<(), R::Error> {
    if !program.is_wanted {
        return Ok(());
    }
    let process = &program.process;
    let (end, ended_by) = program.end.map_or((None, None), |(end, by)| (end, Some(by)));
    let args: Option<Vec<_>> =
        program.arguments.as_deref().map(|all| arguments(all).map(String::from_utf8_lossy).collect());
    let command_line = match (&program.command_line, &args) {
        (Some(line), _) => Some(String::from_utf8_lossy(line)),
        (None, Some(args)) => Some(Cow::Owned(quoted(args))),
        (None, None) => None,
    };
    let sha256 = process.hash.and_then(Result::ok).map(|hash| text::hexadecimal(&hash));
    let some = |text| Some(text).filter(|text: &&[u8]| !text.is_empty()).map(String::from_utf8_lossy);
    rows.process(&ProcessRow {
        process_uid: &program.uid,
        parent_uid: program.parent_uid.as_deref(),
        host: &scope.host,
        boot: scope.boot.as_deref(),
        pid,
        parent_pid: program.parent,
        start: process.start,
        end,
        ended_by,
        seen: end.or(now),
        name: String::from_utf8_lossy(process.name()),
        path: String::from_utf8_lossy(&process.path),
        args: args.as_deref(),
        command_line: command_line.as_deref(),
        user_id: process.user,
        user_name: some(&process.user_name),
        security_id: Some(&*process.security_id).filter(|sid| !sid.is_empty()),
        group_id: process.group,
        group_name: some(&process.group_name),
        container: some(&process.container),
        unit: some(&process.unit),
        network_namespace: program.network_namespace,
        namespace_pid: program.namespace_pid,
        sha256: sha256.as_deref(),
        no_hash: process.hash.and_then(Result::err).map(NoHash::words),
        run: process.run,
    })
}

/// Arguments as a command line that a POSIX shell takes apart into the same arguments.
fn quoted(args: &[Cow<'_, str>]) -> String {
    let mut line = String::new();
    for arg in args {
        if !line.is_empty() {
            line.push(' ');
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
        if !arg.is_empty() && arg.chars().all(is_plain) {
            line.push_str(arg);
        } else {
            line.push('\'');
            line.push_str(&arg.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_command_line_apart_into_the_arguments() {
        let args = ["curl", "-s", "", "a b", "it's", "$HOME", "x=1"].map(Cow::Borrowed);
        assert_eq!(quoted(&args), r"curl -s '' 'a b' 'it'\''s' '$HOME' x=1");
    }
}
