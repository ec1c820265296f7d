//! What a recording into a pipe would record of itself: the traffic of the program that reads the pipe, if that sends on
//! what it reads, and of the ssh connection through which this program was started. Recorded, each packet of it would
//! make another one.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, Metadata};
use std::net::SocketAddr;
use std::path::Path;

use hone_packet::protocol::TCP;
use hone_select::{ConditionError, Selection, Word};
use rustix::process::{Pid, getppid};

use super::open_connections;
use super::pipe_readers::{self, NAME_WIDTH};
use crate::text::printable;

/// Most programs of one that starts this one.
const MAX_FAMILY: usize = 64;
/// Most connections of these.
const MAX_CONNECTIONS: usize = 32;
/// How many parents are asked for SSH_CONNECTION: sudo does not pass it on.
const MAX_PARENTS: usize = 16;

/// What is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnTraffic {
    /// The programs that read the pipe, and what these write to, by process id.
    pub consumers: Vec<(u32, String)>,
    /// TCP connections that these have already, and the one of ssh. Their packets are left out at both ends, as the other
    /// end may be on this host.
    connections: Vec<[SocketAddr; 2]>,
    ssh: Option<[SocketAddr; 2]>,
}

impl OwnTraffic {
    /// Looks for it. `pipe`: what this program writes to.
    #[must_use]
    pub fn of(pipe: &Metadata) -> Self {
        Self::with(pipe_readers::find(pipe))
    }

    /// Looks for it where the program that has started this one is the reader's: also what that one and its children send.
    /// `names`: of the programs that start this one.
    #[must_use]
    pub fn of_starter(pipe: &Metadata, names: &[&str]) -> Self {
        let mut consumers = pipe_readers::find(pipe);
        for (pid, name) in family(std::process::id(), names, &processes()) {
            if consumers.len() < MAX_FAMILY && consumers.iter().all(|(known, _)| *known != pid) {
                consumers.push((pid, name));
            }
        }
        Self::with(consumers)
    }

    fn with(consumers: Vec<(u32, String)>) -> Self {
        let pids: HashSet<u32> = consumers.iter().map(|(pid, _)| *pid).collect();
        let mut connections = Vec::new();
        if let Ok(open) = open_connections::find() {
            let theirs = open.sockets.iter().filter(|open| pids.contains(&open.pid) && open.protocol == TCP);
            connections.extend(theirs.filter_map(|open| Some([open.local, open.remote?])));
            connections.sort_unstable();
            connections.dedup();
            connections.truncate(MAX_CONNECTIONS);
        }
        Self { consumers, connections, ssh: ssh() }
    }

    /// Adds to a selection that all this is left out.
    ///
    /// # Errors
    /// The selection has no room.
    pub fn exclude(&self, selection: &mut Selection) -> Result<(), ConditionError> {
        for (pid, _) in &self.consumers {
            selection.add(Word::Pid, true, &pid.to_string())?;
        }
        for [a, b] in self.connections.iter().chain(&self.ssh) {
            let expression = format!(
                "tcp and host {} and host {} and port {} and port {}",
                a.ip().to_canonical(),
                b.ip().to_canonical(),
                a.port(),
                b.port()
            );
            selection.add(Word::Filter, true, &expression)?;
        }
        Ok(())
    }
}

impl Display for OwnTraffic {
    /// `nc (process 123) and the ssh connection from 192.0.2.1:5000`
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, (pid, name)) in self.consumers.iter().enumerate() {
            write!(f, "{}{name} (process {pid})", if index == 0 { "" } else { ", " })?;
        }
        if let Some([client, _]) = self.ssh {
            let and = if self.consumers.is_empty() { "" } else { " and " };
            write!(f, "{and}the ssh connection from {client}")?;
        }
        Ok(())
    }
}

/// A process: its id, its parent's, and its name.
type Process = (u32, u32, String);

/// All processes.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| process(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)).collect()
}

