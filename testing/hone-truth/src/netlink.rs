//! Netlink requests that the `ip` command does not support, or only in newer versions: sizes of IPv4 loopback packets,
//! a firewall, and a WireGuard device's keys. They act on the namespace of the calling thread.

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;

/// A netlink request that is being built.
struct Request(Vec<u8>);

impl Request {
    /// Begins a request.
    ///
    /// # Arguments
    /// `head` is what follows the netlink header, before the attributes.
    fn new(kind: u16, flags: libc::c_int, head: &[u8]) -> Result<Self> {
        let flags = u16::try_from(libc::NLM_F_REQUEST | flags)?;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(head);
        Ok(Self(bytes))
    }

    /// Adds an attribute.
    fn with(self, kind: u16, value: &[u8]) -> Result<Self> {
        self.nest(kind, |request| {
            let mut request = request;
            request.0.extend(value);
            Ok(request)
        })
    }

    /// Adds an attribute that contains other attributes.
    fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Result<Self>) -> Result<Self> {
        let at = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        let mut filled = fill(self)?;
        let length = u16::try_from(filled.0.len() - at)?;
        filled.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        filled.0.resize(filled.0.len().next_multiple_of(4), 0);
        Ok(filled)
    }

    /// The finished request, with its length filled in.
    fn finished(mut self) -> Result<Vec<u8>> {
        let length = u32::try_from(self.0.len())?;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        Ok(self.0)
    }

    /// Sends the request and returns the answer without its netlink header. Empty if the kernel only confirms the
    /// request.
    fn ask(self, protocol: libc::c_int) -> Result<Vec<u8>> {
        ask(protocol, &self.finished()?)
    }
}

/// Sends requests and returns the first answer.
fn ask(protocol: libc::c_int, requests: &[u8]) -> Result<Vec<u8>> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(protocol)))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    ensure!(socket.send(requests)? == requests.len(), "a netlink request was cut");
    let mut answer = vec![0; 1 << 16];
    let length = (&socket).read(&mut answer).context("netlink does not answer")?;
    let answer = &answer[..length];
    let kind = u16_at(answer, 4)?;
    let rest = answer.get(HEADER..).context("a netlink answer is too short")?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let error = rest.first_chunk().map(|word| i32::from_ne_bytes(*word)).context("no error number")?;
        return if error == 0 { Ok(Vec::new()) } else { Err(Errno::from_raw(-error).into()) };
    }
    Ok(rest.to_vec())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk).context("a netlink answer is too short")?;
    Ok(u16::from_ne_bytes(*word))
}

/// Lets an interface handle IPv4 packets of up to `bytes` bytes as one packet (Linux 6.3).
///
/// # Errors
/// The kernel does not support it, or refuses.
pub(crate) fn set_ipv4_sizes(interface: &str, bytes: u32) -> Result<()> {
    // linux/if_link.h.
    const GSO_IPV4_MAX_SIZE: u16 = 63;
    const GRO_IPV4_MAX_SIZE: u16 = 64;
    let index = nix::net::if_::if_nametoindex(interface)?;
    // struct ifinfomsg: family, padding, type, index, flags, change.
    let head = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat();
    let request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &head)?;
    let request = request.with(GSO_IPV4_MAX_SIZE, &bytes.to_ne_bytes())?;
    request.with(GRO_IPV4_MAX_SIZE, &bytes.to_ne_bytes())?.ask(libc::NETLINK_ROUTE)?;
    // An older kernel accepts an attribute that it does not know, and ignores it. So the value is read back.
    let link = Request::new(libc::RTM_GETLINK, 0, &head)?.ask(libc::NETLINK_ROUTE)?;
    let attributes = link.get(head.len()..).unwrap_or_default();
    let found = attribute(attributes, GSO_IPV4_MAX_SIZE)?;
    ensure!(found == Some(&bytes.to_ne_bytes()[..]), "the kernel is older than 6.3");
    Ok(())
}

