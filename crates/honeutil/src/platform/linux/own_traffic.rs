//! What a recording into a pipe would record of itself: the traffic of the program that reads the pipe, if that sends on
//! what it reads, and of the ssh connection through which this program was started. Recorded, each packet of it would
//! make another one.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, Metadata};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hone_packet::protocol::TCP;
use hone_select::{ConditionError, Selection, Word};
use rustix::process::{Pid, getppid};

use super::open_connections;
use crate::text::printable;

/// Most programs behind one another: `honeutil | gzip | nc` has two.
const MAX_CONSUMERS: usize = 16;
/// Most connections of these.
const MAX_CONNECTIONS: usize = 32;
/// How many parents are asked for SSH_CONNECTION: sudo does not pass it on.
const MAX_PARENTS: usize = 16;
/// Characters of a program's name.
const NAME_WIDTH: usize = 24;

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
        let consumers = consumers(pipe);
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

/// The programs that read a pipe, those that read what they write, and so on. Parents of them are not meant, although a
/// shell has the pipe for a moment, too: it sends nothing.
fn consumers(pipe: &Metadata) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut looked = HashSet::new();
    let mut pipes = vec![(pipe.dev(), pipe.ino())];
    while let Some(pipe) = pipes.pop() {
        if !looked.insert(pipe) {
            continue;
        }
        for pid in readers(pipe) {
            if found.len() < MAX_CONSUMERS && found.iter().all(|(known, _)| *known != pid) {
                let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
                found.push((pid, printable(String::from_utf8_lossy(&name).trim_end(), NAME_WIDTH)));
                pipes.extend(stdout_pipe(pid));
            }
        }
    }
    found
}

/// The pipe that is a process's standard output, if it is one.
fn stdout_pipe(pid: u32) -> Option<(u64, u64)> {
    use std::os::unix::fs::FileTypeExt as _;
    let data = fs::metadata(format!("/proc/{pid}/fd/1")).ok()?;
    data.file_type().is_fifo().then(|| (data.dev(), data.ino()))
}

/// The processes that have the reading end of a pipe.
fn readers(pipe: (u64, u64)) -> Vec<u32> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own && reads(*pid, pipe)).collect()
}

fn reads(pid: u32, pipe: (u64, u64)) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.into_iter().any(|descriptor| {
        let is_pipe = fs::metadata(descriptor.path()).is_ok_and(|data| (data.dev(), data.ino()) == pipe);
        is_pipe && can_read(&format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().to_string_lossy()))
    })
}

/// Whether a descriptor is open for reading, by its flags in octal digits (proc(5)): the lowest two bits are 0 or 2.
fn can_read(fdinfo: &str) -> bool {
    let text = fs::read_to_string(fdinfo).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| matches!(flags & 3, 0 | 2))
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
    fn the_reader_of_a_pipe_and_what_it_writes_to() {
        use std::process::{Command, Stdio};
        let (reader, writer) = std::io::pipe().unwrap();
        let mut first = Command::new("cat").stdin(reader).stdout(Stdio::piped()).spawn().unwrap();
        let between = first.stdout.take().unwrap();
        let second = Command::new("cat").stdin(between).stdout(Stdio::null()).spawn().unwrap();
        let file = fs::File::from(std::os::fd::OwnedFd::from(writer));
        let found = consumers(&file.metadata().unwrap());
        drop(file);
        let expected = HashSet::from([first.id(), second.id()]);
        for mut child in [first, second] {
            child.wait().unwrap();
        }
        let pids: HashSet<u32> = found.iter().map(|(pid, _)| *pid).collect();
        assert_eq!(pids, expected, "{found:?}");
    }
}
