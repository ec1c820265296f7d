//! Where a process is: in which container, and in namespaces of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use hone_pcapng::ProcessEventKind;
use rustix::process::Signal;

use hone_testing::{Guarded, run, skip, wait_for};

use crate::guard::ready;
use crate::packet::Ip;
use crate::recorder::{HONEUTIL, Recorder, directory};
use crate::recording::{Direction, Process, Recording};
use crate::traffic::generator;

/// The number in what `/proc/PID/ns/net` links to, `net:[4026531840]`.
fn namespace_number(link: &str) -> u32 {
    let number = link.trim().strip_prefix("net:[").and_then(|rest| rest.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("not a namespace: {link:?}"))
}

fn own_network() -> u32 {
    let link = std::fs::read_link("/proc/self/ns/net").expect("/proc is mounted");
    namespace_number(&link.to_string_lossy())
}

/// The events of a process id, in the order of the file.
fn events(recording: &Recording, pid: u32) -> Vec<&Process> {
    recording.processes().filter(|event| event.pid == pid).collect()
}

#[test]
fn a_process_with_namespaces_of_its_own() {
    if !ready(&["unshare", "readlink"]) {
        return;
    }
    let recorder = Recorder::start(&[]);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--net", "--fork", "--", "readlink", "/proc/self/ns/net"]);
    let unshare = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("unshare starts");
    let outer = unshare.id();
    let output = unshare.wait_with_output().expect("unshare ends");
    assert!(output.status.success(), "unshare ended with {}", output.status);
    let network = namespace_number(&String::from_utf8_lossy(&output.stdout));
    let recording = recorder.stop();

    for event in events(&recording, outer).iter().filter(|event| event.kind != ProcessEventKind::Ended) {
        assert_eq!((event.namespace_pid, event.network_namespace), (None, Some(own_network())), "{event:?}");
    }
    let inner = recording.processes().find(|event| event.parent == Some(outer)).expect("unshare forks").pid;
    let told: Vec<_> = events(&recording, inner)
        .iter()
        .map(|event| (event.kind, event.namespace_pid, event.network_namespace))
        .collect();
    assert_eq!(
        told,
        [
            (ProcessEventKind::Forked, Some(1), Some(network)),
            (ProcessEventKind::Started, Some(1), Some(network)),
            (ProcessEventKind::Ended, None, None),
        ]
    );
}

/// A cgroup named as Docker names a container's; removed when dropped, once nobody is in it.
pub(crate) struct Container {
    pub(crate) id: String,
    outer: PathBuf,
    pub(crate) inner: PathBuf,
}

