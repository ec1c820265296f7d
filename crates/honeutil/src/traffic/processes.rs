//! The processes that had traffic or may have some, with name and user from process events. Memory is limited: when
//! there are too many, the half with the least traffic is combined into one count.

use hashbrown::HashMap;
use hone_pcapng::{ProcessEvent, ProcessEventKind};

use super::Traffic;
use super::history::History;
use super::peers::Peers;
use super::recent_packets::{Owner, Recent};
use crate::text::base_name;
use crate::users;

/// Most processes kept apart; when they are more, the half with least traffic is added up as others.
pub(super) const MAX_PROCESSES: usize = 8192;
/// Longest name kept of a user, a unit or a container, in bytes.
const MAX_NAME: usize = 256;
/// Most bytes of a path that are kept: its end.
const MAX_PATH: usize = 1024;

/// One process, for as long as it lives and runs one program; another process with the same id, or another program of
/// the same process, is another entry.
#[derive(Debug, Default)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// The executable's path, or the end of a very long one, in bytes that may be no text; empty if unknown.
    pub path: Vec<u8>,
    /// The user's name, number where it has none, or security identifier; empty if unknown.
    pub user: String,
    /// The systemd unit that it is in; empty if none.
    pub unit: String,
    /// The container that it is in; empty if none.
    pub container: String,
    /// Its packets.
    pub traffic: Traffic,
    /// With whom.
    pub peers: Peers,
    /// Its packets when `top` looked at them last, for rates.
    pub(crate) seen: Traffic,
    /// Its latest rates, as `top` has found them.
    pub(crate) history: History,
    /// A number that no other entry has.
    pub(crate) number: u64,
    /// Its index before the processes were put in another order.
    place: usize,
    /// Whether the process has ended, or runs another program, which is another entry.
    ended: bool,
}

impl Process {
    /// The executable's file name; empty if unknown.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        base_name(&self.path)
    }

    /// Whether it has ended, or runs another program now.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

/// The processes, and what those that are no longer kept apart come to.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) list: Vec<Process>,
    by_pid: HashMap<u32, usize>,
    /// The traffic of those that are no longer kept apart.
    pub(super) others: Traffic,
    /// How many those are.
    pub(super) others_count: u64,
    /// The number of the last entry.
    last_number: u64,
}

impl Processes {
    /// Updates the list with an event about a process.
    pub(super) fn note(&mut self, event: &ProcessEvent<'_>, recent: &mut Recent) {
        let pid = event.process;
        if event.kind == ProcessEventKind::Ended {
            if let Some(&index) = self.by_pid.get(&pid) {
                self.list[index].ended = true;
            }
            return;
        }
        if event.kind == ProcessEventKind::Hashed {
            return;
        }
        // The id of an ended process is used again: another process, so another entry.
        if let Some(&index) = self.by_pid.get(&pid)
            && self.list[index].ended
        {
            if self.list[index].traffic.packets() > 0 {
                self.by_pid.remove(&pid);
            } else {
                self.last_number += 1;
                self.list[index] = Process { pid, number: self.last_number, ..Process::default() };
            }
        }
        let parent = event.parent.and_then(|parent| self.by_pid.get(&parent)).map(|&index| &self.list[index]);
        // A child runs its parent's program, as its user, until it says otherwise.
        let inherited = parent
            .filter(|_| event.kind == ProcessEventKind::Forked)
            .map(|parent| (parent.path.clone(), parent.user.clone()));
        let (mut path, user) = inherited.unzip();
        if let Some(new) = &event.path {
            path = Some(new[new.len().saturating_sub(MAX_PATH)..].to_vec());
        }
        if let Some(path) = &path {
            self.begin_program(pid, path, recent);
        }
        let index = self.index_of(pid, recent);
        let process = &mut self.list[index];
        process.path = path.unwrap_or_else(|| std::mem::take(&mut process.path));
        process.user = user.unwrap_or_else(|| std::mem::take(&mut process.user));
        match (&event.user_name, event.user, &event.security_id) {
            (Some(name), ..) => process.user = lossy(name),
            (None, Some(user), _) => process.user = user.to_string(),
            (None, None, Some(sid)) => {
                process.user = lossy(sid);
                // So that its name is known by the time that it is shown.
                let _ = users::shown(&process.user);
            }
            (None, None, None) => {}
        }
        // Every start reports both again, because a child may be in others than its parent.
        process.unit = event.unit.as_deref().map(lossy).unwrap_or_default();
        process.container = event.container.as_deref().map(lossy).unwrap_or_default();
    }

    /// If the process runs another program from now on: what it had before stays with the program before.
    fn begin_program(&mut self, pid: u32, path: &[u8], recent: &mut Recent) {
        let Some(&index) = self.by_pid.get(&pid) else { return };
        let before = &mut self.list[index];
        // A path that was unknown until now is that of the same program.
        if before.traffic.packets() == 0 || before.path.is_empty() || before.path == path {
            return;
        }
        before.ended = true;
        let (user, unit, container) = (before.user.clone(), before.unit.clone(), before.container.clone());
        let process = Process { pid, user, unit, container, ..Process::default() };
        self.add(process, recent);
    }

    /// The process of this id, as the owner of packets.
    pub(super) fn owner_of(&mut self, pid: u32, recent: &mut Recent) -> Owner {
        owner_at(self.index_of(pid, recent))
    }

    /// The index of the process of this id; it is added if it is not known.
    fn index_of(&mut self, pid: u32, recent: &mut Recent) -> usize {
        match self.by_pid.get(&pid) {
            Some(&index) => index,
            None => self.add(Process { pid, ..Process::default() }, recent),
        }
    }

    /// Adds an entry, which is the one of its id from now on. Returns its index.
    fn add(&mut self, mut process: Process, recent: &mut Recent) -> usize {
        if self.list.len() == MAX_PROCESSES {
            self.compact(recent);
        }
        let index = self.list.len();
        self.last_number += 1;
        process.number = self.last_number;
        self.by_pid.insert(process.pid, index);
        self.list.push(process);
        index
    }

    /// Makes room: combines the half with the least traffic. Packets that were counted before move with their
    /// processes.
    fn compact(&mut self, recent: &mut Recent) {
        for (index, process) in self.list.iter_mut().enumerate() {
            process.place = index;
        }
        self.list.sort_by_key(|p| (std::cmp::Reverse(p.traffic.bytes()), p.ended));
        let mut moved = vec![Owner::Others; self.list.len()];
        for (index, process) in self.list.iter().enumerate().take(MAX_PROCESSES / 2) {
            moved[process.place] = owner_at(index);
        }
        recent.relocate(|owner| match owner {
            Owner::At(index) => moved[index as usize],
            owner => owner,
        });
        for process in self.list.drain(MAX_PROCESSES / 2..) {
            if process.traffic.packets() > 0 {
                self.others.add(&process.traffic);
                self.others_count += 1;
            }
        }
        // Of several entries of an id, only the newest is found by it.
        self.by_pid.retain(|_, index| match moved[*index] {
            Owner::At(new) => {
                *index = new as usize;
                true
            }
            Owner::Others | Owner::Nobody => false,
        });
    }
}

/// The process at this index; there are never as many as 2^32.
fn owner_at(index: usize) -> Owner {
    Owner::At(u32::try_from(index).unwrap_or(u32::MAX))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NAME)]).into_owned()
}
