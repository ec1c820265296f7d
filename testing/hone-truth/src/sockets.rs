//! Sockets for the actors. Each function opens or uses a socket and reports the facts in one call.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol as Number, Socket, Type};

use crate::packet::Protocol;
use crate::stage::Part;
use crate::tag::Tag;
use crate::told::{Flow, now};

/// Bytes of most messages.
pub(crate) const MESSAGE: usize = 200;
/// How long a read waits before it fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Size of a receive buffer, in bytes. It is so large that nothing is lost, even if the receiver runs late.
const BUFFER: usize = 64 << 20;

fn unspecified(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Opens a UDP socket with a large buffer, without reporting it.
///
/// # Errors
/// The address is in use, or does not belong to this host.
pub(crate) fn quiet_udp(local: SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
    // Root may exceed net.core.rmem_max.
    setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &BUFFER).context("cannot enlarge the buffer")?;
    socket.set_reuse_address(true)?;
    socket.bind(&local.into()).with_context(|| format!("cannot bind to {local}"))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    Ok(socket.into())
}

/// Opens a UDP socket, and reports that this process holds its address.
///
/// # Errors
/// The address is in use, or does not belong to this host.
pub(crate) fn udp(part: &Part, local: SocketAddr) -> Result<UdpSocket> {
    let socket = quiet_udp(local)?;
    part.holds(Flow::at(Protocol::Udp, socket.local_addr()?))?;
    Ok(socket)
}

/// Sends a new message on a connected socket.
///
/// # Errors
/// The message was not sent completely.
pub(crate) fn send(part: &mut Part, socket: &UdpSocket, length: usize) -> Result<()> {
    let (tag, message) = part.message(length);
    ensure!(socket.send(&message)? == message.len(), "a datagram was cut");
    part.sent(tag)
}

/// Sends a new message.
///
/// # Errors
/// The message was not sent completely.
pub(crate) fn send_to(part: &mut Part, socket: &UdpSocket, to: SocketAddr, length: usize) -> Result<()> {
    let (tag, message) = part.message(length);
    let sent = socket.send_to(&message, to).with_context(|| format!("cannot send to {to}"))?;
    ensure!(sent == message.len(), "a datagram was cut");
    part.sent(tag)
}

/// Repeats a call that the kernel interrupts, because it has other work to do for this process first (for example for
/// an earlier `io_uring` ring).
fn uninterrupted<T>(mut act: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match act() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Reads one message and reports that this process read it.
///
/// # Errors
/// No message arrives.
pub(crate) fn receive(part: &Part, socket: &UdpSocket) -> Result<SocketAddr> {
    let mut buffer = vec![0; 1 << 16];
    let (length, from) = uninterrupted(|| socket.recv_from(&mut buffer)).context("no datagram came")?;
    part.read(&buffer[..length])?;
    Ok(from)
}

/// Reads `count` messages and answers each one.
///
/// # Errors
/// The messages do not arrive.
pub(crate) fn echo(part: &mut Part, socket: &UdpSocket, count: usize) -> Result<()> {
    for _ in 0..count {
        let from = receive(part, socket)?;
        send_to(part, socket, from, MESSAGE)?;
    }
    Ok(())
}

/// Opens a listener without reporting it.
///
/// # Errors
/// The address is in use, or does not belong to this host.
pub(crate) fn quiet_listener(
    local: SocketAddr,
    number: Option<Number>,
    share_port: bool,
) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, number)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.bind(&local.into()).with_context(|| format!("cannot bind to {local}"))?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Opens a listener and reports that this process holds it.
///
/// # Errors
/// The address is in use, or does not belong to this host.
pub(crate) fn listen(part: &Part, local: SocketAddr) -> Result<TcpListener> {
    part.holds(Flow::at(Protocol::Tcp, local))?;
    quiet_listener(local, None, false)
}

/// Connects to a listener and reports that this process holds the connection.
///
/// # Errors
/// The connection is refused.
pub(crate) fn connect(part: &Part, remote: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(remote).with_context(|| format!("cannot connect to {remote}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    part.holds(flow(&stream)?)?;
    Ok(stream)
}

/// Connects from a given port. The processes of a crowd use this, so that no two of them use the same port.
///
/// # Errors
/// The connection is refused.
pub(crate) fn connect_from(part: &Part, local: SocketAddr, remote: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, None)?;
    socket.bind(&local.into())?;
    socket.connect(&remote.into()).with_context(|| format!("cannot connect {local} to {remote}"))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT))?;
    part.holds(flow(&stream)?)?;
    Ok(stream)
}

