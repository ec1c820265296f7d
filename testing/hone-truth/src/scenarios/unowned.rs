//! Packets that belong to no process.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use socket2::{Domain, Protocol as Number, Socket, Type};

use super::places::{answer, chat};
use super::skip;
use crate::craft::Segment;
use crate::netlink::drop_inbound;
use crate::network::{End, INTERFACE, Namespace};
use crate::packet::{ACK, Direction, Protocol};
use crate::sockets::{
    MESSAGE, accept, connect, flow, hang_up, listen, send_to, serve, set_option, talk, udp,
};
use crate::stage::{Stage, pause};
use crate::told::{Fact, Flow, Reason, now};

const PORT: u16 = 7300;
const ROUNDS: usize = 5;

fn nobody(stage: &Stage<'_>, direction: Direction, flow: Flow, reasons: &[Reason]) -> Result<()> {
    stage.tell(&Fact::Nobody(direction, flow, 0, reasons.to_vec()))
}

pub(super) fn udp_closed(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    nobody(stage, Direction::In, Flow::at(Protocol::Udp, to), &[Reason::CLOSED])?;
    let b = Flow::at(Protocol::Icmp, stage.address(End::B, 0));
    nobody(stage, Direction::Out, b, &[Reason::KERNEL])?;
    // The packet ends in the kernel, which turns it into an error of the socket.
    let a = Flow::at(Protocol::Icmp, stage.address(End::A, 0));
    nobody(stage, Direction::In, a, &[Reason::KERNEL])?;
    let mut client = stage.play(End::A, "client", |part| {
        // The socket is not connected, so it can go on sending in spite of the errors. It sends few packets, because
        // the kernel limits the number of errors per second.
        let socket = udp(part, stage.address(End::A, 0))?;
        (0..3).try_for_each(|_| send_to(part, &socket, to, MESSAGE))
    })?;
    client.finish()?;
    pause();
    Ok(())
}

pub(super) fn tcp_closed(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    nobody(stage, Direction::In, Flow::at(Protocol::Tcp, to), &[Reason::CLOSED])?;
    nobody(stage, Direction::Out, Flow::at(Protocol::Tcp, to), &[Reason::KERNEL])?;
    let mut client = stage.play(End::A, "client", |part| {
        for number in 0..ROUNDS {
            let local = stage.address(End::A, PORT + 1 + u16::try_from(number)?);
            let socket = Socket::new(Domain::for_address(local), Type::STREAM, None)?;
            socket.bind(&local.into())?;
            part.holds(Flow::at(Protocol::Tcp, local))?;
            ensure!(socket.connect(&to.into()).is_err(), "{to} is closed, but was connected to");
        }
        Ok(())
    })?;
    client.finish()
}

/// The next sequence numbers that a connection sends and expects, read with TCP_REPAIR (tcp(7)).
fn sequences(stream: &TcpStream) -> Result<[u32; 2]> {
    let set = |option, value| set_option(stream, libc::IPPROTO_TCP, option, value);
    set(libc::TCP_REPAIR, 1)?;
    let mut found = [0_u32; 2];
    // Send queue, then receive queue.
    for (queue, value) in [2, 1].into_iter().zip(&mut found) {
        set(libc::TCP_REPAIR_QUEUE, queue)?;
        let mut length = libc::socklen_t::try_from(size_of::<u32>())?;
        // SAFETY: value and length live longer than the call, and the length is that of the value.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_QUEUE_SEQ,
                (&raw mut *value).cast(),
                &raw mut length,
            )
        };
        nix::errno::Errno::result(result).context("TCP_QUEUE_SEQ")?;
    }
    // Ends the repair mode, without a window probe.
    set(libc::TCP_REPAIR, -1)?;
    Ok(found)
}

/// Sends a packet that was made by hand.
fn send_made(segment: &Segment<'_>) -> Result<()> {
    let packet = segment.packet()?;
    let to = SocketAddr::new(segment.to.ip(), 0);
    let raw = Socket::new(Domain::for_address(to), Type::RAW, Some(Number::from(libc::IPPROTO_RAW)))?;
    ensure!(raw.send_to(&packet, &to.into())? == packet.len(), "a packet was cut");
    Ok(())
}

pub(super) fn time_wait(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        serve(part, &stream)?;
        // The client has closed its side, and this side closes next. Each FIN uses one more sequence number.
        let [next, expected] = sequences(&stream)?;
        let peer = stream.peer_addr()?;
        drop(stream);
        part.ready_and_wait()?;
        // Packets that the connection itself might have sent again.
        let (sequence, flags) = (next.wrapping_add(1), ACK);
        let late = Segment { from: address, to: peer, sequence, acknowledged: expected, flags, payload: b"" };
        send_made(&late)?;
        pause();
        Ok(())
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, address)?;
        let flow = flow(&stream)?;
        talk(part, &stream, ROUNDS)?;
        hang_up(stream)?;
        pause();
        part.tell(&Fact::Nobody(Direction::In, flow, now(), vec![Reason::TIME_WAIT]))
    })?;
    server.ready()?;
    client.finish()?;
    pause();
    server.go()?;
    server.finish()
}

