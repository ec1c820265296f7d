//! The processes that had traffic or may have some, with name and user from process events. Memory is limited: when
//! there are too many, the half with the least traffic is combined into one count.

use std::collections::HashMap;

use hone_pcapng::{ProcessEvent, ProcessEventKind};

use super::Traffic;
use super::peers::Peers;
use super::recent_packets::{Owner, Recent};
use crate::text::base_name;
use crate::users;

/// Most processes kept apart; when they are more, the half with least traffic is added up as others.
pub(super) const MAX_PROCESSES: usize = 8192;
/// Longest name kept, in bytes.
const MAX_NAME: usize = 256;

/// One process, for as long as it lives; another one with the same id is another entry.
#[derive(Debug, Default)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// The executable's file name as others chose it; empty if unknown.
    pub name: String,
    /// The user's name, number where it has none, or security identifier; empty if unknown.
    pub user: String,
    /// Its packets.
    pub traffic: Traffic,
    /// With whom.
    pub peers: Peers,
    /// Its packets when `top` looked at them last, for rates.
    pub(crate) seen: Traffic,
    /// Its index before the processes were put in another order.
    place: usize,
    ended: bool,
}

impl Process {
    /// Whether it has ended.
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
    /// The process of the last packet, and its index: packets come in runs.
    last: Option<(u32, usize)>,
    /// The traffic of those that are no longer kept apart.
    pub(super) others: Traffic,
    /// How many those are.
    pub(super) others_count: u64,
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
        // The id of an ended process is used again: another process, so another entry.
        if let Some(&index) = self.by_pid.get(&pid)
            && self.list[index].ended
        {
            if self.list[index].traffic.packets() > 0 {
                self.by_pid.remove(&pid);
                self.last = None;
            } else {
                self.list[index] = Process { pid, ..Process::default() };
            }
        }
        let parent = event.parent.and_then(|parent| self.by_pid.get(&parent)).map(|&index| &self.list[index]);
        let inherited = parent.map(|parent| (parent.name.clone(), parent.user.clone()));
        let index = self.index_of(pid, recent);
        let process = &mut self.list[index];
        // A child runs its parent's program, as its user, until it says otherwise.
        if let Some((name, user)) = inherited.filter(|_| event.kind == ProcessEventKind::Forked) {
            (process.name, process.user) = (name, user);
        }
        if let Some(path) = &event.path {
            process.name = lossy(base_name(path));
        }
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
    }

    /// The process of this id, as the owner of packets.
    pub(super) fn owner_of(&mut self, pid: u32, recent: &mut Recent) -> Owner {
        owner_at(self.index_of(pid, recent))
    }

    /// The index of the process of this id; it is added if it is not known.
    fn index_of(&mut self, pid: u32, recent: &mut Recent) -> usize {
        if let Some((last, index)) = self.last
            && last == pid
        {
            return index;
        }
        let index = match self.by_pid.get(&pid) {
            Some(&index) => index,
            None => {
                if self.list.len() == MAX_PROCESSES {
                    self.compact(recent);
                }
                self.list.push(Process { pid, ..Process::default() });
                self.by_pid.insert(pid, self.list.len() - 1);
                self.list.len() - 1
            }
        };
        self.last = Some((pid, index));
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
        self.by_pid.clear();
        self.last = None;
        for (index, process) in self.list.iter().enumerate() {
            let newest = self.by_pid.entry(process.pid).or_insert(index);
            if self.list[*newest].ended {
                *newest = index;
            }
        }
    }
}

/// The process at this index; there are never as many as 2^32.
fn owner_at(index: usize) -> Owner {
    Owner::At(u32::try_from(index).unwrap_or(u32::MAX))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NAME)]).into_owned()
}
