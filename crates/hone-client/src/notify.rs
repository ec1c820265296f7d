//! Messages to the service manager: sd_notify(3), one datagram each.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a message such as `READY=1` to the socket that the environment variable `NOTIFY_SOCKET` names. Does nothing if
/// it is not set: no service manager has started this program.
///
/// # Errors
/// The socket is not there, or does not take the message. Its text says what could not be said.
pub fn notify(message: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let sent = || {
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&path)?,
        };
        UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)
    };
    sent().map(drop).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot tell the service manager {message:?}: {error}"))
    })
}
