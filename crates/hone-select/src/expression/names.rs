//! The names that expressions know.

use hone_packet::protocol::{ICMP, ICMPV6 as ICMP6, SCTP, TCP, UDP};

/// Protocols that may stand for themselves.
const PROTOCOLS: [(&str, u8); 12] = [
    ("icmp", ICMP),
    ("igmp", 2),
    ("tcp", TCP),
    ("udp", UDP),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", ICMP6),
    ("pim", 103),
    ("vrrp", 112),
    ("sctp", SCTP),
    ("igrp", 9),
];
/// What begins a condition of the link layer.
pub(super) const LINK_LAYER: [&str; 17] = [
    "ether", "vlan", "mpls", "arp", "rarp", "wlan", "fddi", "tr", "gateway", "link", "pppoed", "pppoes",
    "geneve", "llc", "stp", "decnet", "atalk",
];
/// Names of offsets and of values.
const NAMES: [(&str, u32); 24] = [
    ("tcpflags", 13),
    ("icmptype", 0),
    ("icmpcode", 1),
    ("icmp6type", 0),
    ("icmp6code", 1),
    ("tcp-fin", 0x01),
    ("tcp-syn", 0x02),
    ("tcp-rst", 0x04),
    ("tcp-push", 0x08),
    ("tcp-ack", 0x10),
    ("tcp-urg", 0x20),
    ("tcp-ece", 0x40),
    ("tcp-cwr", 0x80),
    ("icmp-echoreply", 0),
    ("icmp-unreach", 3),
    ("icmp-redirect", 5),
    ("icmp-echo", 8),
    ("icmp-timxceed", 11),
    ("icmp6-destinationrunreach", 1),
    ("icmp6-packettoobig", 2),
    ("icmp6-timeexceeded", 3),
    ("icmp6-echo", 128),
    ("icmp6-echoreply", 129),
    ("icmp6-neighborsolicit", 135),
];

/// The number of a protocol that may stand for itself.
pub(super) fn protocol_number(name: &str) -> Option<u8> {
    PROTOCOLS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The number that a name of an offset or of a value stands for.
pub(super) fn named_number(name: &str) -> Option<u32> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