/// The value of the first attribute of a kind.
fn attribute(mut rest: &[u8], wanted: u16) -> Result<Option<&[u8]>> {
    while rest.len() >= 4 {
        let (length, kind) = (usize::from(u16_at(rest, 0)?), u16_at(rest, 2)?);
        if kind == wanted {
            return Ok(rest.get(4..length));
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

/// A firewall that drops all packets to this host: an nf_tables chain on the input hook with the policy "drop"
/// (linux/netfilter/nf_tables.h).
///
/// # Errors
/// The kernel has no nf_tables, or refuses.
pub(crate) fn drop_inbound(v4: bool) -> Result<()> {
    const NF_TABLES: u16 = 10;
    const NEW_TABLE: u16 = NF_TABLES << 8;
    const NEW_CHAIN: u16 = NF_TABLES << 8 | 3;
    const BEGIN: u16 = 16;
    const END: u16 = 17;
    const NESTED: u16 = 0x8000;
    const NAME: &[u8] = b"hone\0";
    // struct nfgenmsg: family, version, and for a batch the subsystem that it is for.
    let batch = [&[0, 0][..], &NF_TABLES.to_be_bytes()].concat();
    let family = [if v4 { 2 } else { 10 }, 0, 0, 0];
    let table = Request::new(NEW_TABLE, libc::NLM_F_CREATE, &family)?.with(1, NAME)?;
    let chain = Request::new(NEW_CHAIN, libc::NLM_F_CREATE | libc::NLM_F_ACK, &family)?;
    let chain = chain.with(1, NAME)?.with(3, NAME)?;
    // NF_INET_LOCAL_IN at priority 0; NF_DROP; the chain's type.
    let chain = chain.nest(4 | NESTED, |hook| hook.with(1, &1_u32.to_be_bytes())?.with(2, &[0; 4]))?;
    let chain = chain.with(5, &[0; 4])?.with(7, b"filter\0")?;
    let requests = [Request::new(BEGIN, 0, &batch)?, table, chain, Request::new(END, 0, &batch)?];
    let requests: Result<Vec<_>> = requests.into_iter().map(Request::finished).collect();
    ask(libc::NETLINK_NETFILTER, &requests?.concat())?;
    Ok(())
}

/// One end of a WireGuard tunnel. It has one peer, which may send any address.
pub(crate) struct WireGuard<'a> {
    pub(crate) interface: &'a str,
    pub(crate) private_key: [u8; 32],
    pub(crate) port: u16,
    pub(crate) peer_key: [u8; 32],
    pub(crate) peer: SocketAddr,
}

impl WireGuard<'_> {
    /// Sets a device's keys and its peer (linux/wireguard.h).
    ///
    /// # Errors
    /// There is no such device.
    pub(crate) fn set(&self) -> Result<()> {
        const NESTED: u16 = 0x8000;
        let family = family("wireguard")?;
        let mut end = Vec::new();
        // struct sockaddr_in or sockaddr_in6.
        match self.peer {
            SocketAddr::V4(peer) => {
                end.extend(u16::try_from(libc::AF_INET)?.to_ne_bytes());
                end.extend(peer.port().to_be_bytes());
                end.extend(peer.ip().octets());
                end.extend([0; 8]);
            }
            SocketAddr::V6(peer) => {
                end.extend(u16::try_from(libc::AF_INET6)?.to_ne_bytes());
                end.extend(peer.port().to_be_bytes());
                end.extend([0; 4]);
                end.extend(peer.ip().octets());
                end.extend([0; 4]);
            }
        }
        // WG_CMD_SET_DEVICE, version 1.
        let request = Request::new(family, libc::NLM_F_ACK, &[1, 1, 0, 0])?;
        let request = request.with(2, &[self.interface.as_bytes(), &[0]].concat())?;
        let request = request.with(3, &self.private_key)?.with(6, &self.port.to_ne_bytes())?;
        let request = request.nest(8 | NESTED, |request| {
            request.nest(NESTED, |peer| {
                let peer = peer.with(1, &self.peer_key)?.with(4, &end)?;
                peer.nest(9 | NESTED, |allowed| {
                    let any = |list: Request, family: libc::c_int, zeros: &[u8]| {
                        list.nest(NESTED, |one| {
                            one.with(1, &u16::try_from(family)?.to_ne_bytes())?.with(2, zeros)?.with(3, &[0])
                        })
                    };
                    any(any(allowed, libc::AF_INET, &[0; 4])?, libc::AF_INET6, &[0; 16])
                })
            })
        })?;
        request.ask(libc::NETLINK_GENERIC)?;
        Ok(())
    }
}

/// The number of a generic netlink family.
fn family(name: &str) -> Result<u16> {
    // CTRL_CMD_GETFAMILY, version 1; CTRL_ATTR_FAMILY_NAME.
    let request = Request::new(u16::try_from(libc::GENL_ID_CTRL)?, 0, &[3, 1, 0, 0])?;
    let answer = request.with(2, &[name.as_bytes(), &[0]].concat())?.ask(libc::NETLINK_GENERIC)?;
    // CTRL_ATTR_FAMILY_ID.
    let number = attribute(answer.get(4..).unwrap_or_default(), 1)?;
    number
        .map(|number| u16_at(number, 0))
        .with_context(|| format!("generic netlink has no number for {name}"))?
}

/// The cookies of all sockets that the kernel shows in the calling thread's network namespace (linux/inet_diag.h): TCP,
/// UDP and similar sockets, and raw sockets, in any state.
///
/// # Errors
/// The kernel does not answer.
pub(crate) fn cookies() -> Result<Vec<u64>> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    /// `struct inet_diag_req_v2` has a `struct inet_diag_sockid` of 48 bytes behind these.
    const ID: usize = 48;
    /// Where `struct inet_diag_msg` has the cookie.
    const COOKIE: usize = 44;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [
            libc::IPPROTO_TCP,
            libc::IPPROTO_UDP,
            libc::IPPROTO_UDPLITE,
            libc::IPPROTO_SCTP,
            libc::IPPROTO_RAW,
        ] {
            let mut head = vec![u8::try_from(family)?, u8::try_from(protocol)?, 0, 0];
            // All states.
            head.extend([0xff; 4]);
            head.extend([0; ID]);
            let request = Request::new(SOCK_DIAG_BY_FAMILY, libc::NLM_F_DUMP, &head)?;
            dump(libc::NETLINK_SOCK_DIAG, &request.finished()?, |message| {
                found.extend(
                    message.get(COOKIE..).and_then(<[u8]>::first_chunk).copied().map(u64::from_ne_bytes),
                );
            })?;
        }
    }
    Ok(found)
}

