//! The process of each process id, according to the events of the stream. Each section
//! begins with an empty table. Memory is limited, whatever a stream contains.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

use hashbrown::HashMap;
use hone_pcapng::{ExecutableHash, ProcessEvent, ProcessEventKind};
use hone_select::{Mark, ProcessView, Selection, base_name};
use hone_tables::uid::Run;

use crate::accounts;
use crate::text::{escape, known};

/// Most bytes of the table, approximately: paths that ancestors share count for each of their descendants.
const MAX_BYTES: usize = 48 << 20;
/// Bytes of an entry besides its texts, approximately.
const ENTRY_BYTES: usize = 400;
/// Ancestors that are known of a process, at most.
const MAX_ANCESTORS: usize = 64;
/// Most bytes that are kept of a path, of a user's or group's name, and of the name of a container or a unit.
const MAX_PATH: usize = 4096;
const MAX_USER: usize = 256;
const MAX_CONTAINER: usize = 256;

/// A process from which another one descends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// Its process id.
    pub pid: u32,
    /// The path of its executable, when the line of descent went on; empty if unknown.
    pub path: Rc<[u8]>,
}

/// What is known of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The executable's path; empty if unknown.
    pub path: Rc<[u8]>,
    /// Its parent, the parent of this one, and so on, as far as events have described them.
    pub ancestors: Rc<[Ancestor]>,
    /// When it began its program, nanoseconds since 1970-01-01 UTC, if that is known.
    pub start: Option<u64>,
    /// Which program of the boot it is, if the recording has it.
    pub run: Option<Run>,
    /// The user's number.
    pub user: Option<u32>,
    /// The user's name; empty if unknown.
    pub user_name: Vec<u8>,
    /// The user's security identifier, of Windows; empty if unknown.
    pub security_id: String,
    /// The group's number.
    pub group: Option<u32>,
    /// The group's name; empty if unknown.
    pub group_name: Vec<u8>,
    /// The container that it is in; empty if none.
    pub container: Vec<u8>,
    /// The systemd unit that it is in; empty if none.
    pub unit: Vec<u8>,
    /// The SHA-256 of the executable, or why it is not known; `None`: executables were not hashed.
    pub hash: Option<ExecutableHash>,
    /// The last part of the path, made safe for display; empty if unknown.
    pub shown_name: String,
    /// Its user and name as columns of a line of text.
    pub columns: String,
    /// The UUID of the executable, which only other programs' recordings have.
    pub uuid: Option<[u8; 16]>,
    /// Whether it is selected, and whether its children are.
    pub mark: Mark,
    /// Whether it has ended.
    pub ended: bool,
}

impl Process {
    /// The path's last part; empty if unknown.
    pub fn name(&self) -> &[u8] {
        base_name(&self.path)
    }

    /// Bytes that the entry takes, approximately.
    pub fn bytes(&self) -> usize {
        let texts = self.path.len()
            + self.user_name.len()
            + self.security_id.len()
            + self.group_name.len()
            + self.container.len()
            + self.unit.len()
            + self.shown_name.len()
            + self.columns.len();
        let ancestors: usize =
            self.ancestors.iter().map(|ancestor| size_of::<Ancestor>() + ancestor.path.len()).sum();
        ENTRY_BYTES + texts + ancestors
    }

    /// Whether it is as an event of a comment describes it.
    pub(super) fn is_as_in(&self, event: &ProcessEvent<'_>) -> bool {
        let is = |known: &[u8], text: &Option<Cow<'_, [u8]>>, most: usize| {
            let text = text.as_deref().unwrap_or_default();
            known == &text[..text.len().min(most)]
        };
        is(&self.path, &event.path, MAX_PATH)
            && is(&self.container, &event.container, MAX_CONTAINER)
            && (self.user, self.group) == (event.user, event.group)
    }

    /// The ancestors of a child that it has with this process id.
    fn ancestors_of_child(&self, pid: u32) -> Rc<[Ancestor]> {
        let parent = Ancestor { pid, path: Rc::clone(&self.path) };
        let others = self.ancestors.iter().take(MAX_ANCESTORS - 1).cloned();
        std::iter::once(parent).chain(others).collect()
    }

    /// The process as a selection sees it.
    fn view(&self, pid: u32) -> ProcessView<'_> {
        ProcessView {
            pid: Some(pid),
            path: &self.path,
            user: self.user,
            user_name: &self.user_name,
            security_id: self.security_id.as_bytes(),
            group: self.group,
            group_name: &self.group_name,
            container: &self.container,
            unit: &self.unit,
        }
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Processes {
    selection: Rc<Selection>,
    by_pid: HashMap<u32, Process>,
    bytes: usize,
}

impl Processes {
    /// An empty table, whose processes get the marks of this selection.
    pub fn new(selection: &Rc<Selection>) -> Self {
        Self { selection: Rc::clone(selection), ..Self::default() }
    }

