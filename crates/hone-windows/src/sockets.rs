//! What the standard library does not do with sockets: handles of endpoints, echo requests, raw sockets.

use std::ffi::c_void;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::windows::io::{AsRawSocket, FromRawSocket};
use std::ptr::{null, null_mut};
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    ICMP_ECHO_REPLY, ICMPV6_ECHO_REPLY_LH, Icmp6CreateFile, Icmp6SendEcho2, IcmpCloseHandle, IcmpCreateFile,
    IcmpSendEcho,
};
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, INVALID_SOCKET, IPPROTO_ICMP, SIO_QUERY_WFP_ALE_ENDPOINT_HANDLE, SOCK_RAW,
    SOCKADDR_IN6, SOCKET, WSAIoctl, socket,
};

/// Windows may add so much to an answer: an ICMP error and its status ("IcmpSendEcho function", "Icmp6SendEcho2
/// function").
const ANSWER_EXTRA: usize = 64;

/// The socket's endpoint handle in the filtering platform (`SIO_QUERY_WFP_ALE_ENDPOINT_HANDLE`).
///
/// # Errors
/// Windows does not know the question, or the socket has no endpoint yet.
pub fn endpoint_handle(socket: &impl AsRawSocket) -> io::Result<u64> {
    let (mut handle, mut filled) = (0_u64, 0_u32);
    let raw = SOCKET::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    // SAFETY: the socket is open, and there is room for a number of 64 bits.
    let failed = unsafe {
        WSAIoctl(
            raw,
            SIO_QUERY_WFP_ALE_ENDPOINT_HANDLE,
            null(),
            0,
            (&raw mut handle).cast(),
            8,
            &raw mut filled,
            null_mut(),
            None,
        )
    };
    match (failed, filled) {
        (0, 8) => Ok(handle),
        (0, _) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("the answer has {filled} bytes"))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A raw ICMP socket for IPv4. What is sent on it is the ICMP message, without an IP header.
///
/// # Errors
/// 10013: only administrators may. Or Windows refuses.
pub fn raw_icmp() -> io::Result<UdpSocket> {
    // The standard library initializes Windows' sockets when it makes its first one.
    drop(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    // SAFETY: it takes numbers.
    let made = unsafe { socket(AF_INET.into(), SOCK_RAW, IPPROTO_ICMP) };
    if made == INVALID_SOCKET {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's. All that the type does works with every socket that sends datagrams.
    Ok(unsafe { UdpSocket::from_raw_socket(made as u64) })
}

/// The system's own echo requests; closed when dropped.
struct Echo(HANDLE);

impl Drop for Echo {
    fn drop(&mut self) {
        // SAFETY: it is open, and closed once.
        unsafe { IcmpCloseHandle(self.0) };
    }
}

/// Asks an address for an echo, and waits for the answer at most this long. Returns whether one came.
///
/// # Errors
/// Windows refuses, or the time was over.
pub fn ping(address: IpAddr, data: &[u8], longest: Duration) -> io::Result<()> {
    let size = u16::try_from(data.len()).map_err(io::Error::other)?;
    let time = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX);
    let handle = if address.is_ipv4() {
        // SAFETY: it takes nothing.
        unsafe { IcmpCreateFile() }
    } else {
        // SAFETY: as above.
        unsafe { Icmp6CreateFile() }
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    let echo = Echo(handle);
    let head = size_of::<ICMP_ECHO_REPLY>().max(size_of::<ICMPV6_ECHO_REPLY_LH>());
    // Of numbers of 64 bits, for the sake of the structure at its beginning.
    let mut answer = vec![0_u64; (head + data.len() + ANSWER_EXTRA).div_ceil(8)];
    let room = u32::try_from(answer.len() * 8).map_err(io::Error::other)?;
    let place: *mut c_void = answer.as_mut_ptr().cast();
    let answers = match address {
        IpAddr::V4(address) => {
            let address = u32::from_ne_bytes(address.octets());
            // SAFETY: it is open; data and answer have these lengths.
            unsafe { IcmpSendEcho(echo.0, address, data.as_ptr().cast(), size, null(), place, room, time) }
        }
        IpAddr::V6(address) => {
            let (from, to) = (end(Ipv6Addr::UNSPECIFIED), end(address));
            // SAFETY: it is open, neither event nor routine; both ends live until the call returns; data and answer have
            // these lengths.
            unsafe {
                Icmp6SendEcho2(
                    echo.0,
                    null_mut(),
                    None,
                    null(),
                    &raw const from,
                    &raw const to,
                    data.as_ptr().cast(),
                    size,
                    null(),
                    place,
                    room,
                    time,
                )
            }
        }
    };
    if answers == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn end(address: Ipv6Addr) -> SOCKADDR_IN6 {
    let mut end = SOCKADDR_IN6 { sin6_family: AF_INET6, ..SOCKADDR_IN6::default() };
    end.sin6_addr.u.Byte = address.octets();
    end
}