/// Sends a request for a list, and calls `each` with each message, without its netlink header. If the kernel has no
/// such list, there are no messages.
fn dump(protocol: libc::c_int, request: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(protocol)))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    ensure!(socket.send(request)? == request.len(), "a netlink request was cut");
    let mut answer = vec![0; 1 << 16];
    loop {
        let length = (&socket).read(&mut answer).context("netlink does not answer")?;
        let mut rest = &answer[..length];
        while rest.len() >= HEADER {
            let size = rest.first_chunk().map(|word| u32::from_ne_bytes(*word)).unwrap_or_default();
            let size = usize::try_from(size)?;
            let message = rest.get(HEADER..size).context("a netlink answer is too short")?;
            match i32::from(u16_at(rest, 4)?) {
                libc::NLMSG_DONE | libc::NLMSG_ERROR => return Ok(()),
                _ => each(message),
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The cookies of all sockets that a process has open. Empty if the process has ended.
pub(crate) fn descriptor_cookies(process: u32) -> Vec<u64> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    // SAFETY: the call takes two numbers and touches no memory.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    let Some(handle) = owned(handle) else { return Vec::new() };
    let sockets = entries.flatten().filter(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    });
    let numbers = sockets.filter_map(|entry| entry.file_name().to_str()?.parse::<libc::c_int>().ok());
    let copies = numbers.filter_map(|number| {
        // SAFETY: the call takes numbers and touches no memory.
        owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, handle.as_raw_fd(), number, 0) })
    });
    copies.filter_map(|socket| cookie(&socket)).collect()
}

/// A descriptor that a system call has returned.
fn owned(result: libc::c_long) -> Option<OwnedFd> {
    let number = libc::c_int::try_from(result).ok().filter(|number| *number >= 0)?;
    // SAFETY: the kernel has just made this descriptor for its caller, who hands it over here.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

fn cookie(socket: &OwnedFd) -> Option<u64> {
    let mut value = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).ok()?;
    // SAFETY: the value is a u64 that lives longer than the call, and the length is that of a u64.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(value)
}