    /// The process of this id, if an event has described it.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.by_pid.get(&pid)
    }

    /// Removes all processes, because another section begins.
    pub fn clear(&mut self) {
        self.by_pid.clear();
        self.bytes = 0;
    }

    /// Updates the table with an event of this time, nanoseconds since 1970-01-01 UTC.
    pub fn note(&mut self, event: &ProcessEvent<'_>, nanos: Option<u64>) {
        let pid = event.process;
        if event.kind == ProcessEventKind::Ended
            && let Some(process) = self.by_pid.get_mut(&pid)
        {
            // An ended process stays known, because its last packets may come later.
            process.ended = true;
            return;
        }
        if event.kind == ProcessEventKind::Hashed {
            // It changes nothing else, and the process may have ended.
            self.by_pid.get_mut(&pid).into_iter().for_each(|process| process.hash = event.hash);
            return;
        }
        let before = self.by_pid.remove(&pid);
        self.bytes -= before.as_ref().map_or(0, Process::bytes);
        let parent = event.parent.and_then(|parent| self.by_pid.get(&parent));
        let ancestors =
            event.parent.map(|pid| parent.map(|parent| parent.ancestors_of_child(pid)).unwrap_or_default());
        let mut process = match event.kind {
            // A child has its parent's program and user until an event reports others.
            ProcessEventKind::Forked => parent.cloned(),
            // One that was running before the section began comes after its parent, and has the mark of its ancestors.
            _ => before
                .filter(|process| !process.ended)
                .or_else(|| parent.map(|parent| Process { mark: parent.mark, ..Process::default() })),
        }
        .unwrap_or_default();
        process.ended = event.kind == ProcessEventKind::Ended;
        process.start = nanos.filter(|_| !process.ended);
        let run = event.born.zip(event.executions);
        process.run = run.map(|(born, executions)| Run { born, executions });
        if let Some(ancestors) = ancestors {
            process.ancestors = ancestors;
        }
        if let Some(path) = &event.path {
            process.path = path[..path.len().min(MAX_PATH)].into();
            process.shown_name.clear();
            escape(base_name(&process.path), &mut process.shown_name);
        }
        if event.user.is_some() {
            process.user = event.user;
            process.user_name.clear();
        }
        if let Some(sid) = &event.security_id {
            process.security_id = String::from_utf8_lossy(&sid[..sid.len().min(MAX_USER)]).into_owned();
            process.user_name = accounts::name(&process.security_id).unwrap_or_default().into_bytes();
        }
        if let Some(name) = &event.user_name {
            process.user_name = name[..name.len().min(MAX_USER)].to_vec();
        }
        if event.group.is_some() {
            process.group = event.group;
            process.group_name.clear();
        }
        if let Some(name) = &event.group_name {
            process.group_name = name[..name.len().min(MAX_USER)].to_vec();
        }
        // Every start reports both again, because a child may be in others than its parent.
        let reported = |name: &Option<Cow<'_, [u8]>>| {
            let name = name.as_deref().unwrap_or_default();
            name[..name.len().min(MAX_CONTAINER)].to_vec()
        };
        process.container = reported(&event.container);
        process.unit = reported(&event.unit);
        process.columns = columns(&process);
        process.hash = event.hash;
        process.mark = self.selection.mark(&process.view(pid), process.mark);
        self.bytes += process.bytes();
        self.by_pid.insert(pid, process);
        if self.bytes > MAX_BYTES {
            self.shrink();
        }
    }

    /// Updates the table with an event of another program, which says all that is known of the process.
    pub(super) fn replace(&mut self, event: &ProcessEvent<'_>, uuid: Option<[u8; 16]>, start: Option<u64>) {
        let before = self.by_pid.remove(&event.process);
        self.bytes -= before.as_ref().map_or(0, Process::bytes);
        self.note(event, start);
        if let Some(process) = self.by_pid.get_mut(&event.process) {
            process.uuid = uuid;
        }
    }

    /// Makes room: removes ended processes, and all others if that is not enough.
    fn shrink(&mut self) {
        self.by_pid.retain(|_, process| !process.ended);
        self.bytes = self.by_pid.values().map(Process::bytes).sum();
        if self.bytes > MAX_BYTES / 2 {
            self.clear();
        }
    }
}

/// The columns USER and NAME where nothing is known.
pub const UNKNOWN: &str = "-        -              ";

/// The columns USER and NAME of a process.
fn columns(process: &Process) -> String {
    let mut word = String::new();
    match process {
        _ if !process.user_name.is_empty() => escape(&process.user_name, &mut word),
        Process { user: Some(user), .. } => _ = write!(word, "{user}"),
        _ => escape(process.security_id.as_bytes(), &mut word),
    }
    let mut columns = String::with_capacity(UNKNOWN.len());
    column(known(&word), 8, &mut columns);
    columns.push(' ');
    column(known(&process.shown_name), 15, &mut columns);
    columns
}

