//! Which events are shown. An event must meet a condition of every kind that was given; of one kind, any one is enough.
//! An event without a value of a kind (a process event has no port) does not meet that kind.

use std::net::IpAddr;
use std::str::FromStr;

use super::event::{Event, Shown};
use super::expression::{Expression, Subject};
use crate::text::word;

/// The conditions. An empty list admits everything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Process ids.
    pub pids: Vec<u32>,
    /// File names of executables, or whole paths.
    pub names: Vec<String>,
    /// Users by name, number or security identifier.
    pub users: Vec<String>,
    /// The first characters of containers' ids or names.
    pub containers: Vec<String>,
    /// Connection ids.
    pub connections: Vec<u64>,
    /// Ports at either end.
    pub ports: Vec<u16>,
    /// Addresses at either end.
    pub hosts: Vec<Network>,
    /// The expression that packets must meet.
    pub expression: Option<Expression>,
}

impl Selection {
    /// Whether everything is shown.
    pub(crate) fn is_everything(&self) -> bool {
        self.of_processes() && self.connections.is_empty() && self.of_packets()
    }

    /// Whether only events with a process or a connection can be shown.
    pub(crate) fn needs_processes(&self) -> bool {
        !self.of_processes() || !self.connections.is_empty()
    }

    fn of_processes(&self) -> bool {
        self.pids.is_empty() && self.names.is_empty() && self.users.is_empty() && self.containers.is_empty()
    }

    fn of_packets(&self) -> bool {
        self.ports.is_empty() && self.hosts.is_empty() && self.expression.is_none()
    }

    /// Whether this event is shown.
    pub(crate) fn admits(&self, shown: &Shown<'_>) -> bool {
        (self.of_processes() || self.process(shown))
            && (self.connections.is_empty()
                || shown.connection().is_some_and(|id| self.connections.contains(&id)))
            && (self.of_packets() || self.packet(shown))
            && (self.is_everything() || !matches!(shown.event, Event::Section(_) | Event::Statistics(_)))
    }

    fn process(&self, shown: &Shown<'_>) -> bool {
        let name = |wanted: &String| {
            shown.process.is_some_and(|process| {
                !wanted.is_empty()
                    && [process.name(), &process.path].iter().any(|name| is_written(name, wanted))
            })
        };
        let user = |wanted: &String| {
            shown.process.is_some_and(|process| {
                (!process.user_name.is_empty() && is_written(&process.user_name, wanted))
                    || process.user.is_some_and(|user| wanted.parse() == Ok(user))
                    || (!wanted.is_empty() && is_written(process.security_id.as_bytes(), wanted))
            })
        };
        let container = |wanted: &String| {
            shown.process.is_some_and(|process| {
                process.container.starts_with(wanted.as_bytes())
                    || forms(&process.container, wanted).any(|form| form.starts_with(wanted.as_str()))
            })
        };
        (self.pids.is_empty() || shown.pid().is_some_and(|pid| self.pids.contains(&pid)))
            && (self.names.is_empty() || self.names.iter().any(name))
            && (self.users.is_empty() || self.users.iter().any(user))
            && (self.containers.is_empty() || self.containers.iter().any(container))
    }

    fn packet(&self, shown: &Shown<'_>) -> bool {
        let Event::Packet(packet) = &shown.event else { return false };
        // Nothing is known of the packet, so even `not port 53` is not met.
        if packet.undecoded {
            return false;
        }
        let headers = packet.headers;
        let has_port = |port| headers.and_then(|h| h.ports()).is_some_and(|ports| ports.contains(port));
        let has_host = |network: &Network| {
            headers.is_some_and(|headers| {
                network.contains(headers.source) || network.contains(headers.destination)
            })
        };
        (self.ports.is_empty() || self.ports.iter().any(has_port))
            && (self.hosts.is_empty() || self.hosts.iter().any(has_host))
            && self.expression.as_ref().is_none_or(|expression| {
                let link = u32::try_from(packet.link_length).unwrap_or(u32::MAX);
                expression.matches(&Subject {
                    ip: packet.ip,
                    headers,
                    length: packet.original_length.saturating_sub(link),
                    direction: packet.direction(),
                })
            })
    }
}

/// Whether a name equals the user's text, either as it is or as this program prints it.
fn is_written(name: &[u8], wanted: &str) -> bool {
    name == wanted.as_bytes() || forms(name, wanted).any(|form| form == wanted)
}

/// The printed forms of a name, in the text and in JSON strings, that `wanted` may be.
fn forms(name: &[u8], wanted: &str) -> impl Iterator<Item = String> {
    let word = wanted.contains('\\').then(|| word(name));
    let string =
        wanted.contains(char::REPLACEMENT_CHARACTER).then(|| String::from_utf8_lossy(name).into_owned());
    word.into_iter().chain(string)
}

/// An address, or all addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of the addresses that share the first `bits` bits with `address`; `None` if it does not have so
    /// many.
    pub(crate) fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether an address belongs to it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (differs, width) = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
            _ => return false,
        };
        differs.checked_shr(width - u32::from(self.bits)).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let network = || {
            let address: IpAddr = address.parse().ok()?;
            let all = if address.is_ipv4() { 32 } else { 128 };
            let bits = match bits {
                Some(bits) => bits.parse().ok()?,
                None => all,
            };
            Self::new(address, bits)
        };
        network().ok_or_else(|| {
            "must be an IPv4 or IPv6 address, or ADDRESS/BITS with 0 to 32 or 0 to 128 bits".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let contains = |network: &str, address: &str| {
            Network::from_str(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("192.0.2.1", "192.0.2.1") && !contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("192.0.2.0/24", "192.0.2.255") && !contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("0.0.0.0/0", "255.255.255.255") && !contains("0.0.0.0/0", "::"));
        assert!(
            contains("::/0", "ffff::")
                && contains("fe80::/10", "febf::1")
                && !contains("fe80::/10", "fec0::")
        );
        assert!(contains("::1", "::1") && !contains("::1", "::"));
        for refused in ["", "localhost", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "/8"] {
            assert!(Network::from_str(refused).unwrap_err().contains("ADDRESS/BITS"), "{refused}");
        }
    }
}
