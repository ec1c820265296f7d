//! The machine's open connections and who holds them, from /proc: [`sockets`] parses its lists, this walks processes
//! and network namespaces. Used by `send-conns`.
//!
//! A socket's inode, which no other socket of the machine has, ties what the lists of a namespace say to the
//! descriptors of a process. A socket that several processes hold is listed once for each of them.

pub mod sockets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use hone_reader::api::{Family, OpenConnection};

use crate::text::printable;
use sockets::{LISTS, Socket};

/// Characters of a process's name.
const NAME_WIDTH: usize = 24;

/// A socket and a process that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The socket.
    pub socket: Socket,
    /// The process.
    pub pid: u32,
    /// Its name; empty if it has ended since.
    pub name: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Each socket with each process that holds it.
    pub held: Vec<Held>,
    /// Sockets of which no process was found.
    pub unheld: usize,
    /// Processes that may not be looked into.
    pub unreadable: usize,
    /// Network namespaces looked into.
    pub namespaces: usize,
}

/// Looks at every process and every namespace that one is in, below `proc`.
///
/// # Errors
/// `proc` itself cannot be read. What cannot be read of a process is counted instead.
pub fn find(proc: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let mut holders: HashMap<u64, BTreeSet<u32>> = HashMap::new();
    let mut names = HashMap::new();
    let mut namespaces = BTreeMap::new();
    for entry in fs::read_dir(proc)? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let directory = entry.path();
        match inodes(&directory.join("fd")) {
            Ok(inodes) => {
                for inode in inodes {
                    holders.entry(inode).or_default().insert(pid);
                }
                let name = fs::read(directory.join("comm")).unwrap_or_default();
                names.insert(pid, printable(String::from_utf8_lossy(&name).trim_end(), NAME_WIDTH));
            }
            Err(error) if is_gone(&error) => continue,
            Err(_) => found.unreadable += 1,
        }
        if let Ok(namespace) = fs::read_link(directory.join("ns/net")) {
            namespaces.entry(namespace).or_insert_with(Vec::new).push(directory);
        }
    }
    found.namespaces = namespaces.len();
    for members in namespaces.values() {
        for (list, protocol) in LISTS {
            // The first process that is still there.
            let text = members.iter().find_map(|member| fs::read(member.join("net").join(list)).ok());
            let text = text.unwrap_or_default();
            for socket in sockets::parse(&String::from_utf8_lossy(&text), *protocol) {
                let Some(pids) = holders.get(&socket.inode) else {
                    found.unheld += 1;
                    continue;
                };
                for &pid in pids {
                    let name = names.get(&pid).cloned().unwrap_or_default();
                    found.held.push(Held { socket: socket.clone(), pid, name });
                }
            }
        }
    }
    found.held.sort_by_key(|held| (held.socket.protocol, held.socket.local, held.socket.remote, held.pid));
    Ok(found)
}

/// The sockets among a process's descriptors.
fn inodes(directory: &Path) -> io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(directory)? {
        let target = fs::read_link(entry?.path());
        let inode: Option<u64> = target.ok().and_then(|target| {
            let text = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            text.parse().ok()
        });
        inodes.extend(inode);
    }
    Ok(inodes)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

