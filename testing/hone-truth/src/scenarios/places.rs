//! Processes and sockets in other namespaces, in cgroups, or from before the recording.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::handed_on::answer_after_exec;
use super::{skip, tcp};
use crate::network::{End, Family, INTERFACE, Namespace};
use crate::sockets::{MESSAGE, accept, connect, echo, hang_up, listen, receive, send_to, serve, talk, udp};
use crate::stage::{Actor, Part, Stage};
use crate::told::Fact;

const PORT: u16 = 7500;
const ROUNDS: usize = 10;

/// A server for one client that talks over UDP and TCP. Returns when it is ready.
fn server(stage: &Stage<'_>, end: End) -> Result<Actor> {
    let address = stage.address(end, PORT);
    let mut server = stage.play(end, "server", |part| answer(part, address))?;
    server.ready()?;
    Ok(server)
}

/// The server's part for one client that runs [`chat`].
pub(super) fn answer(part: &mut Part, address: SocketAddr) -> Result<()> {
    let (datagrams, listener) = (udp(part, address)?, listen(part, address)?);
    part.ready()?;
    echo(part, &datagrams, ROUNDS)?;
    serve(part, &accept(part, &listener)?)
}

/// Talks over UDP, then over TCP.
pub(super) fn chat(part: &mut Part, from: SocketAddr, to: SocketAddr) -> Result<()> {
    let socket = udp(part, from)?;
    for _ in 0..ROUNDS {
        send_to(part, &socket, to, MESSAGE)?;
        receive(part, &socket)?;
    }
    let stream = connect(part, to)?;
    talk(part, &stream, ROUNDS)?;
    hang_up(stream)
}

pub(super) fn loopback(stage: &mut Stage<'_>) -> Result<()> {
    let mut server = server(stage, End::A)?;
    let (from, to) = (stage.address(End::A, 0), stage.address(End::A, PORT));
    let mut client = stage.play(End::A, "client", |part| chat(part, from, to))?;
    client.finish()?;
    server.finish()
}

pub(super) fn old_before(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let (datagrams, listener) = (udp(part, address)?, listen(part, address)?);
        part.ready()?;
        let stream = accept(part, &listener)?;
        part.wait()?;
        echo(part, &datagrams, ROUNDS)?;
        serve(part, &stream)
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        let stream = connect(part, address)?;
        part.ready_and_wait()?;
        for _ in 0..ROUNDS {
            send_to(part, &socket, address, MESSAGE)?;
            receive(part, &socket)?;
        }
        talk(part, &stream, ROUNDS)?;
        hang_up(stream)
    })?;
    client.ready()?;
    stage.waiting = vec![server, client];
    Ok(())
}

pub(super) fn old(stage: &mut Stage<'_>) -> Result<()> {
    stage.waiting.iter_mut().try_for_each(Actor::go)?;
    stage.waiting.iter_mut().rev().try_for_each(Actor::finish)
}

pub(super) fn new_network(stage: &mut Stage<'_>) -> Result<()> {
    let namespaces = [Namespace::new()?, Namespace::new()?];
    let addresses = [1, 2].map(|host| stage.network.beyond(1, host, stage.family));
    let peer = namespaces[1].path();
    namespaces[0].ip(&format!("link add {INTERFACE} type veth peer name {INTERFACE} netns {peer}\n"))?;
    let suffix = if stage.family == Family::V4 { "/24" } else { "/64" };
    let nodad = if stage.family == Family::V4 { "" } else { " nodad" };
    for (namespace, address) in namespaces.iter().zip(addresses) {
        stage.tell(&Fact::Address(address))?;
        namespace.ip(&format!(
            "link set {INTERFACE} addrgenmode none\naddress add {address}{suffix} dev {INTERFACE}{nodad}\n\
             link set lo up\nlink set {INTERFACE} up\n"
        ))?;
    }
    let address = SocketAddr::new(addresses[1], PORT);
    let mut server = stage.play_in(&namespaces[1], "server", |part| {
        let (datagrams, listener) = (udp(part, address)?, listen(part, address)?);
        part.ready()?;
        echo(part, &datagrams, ROUNDS)?;
        serve(part, &accept(part, &listener)?)
    })?;
    server.ready()?;
    let mut client = stage
        .play_in(&namespaces[0], "client", |part| chat(part, SocketAddr::new(addresses[0], 0), address))?;
    client.finish()?;
    server.finish()
}

pub(super) fn pid_namespace(stage: &mut Stage<'_>) -> Result<()> {
    let mut server = server(stage, End::B)?;
    let mut parent = stage.play(End::A, "parent", |part| {
        unshare(CloneFlags::CLONE_NEWPID).context("cannot make a process id namespace")?;
        // The first process in the namespace. Its parent is outside, and reports the process id that the host uses for
        // it.
        let mut child = part.fork("client", |part| {
            ensure!(std::process::id() == 1, "it is not in a namespace of its own");
            chat(part, stage.address(End::A, 0), stage.address(End::B, PORT))
        })?;
        child.finish()
    })?;
    parent.finish()?;
    server.finish()
}

