//! Open sockets and their processes, from /proc: `proc_net` parses its lists, this walks processes and
//! network namespaces.
//!
//! Each socket has an inode number that no other socket of the machine has. It connects a namespace's list of sockets
//! with the descriptors of a process. A socket that several processes hold is listed once for each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::proc_net::{self, LISTS};
use crate::service::open_connections::{OpenSocket, OpenSockets};
use crate::text::printable;

/// Characters of a process's name.
const NAME_WIDTH: usize = 24;

/// Every open socket of the machine that this process has permission to see.
///
/// # Errors
/// /proc cannot be read.
pub fn find() -> io::Result<OpenSockets> {
    find_below(Path::new("/proc"))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read /proc: {error}")))
}

/// The process that has the socket with this inode number, and its name, made safe for display. Of several, the one with the
/// lowest id.
pub(crate) fn holder(inode: u64) -> Option<(u32, String)> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has =
        |pid: &u32| inodes(Path::new(&format!("/proc/{pid}/fd"))).is_ok_and(|inodes| inodes.contains(&inode));
    let pid = pids.filter(has).min()?;
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, printable(String::from_utf8_lossy(&name).trim_end(), NAME_WIDTH)))
}

/// Looks at every process below `proc`, and at every network namespace of these processes. What cannot be read is
/// counted.
fn find_below(proc: &Path) -> io::Result<OpenSockets> {
    let mut found = OpenSockets::default();
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
            for socket in proc_net::parse(&String::from_utf8_lossy(&text), *protocol) {
                let Some(pids) = holders.get(&socket.inode) else {
                    found.without_process += 1;
                    continue;
                };
                for &pid in pids {
                    let name = names.get(&pid).cloned().unwrap_or_default();
                    let (protocol, local, remote) = (socket.protocol, socket.local, socket.remote);
                    found.sockets.push(OpenSocket { protocol, local, remote, pid, name });
                }
            }
        }
    }
    found.sockets.sort_by_key(|socket| (socket.protocol, socket.local, socket.remote, socket.pid));
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
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use hone_api::Family;

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
        let found = find_below(fixture().path()).unwrap();
        assert_eq!((found.without_process, found.unreadable, found.namespaces), (1, 0, 2));
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
        let found = find().unwrap();
        let mine: Vec<_> = found.sockets.iter().filter(|socket| socket.local == local).collect();
        assert!(
            mine.iter().any(|socket| socket.pid == std::process::id() && socket.protocol == 6),
            "{mine:?}"
        );
    }
}
