//! Crowds: many processes, each of which lives for only one message.

use anyhow::{Result, ensure};
use nix::sys::wait::{WaitStatus, waitpid};

use crate::network::End;
use crate::sockets::{
    MESSAGE, accept, connect_from, hang_up, listen, quiet_udp, read, receive, send_to, udp,
};
use crate::stage::{Part, Stage};

const PORT: u16 = 7200;
/// The first port of the crowd. Each process has its own port.
const FIRST: u16 = 10_000;
/// Number of processes that live at the same time.
const AT_ONCE: usize = 4;

/// Forks `count` processes. Each plays a part with its own number.
fn crowd(part: &mut Part, count: usize, one: impl Fn(&mut Part, u16) -> Result<()>) -> Result<()> {
    let mut running = 0;
    let reap = || -> Result<()> {
        let status = waitpid(None, None)?;
        ensure!(matches!(status, WaitStatus::Exited(_, 0)), "one of the crowd failed: {status:?}");
        Ok(())
    };
    for number in 0..count {
        let port = FIRST + u16::try_from(number)?;
        part.fork_briefly(|part| one(part, port))?;
        running += 1;
        if running == AT_ONCE {
            reap()?;
            running -= 1;
        }
    }
    (0..running).try_for_each(|_| reap())
}

pub(super) fn udp_crowd(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let count = stage.crowd;
    let mut sink = stage.play(End::B, "sink", |part| {
        let socket = udp(part, to)?;
        part.ready()?;
        (0..count).try_for_each(|_| receive(part, &socket).map(drop))
    })?;
    sink.ready()?;
    let mut parent = stage.play(End::A, "crowd", |part| {
        crowd(part, count, |part, port| {
            let socket = quiet_udp(stage.address(End::A, port))?;
            send_to(part, &socket, to, MESSAGE)
        })
    })?;
    parent.finish_slowly(count)?;
    sink.finish()
}

pub(super) fn tcp_crowd(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let count = stage.crowd;
    let mut server = stage.play(End::B, "server", |part| {
        let listener = listen(part, to)?;
        part.ready()?;
        for _ in 0..count {
            let stream = accept(part, &listener)?;
            while read(part, &stream, MESSAGE)? {}
        }
        Ok(())
    })?;
    server.ready()?;
    let mut parent = stage.play(End::A, "crowd", |part| {
        crowd(part, count, |part, port| {
            let stream = connect_from(part, stage.address(End::A, port), to)?;
            crate::sockets::write(part, &stream, MESSAGE)?;
            hang_up(stream)
        })
    })?;
    parent.finish_slowly(count)?;
    server.finish()
}