pub(super) fn stray(stage: &mut Stage<'_>) -> Result<()> {
    let (from, to) = (stage.address(End::A, 0), stage.address(End::B, PORT));
    // No socket exists for the answers.
    nobody(stage, Direction::In, Flow::at(Protocol::Tcp, from), &[Reason::CLOSED])?;
    let mut server = stage.play(End::B, "server", |part| {
        let _listener = listen(part, to)?;
        part.ready_and_wait()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        for number in 0..ROUNDS {
            let from = SocketAddr::new(from.ip(), PORT + u16::try_from(number)?);
            part.holds(Flow::at(Protocol::Tcp, from))?;
            let (sequence, acknowledged) = (1000, 2000);
            send_made(&Segment { from, to, sequence, acknowledged, flags: ACK, payload: b"" })?;
        }
        pause();
        Ok(())
    })?;
    client.finish()?;
    server.go()?;
    server.finish()
}

pub(super) fn forwarded(stage: &mut Stage<'_>) -> Result<()> {
    let (router, far) = (Namespace::new()?, Namespace::new()?);
    let (network, family) = (stage.network, stage.family);
    let [near, beyond] = [network.beyond(1, 1, family), network.beyond(1, 2, family)];
    let [inner, outer] = [network.beyond(2, 1, family), network.beyond(2, 2, family)];
    let (bits, nodad, any) = if near.is_ipv4() { (24, "", "0.0.0.0/0") } else { (96, " nodad", "::/0") };
    let a = network.at(End::A);
    router.ip(&format!(
        "link add near type veth peer name far0 netns {}\nlink add far type veth peer name far0 netns {}\n\
         link set near addrgenmode none\nlink set far addrgenmode none\nlink set lo up\n\
         address add {near}/{bits} dev near{nodad}\naddress add {inner}/{bits} dev far{nodad}\n\
         link set near up\nlink set far up\n",
        a.path(),
        far.path()
    ))?;
    router.set(if near.is_ipv4() { "ipv4/ip_forward" } else { "ipv6/conf/all/forwarding" }, "1")?;
    for (end, ip, via) in [(a, beyond, near), (&far, outer, inner)] {
        end.ip(&format!(
            "link set far0 addrgenmode none\naddress add {ip}/{bits} dev far0{nodad}\nlink set lo up\n\
             link set far0 up\nroute add {any} via {via}\n"
        ))?;
    }
    if near.is_ipv6() {
        // A router uses a link-local address to ask for its neighbours, and they answer to this address.
        router.ip("address add fe80::1/64 dev near nodad\naddress add fe80::1/64 dev far nodad\n")?;
        for end in [a, &far] {
            end.ip("address add fe80::2/64 dev far0 nodad\n")?;
        }
    }
    for address in [near, beyond, inner, outer] {
        stage.tell(&Fact::Address(address))?;
    }
    stage.tell(&Fact::Forwarded)?;
    let at = SocketAddr::new(outer, PORT);
    let mut server = stage.play_in(&far, "server", |part| answer(part, at))?;
    server.ready()?;
    let from = SocketAddr::new(beyond, 0);
    let mut client = stage.play(End::A, "client", |part| chat(part, from, at))?;
    client.finish()?;
    server.finish()?;
    // The client's last acknowledgement may still be on its way through the router.
    pause();
    a.ip("link delete far0\n")
}

pub(super) fn firewall(stage: &mut Stage<'_>) -> Result<()> {
    const MAC: &str = "02:68:6f:6e:65:01";
    let to = stage.address(End::B, PORT);
    let (a, b) = (stage.network.at(End::A), stage.network.at(End::B));
    // B receives nothing any more, so A cannot ask it for its link-layer address.
    b.ip(&format!("link set {INTERFACE} address {MAC}\n"))?;
    a.ip(&format!("neigh replace {} lladdr {MAC} dev {INTERFACE} nud permanent\n", to.ip()))?;
    b.within(|| drop_inbound(to.is_ipv4()))
        .map_err(|error| skip(format_args!("no nf_tables in this kernel ({error:#})")))?;
    nobody(stage, Direction::In, Flow::at(Protocol::Udp, to), &[Reason::FIREWALL])?;
    let mut server = stage.play(End::B, "server", |part| {
        let _socket = udp(part, to)?;
        part.ready_and_wait()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        (0..ROUNDS).try_for_each(|_| send_to(part, &socket, to, MESSAGE))
    })?;
    client.finish()?;
    pause();
    server.go()?;
    server.finish()
}
