//! Traffic of this program with itself, over the loopback.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use hone_packet::protocol::{ICMP, TCP, UDP};
use hone_packet::{Addresses, transport_checksum};
use hone_windows::sockets::{endpoint_handle, ping, raw_icmp};
use serde_json::{Value, json};

use crate::platform::host::now;
use crate::selftest::{Flow, ICMP_HEADER};

/// Longest time that a call on a socket may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the large datagram's data.
const LARGE: usize = 60_000;
/// Type of an echo request (RFC 792).
const ECHO_REQUEST: u8 = 8;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// What was sent.
pub(super) struct Traffic {
    pub(super) flows: Vec<Flow>,
    /// The questions about echo requests, with the data that was sent, or why none was.
    pub(super) echoes: Vec<(&'static str, io::Result<Vec<u8>>)>,
    /// What could be made, and what not, with why.
    pub(super) made: Value,
}

/// Makes all of it.
pub(super) fn make() -> Traffic {
    let (mut flows, mut made) = (Vec::new(), serde_json::Map::new());
    let all: [(&str, &dyn Fn() -> io::Result<Flow>); 5] = [
        ("tcp4", &|| tcp(V4)),
        ("tcp6", &|| tcp(V6)),
        ("udp4", &|| udp(V4, 0)),
        ("udp6", &|| udp(V6, 0)),
        ("large", &|| udp(V4, LARGE)),
    ];
    for (name, flow) in all {
        let flow = flow();
        made.insert(
            name.to_owned(),
            flow.as_ref().map_or_else(|error| json!(error.to_string()), |_| json!(true)),
        );
        flows.extend(flow);
    }
    let echo = |address: IpAddr| {
        let data = unique("echo", 0);
        ping(address, &data, PATIENCE).map(|()| data)
    };
    let echoes = vec![("ping4", echo(V4)), ("ping6", echo(V6)), ("raw", raw())];
    Traffic { flows, echoes, made: made.into() }
}

/// Bytes that nothing else sends, at least this many.
fn unique(what: &str, least: usize) -> Vec<u8> {
    let end = format!("hone selftest {} {} {what}", std::process::id(), now()).into_bytes();
    let mut bytes = vec![b'-'; least.saturating_sub(end.len())];
    bytes.extend(end);
    bytes
}

fn tcp(host: IpAddr) -> io::Result<Flow> {
    let listener = TcpListener::bind((host, 0))?;
    let mut client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let mut server = accept(&listener)?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    let payloads = [unique("question", 0), unique("answer", 0)];
    exchange(&mut client, &mut server, &payloads[0])?;
    exchange(&mut server, &mut client, &payloads[1])?;
    let flow = Flow {
        protocol: TCP,
        ends: [client.local_addr()?, client.peer_addr()?],
        payloads,
        handles: [endpoint_handle(&client).ok(), endpoint_handle(&server).ok()],
        listener: endpoint_handle(&listener).ok(),
    };
    // One end after the other, so that no reset is sent.
    client.shutdown(std::net::Shutdown::Write)?;
    let _ = server.read(&mut [0])?;
    drop(server);
    let _ = client.read(&mut [0])?;
    Ok(flow)
}

/// The connection that waits, or comes soon.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && begun.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(1));
            }
            accepted => {
                let (stream, _) = accepted?;
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
        }
    }
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream, payload: &[u8]) -> io::Result<()> {
    from.write_all(payload)?;
    to.read_exact(&mut vec![0; payload.len()])
}

/// A datagram of at least this many bytes, and unless that is large, an answer.
fn udp(host: IpAddr, least: usize) -> io::Result<Flow> {
    let ends = [UdpSocket::bind((host, 0))?, UdpSocket::bind((host, 0))?];
    let addresses: [SocketAddr; 2] = [ends[0].local_addr()?, ends[1].local_addr()?];
    let answer = if least == 0 { unique("answer", 0) } else { Vec::new() };
    let payloads = [unique("question", least), answer];
    for (from, payload) in payloads.iter().enumerate().filter(|(_, payload)| !payload.is_empty()) {
        ends[1 - from].set_read_timeout(Some(PATIENCE))?;
        ends[from].send_to(payload, addresses[1 - from])?;
        ends[1 - from].recv(&mut vec![0; payload.len()])?;
    }
    let handles = [endpoint_handle(&ends[0]).ok(), endpoint_handle(&ends[1]).ok()];
    Ok(Flow { protocol: UDP, ends: addresses, payloads, handles, listener: None })
}

/// An echo request of a raw socket. Windows answers it.
fn raw() -> io::Result<Vec<u8>> {
    let socket = raw_icmp()?;
    let data = unique("raw", 0);
    let mut message = vec![0; ICMP_HEADER];
    message[0] = ECHO_REQUEST;
    message.extend_from_slice(&data);
    let addresses = Addresses::V4 { source: Ipv4Addr::LOCALHOST, destination: Ipv4Addr::LOCALHOST };
    if let Ok(Some(checksum)) = transport_checksum(&addresses, ICMP, [message.as_slice()]) {
        checksum.write([message.as_mut_slice()]);
    }
    socket.send_to(&message, (V4, 0))?;
    Ok(data)
}
