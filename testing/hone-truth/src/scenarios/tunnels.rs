//! Tunnels: the inner packets belong to processes, the outer packets to the kernel. Also SCTP.

use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol as Number, Socket, Type};

use super::places::{answer, chat};
use super::skip;
use crate::netlink::WireGuard;
use crate::network::{End, INTERFACE, refusal};
use crate::packet::{Direction, Protocol};
use crate::sockets::{MESSAGE, read, talk, write};
use crate::stage::Stage;
use crate::told::{Fact, Flow, Reason};

const PORT: u16 = 7600;
const ROUNDS: usize = 5;
const TUNNEL: &str = "tunnel0";

/// Facts for the outer packets: if they are recorded, they belong to the kernel. Also for the kernel's ICMP errors
/// while only one end of the tunnel is up.
fn outer(stage: &Stage<'_>, protocol: Protocol) -> Result<()> {
    for (end, protocol) in
        [End::A, End::B].into_iter().flat_map(|end| [(end, protocol), (end, Protocol::Icmp)])
    {
        let at = Flow::at(protocol, stage.address(end, 0));
        for direction in [Direction::In, Direction::Out] {
            stage.tell(&Fact::Nobody(direction, at, 0, vec![Reason::KERNEL, Reason::CLOSED]))?;
            stage.tell(&Fact::Single(direction, at))?;
        }
    }
    Ok(())
}

/// Makes the tunnel device with `words(local, remote)` at each end, and talks through it.
fn through(stage: &Stage<'_>, kind: &str, words: impl Fn(IpAddr, IpAddr) -> String) -> Result<()> {
    let inner = [1, 2].map(|host| stage.network.beyond(1, host, stage.family));
    let bits = if inner[0].is_ipv4() { "/24" } else { "/64" };
    let nodad = if inner[0].is_ipv4() { "" } else { " nodad" };
    for ((end, other), address) in [(End::A, End::B), (End::B, End::A)].into_iter().zip(inner) {
        let namespace = stage.network.at(end);
        let device = words(stage.ip(end), stage.ip(other));
        // Removes the device of an earlier family. It may not exist.
        let _ = namespace.ip(&format!("link delete {TUNNEL}\n"));
        let added = namespace.ip(&format!("link add {TUNNEL} {device}\n"));
        added.map_err(|error| skip(format_args!("no {kind} in this kernel ({})", refusal(&error))))?;
        stage.tell(&Fact::Address(address))?;
        namespace.ip(&format!(
            "link set {TUNNEL} addrgenmode none\naddress add {address}{bits} dev {TUNNEL}{nodad}\n"
        ))?;
    }
    up_and_talk(stage, inner)
}

fn up_and_talk(stage: &Stage<'_>, inner: [IpAddr; 2]) -> Result<()> {
    for end in [End::A, End::B] {
        stage.network.at(end).ip(&format!("link set {TUNNEL} up\n"))?;
    }
    let address = SocketAddr::new(inner[1], PORT);
    let mut server = stage.play(End::B, "server", |part| answer(part, address))?;
    server.ready()?;
    let from = SocketAddr::new(inner[0], 0);
    let mut client = stage.play(End::A, "client", |part| chat(part, from, address))?;
    client.finish()?;
    server.finish()
}

pub(super) fn vxlan(stage: &mut Stage<'_>) -> Result<()> {
    outer(stage, Protocol::Udp)?;
    through(stage, "VXLAN", |local, remote| {
        format!("type vxlan id 7 local {local} remote {remote} dev {INTERFACE} dstport 4789")
    })
}

pub(super) fn ipip(stage: &mut Stage<'_>) -> Result<()> {
    outer(stage, Protocol::Other(4))?;
    through(stage, "IP-in-IP", |local, remote| format!("type ipip local {local} remote {remote}"))
}

pub(super) fn gre(stage: &mut Stage<'_>) -> Result<()> {
    outer(stage, Protocol::Other(47))?;
    let kind = if stage.ip(End::A).is_ipv4() { "gre" } else { "ip6gre" };
    through(stage, "GRE", |local, remote| format!("type {kind} local {local} remote {remote}"))
}

/// The private key of each end, used only here.
const PRIVATE: [&[u8; 32]; 2] = [b"Phineas Fogg went round the worl", b"In eighty days, he said, not mor"];
/// The public keys that belong to them, as `wg pubkey` prints them.
const PUBLIC: [[u8; 32]; 2] = [
    [
        105, 215, 68, 204, 142, 156, 59, 70, 109, 3, 172, 216, 139, 133, 12, 255, 37, 85, 157, 106, 105, 77,
        94, 248, 21, 215, 121, 66, 222, 111, 12, 88,
    ],
    [
        94, 186, 153, 102, 250, 102, 2, 7, 63, 195, 35, 170, 198, 123, 161, 32, 180, 40, 134, 118, 199, 168,
        212, 30, 163, 77, 157, 139, 124, 84, 94, 48,
    ],
];
const WIREGUARD_PORT: u16 = 51820;

pub(super) fn wireguard(stage: &mut Stage<'_>) -> Result<()> {
    outer(stage, Protocol::Udp)?;
    let inner = [1, 2].map(|host| stage.network.beyond(1, host, stage.family));
    let bits = if inner[0].is_ipv4() { "/24" } else { "/64 nodad" };
    for (number, (end, other)) in [(End::A, End::B), (End::B, End::A)].into_iter().enumerate() {
        let namespace = stage.network.at(end);
        // Removes the device of an earlier family.
        let _ = namespace.ip(&format!("link delete {TUNNEL}\n"));
        let added = namespace.ip(&format!("link add {TUNNEL} type wireguard\n"));
        added.map_err(|error| skip(format_args!("no WireGuard in this kernel ({})", refusal(&error))))?;
        let tunnel = WireGuard {
            interface: TUNNEL,
            private_key: *PRIVATE[number],
            port: WIREGUARD_PORT,
            peer_key: PUBLIC[1 - number],
            peer: stage.address(other, WIREGUARD_PORT),
        };
        namespace.within(|| tunnel.set()).context("cannot give WireGuard its keys")?;
        stage.tell(&Fact::Address(inner[number]))?;
        namespace.ip(&format!("address add {}{bits} dev {TUNNEL}\n", inner[number]))?;
    }
    up_and_talk(stage, inner)
}

pub(super) fn sctp(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let (domain, number) = (Domain::for_address(address), Some(Number::from(libc::IPPROTO_SCTP)));
    if let Err(error) = Socket::new(domain, Type::STREAM, number) {
        return Err(skip(format_args!("no SCTP in this kernel ({error})")));
    }
    let mut server = stage.play(End::B, "server", |part| {
        part.holds(Flow::at(Protocol::Sctp, address))?;
        let socket = Socket::new(domain, Type::STREAM, number)?;
        socket.bind(&address.into())?;
        socket.listen(16)?;
        part.ready()?;
        let (stream, _) = socket.accept()?;
        let stream = TcpStream::from(stream);
        while read(part, &stream, MESSAGE)? {
            write(part, &stream, MESSAGE)?;
        }
        Ok(())
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let local = stage.address(End::A, PORT);
        part.holds(Flow::at(Protocol::Sctp, local))?;
        let socket = Socket::new(domain, Type::STREAM, number)?;
        socket.bind(&local.into())?;
        socket.connect(&address.into())?;
        talk(part, &TcpStream::from(socket), ROUNDS)
    })?;
    client.finish()?;
    server.finish()
}
