//! UDP datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use socket2::{Domain, Socket, Type};

use crate::network::{End, INTERFACE};
use crate::sockets::{MESSAGE, any_for, echo, receive, send, send_to, udp};
use crate::stage::{Actor, Stage, pause};

const PORT: u16 = 7000;
const ROUNDS: usize = 10;

/// A server at B that answers `count` datagrams on `PORT`. Returns when it is ready.
fn server(stage: &Stage<'_>, count: usize) -> Result<Actor> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let socket = udp(part, address)?;
        part.ready()?;
        echo(part, &socket, count)
    })?;
    server.ready()?;
    Ok(server)
}

pub(super) fn connected(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut server = server(stage, 2 * ROUNDS)?;
    let client = || {
        stage.play(End::A, "client", |part| {
            let socket = udp(part, stage.address(End::A, 0))?;
            socket.connect(to)?;
            for _ in 0..ROUNDS {
                send(part, &socket, MESSAGE)?;
                receive(part, &socket)?;
            }
            Ok(())
        })
    };
    for mut actor in [client()?, client()?] {
        actor.finish()?;
    }
    server.finish()
}

pub(super) fn unconnected(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut server = server(stage, 2 * ROUNDS)?;
    let client = || {
        stage.play(End::A, "client", |part| {
            // The client's socket has no bound address either.
            let socket = udp(part, any_for(to))?;
            for _ in 0..ROUNDS {
                send_to(part, &socket, to, MESSAGE)?;
                receive(part, &socket)?;
            }
            Ok(())
        })
    };
    for mut actor in [client()?, client()?] {
        actor.finish()?;
    }
    server.finish()
}

pub(super) fn reuseport(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut servers = Vec::new();
    for _ in 0..3 {
        let mut server = stage.play(End::B, "server", |part| {
            let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
            socket.set_reuse_port(true)?;
            socket.bind(&to.into())?;
            let socket = socket.into();
            part.ready()?;
            // Runs until the actor is dropped.
            echo(part, &socket, usize::MAX)
        })?;
        server.ready()?;
        servers.push(server);
    }
    let mut client = stage.play(End::A, "client", |part| {
        // The source port decides which of the three gets a datagram.
        for _ in 0..2 * ROUNDS {
            let socket = udp(part, stage.address(End::A, 0))?;
            send_to(part, &socket, to, MESSAGE)?;
            receive(part, &socket)?;
        }
        Ok(())
    })?;
    client.finish()?;
    // Gives the last server time to report what it has sent.
    pause();
    Ok(())
}

pub(super) fn fragments(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut server = server(stage, ROUNDS)?;
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        for round in 1..=ROUNDS {
            send_to(part, &socket, to, 3000 * round)?;
            receive(part, &socket)?;
        }
        Ok(())
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn multicast(stage: &mut Stage<'_>) -> Result<()> {
    let group: IpAddr = match stage.ip(End::A) {
        IpAddr::V4(_) => Ipv4Addr::new(239, 104, 111, 110).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x686f, 0x6e65).into(),
    };
    let to = SocketAddr::new(group, PORT);
    for end in [End::A, End::B] {
        let route = if group.is_ipv4() { "route add 239.0.0.0/8" } else { "route add ff15::/16" };
        let table = if group.is_ipv4() { "" } else { " table local" };
        stage.network.at(end).ip(&format!("{route} dev {INTERFACE}{table}\n"))?;
    }
    let receiver = |end, ip: IpAddr| -> Result<Actor> {
        let mut actor = stage.play(end, "receiver", |part| {
            let socket = udp(part, to)?;
            match (group, ip) {
                (IpAddr::V4(group), IpAddr::V4(ip)) => socket.join_multicast_v4(&group, &ip)?,
                (IpAddr::V6(group), _) => {
                    socket.join_multicast_v6(&group, nix::net::if_::if_nametoindex(INTERFACE)?)?;
                }
                _ => unreachable!("the group was chosen by the family"),
            }
            part.ready()?;
            for _ in 0..ROUNDS {
                receive(part, &socket)?;
            }
            Ok(())
        })?;
        actor.ready()?;
        Ok(actor)
    };
    let [a, b] = [End::A, End::B].map(|end| stage.ip(end));
    let mut receivers = [receiver(End::A, a)?, receiver(End::B, b)?, receiver(End::B, b)?];
    let mut sender = stage.play(End::A, "sender", |part| {
        let socket = udp(part, SocketAddr::new(a, 0))?;
        for _ in 0..ROUNDS {
            send_to(part, &socket, to, MESSAGE)?;
        }
        Ok(())
    })?;
    sender.finish()?;
    receivers.iter_mut().try_for_each(Actor::finish)
}
