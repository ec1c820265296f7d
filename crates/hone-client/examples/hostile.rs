//! Takes all that a member of honed's group can take, for some seconds: connections until honed refuses more, on each a ring
//! buffer as large as it may be, lists of the longest kind, and half a request; readers that never read, beside traffic that
//! fills what waits for them; and attaches and detaches without end. For `scripts/test-systemd`.
//!
//!     hostile SOCKET SECONDS

use std::error::Error;
use std::io::Write as _;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hone_client::api::limits::MAX_FILTER_IDS;
use hone_client::api::{ConnectionIds, List, Request};
use hone_client::protocol::{Header, Kind};
use hone_client::{Connection, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, seconds] = &arguments[..] else { return Err("usage: hostile SOCKET SECONDS".into()) };
    let until = Instant::now() + Duration::from_secs(seconds.parse()?);
    // One for the attaches without end, before there is no place.
    let mut busy = Connection::open(socket)?;
    let mut buffer = vec![0; MAX_FILTER_IDS * 8];
    let ids: Vec<u64> = (1 << 40..).take(MAX_FILTER_IDS).collect();
    let mut connections = Vec::new();
    let mut readers = 0;
    let why = loop {
        let mut connection = match Connection::open(socket) {
            Ok(connection) => connection,
            Err(error) => break error,
        };
        let list = List::write(ids.iter().copied(), &mut buffer)?;
        connection.control(&Request::FilterConnections(ConnectionIds::Bits64(list)))?;
        // The largest that is allowed; others are root's.
        let attached =
            [16 << 20, 0].map(|ring_bytes| connection.attach(&Options { ring_bytes, ..Options::default() }));
        readers += attached.iter().filter(|attached| attached.is_ok()).count();
        connections.push(connection);
    };
    let others = connections.len();
    println!("hostile: {others} connections, {readers} of them readers, then: {why}");
    // In place of two of them, half a request each: a list, and one that only root may make.
    connections.truncate(others.saturating_sub(2));
    let mut halves = Vec::new();
    for (code, length) in [(0x901, MAX_FILTER_IDS * 8), (0x905, 4 + 65_536 * 72)] {
        let Ok(mut half) = UnixStream::connect(socket) else { continue };
        half.write_all(&Header::new(Kind::Request, code, 1, length).encode())?;
        half.write_all(&vec![0; length - 1])?;
        halves.push(half);
    }
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.connect(receiver.local_addr()?)?;
    let datagram = vec![7; 60_000];
    let (mut attaches, mut datagrams) = (0_u64, 0_u64);
    while Instant::now() < until {
        for _ in 0..16 {
            datagrams += u64::from(sender.send(&datagram).is_ok());
        }
        if busy.attach(&Options::default()).is_ok() {
            busy.detach()?;
            attaches += 1;
        }
    }
    println!("hostile: {attaches} attaches, {datagrams} datagrams of 60,000 bytes");
    Ok(())
}
