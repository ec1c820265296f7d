//! High load on two processors, so that actions of one process meet those of another.

use std::hint::spin_loop;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::SockRef;

use super::opening::{processors, stay_on};
use super::skip;
use super::tcp::joined;
use crate::network::End;
use crate::packet::Protocol;
use crate::sockets::{MESSAGE, quiet_listener, send_to, udp};
use crate::stage::{Actor, Stage};
use crate::tag::LENGTH;
use crate::told::{Fact, Flow, now};

const PORT: u16 = 7990;

/// Many short connections. One end resets the connection while the other closes it: at nearly the same time, on two
/// processors.
pub(super) fn resets(stage: &mut Stage<'_>) -> Result<()> {
    /// The largest delay between the two, in turns of a loop.
    const LATER: usize = 200;
    let &[one, another, ..] = processors()?.as_slice() else {
        return Err(skip("it takes two processors"));
    };
    let connections = (10 * stage.crowd).min(20_000);
    let address = stage.address(End::A, PORT);
    stage.tell(&Fact::Closed)?;
    let mut both = stage.play(End::A, "client and server", |part| {
        // This process owns both ends of all connections, so it reports that once, in advance.
        part.holds(Flow::any(Protocol::Tcp))?;
        let listener = quiet_listener(address, None, false)?;
        let served = AtomicUsize::new(0);
        let linger = |turns: usize| (0..turns).for_each(|_| spin_loop());
        scope(|scope| {
            let server = scope.spawn(|| -> Result<()> {
                stay_on(another)?;
                let mut bytes = [0; 8];
                for number in 0..connections {
                    let (mut stream, _) = listener.accept()?;
                    stream.read_exact(&mut bytes)?;
                    stream.write_all(&bytes)?;
                    // Its end resets the connection.
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                    served.store(number + 1, Ordering::Release);
                    linger(number % LATER);
                }
                Ok(())
            });
            stay_on(one)?;
            for number in 0..connections {
                let mut stream = TcpStream::connect(address)?;
                let mut bytes = *b"question";
                stream.write_all(&bytes)?;
                // The reset may arrive before the answer was read.
                let _ = stream.read(&mut bytes);
                while served.load(Ordering::Acquire) <= number && !server.is_finished() {
                    spin_loop();
                }
                linger(number / LATER % LATER);
            }
            joined(server.join())
        })
    })?;
    both.finish_slowly(connections)?;
    // Gives a recorder that is slower than this time to catch up.
    sleep(Duration::from_micros(100) * u32::try_from(connections)?);
    Ok(())
}

/// A flood of datagrams for four processes that wait at one socket: first all of one size, then of different sizes.
pub(super) fn readers(stage: &mut Stage<'_>) -> Result<()> {
    const READERS: usize = 4;
    /// Length of the datagram that ends a reader.
    const LAST: usize = 50;
    let datagrams = (20 * stage.crowd).min(10_000);
    let to = stage.address(End::B, PORT);
    stage.tell(&Fact::Overlap)?;
    let mut parent = stage.play(End::B, "parent", |part| {
        let socket = udp(part, to)?;
        let mut readers = Vec::new();
        // The readers are spread evenly over the processors: only then do two of them read at once.
        let processors = processors()?;
        for number in 0..READERS {
            let processor = processors[number % processors.len()];
            let since = now();
            readers.push(part.fork("reader", |part| {
                part.holds_since(Flow::at(Protocol::Udp, to), since)?;
                stay_on(processor)?;
                part.ready()?;
                // Reported after the loop, so that each reader waits again at once.
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
        let mut tags = Vec::new();
        for number in 0..datagrams {
            let more = if number < datagrams / 2 { 0 } else { number % (2 * MESSAGE) };
            let (tag, message) = part.message(MESSAGE + more);
            socket.send_to(&message, to)?;
            tags.push(tag);
            // From time to time the readers have read everything and wait.
            if number % 20 == 0 {
                sleep(Duration::from_micros(200));
            }
        }
        tags.into_iter().try_for_each(|tag| part.sent(tag))?;
        (0..READERS).try_for_each(|_| send_to(part, &socket, to, LAST))
    })?;
    sender.finish()?;
    parent.finish()
}
