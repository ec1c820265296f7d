//! Compares honed's state with the kernel's: running processes, and sockets in all network namespaces.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};

use super::client::{Client, Frame};
use super::stream::Stream;
use crate::netlink;
use crate::network::Namespace;
use crate::stage::PATIENCE;

/// Number of tries. A difference that another program of the host causes by starting or ending is not in every try.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(700);

/// What is on one side only, in every try.
#[derive(Debug)]
pub(super) struct Differences {
    /// Processes that run according to honed, but not according to the kernel.
    pub(super) ended: HashSet<u32>,
    /// Processes that run according to the kernel, but not according to honed.
    pub(super) unknown: HashSet<u32>,
    /// Sockets that are open according to honed, but not according to the kernel, with their processes.
    pub(super) closed: HashMap<u64, u32>,
    /// Number of processes and of connections that honed reported at the last try.
    pub(super) had: [usize; 2],
}

impl Differences {
    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.unknown.is_empty() && self.closed.is_empty()
    }

    /// One line for each kind of difference. The first list contains faults; the second list contains differences that
    /// lost events explain. `lost` is the number of lost process events and of lost connection events.
    pub(super) fn lines(&self, lost: [u64; 2]) -> (Vec<String>, Vec<String>) {
        let Self { ended, unknown, closed, .. } = self;
        let some = |numbers: Vec<String>| numbers.into_iter().take(10).collect::<Vec<_>>().join(", ");
        let processes = |set: &HashSet<u32>| some(set.iter().map(u32::to_string).collect());
        let connections =
            some(closed.iter().map(|(id, process)| format!("{id} of process {process}")).collect());
        let lines = [
            (ended.len(), lost[0], "processes run in honed only", processes(ended)),
            (unknown.len(), lost[0], "processes are unknown to honed", processes(unknown)),
            (closed.len(), lost[1], "connections are open in honed only", connections),
        ];
        let (mut faults, mut explained) = (Vec::new(), Vec::new());
        for (count, lost, what, which) in lines.into_iter().filter(|(count, ..)| *count > 0) {
            if count as u64 > lost {
                faults.push(format!("{count} {what}: {which}"));
            } else {
                explained.push(format!("{count} {what}, for {lost} events were lost: {which}"));
            }
        }
        (faults, explained)
    }
}

/// Compares until there is no difference, or until the last try.
///
/// # Errors
/// honed or the kernel does not answer.
pub(super) fn compare(socket: &Path, namespaces: &[&Namespace]) -> Result<Differences> {
    let mut found = once(socket, namespaces)?;
    for _ in 1..TRIES {
        if found.is_empty() {
            break;
        }
        std::thread::sleep(BETWEEN);
        let again = once(socket, namespaces)?;
        found.ended.retain(|process| again.ended.contains(process));
        found.unknown.retain(|process| again.unknown.contains(process));
        found.closed.retain(|id, _| again.closed.contains_key(id));
        found.had = again.had;
    }
    Ok(found)
}

fn once(socket: &Path, namespaces: &[&Namespace]) -> Result<Differences> {
    let before = (processes()?, cookies(namespaces)?);
    let state = state(socket)?;
    let after = (processes()?, cookies(namespaces)?);
    let ended =
        state.processes.iter().filter(|process| !before.0.contains(process) && !after.0.contains(process));
    let unknown = before.0.intersection(&after.0).filter(|process| !state.processes.contains(process));
    let unknown = unknown.filter(|process| !is_hidden(**process));
    let closed = state.connections.iter();
    let closed = closed.filter(|(id, _)| !before.1.contains(id) && !after.1.contains(id));
    // sock_diag does not show sockets that are neither bound nor connected. Until such a socket is used, honed names the process
    // that made it, which may have ended; another one may have it open.
    let closed = closed.filter(|(id, process)| !netlink::descriptor_cookies(**process).contains(id));
    let mut closed: HashMap<_, _> = closed.map(|(id, process)| (*id, *process)).collect();
    if !closed.is_empty() {
        for process in &after.0 {
            for cookie in netlink::descriptor_cookies(*process) {
                closed.remove(&cookie);
            }
        }
    }
    Ok(Differences {
        ended: ended.copied().collect(),
        unknown: unknown.copied().collect(),
        closed,
        had: [state.processes.len(), state.connections.len()],
    })
}

/// The snapshot at the beginning of a section.
fn state(socket: &Path) -> Result<Stream> {
    let mut client = Client::open(socket)?;
    client.attach(0)?;
    client.mark()?;
    let mut stream = Stream::default();
    loop {
        match client.next(PATIENCE)? {
            Some(Frame::Blocks(bytes)) => stream.feed(&bytes)?,
            Some(Frame::SectionEnd) => return Ok(stream),
            Some(Frame::End(why)) => bail!("honed ends the stream: {why}"),
            None => bail!("honed does not end a section"),
        }
    }
}

/// Whether a policy of this machine hides a process even from root, and so from the sensor.
fn is_hidden(process: u32) -> bool {
    let program = std::fs::read_link(format!("/proc/{process}/exe"));
    program.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// All processes that have not ended.
fn processes() -> Result<HashSet<u32>> {
    let mut found = HashSet::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The state follows the name, which may contain any characters.
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if !matches!(state, Some('Z' | 'X')) {
            found.insert(process);
        }
    }
    Ok(found)
}

/// The cookies of all sockets that the kernel shows in these network namespaces, and in the namespaces of all
/// processes.
fn cookies(namespaces: &[&Namespace]) -> Result<HashSet<u64>> {
    let mut files = BTreeMap::new();
    for namespace in namespaces {
        files.insert(u64::from(namespace.number()?), File::open(namespace.path())?);
    }
    for process in processes()? {
        // The process may have ended meanwhile.
        let Ok(file) = File::open(format!("/proc/{process}/ns/net")) else { continue };
        let Ok(data) = file.metadata() else { continue };
        files.entry(data.ino()).or_insert(file);
    }
    let mut found = HashSet::new();
    for file in files.values() {
        let cookies = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
                netlink::cookies()
            });
            thread.join().map_err(|_| anyhow::anyhow!("a thread in a network namespace panicked"))?
        });
        found.extend(cookies?);
    }
    Ok(found)
}
