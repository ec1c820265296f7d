//! The system's open connections, from the tables that Windows keeps of them (iphlpapi: `GetExtendedTcpTable`,
//! `GetExtendedUdpTable`), with their owners.

use std::ffi::c_void;
use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hone_types::protocol::{TCP, UDP};
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, GetExtendedUdpTable, MIB_TCP6ROW_OWNER_PID, MIB_TCP6TABLE_OWNER_PID,
    MIB_TCPROW_OWNER_PID, MIB_TCPTABLE_OWNER_PID, MIB_UDP6ROW_OWNER_PID, MIB_UDP6TABLE_OWNER_PID,
    MIB_UDPROW_OWNER_PID, MIB_UDPTABLE_OWNER_PID, TCP_TABLE_OWNER_PID_ALL, UDP_TABLE_OWNER_PID,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};

/// Most bytes of a table.
const MOST: u32 = 64 << 20;

/// An open TCP connection, a TCP listener or a bound UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The internet protocol's number: 6 or 17.
    pub protocol: u8,
    /// The local address; an unspecified address means any.
    pub local: SocketAddr,
    /// The remote address, for TCP connections.
    pub remote: Option<SocketAddr>,
    /// The owner's process id; 0 if no process owns it any more.
    pub pid: u32,
}

/// Every open TCP connection, TCP listener and bound UDP socket.
///
/// # Errors
/// Windows does not return a table.
pub fn connections() -> io::Result<Vec<Open>> {
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let tcp = table(|buffer, length| {
            // SAFETY: the buffer has that length, which is told what is needed.
            unsafe { GetExtendedTcpTable(buffer, length, 0, family.into(), TCP_TABLE_OWNER_PID_ALL, 0) }
        })?;
        let udp = table(|buffer, length| {
            // SAFETY: as above.
            unsafe { GetExtendedUdpTable(buffer, length, 0, family.into(), UDP_TABLE_OWNER_PID, 0) }
        })?;
        if family == AF_INET {
            all.extend(rows(&tcp, offset_of!(MIB_TCPTABLE_OWNER_PID, table)).map(tcp4));
            all.extend(rows(&udp, offset_of!(MIB_UDPTABLE_OWNER_PID, table)).map(udp4));
        } else {
            all.extend(rows(&tcp, offset_of!(MIB_TCP6TABLE_OWNER_PID, table)).map(tcp6));
            all.extend(rows(&udp, offset_of!(MIB_UDP6TABLE_OWNER_PID, table)).map(udp6));
        }
    }
    Ok(all)
}

/// A table's bytes: its count of rows, then the rows.
fn table(get: impl Fn(*mut c_void, *mut u32) -> u32) -> io::Result<Vec<u8>> {
    let mut length = 16 << 10;
    loop {
        let mut buffer = vec![0_u8; length as usize];
        match get(buffer.as_mut_ptr().cast(), &raw mut length) {
            NO_ERROR => return Ok(buffer),
            // It may grow meanwhile.
            ERROR_INSUFFICIENT_BUFFER if length < MOST => length += length / 4,
            error => return Err(io::Error::from_raw_os_error(error.cast_signed())),
        }
    }
}

/// The rows of a table, which begin at `start`.
fn rows<T: Copy>(table: &[u8], start: usize) -> impl Iterator<Item = T> {
    let count = table.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    let rows = table.get(start..).unwrap_or_default().chunks_exact(size_of::<T>());
    rows.take(count as usize).map(|row| {
        // SAFETY: so many bytes are there; a row consists of numbers and bytes, of which any are valid.
        unsafe { row.as_ptr().cast::<T>().read_unaligned() }
    })
}

/// Ports are in network order, in the lower half of a number.
fn port(number: u32) -> u16 {
    let [high, low, ..] = number.to_ne_bytes();
    u16::from_be_bytes([high, low])
}

/// IPv4 addresses are in network order in memory.
fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(number.to_ne_bytes()).into()
}

fn v6(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).into()
}

fn open(protocol: u8, pid: u32, local: (IpAddr, u32), remote: Option<(IpAddr, u32)>) -> Open {
    let end = |(address, number)| SocketAddr::new(address, port(number));
    // Of a listener, the other end is all zero.
    let remote = remote.map(end).filter(|remote| remote.port() != 0);
    Open { protocol, local: end(local), remote, pid }
}

fn tcp4(row: MIB_TCPROW_OWNER_PID) -> Open {
    let local = (v4(row.dwLocalAddr), row.dwLocalPort);
    open(TCP, row.dwOwningPid, local, Some((v4(row.dwRemoteAddr), row.dwRemotePort)))
}

fn tcp6(row: MIB_TCP6ROW_OWNER_PID) -> Open {
    let local = (v6(row.ucLocalAddr), row.dwLocalPort);
    open(TCP, row.dwOwningPid, local, Some((v6(row.ucRemoteAddr), row.dwRemotePort)))
}

fn udp4(row: MIB_UDPROW_OWNER_PID) -> Open {
    open(UDP, row.dwOwningPid, (v4(row.dwLocalAddr), row.dwLocalPort), None)
}

fn udp6(row: MIB_UDP6ROW_OWNER_PID) -> Open {
    open(UDP, row.dwOwningPid, (v6(row.ucLocalAddr), row.dwLocalPort), None)
}
