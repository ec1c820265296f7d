//! The sockets that listen, in the network namespace of this program and in those of the processes that the recording has:
//! TCP sockets that accept connections, and UDP sockets of servers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hone_packet::protocol::{TCP, UDP};
use hone_pcapng::{ProcessEvent, ProcessEventKind};

use super::{open_connections, proc_net};

/// Most places that are remembered.
const MAX_KNOWN: usize = 65_536;
/// Most processes whose namespace is remembered. More than a system has, unless their ends were lost.
const MAX_MEMBERS: usize = 1 << 20;
/// Most other namespaces that are looked at.
const MAX_NAMESPACES: usize = 256;
/// How many processes of a namespace are tried: some have ended, or are in another one by now.
const TRIES: usize = 8;
/// The state LISTEN, in the lists.
const LISTEN: &str = "0A";
/// The ports that the system chooses for programs that name none, unless this is set: ip_local_port_range in the kernel's
/// Documentation/networking/ip-sysctl.rst.
const CHOSEN_PORTS: (u16, u16) = (32_768, 60_999);

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The number of the network namespace, if it is not the one of this program.
    pub(crate) namespace: Option<u32>,
    /// Whether it is a UDP socket.
    pub(crate) is_udp: bool,
    pub(crate) local: SocketAddr,
    inode: u64,
}

impl Listener {
    /// The process that has the socket, and its name, made safe for display.
    pub(crate) fn holder(&self) -> Option<(u32, String)> {
        open_connections::holder(self.inode)
    }
}

/// Where sockets can listen: the namespace, whether it is UDP, and the address.
type Where = (Option<u32>, bool, SocketAddr);

/// Where sockets have listened at some time.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    known: HashSet<Where>,
    /// The namespaces of processes, but those in the one of this program.
    members: HashMap<u32, u32>,
    own: Option<u32>,
    /// All that were noted.
    namespaces: HashSet<u32>,
    /// Those of them that were there when the recording began, and have not been looked at.
    old: HashSet<u32>,
    /// Whether a warning has said that there are too many namespaces.
    is_warned: bool,
}

impl Listeners {
    /// Those that listen now in the namespace of this program.
    pub(crate) fn now() -> Self {
        let own = number(Path::new("/proc/thread-self"));
        let mut found = Vec::new();
        if let Err(error) = listening(Path::new("/proc/thread-self"), None, chosen_ports(), &mut found) {
            tracing::warn!("cannot read which sockets listen: {error}");
        }
        let known = found.iter().map(place).collect();
        Self { known, own, ..Self::default() }
    }

    /// Learns in which namespace a process is. `is_old`: the process was there when the recording began.
    pub(crate) fn note(&mut self, event: &ProcessEvent<'_>, is_old: bool) {
        let namespace = event.network_namespace.filter(|namespace| Some(*namespace) != self.own);
        match (event.kind, namespace) {
            (ProcessEventKind::Ended, _) => drop(self.members.remove(&event.process)),
            (_, Some(namespace)) if self.members.len() < MAX_MEMBERS => {
                self.members.insert(event.process, namespace);
                if self.namespaces.len() >= MAX_KNOWN {
                    self.namespaces.clear();
                }
                if self.namespaces.insert(namespace) && is_old {
                    self.old.insert(namespace);
                }
            }
            (_, None) if event.network_namespace.is_some() => drop(self.members.remove(&event.process)),
            _ => {}
        }
    }

    /// Forgets the processes: a section begins, which reports all that run.
    pub(crate) fn forget_processes(&mut self) {
        self.members.clear();
    }

    /// Remembers what listens in namespaces that were there when the recording began: it is not new. Call it soon after they
    /// were noted.
    pub(crate) fn settle(&mut self) {
        let old = std::mem::take(&mut self.old);
        if !old.is_empty() {
            let mut found = Vec::new();
            self.listening_elsewhere(&mut found, |namespace| old.contains(&namespace));
            self.known.extend(found.iter().map(place));
        }
    }

    /// Those that listen now and did not before.
    pub(crate) fn new_ones(&mut self) -> Vec<Listener> {
        let mut now = Vec::new();
        if listening(Path::new("/proc/thread-self"), None, chosen_ports(), &mut now).is_err() {
            return Vec::new();
        }
        self.listening_elsewhere(&mut now, |_| true);
        if self.known.len() > MAX_KNOWN {
            tracing::warn!(
                "sockets have listened at more than {MAX_KNOWN} addresses: those that ended are forgotten"
            );
            let places: HashSet<_> = now.iter().map(place).collect();
            self.known.retain(|known| places.contains(known));
        }
        now.retain(|listener| self.known.insert(place(listener)));
        now
    }

