//! A traffic generator for the live tests. It reports its own traffic.
//!
//! Every payload is made of tags, `hone pid=1234 seq=5 `, with the id of the process that sends it; every fact that a
//! recording can be compared with goes to standard output, one a line, fields separated by tabs:
//!
//! ```text
//! process     PID PARENT EXECUTABLE ARGUMENTS    a process of this program; the arguments are separated by U+001F
//! endpoint    PROTOCOL LOCAL PID                 who owns a local endpoint
//! connection  LOCAL PEER PID                     who accepted a TCP connection, where that is not the endpoint's owner
//! datagram    FROM TO PID SEQUENCE               one UDP datagram that was sent
//! stream      FROM TO PID BYTES                  all that was written to one side of a TCP connection
//! failed      REASON                             the scenario cannot go on
//! ```
//!
//! A server is ready once it has reported its endpoint. Everything has a limit: sockets stop waiting after
//! [`PATIENCE`], and servers end after the number of connections or datagrams they were started for.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::parent_id;
use std::process::{Child, Command, ExitCode, Stdio, id};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketFlags, SocketType, bind, connect, ipproto, recvmsg, sendmsg, socket_with,
};

const USAGE: &str = "\
usage: traffic SCENARIO; endpoints are IP:PORT, port 0 is any
  tcp-server LISTEN CONNECTIONS                            answer requests until the clients close
  tcp-client LOCAL SERVER CONNECTIONS REQUESTS BYTES       small requests, then one whose answer has BYTES
  tcp-dismiss LISTEN CONNECTIONS                           accept and close at once
  tcp-await  LOCAL SERVER CONNECTIONS                      connect and wait for the server to close
  tcp-late   LISTEN CONNECTIONS                            answer a byte each, and close long after the client
  tcp-leave  LOCAL SERVER CONNECTIONS                      connect, ask and close at once
  udp-server LISTEN DATAGRAMS echo|sink                    take so many or up to the last, answer each or none
  udp-client LOCAL SERVER DATAGRAMS BYTES connected|unconnected
                                                           send so many, each after the answer to the one before;
                                                           DATAGRAMS may be `any`: until a line comes on stdin
  hold       LOCAL UDP_SERVER TCP_SERVER DATAGRAMS         open both, say `holding`, use them after a line on stdin
  oneshot    LOCAL UDP_SINK TCP_SERVER COUNT               COUNT processes, each sends one datagram and one TCP request
                                                           from the ports LOCAL, LOCAL + 1, ... and ends
  prefork    LISTEN WORKERS CONNECTIONS                    a parent listens, each worker accepts so many connections
  inherit    LISTEN DATAGRAMS                              a parent binds; its child receives so many datagrams there
                                                           and answers from a socket of its own
  hide       LISTEN                                        bind, and let go: the socket is on its way to this process
                                                           itself, which takes it after a line on stdin, says `held`,
                                                           and ends after another, without ever using it";

/// How long a socket waits before its process fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// The answer to a small request, in bytes.
const SMALL: usize = 200;
/// How many datagrams, where that is not known before.
const ANY: &str = "any";
/// Ends the last of them.
const LAST: &[u8] = b" last";
/// How many children of `oneshot` live at once, at most.
const AT_ONCE: usize = 8;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match *arguments.as_slice() {
        ["tcp-server", listen, connections] => tcp_server(listen, connections),
        ["tcp-client", local, server, connections, requests, bytes] => {
            tcp_client(local, server, connections, requests, bytes)
        }
        ["tcp-dismiss", listen, connections] => tcp_dismiss(listen, connections),
        ["tcp-await", local, server, connections] => tcp_await(local, server, connections),
        ["tcp-late", listen, connections] => tcp_late(listen, connections),
        ["tcp-leave", local, server, connections] => tcp_leave(local, server, connections),
        ["udp-server", listen, datagrams, mode @ ("echo" | "sink")] => {
            udp_server(listen, datagrams, mode == "echo")
        }
        ["udp-client", local, server, datagrams, bytes, mode @ ("connected" | "unconnected")] => {
            udp_client(local, server, datagrams, bytes, mode == "connected")
        }
        ["hold", local, udp_server, tcp_server, datagrams] => hold(local, udp_server, tcp_server, datagrams),
        ["oneshot", local, udp_sink, tcp_server, count] => oneshot(local, udp_sink, tcp_server, count),
        ["oneshot-child", local, udp_sink, tcp_server] => oneshot_child(local, udp_sink, tcp_server),
        ["prefork", listen, workers, connections] => prefork(listen, workers, connections),
        ["prefork-worker", connections] => prefork_worker(connections),
        ["inherit", listen, datagrams] => inherit(listen, datagrams),
        ["inherit-worker", reply_from, datagrams] => inherit_worker(reply_from, datagrams),
        ["hide", listen] => hide(listen),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&[&"failed", &error]);
            ExitCode::FAILURE
        }
    }
}

