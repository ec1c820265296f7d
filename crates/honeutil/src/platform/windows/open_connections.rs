//! Open sockets and their processes, as Windows lists them.

use std::io;

use hone_windows::{connections, process};

use crate::service::open_connections::{OpenSocket, OpenSockets};
use crate::text::printable;

/// Characters of a process's name.
const NAME_WIDTH: usize = 24;

/// Every open socket of the computer. Connections that wait for their time to pass are nobody's, and not among them.
///
/// # Errors
/// Windows does not list them.
pub fn find() -> io::Result<OpenSockets> {
    let failed =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot list open connections: {error}"));
    let names = process::names().unwrap_or_default();
    let mut sockets: Vec<_> = connections::connections()
        .map_err(failed)?
        .into_iter()
        .filter(|open| open.pid != 0)
        .map(|open| OpenSocket {
            protocol: open.protocol,
            local: open.local,
            remote: open.remote,
            pid: open.pid,
            name: names.get(&open.pid).map(|name| printable(name, NAME_WIDTH)).unwrap_or_default(),
        })
        .collect();
    sockets.sort_by_key(|socket| (socket.protocol, socket.local, socket.remote, socket.pid));
    Ok(OpenSockets { sockets, ..OpenSockets::default() })
}
