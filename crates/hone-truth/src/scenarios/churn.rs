//! A great deal at once, on two processors: what one does meets what the other does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::scope;
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::SockRef;

use super::tcp::joined;
use crate::network::End;
use crate::packet::Protocol;
use crate::sockets::{MESSAGE, quiet_listener, send_to, udp};
use crate::stage::{Actor, Stage, pause};
use crate::tag::LENGTH;
use crate::told::{Fact, Flow, now};

const PORT: u16 = 7990;

/// Many short connections, of which one end resets while the other closes.
pub(super) fn resets(stage: &mut Stage<'_>) -> Result<()> {
    let connections = 2 * stage.crowd;
    let address = stage.address(End::A, PORT);
    stage.tell(&Fact::Closed)?;
    let mut both = stage.play(End::A, "client and server", |part| {
        // Every end of every connection is this process's, so nothing has to be told meanwhile.
        part.holds(Flow::any(Protocol::Tcp))?;
        let listener = quiet_listener(address, None, false)?;
        scope(|scope| {
            let server = scope.spawn(|| -> Result<()> {
                let mut bytes = [0; 8];
                for _ in 0..connections {
                    let (mut stream, _) = listener.accept()?;
                    stream.read_exact(&mut bytes)?;
                    stream.write_all(&bytes)?;
                    // Its end resets the connection.
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                }
                Ok(())
            });
            for _ in 0..connections {
                let mut stream = TcpStream::connect(address)?;
                let mut bytes = *b"question";
                stream.write_all(&bytes)?;
                // The reset may be here before the answer was read.
                let _ = stream.read(&mut bytes);
            }
            joined(server.join())
        })
    })?;
    both.finish_slowly(connections)?;
    pause();
    Ok(())
}

/// A flood of datagrams for four processes that wait at one socket: of one size, then of different ones.
pub(super) fn readers(stage: &mut Stage<'_>) -> Result<()> {
    const READERS: usize = 4;
    const DATAGRAMS: usize = 4000;
    /// Of the datagram that says to one of them that it was the last.
    const LAST: usize = 50;
    let to = stage.address(End::B, PORT);
    stage.tell(&Fact::Overlap)?;
    let mut parent = stage.play(End::B, "parent", |part| {
        let socket = udp(part, to)?;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let since = now();
            readers.push(part.fork("reader", |part| {
                part.holds_since(Flow::at(Protocol::Udp, to), since)?;
                part.ready()?;
                // Told of afterwards, so that each waits again at once.
                let mut read = Vec::new();
                let mut bytes = [0; 4 * MESSAGE];
                loop {
                    let length = socket.recv(&mut bytes).context("no datagram came")?;
                    read.extend_from_slice(&bytes[..LENGTH]);
                    if length == LAST {
                        return part.read(&read);
                    }
                }
            })?);
        }
        readers.iter_mut().try_for_each(Actor::ready)?;
        part.ready()?;
        readers.iter_mut().try_for_each(Actor::finish)
    })?;
    parent.ready()?;
    let mut sender = stage.play(End::A, "sender", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        for number in 0..DATAGRAMS {
            let more = if number < DATAGRAMS / 2 { 0 } else { number % (2 * MESSAGE) };
            send_to(part, &socket, to, MESSAGE + more)?;
        }
        (0..READERS).try_for_each(|_| send_to(part, &socket, to, LAST))
    })?;
    sender.finish()?;
    parent.finish()
}
