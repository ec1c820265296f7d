//! Ping and raw sockets.

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use socket2::{Socket, Type};

use crate::craft::echo_request;
use crate::network::End;
use crate::packet::{Direction, Protocol};
use crate::sockets::{MESSAGE, raw, raw_receive};
use crate::stage::{Actor, Part, Stage};
use crate::told::{Fact, Flow, Reason};

const ROUNDS: usize = 10;
/// A protocol number for experiments (RFC 3692). No kernel handles it.
const EXPERIMENTAL: i32 = 253;

/// The protocol number of ICMP for this address family.
fn number(address: SocketAddr) -> i32 {
    if address.is_ipv4() { libc::IPPROTO_ICMP } else { libc::IPPROTO_ICMPV6 }
}

/// B's kernel answers what arrives at B.
fn kernel_answers(stage: &Stage<'_>) -> Result<()> {
    let at = Flow::at(Protocol::Icmp, stage.address(End::B, 0));
    for direction in [Direction::In, Direction::Out] {
        stage.tell(&Fact::Nobody(direction, at, 0, vec![Reason::KERNEL]))?;
    }
    Ok(())
}

/// Lets only echo replies through to an `ICMPv6` socket. Without this it would also get neighbour discovery.
fn only_replies(socket: &Socket) -> Result<()> {
    const ICMP6_FILTER: libc::c_int = 1;
    const ECHO_REPLY: u32 = 129;
    // A set bit blocks its type (RFC 3542, 3.2).
    let mut blocked = [u32::MAX; 8];
    blocked[(ECHO_REPLY / 32) as usize] &= !(1 << (ECHO_REPLY % 32));
    let length = libc::socklen_t::try_from(size_of_val(&blocked))?;
    // SAFETY: the value lives longer than the call, and the length is its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMP6_FILTER,
            (&raw const blocked).cast(),
            length,
        )
    };
    nix::errno::Errno::result(result).map(drop).context("ICMP6_FILTER")
}

/// Sends echo requests and reads the answers.
fn ping(part: &mut Part, socket: &Socket, to: SocketAddr) -> Result<()> {
    for _ in 0..ROUNDS {
        let (tag, message) = part.message(MESSAGE);
        socket.send_to(&echo_request(to.is_ipv4(), &message), &to.into())?;
        part.sent(tag)?;
        let answered = raw_receive(part, socket)?;
        ensure!(answered == tag, "the answer repeats {answered}, not {tag}");
    }
    Ok(())
}

pub(super) fn ping_socket(stage: &mut Stage<'_>) -> Result<()> {
    kernel_answers(stage)?;
    // This setting applies to both families.
    stage.network.at(End::A).set("ipv4/ping_group_range", "0 2147483647")?;
    let to = stage.address(End::B, 0);
    let mut client = stage.play(End::A, "client", |part| {
        let socket = raw(part, stage.address(End::A, 0), Type::DGRAM, number(to))?;
        ping(part, &socket, to)
    })?;
    client.finish()
}

pub(super) fn ping_raw(stage: &mut Stage<'_>) -> Result<()> {
    kernel_answers(stage)?;
    let to = stage.address(End::B, 0);
    let mut client = stage.play(End::A, "client", |part| {
        let socket = raw(part, stage.address(End::A, 0), Type::RAW, number(to))?;
        if to.is_ipv6() {
            only_replies(&socket)?;
        }
        ping(part, &socket, to)
    })?;
    client.finish()
}

pub(super) fn two_raw(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, 0);
    let mut receivers = Vec::new();
    for _ in 0..2 {
        let mut receiver = stage.play(End::B, "receiver", |part| {
            let socket = raw(part, to, Type::RAW, EXPERIMENTAL)?;
            part.ready()?;
            (0..ROUNDS).try_for_each(|_| raw_receive(part, &socket).map(drop))
        })?;
        receiver.ready()?;
        receivers.push(receiver);
    }
    let mut sender = stage.play(End::A, "sender", |part| {
        let socket = raw(part, stage.address(End::A, 0), Type::RAW, EXPERIMENTAL)?;
        for _ in 0..ROUNDS {
            let (tag, message) = part.message(MESSAGE);
            socket.send_to(&message, &to.into())?;
            part.sent(tag)?;
        }
        Ok(())
    })?;
    sender.finish()?;
    receivers.iter_mut().try_for_each(Actor::finish)
}