/// Where the cgroup v2 hierarchy is mounted.
fn cgroups() -> Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let place = line.and_then(|line| line.split(' ').nth(4)).context("no cgroup v2 hierarchy is mounted")?;
    Ok(place.into())
}

/// A cgroup. Removed when dropped.
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a cgroup for this scenario only.
    pub(super) fn new(name: &str) -> Result<Self> {
        let name = format!("hone-truth-{name}-{}", std::process::id());
        let path = cgroups().map_err(skip)?.join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves the calling process into the cgroup.
    pub(super) fn enter(&self) -> Result<()> {
        let mut file = std::fs::File::options().write(true).open(self.0.join("cgroup.procs"))?;
        file.write_all(b"0").context("cannot move into the cgroup")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The processes in the cgroup have ended. Otherwise the empty cgroup stays until the next boot.
        let _ = std::fs::remove_dir(&self.0);
    }
}

pub(super) fn cgroup(stage: &mut Stage<'_>) -> Result<()> {
    let cgroup = Cgroup::new("own")?;
    let mut server = server(stage, End::B)?;
    let mut client = stage.play(End::A, "client", |part| {
        cgroup.enter()?;
        chat(part, stage.address(End::A, 0), stage.address(End::B, PORT))
    })?;
    client.finish()?;
    server.finish()
}

/// Keeps a descriptor open over exec and returns its number, which the next program needs.
pub(super) fn keep_open(descriptor: &impl AsFd) -> Result<RawFd> {
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(descriptor.as_fd().as_raw_fd())
}

/// Executes this program again; it continues with [`continued`].
pub(super) fn run_again(part: &Part, words: &[&str]) -> Result<()> {
    let (facts, scenario) = part.place();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("actor").arg("--facts").arg(facts).args(["--scenario", scenario]).args(words);
    Err(command.exec()).context("cannot become another program")
}

/// The part of the program that [`run_again`] has started.
///
/// # Errors
/// The actor fails, or the words are not a known part.
pub(crate) fn continued(facts: &Path, scenario: &str, words: &[String]) -> Result<()> {
    let mut part = Part::alone(facts, scenario)?;
    match words {
        [what, descriptor] if what == "talk" => {
            let descriptor = descriptor.parse().context("a descriptor")?;
            // SAFETY: whoever became this program has left the descriptor to it, and nothing else here uses it.
            let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
            ensure!(stream.as_raw_fd() == descriptor, "another descriptor");
            tcp::talk_after_exec(&mut part, stream)
        }
        [what, name, from, to] if what == "one" => {
            part.program = Some(name.clone());
            let socket = udp(&part, from.parse()?)?;
            send_to(&mut part, &socket, to.parse()?, MESSAGE)
        }
        [what, name, protocol, descriptor, cue] if what == "answer" => {
            part.program = Some(name.clone());
            answer_after_exec(&mut part, protocol, descriptor, cue)
        }
        _ => bail!("an actor that goes on does not know {words:?}"),
    }
}

/// Forks a process with a chosen process id. Returns `None` in the child.
pub(super) fn fork_as(process: libc::pid_t) -> Result<Option<Pid>> {
    let wanted = [process];
    // The kernel's struct clone_args, in the layout of its first two sizes: the ninth word is set_tid, the tenth is its
    // length.
    let mut arguments = [0_u64; 10];
    arguments[4] = u64::try_from(libc::SIGCHLD)?;
    arguments[8] = wanted.as_ptr() as u64;
    arguments[9] = 1;
    // SAFETY: arguments and what they point to live longer than the call; without flags it is a fork, of a process that
    // has one thread.
    let result = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    match nix::errno::Errno::result(result)? {
        0 => Ok(None),
        child => Ok(Some(Pid::from_raw(i32::try_from(child)?))),
    }
}

pub(super) fn reused_pid(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut sink = stage.play(End::B, "sink", |part| {
        let socket = udp(part, to)?;
        part.ready()?;
        (0..2 * ROUNDS).try_for_each(|_| receive(part, &socket).map(drop))
    })?;
    sink.ready()?;
    let mut parent = stage.play(End::A, "parent", |part| {
        for round in 0..ROUNDS {
            let from = |which: u16| -> Result<String> {
                let port = PORT + 2 * u16::try_from(round)? + which;
                Ok(stage.address(End::A, port).to_string())
            };
            let (first, second) = (format!("first-{round}"), format!("second-{round}"));
            let to = to.to_string();
            let words = ["one", &first, &from(0)?, &to];
            let child = part.fork_briefly(|part| run_again(part, &words))?;
            reap(child)?;
            let words = ["one", &second, &from(1)?, &to];
            match fork_as(child.as_raw()).context("cannot use a process id again")? {
                Some(again) => {
                    ensure!(again == child, "it was given another number");
                    reap(again)?;
                }
                // Executes another program at once, or fails.
                None => return run_again(part, &words),
            }
        }
        Ok(())
    })?;
    parent.finish()?;
    sink.finish()
}

/// Waits until a child has ended successfully.
pub(super) fn reap(child: Pid) -> Result<()> {
    let status = waitpid(child, None)?;
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "a process failed: {status:?}");
    Ok(())
}