    /// Adds what listens in the other namespaces.
    fn listening_elsewhere(&mut self, found: &mut Vec<Listener>, is_wanted: impl Fn(u32) -> bool) {
        let ports = chosen_ports();
        for (namespace, members) in self.others().into_iter().filter(|(namespace, _)| is_wanted(*namespace)) {
            let processes = members.iter().map(|pid| PathBuf::from(format!("/proc/{pid}")));
            // Who may not read the number knows it from the recording.
            let mut processes =
                processes.filter(|process| number(process).is_none_or(|found| found == namespace));
            processes.find(|process| listening(process, Some(namespace), ports, found).is_ok());
        }
    }

    /// The other namespaces, with some processes of each.
    fn others(&mut self) -> BTreeMap<u32, Vec<u32>> {
        let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (&pid, &namespace) in &self.members {
            let is_too_many = found.len() >= MAX_NAMESPACES && !found.contains_key(&namespace);
            if is_too_many && !std::mem::replace(&mut self.is_warned, true) {
                tracing::warn!(
                    "sockets that listen are looked for in {MAX_NAMESPACES} network namespaces: there are more"
                );
            }
            if !is_too_many {
                let members = found.entry(namespace).or_default();
                if members.len() < TRIES {
                    members.push(pid);
                }
            }
        }
        found
    }
}

fn place(listener: &Listener) -> Where {
    (listener.namespace, listener.is_udp, listener.local)
}

/// The number of a process's network namespace, if this program may read it.
fn number(process: &Path) -> Option<u32> {
    u32::try_from(fs::metadata(process.join("ns/net")).ok()?.ino()).ok()
}

/// The ports that the system chooses itself.
fn chosen_ports() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
    words.next().zip(words.next()).unwrap_or(CHOSEN_PORTS)
}

/// Adds what listens in the namespace of a process.
fn listening(
    process: &Path,
    namespace: Option<u32>,
    chosen: (u16, u16),
    found: &mut Vec<Listener>,
) -> io::Result<()> {
    for (list, is_udp) in [("tcp", false), ("tcp6", false), ("udp", true), ("udp6", true)] {
        let file = match File::open(process.join("net").join(list)) {
            Ok(file) => file,
            // There is no IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && list.ends_with('6') => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1) {
            let line = line?;
            // The kernel lists those that listen first (tcp_seq_next in net/ipv4/tcp_ipv4.c). The others may be many.
            if !is_udp && line.split_ascii_whitespace().nth(3) != Some(LISTEN) {
                break;
            }
            // A program that sends a datagram without naming a port has one that the system chose.
            let is_client = |socket: &proc_net::Socket| {
                socket.remote.is_some() || (chosen.0..=chosen.1).contains(&socket.local.port())
            };
            let sockets = proc_net::parse(&line, Some(if is_udp { UDP } else { TCP }));
            found.extend(sockets.filter(|socket| !is_udp || !is_client(socket)).map(|socket| Listener {
                namespace,
                is_udp,
                local: socket.local,
                inode: socket.inode,
            }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_socket_that_listens_is_new_once_and_has_its_process() {
        let before = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut listeners = Listeners::now();
        let after = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = after.local_addr().unwrap();
        let new = listeners.new_ones();
        let found = |local| new.iter().find(|listener| listener.local == local && !listener.is_udp);
        assert_eq!(found(before.local_addr().unwrap()), None);
        assert_eq!(found(local).unwrap().holder().unwrap().0, std::process::id());
        assert!(listeners.new_ones().iter().all(|listener| listener.local != local));
    }

    #[test]
    fn a_udp_socket_of_a_server_listens_and_one_of_a_client_does_not() {
        let mut listeners = Listeners::now();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Below the ports that the system chooses.
        let server = (20_000..30_000).find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).unwrap();
        let connected = (20_000..30_000).find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).unwrap();
        connected.connect(server.local_addr().unwrap()).unwrap();
        let new = listeners.new_ones();
        let is_new = |socket: &UdpSocket| {
            let local = socket.local_addr().unwrap();
            new.iter().any(|listener| listener.is_udp && listener.local == local)
        };
        assert_eq!([&client, &server, &connected].map(is_new), [false, true, false]);
    }
}