impl Found {
    /// The list that the service takes. A socket of IPv6 that is bound to no address takes packets of IPv4 as well,
    /// unless another one has that port: it is listed for both.
    #[must_use]
    pub fn records(&self) -> Vec<OpenConnection> {
        let taken: BTreeSet<(u8, u16)> = self
            .held
            .iter()
            .filter(|held| held.socket.local.is_ipv4())
            .map(|held| (held.socket.protocol, held.socket.local.port()))
            .collect();
        let mut records = Vec::new();
        for held in &self.held {
            let Socket { protocol, local, remote, .. } = held.socket;
            let record = |family, address: Option<std::net::IpAddr>, remote| OpenConnection {
                family,
                protocol,
                local_port: local.port(),
                local: address,
                remote,
                connection: None,
                process: held.pid,
                process_start: None,
                opened: 0,
            };
            let family = if local.is_ipv4() { Family::V4 } else { Family::V6 };
            let is_any = local.ip().is_unspecified();
            records.push(record(family, (!is_any).then_some(local.ip()), remote));
            if is_any && local.is_ipv6() && remote.is_none() && !taken.contains(&(protocol, local.port())) {
                records.push(record(Family::V4, None, None));
            }
        }
        records
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![["PROTOCOL", "LOCAL", "REMOTE", "PID", "PROCESS"].map(str::to_owned)];
        for held in &self.held {
            let Socket { protocol, local, remote, .. } = held.socket;
            rows.push([
                sockets::protocol_name(protocol),
                shown(local),
                remote.map_or_else(|| "-".to_owned(), shown),
                held.pid.to_string(),
                held.name.clone(),
            ]);
        }
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut out = String::new();
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let _ = if column == 3 {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:width$}  ")
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// `*` for any address and any port.
fn shown(address: SocketAddr) -> String {
    let ip = match address {
        _ if address.ip().is_unspecified() => if address.is_ipv4() { "0.0.0.0" } else { "[::]" }.to_owned(),
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    if address.port() == 0 { format!("{ip}:*") } else { format!("{ip}:{}", address.port()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A /proc with two processes that share a namespace and one socket, and a third in another namespace.
    fn fixture() -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let line = |local: &str, remote: &str, inode| {
            format!(
                "   0: {local} {remote} 0A 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100\n"
            )
        };
        for (pid, name, namespace, sockets) in
            [(10, "nginx", 1, &[100, 101][..]), (11, "nginx", 1, &[100]), (20, "curl", 2, &[200])]
        {
            let directory = proc.path().join(format!("{pid}"));
            fs::create_dir_all(directory.join("fd")).unwrap();
            fs::create_dir_all(directory.join("ns")).unwrap();
            fs::create_dir_all(directory.join("net")).unwrap();
            fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
            symlink(format!("net:[{namespace}]"), directory.join("ns/net")).unwrap();
            symlink("/dev/null", directory.join("fd/0")).unwrap();
            for (number, inode) in sockets.iter().enumerate() {
                symlink(format!("socket:[{inode}]"), directory.join(format!("fd/{}", number + 3))).unwrap();
            }
            let (tcp, tcp6) = if namespace == 1 {
                (
                    line("0100007F:1F90", "0100007F:C000", 101)
                        + &line("0100007F:0016", "00000000:0000", 999),
                    line(
                        "00000000000000000000000000000000:0050",
                        "00000000000000000000000000000000:0000",
                        100,
                    ),
                )
            } else {
                (line("0200000A:C001", "0100000A:01BB", 200), String::new())
            };
            fs::write(directory.join("net/tcp"), format!("{head}{tcp}")).unwrap();
            fs::write(directory.join("net/tcp6"), format!("{head}{tcp6}")).unwrap();
        }
        fs::create_dir(proc.path().join("sys")).unwrap();
        fs::create_dir(proc.path().join("30")).unwrap();
        proc
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_find_their_processes_through_inodes() {
        let found = find(fixture().path()).unwrap();
        assert_eq!((found.unheld, found.unreadable, found.namespaces), (1, 0, 2));
        assert_eq!(
            found.table(),
            "\
PROTOCOL  LOCAL           REMOTE           PID  PROCESS
tcp       10.0.0.2:49153  10.0.0.1:443      20  curl
tcp       127.0.0.1:8080  127.0.0.1:49152   10  nginx
tcp       [::]:80         -                 10  nginx
tcp       [::]:80         -                 11  nginx
"
        );
        let records = found.records();
        let any: Vec<_> =
            records.iter().filter(|r| r.local_port == 80).map(|r| (r.family, r.local, r.process)).collect();
        assert_eq!(
            any,
            [(Family::V6, None, 10), (Family::V4, None, 10), (Family::V6, None, 11), (Family::V4, None, 11)]
        );
    }

    #[test]
    fn this_process_finds_its_own_sockets() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let found = find(Path::new("/proc")).unwrap();
        let mine: Vec<_> = found.held.iter().filter(|held| held.socket.local == local).collect();
        assert!(
            mine.iter().any(|held| held.pid == std::process::id() && held.socket.protocol == 6),
            "{mine:?}"
        );
    }
}