/// Parses an argument and names it when it cannot be.
fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

/// Reports one fact, in one write, so that the lines of several processes do not mix in a pipe.
fn tell(fact: &[&dyn Display]) {
    let fields: Vec<String> = fact.iter().map(ToString::to_string).collect();
    let line = fields.join("\t") + "\n";
    let mut out = io::stdout().lock();
    // Nobody listens any more: the test is over.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

fn tell_process(pid: u32, parent: u32, arguments: &[String]) -> io::Result<()> {
    let executable = std::env::current_exe()?;
    tell(&[&"process", &pid, &parent, &executable.display(), &arguments.join("\x1f")]);
    Ok(())
}

fn tell_self() -> io::Result<()> {
    tell_process(id(), parent_id(), &std::env::args().collect::<Vec<_>>())
}

/// Who sends, and the how manieth message it is.
fn tag(seq: usize) -> String {
    format!("hone pid={} seq={seq} ", id())
}

/// So many bytes of tags, but one whole tag at least: wherever it is cut into packets, the longer ones hold one.
fn payload(seq: usize, length: usize) -> Vec<u8> {
    let tag = tag(seq);
    tag.bytes().cycle().take(length.max(tag.len())).collect()
}

/// A request names how many bytes of answer it wants.
fn request(seq: usize, want: usize) -> String {
    format!("{}want={want}\n", tag(seq))
}

/// A socket with a local address of its own choice, connected if `peer` is given.
fn socket(kind: SocketType, local: SocketAddr, peer: Option<SocketAddr>) -> io::Result<OwnedFd> {
    let (family, protocol) = match (local.ip(), kind) {
        (IpAddr::V4(_), SocketType::STREAM) => (AddressFamily::INET, ipproto::TCP),
        (IpAddr::V4(_), _) => (AddressFamily::INET, ipproto::UDP),
        (IpAddr::V6(_), SocketType::STREAM) => (AddressFamily::INET6, ipproto::TCP),
        (IpAddr::V6(_), _) => (AddressFamily::INET6, ipproto::UDP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    bind(&socket, &local)?;
    if let Some(peer) = peer {
        connect(&socket, &peer)?;
    }
    Ok(socket)
}

fn tcp_connect(local: SocketAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::from(socket(SocketType::STREAM, local, Some(server))?);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn udp_bind(local: SocketAddr, peer: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from(socket(SocketType::DGRAM, local, peer)?);
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Answers one client until it closes, then reports what was sent.
fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let (mut sent, mut line) = (0, String::new());
    let mut requests = BufReader::new(&stream);
    while requests.read_line(&mut line)? > 0 {
        let want = line.trim_end().rsplit_once("want=").and_then(|(_, want)| want.parse().ok());
        let want: usize = want.ok_or_else(|| io::Error::other(format!("not a request: {line:?}")))?;
        if want > 0 {
            let answer = payload(sent, want);
            // One write, so that the kernel may make packets as large as it likes.
            (&stream).write_all(&answer)?;
            sent += answer.len();
        }
        line.clear();
    }
    tell(&[&"stream", &local, &peer, &id(), &sent]);
    Ok(())
}

fn tcp_server(listen: &str, connections: &str) -> Outcome {
    let (listen, connections) = (parse::<SocketAddr>(listen)?, parse::<usize>(connections)?);
    tell_self()?;
    let listener = TcpListener::bind(listen)?;
    tell(&[&"endpoint", &"tcp", &listener.local_addr()?, &id()]);
    for _ in 0..connections {
        serve(listener.accept()?.0)?;
    }
    Ok(())
}

/// Sends the requests, reads the answers, and closes so that the handshake ends while the socket is still held: first
/// its own direction, then, when the server has closed the other, the socket.
fn converse(stream: &TcpStream, requests: usize, bytes: usize) -> io::Result<()> {
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    tell(&[&"endpoint", &"tcp", &local, &id()]);
    let mut sent = 0;
    let mut answer = Vec::new();
    for seq in 0..=requests {
        let want = if seq < requests { SMALL } else { bytes };
        let request = request(seq, want);
        let mut writer = stream;
        writer.write_all(request.as_bytes())?;
        sent += request.len();
        answer.resize(want, 0);
        let mut reader = stream;
        reader.read_exact(&mut answer)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut reader = stream;
    if reader.read(&mut [0])? != 0 {
        return Err(io::Error::other("the server sent more than was asked for"));
    }
    tell(&[&"stream", &local, &peer, &id(), &sent]);
    Ok(())
}

fn tcp_client(local: &str, server: &str, connections: &str, requests: &str, bytes: &str) -> Outcome {
    let (local, server) = (parse::<SocketAddr>(local)?, parse::<SocketAddr>(server)?);
    let (connections, requests, bytes) = (parse::<usize>(connections)?, parse(requests)?, parse(bytes)?);
    tell_self()?;
    for _ in 0..connections {
        converse(&tcp_connect(local, server)?, requests, bytes)?;
    }
    Ok(())
}

fn tcp_dismiss(listen: &str, connections: &str) -> Outcome {
    let (listen, connections) = (parse::<SocketAddr>(listen)?, parse::<usize>(connections)?);
    tell_self()?;
    let listener = TcpListener::bind(listen)?;
    tell(&[&"endpoint", &"tcp", &listener.local_addr()?, &id()]);
    for _ in 0..connections {
        drop(listener.accept()?);
    }
    Ok(())
}

fn tcp_await(local: &str, server: &str, connections: &str) -> Outcome {
    let (local, server) = (parse::<SocketAddr>(local)?, parse::<SocketAddr>(server)?);
    tell_self()?;
    for _ in 0..parse::<usize>(connections)? {
        let mut stream = tcp_connect(local, server)?;
        tell(&[&"endpoint", &"tcp", &stream.local_addr()?, &id()]);
        stream.read_exact(&mut [0]).err().ok_or("the server should only close")?;
    }
    Ok(())
}

fn tcp_late(listen: &str, connections: &str) -> Outcome {
    /// Connections that are open here at most.
    const KEPT: usize = 500;
    let (listen, connections) = (parse::<SocketAddr>(listen)?, parse::<usize>(connections)?);
    tell_self()?;
    let listener = TcpListener::bind(listen)?;
    tell(&[&"endpoint", &"tcp", &listener.local_addr()?, &id()]);
    let mut kept = VecDeque::new();
    for _ in 0..connections {
        let (mut stream, _) = listener.accept()?;
        stream.read_exact(&mut [0])?;
        stream.write_all(b"!")?;
        kept.push_back(stream);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
    Ok(())
}

fn tcp_leave(local: &str, server: &str, connections: &str) -> Outcome {
    let (local, server) = (parse::<SocketAddr>(local)?, parse::<SocketAddr>(server)?);
    tell_self()?;
    for _ in 0..parse::<usize>(connections)? {
        let mut stream = tcp_connect(local, server)?;
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])?;
    }
    Ok(())
}

fn udp_server(listen: &str, datagrams: &str, echo: bool) -> Outcome {
    let (listen, datagrams) = (parse::<SocketAddr>(listen)?, count(datagrams)?);
    tell_self()?;
    let socket = udp_bind(listen, None)?;
    let local = socket.local_addr()?;
    tell(&[&"endpoint", &"udp", &local, &id()]);
    let mut buffer = vec![0; 65_536];
    for seq in 0..datagrams {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        if echo {
            // As long as the question, or one tag.
            socket.send_to(&payload(seq, length), peer)?;
            tell(&[&"datagram", &local, &peer, &id(), &seq]);
        }
        if buffer[..length].ends_with(LAST) {
            break;
        }
    }
    Ok(())
}

/// A number of datagrams; any number is the largest.
fn count(text: &str) -> Result<usize, String> {
    if text == ANY { Ok(usize::MAX) } else { parse(text) }
}

/// Sends datagrams, each when the one before is answered, so that none is lost in a full socket buffer; if it is any
/// number, until a line comes on standard input.
fn ask(
    socket: &UdpSocket,
    server: SocketAddr,
    connected: bool,
    count: usize,
    bytes: usize,
) -> io::Result<()> {
    static ENOUGH: AtomicBool = AtomicBool::new(false);
    if count == usize::MAX {
        std::thread::spawn(|| {
            // An error is as good as a line: nobody asks for more.
            let _ = io::stdin().read_line(&mut String::new());
            ENOUGH.store(true, Ordering::Relaxed);
        });
    }
    let local = socket.local_addr()?;
    let mut buffer = vec![0; 65_536];
    for seq in 0..count {
        let mut message = payload(seq, bytes);
        let last = ENOUGH.load(Ordering::Relaxed);
        if last {
            message.extend_from_slice(LAST);
        }
        if connected { socket.send(&message) } else { socket.send_to(&message, server) }?;
        tell(&[&"datagram", &local, &server, &id(), &seq]);
        if connected {
            socket.recv(&mut buffer)
        } else {
            socket.recv_from(&mut buffer).map(|(length, _)| length)
        }?;
        if last {
            break;
        }
    }
    Ok(())
}

fn udp_client(local: &str, server: &str, datagrams: &str, bytes: &str, connected: bool) -> Outcome {
    let (local, server) = (parse::<SocketAddr>(local)?, parse::<SocketAddr>(server)?);
    let (datagrams, bytes) = (count(datagrams)?, parse(bytes)?);
    tell_self()?;
    let socket = udp_bind(local, connected.then_some(server))?;
    tell(&[&"endpoint", &"udp", &socket.local_addr()?, &id()]);
    Ok(ask(&socket, server, connected, datagrams, bytes)?)
}

fn hold(local: &str, udp_server: &str, tcp_server: &str, datagrams: &str) -> Outcome {
    let (local, datagrams) = (parse::<SocketAddr>(local)?, parse(datagrams)?);
    let (udp_server, tcp_server) = (parse::<SocketAddr>(udp_server)?, parse(tcp_server)?);
    tell_self()?;
    let socket = udp_bind(local, Some(udp_server))?;
    tell(&[&"endpoint", &"udp", &socket.local_addr()?, &id()]);
    let stream = tcp_connect(local, tcp_server)?;
    tell(&[&"endpoint", &"tcp", &stream.local_addr()?, &id()]);
    tell(&[&"holding"]);
    io::stdin().read_line(&mut String::new())?;
    ask(&socket, udp_server, true, datagrams, 64)?;
    Ok(converse(&stream, datagrams, 100_000)?)
}

/// While it is in a message that nobody has received, no process has a descriptor of the socket.
fn hide(listen: &str) -> Outcome {
    tell_self()?;
    let socket = udp_bind(parse(listen)?, None)?;
    let local = socket.local_addr()?;
    let (from, to) = UnixDatagram::pair()?;
    let descriptors = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(&from, &[IoSlice::new(b"take it")], &mut message, SendFlags::empty())?;
    drop(socket);
    tell(&[&"endpoint", &"udp", &local, &id()]);
    io::stdin().read_line(&mut String::new())?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&to, &mut [IoSliceMut::new(&mut [0; 16])], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let held: Vec<_> = message.drain().collect();
    tell(&[&"held"]);
    io::stdin().read_line(&mut String::new())?;
    drop(held);
    Ok(())
}

/// Runs this program again, as a child with these arguments.
fn again(arguments: &[String], stdin: Stdio) -> Result<Child, Box<dyn Error>> {
    let executable = std::env::current_exe()?;
    let child = Command::new(&executable).args(arguments).stdin(stdin).spawn()?;
    let mut all = vec![executable.display().to_string()];
    all.extend_from_slice(arguments);
    tell_process(child.id(), id(), &all)?;
    Ok(child)
}

fn reap(mut child: Child) -> Outcome {
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("child {} ended with {status}", child.id()).into()) }
}

fn oneshot(local: &str, udp_sink: &str, tcp_server: &str, count: &str) -> Outcome {
    let (local, udp_sink) = (parse::<SocketAddr>(local)?, parse::<SocketAddr>(udp_sink)?);
    let (tcp_server, count) = (parse::<SocketAddr>(tcp_server)?, parse::<u16>(count)?);
    tell_self()?;
    let mut children = std::collections::VecDeque::new();
    for number in 0..count {
        let port = local.port().checked_add(number).ok_or("no port is left")?;
        let local = SocketAddr::new(local.ip(), port);
        let arguments =
            ["oneshot-child".into(), local.to_string(), udp_sink.to_string(), tcp_server.to_string()];
        let child = again(&arguments, Stdio::null())?;
        // The child has no time for this.
        tell(&[&"endpoint", &"udp", &local, &child.id()]);
        tell(&[&"endpoint", &"tcp", &local, &child.id()]);
        tell(&[&"datagram", &local, &udp_sink, &child.id(), &0]);
        let length = format!("hone pid={} seq=1 want=0\n", child.id()).len();
        tell(&[&"stream", &local, &tcp_server, &child.id(), &length]);
        children.push_back(child);
        if children.len() == AT_ONCE {
            children.pop_front().map_or(Ok(()), reap)?;
        }
    }
    children.into_iter().try_for_each(reap)
}

fn oneshot_child(local: &str, udp_sink: &str, tcp_server: &str) -> Outcome {
    let (local, udp_sink) = (parse(local)?, parse::<SocketAddr>(udp_sink)?);
    udp_bind(local, None)?.send_to(&payload(0, 0), udp_sink)?;
    tcp_connect(local, parse(tcp_server)?)?.write_all(request(1, 0).as_bytes())?;
    Ok(())
}

fn prefork(listen: &str, workers: &str, connections: &str) -> Outcome {
    let (listen, workers) = (parse::<SocketAddr>(listen)?, parse::<usize>(workers)?);
    tell_self()?;
    let listener = TcpListener::bind(listen)?;
    let arguments = ["prefork-worker".to_owned(), connections.to_owned()];
    let children: Vec<Child> = (0..workers)
        .map(|_| again(&arguments, Stdio::from(OwnedFd::from(listener.try_clone()?))))
        .collect::<Result<_, _>>()?;
    tell(&[&"endpoint", &"tcp", &listener.local_addr()?, &id()]);
    children.into_iter().try_for_each(reap)
}

/// Accepts from the listener that it got as standard input.
fn prefork_worker(connections: &str) -> Outcome {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    for _ in 0..parse::<usize>(connections)? {
        let (stream, peer) = listener.accept()?;
        tell(&[&"connection", &stream.local_addr()?, &peer, &id()]);
        serve(stream)?;
    }
    Ok(())
}

fn inherit(listen: &str, datagrams: &str) -> Outcome {
    let listen = parse::<SocketAddr>(listen)?;
    tell_self()?;
    let socket = udp_bind(listen, None)?;
    let local = socket.local_addr()?;
    let arguments =
        ["inherit-worker".into(), SocketAddr::new(local.ip(), 0).to_string(), datagrams.to_owned()];
    let child = again(&arguments, Stdio::from(OwnedFd::from(socket)))?;
    tell(&[&"endpoint", &"udp", &local, &child.id()]);
    reap(child)
}

/// Receives from the socket that it got as standard input, and never sends from there.
fn inherit_worker(reply_from: &str, datagrams: &str) -> Outcome {
    let inherited = UdpSocket::from(io::stdin().as_fd().try_clone_to_owned()?);
    let own = udp_bind(parse(reply_from)?, None)?;
    let local = own.local_addr()?;
    tell(&[&"endpoint", &"udp", &local, &id()]);
    for seq in 0..parse::<usize>(datagrams)? {
        let (_, peer) = inherited.recv_from(&mut [0; 2048])?;
        own.send_to(&payload(seq, 0), peer)?;
        tell(&[&"datagram", &local, &peer, &id(), &seq]);
    }
    Ok(())
}
