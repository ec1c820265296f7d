//! Parses the kernel's lists of sockets, such as /proc/PID/net/tcp. Each list belongs to one network namespace.
//!
//! ```text
//!   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//!    0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   112        0 26385 ...
//! ```
//! Addresses are words in the machine's byte order, which contain bytes in network order. Ports are numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hone_packet::protocol::{ICMP, ICMPV6, TCP, UDP, UDP_LITE};

/// The protocol of each list; `None`: any protocol, with its number in place of the local port.
pub(super) const LISTS: &[(&str, Option<u8>)] = &[
    ("tcp", Some(TCP)),
    ("tcp6", Some(TCP)),
    ("udp", Some(UDP)),
    ("udp6", Some(UDP)),
    ("udplite", Some(UDP_LITE)),
    ("udplite6", Some(UDP_LITE)),
    ("icmp", Some(ICMP)),
    ("icmp6", Some(ICMPV6)),
    ("raw", None),
    ("raw6", None),
];

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    /// Its protocol's number.
    pub protocol: u8,
    /// What it is bound to; port 0 in protocols that have none.
    pub local: SocketAddr,
    /// What it is connected to.
    pub remote: Option<SocketAddr>,
    /// Its number on this machine.
    pub inode: u64,
}

/// The sockets of a list. Skips the heading, lines that are not sockets, and sockets that no process can hold any more.
pub(super) fn parse(text: &str, protocol: Option<u8>) -> impl Iterator<Item = Socket> + '_ {
    text.lines().filter_map(move |line| socket(line, protocol)).filter(|socket| socket.inode != 0)
}

fn socket(line: &str, protocol: Option<u8>) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace();
    words.next()?.strip_suffix(':')?;
    let (mut local, mut remote) = (address(words.next()?)?, address(words.next()?)?);
    // State, queues, timer, retransmits, user, timeout.
    let inode = words.nth(6)?.parse().ok()?;
    let protocol = match protocol {
        Some(protocol) => protocol,
        None => u8::try_from(local.port()).ok()?,
    };
    if !has_ports(protocol) {
        local.set_port(0);
        remote.set_port(0);
    }
    let remote = (!remote.ip().is_unspecified()).then_some(remote);
    Some(Socket { protocol, local, remote, inode })
}

const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | UDP_LITE)
}

/// An IPv4-mapped IPv6 address becomes an IPv4 address, as in packets.
fn address(word: &str) -> Option<SocketAddr> {
    let (ip, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.as_flattened().try_into().ok()?;
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    fn shown(text: &str, protocol: Option<u8>) -> Vec<String> {
        let shown = |s: Socket| {
            let remote = s.remote.map_or_else(|| "-".to_owned(), |remote| remote.to_string());
            format!("{} {} {remote} {}", s.protocol, s.local, s.inode)
        };
        parse(text, protocol).map(shown).collect()
    }

    #[test]
    fn tcp_as_linux_lists_it() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21134 1 ffff9 100 0 0 10 0
   1: 0F02000A:8B24 5E2A1FAC:01BB 01 00000000:00000000 02:000005A8 00000000  1000        0 98123 2 ffff9 20 4 30 10 -1
   2: 0100007F:1F90 0100007F:C000 06 00000000:00000000 03:00001770 00000000     0        0 0 3 ffff9
";
        assert_eq!(
            shown(text, Some(TCP)),
            ["6 0.0.0.0:22 - 21134", "6 10.0.2.15:35620 172.31.42.94:443 98123"],
            "what waits for its time to pass is nobody's"
        );
    }

    #[test]
    fn ipv6_and_what_it_maps() {
        let text = "  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 30 2 ffff 0
   1: B80D0120000000000000000001000000:D431 B80D0120000000000000000002000000:0035 01 00000000:00000000 00:00000000 00000000 0 0 31 2 ffff 0
   2: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF00000100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 32 2 ffff 0
";
        assert_eq!(
            shown(text, Some(UDP)),
            [
                "17 [::1]:631 - 30",
                "17 [2001:db8::1]:54321 [2001:db8::2]:53 31",
                "17 127.0.0.1:22 127.0.0.1:40000 32",
            ]
        );
    }

    #[test]
    fn raw_and_ping_sockets_have_no_port() {
        let text = "   1: 00000000:0059 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 40 2 ffff 0\n";
        assert_eq!(shown(text, None), ["89 0.0.0.0:0 - 40"]);
        assert_eq!(shown(text, Some(ICMP)), ["1 0.0.0.0:0 - 40"]);
    }

    #[test]
    fn nonsense_is_no_socket() {
        let good = "0: 00000000:0016 00000000:0000 0A 0:0 00:0 0 0 0 21134";
        assert_eq!(shown(good, Some(TCP)).len(), 1);
        for cut in 0..good.len() - 5 {
            assert!(shown(&good[..cut], Some(TCP)).is_empty(), "{:?}", &good[..cut]);
        }
        for text in ["0: 0000000ü:0016 0:0", "0: +0000000:0016 00000000:0000 0A 0:0 00:0 0 0 0 x", "::::"] {
            assert!(shown(text, Some(TCP)).is_empty(), "{text}");
        }
    }
}