/// Appends a column of a line of text, at least so many characters wide.
pub fn column(text: &str, width: usize, line: &mut String) {
    line.push_str(text);
    for _ in text.chars().count()..width {
        line.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(
        pid: u32,
        kind: ProcessEventKind,
        path: Option<&'static [u8]>,
        parent: u32,
    ) -> ProcessEvent<'static> {
        ProcessEvent {
            process: pid,
            kind,
            path: path.map(Cow::Borrowed),
            parent: Some(parent),
            user: path.map(|_| 1000),
            ..ProcessEvent::default()
        }
    }

    #[test]
    fn names_follow_fork_exec_and_exit() {
        let mut processes = Processes::default();
        let name = |processes: &Processes, pid| processes.get(pid).map(|process| process.shown_name.clone());
        processes.note(&event(5, ProcessEventKind::Started, Some(b"/bin/sh"), 1), None);
        processes.note(&event(6, ProcessEventKind::Forked, None, 5), None);
        assert_eq!(name(&processes, 6).unwrap(), "sh");
        assert_eq!(processes.get(6).unwrap().user, Some(1000));
        processes.note(&event(6, ProcessEventKind::Started, Some(b"/bin/a b\x1b"), 5), None);
        assert_eq!(name(&processes, 6).unwrap(), "a\\x20b\\x1b");
        processes.note(&event(6, ProcessEventKind::Ended, None, 5), None);
        assert_eq!(name(&processes, 6).unwrap(), "a\\x20b\\x1b", "its last packets may come later");
        processes.note(&event(6, ProcessEventKind::Started, None, 5), None);
        assert_eq!(name(&processes, 6).unwrap(), "", "another process, of which nothing is known");
        processes.clear();
        assert_eq!(processes.get(5), None);
    }

    #[test]
    fn ancestors_are_those_of_the_time_of_the_fork() {
        let mut processes = Processes::default();
        let of = |processes: &Processes, pid| -> Vec<(u32, String)> {
            let ancestors = processes.get(pid).unwrap().ancestors.iter();
            ancestors.map(|it| (it.pid, String::from_utf8_lossy(&it.path).into_owned())).collect()
        };
        let is = |pid, path: &str| (pid, path.to_owned());
        processes.note(&event(1, ProcessEventKind::Started, Some(b"/sbin/init"), 0), None);
        processes.note(&event(5, ProcessEventKind::Started, Some(b"/bin/sh"), 1), None);
        processes.note(&event(6, ProcessEventKind::Forked, None, 5), None);
        assert_eq!(of(&processes, 6), [is(5, "/bin/sh"), is(1, "/sbin/init")]);
        processes.note(&event(6, ProcessEventKind::Started, Some(b"/bin/make"), 5), None);
        processes.note(&event(7, ProcessEventKind::Forked, None, 6), None);
        // The grandparent ends, and another process gets its id.
        processes.note(&event(5, ProcessEventKind::Ended, None, 1), None);
        processes.note(&event(5, ProcessEventKind::Forked, None, 1), None);
        processes.note(&event(7, ProcessEventKind::Started, Some(b"/bin/cc"), 6), None);
        assert_eq!(of(&processes, 7), [is(6, "/bin/make"), is(5, "/bin/sh"), is(1, "/sbin/init")]);
        assert_eq!(of(&processes, 5), [is(1, "/sbin/init")]);
        // What is not known ends the line.
        processes.note(&event(8, ProcessEventKind::Started, Some(b"/bin/cc"), 99), None);
        assert_eq!(of(&processes, 8), []);
        let deep = 1000_u32;
        for pid in deep..deep + 200 {
            processes.note(&event(pid, ProcessEventKind::Forked, None, pid - 1), None);
        }
        assert_eq!(of(&processes, deep + 199).len(), MAX_ANCESTORS);
    }

    #[test]
    fn users_of_windows_have_their_names_where_these_are_known() {
        let mut processes = Processes::default();
        for (pid, sid) in [(8, "S-1-5-18"), (9, "S-1-5-21-1-2-3-1001")] {
            let security_id = Some(Cow::Borrowed(sid.as_bytes()));
            processes.note(&ProcessEvent { process: pid, security_id, ..ProcessEvent::default() }, None);
        }
        let known =
            |pid| processes.get(pid).map(|process| (&process.user_name[..], &process.security_id[..]));
        assert_eq!(known(8), Some((&b"SYSTEM"[..], "S-1-5-18")));
        assert_eq!(known(9), Some((&b""[..], "S-1-5-21-1-2-3-1001")));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut processes = Processes::default();
        let path: &'static [u8] = Box::leak(vec![b'x'; 100_000].into_boxed_slice());
        for pid in 0..20_000 {
            processes.note(&event(pid, ProcessEventKind::Started, Some(path), 1), None);
            assert!(processes.bytes <= MAX_BYTES);
        }
        assert!(processes.get(19_999).is_some());
        assert_eq!(processes.bytes, processes.by_pid.values().map(Process::bytes).sum::<usize>());
    }
}
