//! Link types: finds the IP header after the header of the link layer. Layouts from the list at
//! <https://www.tcpdump.org/linktypes.html>. What counts as IP in them is decided as in Wireshark.

use hone_pcapng::Direction;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
const PPPOE: u16 = 0x8864;
/// Types of frames that carry a tag and another type: 802.1Q, 802.1ad, and the older number for the latter.
const VLANS: [u16; 3] = [0x8100, 0x88A8, 0x9100];
/// Protocols of PPP (IANA, "PPP DLL Protocol Numbers").
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// Address families of BSD: `AF_INET`, and `AF_INET6` of NetBSD and OpenBSD, FreeBSD, macOS.
const AF_INET: u32 = 2;
const AF_INET6: [u32; 3] = [24, 28, 30];
/// `LINUX_SLL_OUTGOING`: sent by this host.
const SENT: u8 = 4;

/// A packet without the header of its link layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    /// The payload's type, according to the link layer.
    pub carries: Carries,
    /// The bytes after the link layer's header; empty if they were cut off.
    pub payload: &'a [u8],
    /// The direction, if the link layer's header contains it.
    pub direction: Option<Direction>,
}

/// The type of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// IP, with the version in its first byte. The link layer's number may be that of IPv4; as in Wireshark, either
    /// version may follow it.
    Ip,
    /// IPv6, and nothing else.
    Ipv6,
    /// Something else, or the header is cut off before its type.
    Other,
}

fn sent(sent: bool) -> Direction {
    if sent { Direction::Outbound } else { Direction::Inbound }
}

impl<'a> Link<'a> {
    /// Parses a packet of this link type; `None` if the type is unknown.
    pub(crate) fn decode(link_type: u32, data: &'a [u8]) -> Option<Self> {
        let mut direction = None;
        let (carries, payload) = match link_type {
            0 => null(data),
            1 => split(data, 14).map_or(NOTHING, |(header, rest)| ethertype(two(header, 12), rest)),
            // PPP, also in frames like those of HDLC; Cisco's HDLC.
            9 | 50 | 104 => ppp(data),
            // No link-layer header: the type that Hone writes, and the numbers that systems have for it.
            12 | 14 | 101 | 228 => (Carries::Ip, data),
            108 => split(data, 4).map_or(NOTHING, |(header, rest)| (family(word(header)), rest)),
            // Linux cooked capture.
            113 => split(data, 16).map_or(NOTHING, |(header, rest)| {
                direction = Some(sent(two(header, 0) == u16::from(SENT)));
                ethertype(two(header, 14), rest)
            }),
            229 => (Carries::Ipv6, data),
            // Linux cooked capture, version 2.
            276 => split(data, 20).map_or(NOTHING, |(header, rest)| {
                direction = Some(sent(header[10] == SENT));
                ethertype(two(header, 0), rest)
            }),
            _ => return None,
        };
        Some(Self { carries, payload, direction })
    }
}

const NOTHING: (Carries, &[u8]) = (Carries::Other, &[]);

/// The BSDs' loopback: an address family, in the byte order of the capturing machine, which the file does not contain.
fn null(data: &[u8]) -> (Carries, &[u8]) {
    let Some((header, rest)) = split(data, 4) else { return NOTHING };
    let number = word(header);
    // As in tcpdump: an address family is a small number, which shows the byte order.
    (family(if number > 0xFFFF { number.swap_bytes() } else { number }), rest)
}

fn family(number: u32) -> Carries {
    match number {
        AF_INET => Carries::Ip,
        _ if AF_INET6.contains(&number) => Carries::Ipv6,
        _ => Carries::Other,
    }
}

/// The payload's type according to an Ethernet type, and the offset of the payload.
fn ethertype(mut number: u16, mut rest: &[u8]) -> (Carries, &[u8]) {
    while VLANS.contains(&number) {
        let Some((tag, after)) = split(rest, 4) else { return NOTHING };
        (number, rest) = (two(tag, 2), after);
    }
    match number {
        IPV4 => (Carries::Ip, rest),
        IPV6 => (Carries::Ipv6, rest),
        PPPOE => split(rest, 6).map_or(NOTHING, |(_, rest)| ppp_protocol(rest)),
        _ => (Carries::Other, rest),
    }
}

fn ppp(data: &[u8]) -> (Carries, &[u8]) {
    match *data {
        // RFC 1662, section 3.1: address and control, which may be left out.
        [0xFF, 0x03, ref rest @ ..] => ppp_protocol(rest),
        // Cisco's HDLC, unicast and multicast.
        [0x0F | 0x8F, _, high, low, ref rest @ ..] => ethertype(u16::from_be_bytes([high, low]), rest),
        _ => ppp_protocol(data),
    }
}