/// A process by its stat (proc(5)): the id, the name in parentheses (it may have some itself), the state, the parent.
fn process(pid: u32, stat: &[u8]) -> Option<Process> {
    let stat = String::from_utf8_lossy(stat);
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    Some((pid, rest.split_whitespace().nth(1)?.parse().ok()?, printable(name, NAME_WIDTH)))
}

/// The nearest ancestors of a process that have these names, and all that descends from the farthest of these; without
/// such ancestors, nothing.
fn family(pid: u32, names: &[&str], processes: &[Process]) -> Vec<(u32, String)> {
    let find = |pid: u32| processes.iter().find(|(other, ..)| *other == pid);
    let mut top = None;
    let mut parent = find(pid).map(|(_, parent, _)| *parent);
    while let Some((pid, above, name)) = parent.and_then(find) {
        if !names.contains(&name.as_str()) {
            break;
        }
        top = Some((*pid, name.clone()));
        parent = Some(*above);
    }
    let mut family: Vec<_> = top.into_iter().collect();
    let mut next = 0;
    while let Some((pid, _)) = family.get(next).cloned() {
        let children = processes.iter().filter(|(_, parent, _)| *parent == pid);
        family.extend(children.map(|(pid, _, name)| (*pid, name.clone())));
        next += 1;
    }
    family
}

/// The connection of sshd(8) that this program or one of its parents was started through.
fn ssh() -> Option<[SocketAddr; 2]> {
    let mut next = Some("self".to_owned());
    for _ in 0..MAX_PARENTS {
        let process = next?;
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let variables = environment.split(|byte| *byte == 0);
        if let Some(value) =
            variables.into_iter().find_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="))
        {
            return connection(std::str::from_utf8(value).ok()?);
        }
        next = parent(&process);
    }
    None
}

fn parent(process: &str) -> Option<String> {
    if process == "self" {
        return getppid().map(Pid::as_raw_nonzero).map(|pid| pid.to_string());
    }
    let status = fs::read_to_string(Path::new("/proc").join(process).join("status")).ok()?;
    let pid = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    (pid != "0").then(|| pid.to_owned())
}

/// `CLIENT PORT SERVER PORT`, ssh(1).
fn connection(value: &str) -> Option<[SocketAddr; 2]> {
    let mut words = value.split(' ');
    let mut end = || {
        let address: std::net::IpAddr = words.next()?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), words.next()?.parse().ok()?))
    };
    Some([end()?, end()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_connection_is_left_out_at_both_ends() {
        let ssh = connection("192.0.2.1 50000 ::ffff:192.0.2.9 22");
        assert!(ssh.is_some() && connection("192.0.2.1 50000").is_none() && connection("a 1 b 2").is_none());
        let own = OwnTraffic { consumers: vec![(7, "nc".to_owned())], connections: Vec::new(), ssh };
        let mut selection = Selection::default();
        own.exclude(&mut selection).unwrap();
        let mut text = Vec::new();
        selection.to_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("--not-pid\u{0}7\u{0}"), "{text}");
        assert!(text.contains("host 192.0.2.1 and host 192.0.2.9 and port 50000 and port 22"), "{text}");
        assert_eq!(own.to_string(), "nc (process 7) and the ssh connection from 192.0.2.1:50000");
    }

    #[test]
    fn the_family_of_the_program_that_starts_this_one() {
        let stat = |pid, text: &str| process(pid, text.as_bytes()).unwrap();
        let processes = [
            stat(1, "1 (init) S 0 1"),
            stat(20, "20 (bash) S 1 20"),
            stat(30, "30 (wireshark) S 20 30"),
            stat(31, "31 (dumpcap) S 30 30"),
            stat(32, "32 (a) (b) R 30 30"),
            stat(33, "33 (helper) S 32 30"),
            stat(40, "40 (curl) S 20 40"),
        ];
        let pids: Vec<u32> =
            family(32, &["wireshark", "tshark"], &processes).into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(pids, [30, 31, 32, 33]);
        assert!(family(40, &["wireshark"], &processes).is_empty());
    }
}
