//! Messages to systemd: sd_notify(3), one datagram each. Does nothing if the service was not started by systemd.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a message such as `READY=1`.
pub(crate) fn notify(message: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = || {
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&path)?,
        };
        UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)
    };
    if let Err(error) = sent() {
        tracing::warn!("cannot tell the service manager {message:?}: {error}");
    }
}
