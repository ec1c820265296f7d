//! Connections that open in ways that need packets made by hand.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{scope, yield_now};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use socket2::{Domain, Protocol as Number, SockRef, Socket, Type};

use super::skip;
use super::tcp::joined;
use crate::craft::Segment;
use crate::network::{End, Family};
use crate::packet::{ACK, Direction, Packet, Protocol, SYN};
use crate::sockets::{MESSAGE, accept, listen, read};
use crate::stage::{PATIENCE, Stage, pause};
use crate::told::{Fact, Flow, now};

const PORT: u16 = 7800;
const CONNECTIONS: u16 = 100;

/// The processors on which the calling thread may run.
pub(super) fn processors() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect())
}

/// Binds the calling thread to one processor.
pub(super) fn stay_on(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &only)?)
}

/// Waits for the SYN-ACK packet of a connection and returns its sequence number.
fn answer(wire: &Socket, from: SocketAddr, to: SocketAddr) -> Result<u32> {
    let started = Instant::now();
    let mut buffer = [0; 2048];
    while started.elapsed() < PATIENCE {
        let length = (&*wire).read(&mut buffer).with_context(|| format!("{from} does not answer"))?;
        let Some(packet) = Packet::parse(&buffer[..length]) else { continue };
        let Some(tcp) = packet.tcp else { continue };
        if (packet.source, packet.destination, tcp.flags) == (from, to, SYN | ACK) {
            return Ok(tcp.sequence);
        }
    }
    bail!("{from} does not answer {to}")
}

/// The end of each connection's handshake and its first data arrive at the same time, on two processors. The processor
/// that comes second finds that the other has just made the connection's socket, and the kernel looks the socket up
/// again.
pub(super) fn two_cpus(stage: &mut Stage<'_>) -> Result<()> {
    let &[one, another, ..] = processors()?.as_slice() else {
        return Err(skip("it takes two processors"));
    };
    let address = stage.address(End::B, PORT);
    // No host has this address, so no kernel answers for it. Packets to it end at A.
    let host = stage.network.beyond(1, 1, Family::V4);
    stage.network.at(End::A).set("ipv4/conf/all/forwarding", "0")?;
    stage.network.at(End::B).ip(&format!("route add {host}/32 via {}\n", stage.ip(End::A)))?;
    stage.tell(&Fact::Address(host))?;
    stage.tell(&Fact::Single(Direction::Out, Flow::at(Protocol::Tcp, address)))?;
    let mut server = stage.play(End::B, "listener", |part| {
        let listener = listen(part, address)?;
        let since = now();
        let mut worker = part.fork("worker", |part| {
            part.holds_since(Flow::at(Protocol::Tcp, address), since)?;
            part.ready()?;
            let streams: Result<Vec<_>> = (0..CONNECTIONS)
                .map(|_| {
                    let stream = accept(part, &listener)?;
                    ensure!(read(part, &stream, MESSAGE)?, "closed too early");
                    // The client's end resets the connection, because no process is there to answer anything else.
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                    Ok(stream)
                })
                .collect();
            part.ready_and_wait()?;
            drop(streams?);
            Ok(())
        })?;
        worker.ready()?;
        part.ready()?;
        worker.ready()?;
        part.ready_and_wait()?;
        worker.go()?;
        worker.finish()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let protocol = Some(Number::from(i32::from(u16::try_from(libc::ETH_P_IP)?.to_be())));
        let wire = Socket::new(Domain::PACKET, Type::DGRAM, protocol).context("a packet socket")?;
        wire.set_read_timeout(Some(Duration::from_secs(10)))?;
        let raw = || Socket::new(Domain::IPV4, Type::RAW, Some(Number::from(libc::IPPROTO_RAW)));
        let send = |raw: &Socket, packet: &[u8]| -> Result<()> {
            ensure!(raw.send_to(packet, &address.into())? == packet.len(), "a packet was cut");
            Ok(())
        };
        let (here, there) = (raw()?, raw()?);
        let arrived = AtomicUsize::new(0);
        let meet = |round: usize| {
            arrived.fetch_add(1, Ordering::AcqRel);
            while arrived.load(Ordering::Acquire) < 2 * round {
                yield_now();
            }
        };
        let (give, take) = channel::<Vec<u8>>();
        scope(|scope| {
            let other = scope.spawn(|| -> Result<()> {
                stay_on(another)?;
                (1..).zip(take).try_for_each(|(round, packet)| {
                    meet(round);
                    send(&there, &packet)
                })
            });
            stay_on(one)?;
            for number in 1..=CONNECTIONS {
                let from = SocketAddr::new(host, PORT + number);
                part.holds(Flow::at(Protocol::Tcp, from))?;
                let (sequence, flags) = (1, SYN);
                let opening = Segment { from, to: address, sequence, acknowledged: 0, flags, payload: b"" };
                send(&here, &opening.packet()?)?;
                let acknowledged = answer(&wire, address, from)?.wrapping_add(1);
                let end = Segment { sequence: 2, acknowledged, flags: ACK, ..opening };
                let (tag, message) = part.message(MESSAGE);
                let data = Segment { payload: &message, ..end };
                let (end, data) = (end.packet()?, data.packet()?);
                part.sent(tag)?;
                give.send(data).context("the other thread has ended")?;
                meet(number.into());
                send(&here, &end)?;
            }
            drop(give);
            joined(other.join())
        })
    })?;
    client.finish()?;
    server.ready()?;
    pause();
    server.go()?;
    server.finish()
}
