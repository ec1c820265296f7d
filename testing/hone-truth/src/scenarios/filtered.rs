//! Packets that another program of a cgroup drops, as systemd's `IPAddressDeny=` does.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use super::places::Cgroup;
use super::skip;
use crate::network::End;
use crate::packet::{Direction, Protocol};
use crate::sockets::{MESSAGE, listen, send_to, udp};
use crate::stage::{Part, Stage, pause};
use crate::told::{Fact, Flow, Reason};

const PORT: u16 = 7970;
const ROUNDS: usize = 5;

/// The first words of `union bpf_attr` for `BPF_PROG_LOAD` (linux/bpf.h).
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    /// Log, kernel version, flags, name, interface.
    rest: [u32; 11],
    attach_type: u32,
}

/// The same for `BPF_PROG_ATTACH`.
#[repr(C)]
struct Attach {
    target: RawFd,
    program: RawFd,
    attach_type: u32,
    flags: u32,
}

/// bpf(2).
fn bpf<T>(command: u32, attributes: &T) -> Result<RawFd> {
    // SAFETY: the attributes are those of the command, and live as long as the call, as does what they point to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    Ok(i32::try_from(Errno::result(result)?)?)
}

/// Drops every packet of the cgroup's processes in one direction.
fn drop_all(cgroup: &Cgroup, direction: Direction) -> Result<()> {
    const LOAD: u32 = 5;
    const ATTACH: u32 = 8;
    // BPF_PROG_TYPE_CGROUP_SKB; BPF_CGROUP_INET_INGRESS and _EGRESS; BPF_F_ALLOW_MULTI.
    let attach_type = if direction == Direction::In { 0 } else { 1 };
    // The program: r0 = 0; exit. The result 0 drops the packet.
    let instructions = [[0xb7_u8, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let load = Load {
        kind: 8,
        count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        rest: [0; 11],
        attach_type,
    };
    let program = bpf(LOAD, &load).context("cannot load a program of a cgroup")?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    let program = unsafe { OwnedFd::from_raw_fd(program) };
    let place = File::open(cgroup.path())?;
    let attach = Attach { target: place.as_raw_fd(), program: program.as_raw_fd(), attach_type, flags: 2 };
    // The kernel removes the program together with the cgroup.
    bpf(ATTACH, &attach).context("cannot attach a program to a cgroup").map(drop)
}

/// Makes a cgroup that drops its packets in one direction.
fn filtered(direction: Direction) -> Result<Cgroup> {
    let cgroup = Cgroup::new("filtered")?;
    drop_all(&cgroup, direction).map_err(|error| skip(format_args!("{error:#}")))?;
    Ok(cgroup)
}

/// Starts to open a connection, and gives up before the kernel sends the packet again.
fn knock(part: &Part, from: SocketAddr, to: SocketAddr) -> Result<()> {
    part.holds(Flow::at(Protocol::Tcp, from))?;
    let socket = Socket::new(Domain::for_address(from), Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.set_nonblocking(true)?;
    ensure!(socket.connect(&to.into()).is_err(), "connected though every packet is dropped");
    pause();
    Ok(())
}

pub(super) fn sent(stage: &mut Stage<'_>) -> Result<()> {
    let cgroup = filtered(Direction::Out)?;
    let (from, to) = (stage.address(End::A, PORT), stage.address(End::B, PORT));
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let flow = Flow::at(protocol, from);
        stage.tell(&Fact::Nobody(Direction::Out, flow, 0, vec![Reason::FIREWALL]))?;
        stage.tell(&Fact::Single(Direction::Out, flow))?;
    }
    let mut client = stage.play(End::A, "client", |part| {
        cgroup.enter()?;
        let socket = udp(part, from)?;
        for _ in 0..ROUNDS {
            let (tag, message) = part.message(MESSAGE);
            let refused =
                socket.send_to(&message, to).is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
            ensure!(refused, "the program of the cgroup let a datagram through");
            part.tell(&Fact::Dropped(tag))?;
        }
        knock(part, from, to)
    })?;
    client.finish()
}

pub(super) fn received(stage: &mut Stage<'_>) -> Result<()> {
    let cgroup = filtered(Direction::In)?;
    let to = stage.address(End::B, PORT);
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        stage.tell(&Fact::Nobody(Direction::In, Flow::at(protocol, to), 0, vec![Reason::FIREWALL]))?;
    }
    let mut server = stage.play(End::B, "server", |part| {
        cgroup.enter()?;
        let (_socket, _listener) = (udp(part, to)?, listen(part, to)?);
        part.ready_and_wait()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        (0..ROUNDS).try_for_each(|_| send_to(part, &socket, to, MESSAGE))?;
        knock(part, stage.address(End::A, PORT), to)
    })?;
    client.finish()?;
    pause();
    server.go()?;
    server.finish()
}
