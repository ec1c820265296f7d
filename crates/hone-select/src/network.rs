//! Addresses and networks.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An address, or all addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a network is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// It is neither an address nor a network.
    NoNetwork,
    /// The address is not the first one of its network, so it is not clear which of both is meant. tcpdump refuses
    /// this, too.
    HostBits {
        /// The address that was given.
        address: IpAddr,
        /// The network that it is in.
        network: Network,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => {
                f.write_str("must be an IPv4 or IPv6 address, or ADDRESS/BITS with 0 to 32 or 0 to 128 bits")
            }
            Self::HostBits { address, network: Network { address: first, bits } } => write!(
                f,
                "{address}/{bits} has bits set behind the first {bits}: \
                 write {first}/{bits} for the network, or {address} for this address only"
            ),
        }
    }
}

impl core::error::Error for NetworkError {}

impl Network {
    /// The network with this first address.
    ///
    /// # Errors
    /// The address has fewer bits than `bits`, or others than these are set.
    pub fn strict(address: IpAddr, bits: u8) -> Result<Self, NetworkError> {
        let network = Self::new(address, bits).ok_or(NetworkError::NoNetwork)?;
        let first = network.first();
        if first == address {
            return Ok(network);
        }
        Err(NetworkError::HostBits { address, network: Self { address: first, bits } })
    }

    /// Its first address.
    fn first(&self) -> IpAddr {
        let bits = u32::from(self.bits);
        match self.address {
            IpAddr::V4(address) => {
                let mask = !u32::MAX.checked_shr(bits).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = !u128::MAX.checked_shr(bits).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }

    /// The network of the addresses that share the first `bits` bits with `address`; `None` if it does not have so
    /// many.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Its address, as it was given.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether all addresses of another network belong to it.
    #[must_use]
    pub fn contains_all_of(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
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
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::NoNetwork)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| NetworkError::NoNetwork)?,
            None => all,
        };
        Self::strict(address, bits)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

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
        let all_of = |network: &str, other: &str| {
            Network::from_str(network).unwrap().contains_all_of(&other.parse().unwrap())
        };
        assert!(all_of("10.0.0.0/8", "10.1.0.0/16") && !all_of("10.1.0.0/16", "10.0.0.0/8"));
        for refused in ["", "localhost", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "/8"] {
            assert_eq!(Network::from_str(refused), Err(NetworkError::NoNetwork), "{refused}");
        }
    }

    #[test]
    fn a_network_with_host_bits_is_refused_with_what_to_write() {
        for (refused, instead) in [
            ("10.0.0.1/8", "write 10.0.0.0/8 for the network, or 10.0.0.1 for"),
            ("192.0.2.255/31", "192.0.2.254/31"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "write 2001:db8::/32 for the network, or 2001:db8::1 for"),
            ("::1/127", "::/127"),
        ] {
            let error = Network::from_str(refused).unwrap_err().to_string();
            assert!(error.contains(instead), "{error}");
        }
        for taken in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.0.1/32", "::1/128", "2001:db8::/32"] {
            assert!(Network::from_str(taken).is_ok(), "{taken}");
        }
    }
}