/// Accepts the next connection of a listener, and reports that this process holds it from now on.
///
/// # Errors
/// There is no connection.
pub(crate) fn accept(part: &Part, listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept().context("cannot accept")?;
    let accepted = now();
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    part.holds_since(flow(&stream)?, accepted)?;
    Ok(stream)
}

/// The two ends of a connection.
///
/// # Errors
/// The socket is not connected.
pub(crate) fn flow(stream: &TcpStream) -> Result<Flow> {
    Ok(Flow::between(Protocol::Tcp, stream.local_addr()?, stream.peer_addr()?))
}

/// Writes a new message.
///
/// # Errors
/// The other end has closed the connection.
pub(crate) fn write(part: &mut Part, mut stream: &TcpStream, length: usize) -> Result<()> {
    let (tag, message) = part.message(length);
    stream.write_all(&message).context("cannot write to the connection")?;
    part.sent(tag)
}

/// Reads a message of this length. Returns false if the stream ended instead.
///
/// # Errors
/// The message is incomplete, or does not arrive.
pub(crate) fn read(part: &Part, mut stream: &TcpStream, length: usize) -> Result<bool> {
    let mut message = vec![0; length];
    let first = uninterrupted(|| stream.read(&mut message)).context("nothing to read")?;
    if first == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut message[first..]).context("a message was cut")?;
    part.read(&message)?;
    Ok(true)
}

/// Writes a message and reads the answer, `rounds` times.
///
/// # Errors
/// The other end does not answer as expected.
pub(crate) fn talk(part: &mut Part, stream: &TcpStream, rounds: usize) -> Result<()> {
    for _ in 0..rounds {
        write(part, stream, MESSAGE)?;
        ensure!(read(part, stream, MESSAGE)?, "the connection was closed too early");
    }
    Ok(())
}

/// Answers each message with one, until the other end closes the connection.
///
/// # Errors
/// The other end does not behave as expected.
pub(crate) fn serve(part: &mut Part, stream: &TcpStream) -> Result<()> {
    while read(part, stream, MESSAGE)? {
        write(part, stream, MESSAGE)?;
    }
    Ok(())
}

/// Closes this end of a connection and waits until the other end has closed too, so that the last packets of the other
/// end still find an open socket.
///
/// # Errors
/// The other end does not close, or sends more data.
pub(crate) fn hang_up(stream: TcpStream) -> Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    let rest = (&stream).read(&mut [0; 1]).context("the other end does not hang up")?;
    ensure!(rest == 0, "the other end says more than was expected");
    // The kernel may send the acknowledgement of the other end's FIN a moment later.
    std::thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// Opens a raw socket for a protocol, and reports it as the owner of every packet of this protocol.
///
/// # Errors
/// The kernel refuses the socket.
pub(crate) fn raw(part: &Part, local: SocketAddr, kind: Type, number: i32) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), kind, Some(Number::from(number)))?;
    socket.bind(&SocketAddr::new(local.ip(), 0).into())?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let protocol = Protocol::from(u8::try_from(number)?);
    part.holds(Flow::at(protocol, SocketAddr::new(local.ip(), 0)))?;
    Ok(socket)
}

/// Reads from a raw socket until a message arrives, and reports it as read.
///
/// # Errors
/// No message arrives.
pub(crate) fn raw_receive(part: &Part, socket: &Socket) -> Result<Tag> {
    let mut buffer = [0; 4096];
    loop {
        let length = (&*socket).read(&mut buffer).context("no packet came")?;
        if let Ok(tag) = Tag::first(&buffer[..length]) {
            part.read(&buffer[..length])?;
            return Ok(tag);
        }
    }
}

/// The unspecified address with port 0, in the same family as `address`.
pub(crate) fn any_for(address: SocketAddr) -> SocketAddr {
    unspecified(address)
}

/// Sets an integer option for which no crate has a name.
///
/// # Errors
/// The kernel refuses the option.
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value))?;
    // SAFETY: the value is an int that lives longer than the call, and the length is that of an int.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    nix::errno::Errno::result(result).map(drop).with_context(|| format!("socket option {level}, {option}"))
}