/// RFC 1661, section 2, and 6.5: the protocol has two bytes, of which the first may be left out if it is zero. Only the
/// last one is odd.
fn ppp_protocol(data: &[u8]) -> (Carries, &[u8]) {
    let (number, rest) = match *data {
        [low, ref rest @ ..] if low & 1 == 1 => (u16::from(low), rest),
        [high, low, ref rest @ ..] => (u16::from_be_bytes([high, low]), rest),
        _ => return NOTHING,
    };
    match number {
        PPP_IPV4 => (Carries::Ip, rest),
        PPP_IPV6 => (Carries::Ipv6, rest),
        _ => (Carries::Other, rest),
    }
}

fn split(data: &[u8], header: usize) -> Option<(&[u8], &[u8])> {
    data.split_at_checked(header)
}

/// Two bytes of a header in network byte order, if they are there.
fn two(header: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// The first four bytes of a header in network byte order, if they are there.
fn word(header: &[u8]) -> u32 {
    u32::from(two(header, 0)) << 16 | u32::from(two(header, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [u32; 13] = [0, 1, 9, 12, 14, 50, 101, 104, 108, 113, 228, 229, 276];

    /// `header`, in hexadecimal digits, carries this.
    #[track_caller]
    fn check(link_type: u32, header: &str, carries: Carries) {
        let digits: Vec<u8> = header.bytes().filter(|byte| *byte != b' ').collect();
        let mut data: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        data.extend(b"packet");
        let link = Link::decode(link_type, &data).unwrap();
        assert_eq!((link.carries, link.payload), (carries, &b"packet"[..]), "{link_type}: {header}");
    }

    #[test]
    fn the_ip_header_is_found_in_each_link_type() {
        use Carries::{Ip, Ipv6, Other};
        for link_type in [12, 14, 101, 228] {
            check(link_type, "", Ip);
        }
        check(229, "", Ipv6);
        let ends = "000102030405 060708090A0B";
        for (behind, carries) in [
            ("0800", Ip),
            ("86DD", Ipv6),
            ("0806", Other),
            ("8100 0001 0800", Ip),
            ("88A8 0001 8100 0002 86DD", Ipv6),
            ("9100 0001 0800", Ip),
            ("8100 0001 0806", Other),
            ("8864 1100 0001 0022 0021", Ip),
            ("8864 1100 0001 0022 0057", Ipv6),
            ("8864 1100 0001 0022 C021", Other),
        ] {
            check(1, &format!("{ends} {behind}"), carries);
            check(113, &format!("0000 0001 0006 0001020304050000 {behind}"), carries);
            let (number, behind) = behind.split_at(4);
            check(276, &format!("{number} 0000 00000001 0304 00 06 0001020304050000 {behind}"), carries);
        }
        for number in ["02000000", "00000002"] {
            check(0, number, Ip);
        }
        for number in ["18000000", "0000001C", "1E000000", "00000018", "1C000000", "0000001E"] {
            check(0, number, Ipv6);
        }
        check(0, "07000000", Other);
        check(108, "00000002", Ip);
        check(108, "02000000", Other);
        check(108, "00000018", Ipv6);
        for link_type in [9, 50] {
            for prefix in ["", "FF03"] {
                check(link_type, &format!("{prefix} 0021"), Ip);
                check(link_type, &format!("{prefix} 21"), Ip);
                check(link_type, &format!("{prefix} 0057"), Ipv6);
                check(link_type, &format!("{prefix} 57"), Ipv6);
                check(link_type, &format!("{prefix} C021"), Other);
            }
        }
        check(104, "0F00 0800", Ip);
        check(104, "8F00 86DD", Ipv6);
        check(104, "0F00 2000", Other);
    }

    #[test]
    fn a_link_type_that_is_not_known_is_none() {
        for link_type in (0..400).filter(|link_type| !TYPES.contains(link_type)) {
            assert_eq!(Link::decode(link_type, &[0x45; 64]), None);
        }
    }

    #[test]
    fn cooked_captures_tell_the_direction() {
        for (kind, direction) in [(0, Direction::Inbound), (1, Direction::Inbound), (4, Direction::Outbound)]
        {
            let mut header = [0; 20];
            (header[1], header[10]) = (kind, kind);
            for link_type in [113, 276] {
                assert_eq!(Link::decode(link_type, &header).unwrap().direction, Some(direction));
            }
        }
    }

    #[test]
    fn cut_and_mangled_headers_are_no_reason_to_fail() {
        let seeds: [&[u8]; 4] = [
            &[0x81, 0, 0x88, 0x64, 8, 0, 0x81, 0],
            &[0xFF, 3, 0, 0x21],
            &[0x0F, 0, 0x81, 0, 0, 1, 0x88, 0x64],
            &[0, 0x21, 0x57],
        ];
        for seed in seeds {
            for (start, length) in (0..40).flat_map(|start| (0..40).map(move |length| (start, length))) {
                let data: Vec<u8> = seed.iter().copied().cycle().skip(start).take(length).collect();
                for link_type in TYPES {
                    let link = Link::decode(link_type, &data).unwrap();
                    assert!(data.ends_with(link.payload));
                }
            }
        }
    }
}
