//! Tunnels: what is within belongs to processes, what is around it to the kernel. And SCTP.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use socket2::{Domain, Protocol as Number, Socket, Type};

use super::skip;
use super::unowned::on_path;
use crate::network::{End, INTERFACE, refusal};
use crate::packet::{Direction, Protocol};
use crate::sockets::{
    MESSAGE, accept, connect, echo, hang_up, listen, read, receive, send_to, serve, talk, udp, write,
};
use crate::stage::Stage;
use crate::told::{Fact, Flow, Reason};

const PORT: u16 = 7600;
const ROUNDS: usize = 5;
const TUNNEL: &str = "tunnel0";

/// What is around: the kernel's, if it is recorded at all.
fn outer(stage: &Stage<'_>, protocol: Protocol) -> Result<()> {
    for end in [End::A, End::B] {
        let at = Flow::at(protocol, stage.address(end, 0));
        for direction in [Direction::In, Direction::Out] {
            stage.tell(&Fact::Nobody(direction, at, 0, vec![Reason::KERNEL]))?;
            stage.tell(&Fact::Single(direction, at))?;
        }
    }
    Ok(())
}

/// Makes the device at each end with `words(local, remote)`, and talks through it.
fn through(stage: &Stage<'_>, kind: &str, words: impl Fn(IpAddr, IpAddr) -> String) -> Result<()> {
    let inner = [1, 2].map(|host| stage.network.beyond(1, host, stage.family));
    let bits = if inner[0].is_ipv4() { "/24" } else { "/64" };
    let nodad = if inner[0].is_ipv4() { "" } else { " nodad" };
    for ((end, other), address) in [(End::A, End::B), (End::B, End::A)].into_iter().zip(inner) {
        let namespace = stage.network.at(end);
        let device = words(stage.ip(end), stage.ip(other));
        // What an earlier family left is not there any more when the device has gone.
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
    let mut server = stage.play(End::B, "server", |part| {
        let (datagrams, listener) = (udp(part, address)?, listen(part, address)?);
        part.ready()?;
        echo(part, &datagrams, ROUNDS)?;
        serve(part, &accept(part, &listener)?)
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, SocketAddr::new(inner[0], 0))?;
        for _ in 0..ROUNDS {
            send_to(part, &socket, address, MESSAGE)?;
            receive(part, &socket)?;
        }
        let stream = connect(part, address)?;
        talk(part, &stream, ROUNDS)?;
        hang_up(stream)
    })?;
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

/// Private keys of no other use (RFC 7748 wants nothing of them that these lack).
const KEYS: [&str; 2] =
    ["UGhpbmVhcyBGb2dnIHdlbnQgcm91bmQgdGhlIHdvcmw=", "SW4gZWlnaHR5IGRheXMsIGhlIHNhaWQsIG5vdCBtb3I="];

pub(super) fn wireguard(stage: &mut Stage<'_>) -> Result<()> {
    if !on_path("wg") {
        return Err(skip("wg (wireguard-tools) is not installed, which gives the tunnel its keys"));
    }
    outer(stage, Protocol::Udp)?;
    let directory = std::env::temp_dir().join(format!("hone-truth-wg-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = keyed(stage, &directory);
    std::fs::remove_dir_all(&directory)?;
    result
}

fn public(key: &Path) -> Result<String> {
    let output = Command::new("wg").arg("pubkey").stdin(std::fs::File::open(key)?).output()?;
    ensure!(output.status.success(), "wg pubkey: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn keyed(stage: &Stage<'_>, directory: &Path) -> Result<()> {
    let inner = [1, 2].map(|host| stage.network.beyond(1, host, stage.family));
    let (bits, nodad, all) =
        if inner[0].is_ipv4() { ("/24", "", "0.0.0.0/0") } else { ("/64", " nodad", "::/0") };
    let files = [0, 1].map(|number| directory.join(format!("key{number}")));
    for (file, key) in files.iter().zip(KEYS) {
        std::fs::write(file, key)?;
    }
    for (number, (end, other)) in [(End::A, End::B), (End::B, End::A)].into_iter().enumerate() {
        let namespace = stage.network.at(end);
        let _ = namespace.ip(&format!("link delete {TUNNEL}\n"));
        let added = namespace.ip(&format!("link add {TUNNEL} type wireguard\n"));
        added.map_err(|error| skip(format_args!("no WireGuard in this kernel ({})", refusal(&error))))?;
        let peer = public(&files[1 - number])?;
        let endpoint = SocketAddr::new(stage.ip(other), 51820).to_string();
        namespace.within(|| {
            let mut wg = Command::new("wg");
            wg.args(["set", TUNNEL, "listen-port", "51820", "private-key"]).arg(&files[number]);
            wg.args(["peer", &peer, "allowed-ips", all, "endpoint", &endpoint]);
            let output = wg.stdin(Stdio::null()).output().context("cannot start wg")?;
            ensure!(output.status.success(), "wg set: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        })?;
        stage.tell(&Fact::Address(inner[number]))?;
        let address = inner[number];
        namespace.ip(&format!("address add {address}{bits} dev {TUNNEL}{nodad}\n"))?;
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