impl Container {
    /// `None`, and says why, where no cgroup can be made.
    pub(crate) fn new() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("it was there");
        let root = PathBuf::from(mount.split(' ').nth(4).expect("a mount has a place"));
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let id = format!("{:064x}", u128::from(pid) << 64 | u128::from(number) << 32 | 0xc0_ffee);
        let outer = root.join(format!("hone-live-{pid}-{number}"));
        let inner = outer.join(format!("docker-{id}.scope"));
        // From here on, dropping it removes what there is.
        let container = Self { id, outer, inner };
        if let Err(error) = std::fs::create_dir_all(&container.inner) {
            skip(&format!("cannot make the cgroup {}: {error}", container.inner.display()));
            return None;
        }
        Some(container)
    }

    /// A shell that goes into the cgroup and goes on with this script there.
    fn run(&self, script: &str) -> Guarded {
        let script = format!("echo 0 > \"$0/cgroup.procs\" && {script}");
        Guarded::spawn(Command::new("sh").args(["-c", &script]).arg(&self.inner).stdin(Stdio::null()))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Every process still in it was started by this test.
        let _ = std::fs::write(self.inner.join("cgroup.kill"), "1");
        for directory in [&self.inner, &self.outer] {
            for _ in 0..100 {
                match std::fs::remove_dir(directory) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

#[test]
fn processes_of_a_container() {
    if !ready(&["sh", "sleep", "true"]) {
        return;
    }
    let Some(container) = Container::new() else { return };
    let before = container.run("exec sleep 60");
    wait_for("sleep runs", || {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", before.pid())).ok()?;
        (name.trim() == "sleep").then_some(())
    });
    let recorder = Recorder::start(&[]);
    let mut during = container.run("sleep 0.01 && exec true");
    let shell = during.pid();
    assert!(during.wait("the shell ends").success());
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    let recording = ended.recording();

    let id = Some(container.id.as_str());
    let found: Vec<_> = events(&recording, before.pid());
    assert!(matches!(found[..], [Process { kind: ProcessEventKind::Started, .. }]), "{found:?}");
    let place = |event: &Process| (event.namespace_pid, event.network_namespace);
    assert_eq!(found[0].unit, Some(format!("docker-{}.scope", container.id)));
    assert_eq!((found[0].container.as_deref(), place(found[0])), (id, (None, Some(own_network()))));

    let told = |pid| -> Vec<_> {
        let starts =
            events(&recording, pid).into_iter().filter(|event| event.kind != ProcessEventKind::Ended);
        starts.map(|event| (event.kind, event.container.as_deref())).collect()
    };
    use ProcessEventKind::{Forked, Started};
    assert_eq!(told(shell), [(Forked, None), (Started, None), (Started, id)], "it goes in after its start");
    let child = recording.processes().find(|event| event.parent == Some(shell)).expect("the shell forks");
    assert_eq!(told(child.pid), [(Forked, id), (Started, id)]);

    let [file] = ended.files.as_slice() else { panic!("one file: {ended:?}") };
    let shown = |prefix: &str| run(Command::new(HONEUTIL).args(["show", "--container", prefix]).arg(file));
    let lines = shown(&container.id[..60]);
    let pids: Vec<_> = lines.lines().map(|line| line.split_ascii_whitespace().nth(2)).collect();
    assert!(pids.contains(&Some(&*before.pid().to_string())) && lines.contains("/sleep"), "{lines}");
    assert_eq!(shown(&"f".repeat(64)), "");
}

/// As a container's runtime does: a cgroup, then namespaces of its own, then a shell as process 1, which makes daemons.
#[test]
fn a_container_that_is_run_is_recorded_whole() {
    if !ready(&["sh", "unshare", "setsid", "ss"]) {
        return;
    }
    let Some(container) = Container::new() else { return };
    let place = directory();
    let traffic = generator().display().to_string();
    let inside = format!(
        "ip link set lo up
        daemon() {{ (setsid sh -c \"$1\" </dev/null >/dev/null 2>&1 &) }}
        daemon 'exec {traffic} udp-server 127.0.0.1:7000 100 echo'
        while ! ss -Hlun | grep -q :7000; do sleep 0.02; done
        daemon '{traffic} udp-client 127.0.0.1:0 127.0.0.1:7000 50 100 connected; touch ended'
        {traffic} udp-client 127.0.0.1:0 127.0.0.1:7000 50 100 connected
        while ! [ -e ended ]; do sleep 0.02; done"
    );
    let runtime = format!(
        "echo 0 >'{}/cgroup.procs' && exec unshare --pid --net --mount --fork --mount-proc -- sh -c \"$0\"",
        container.inner.display()
    );
    let mut command = Command::new(HONEUTIL);
    command.args(["run", "--local", "-q", "-w", "run.pcapng", "--", "sh", "-c", &runtime, &inside]);
    command.current_dir(place.path()).env_remove("SUDO_UID").stdin(Stdio::null()).stdout(Stdio::null());
    let mut honeutil = Guarded::spawn(&mut command);
    assert_eq!(honeutil.wait("the container ends").code(), Some(0));

    let recording = Recording::read(&place.path().join("run.pcapng"));
    let packets: Vec<_> = recording.packets().collect();
    assert_eq!(packets.len(), 400, "two clients with 50 datagrams and their echoes, each at both ends");
    let described = |pid| {
        let events = events(&recording, pid);
        let event = events.iter().find(|event| event.kind == ProcessEventKind::Started);
        *event.unwrap_or_else(|| panic!("nothing describes process {pid}"))
    };
    for packet in packets.iter().filter(|packet| packet.direction == Direction::Outbound) {
        let data = Ip::parse(&packet.data).map(|ip| String::from_utf8_lossy(ip.payload()).into_owned());
        let data = data.unwrap_or_default();
        // Programs know their process ids as their own namespace has them.
        let sender = data.strip_prefix("hone pid=").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let process = described(packet.process.unwrap_or_else(|| panic!("{data:?} is nobody's")));
        assert!(sender.is_some() && process.namespace_pid == sender, "{data:?} of {process:?}");
        assert_eq!(process.container.as_deref(), Some(container.id.as_str()), "{process:?}");
    }
    assert!(packets.iter().all(|packet| packet.process.is_some()));
    let first = recording.processes().find(|event| event.namespace_pid == Some(1));
    assert!(first.is_some(), "the container's first process is described, as others descend from it");
}
