//! Addresses and networks.

use core::net::IpAddr;
use core::str::FromStr;

/// An address, or all addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
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
    /// What it must be.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
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
        network().ok_or("must be an IPv4 or IPv6 address, or ADDRESS/BITS with 0 to 32 or 0 to 128 bits")
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
        let all_of = |network: &str, other: &str| {
            Network::from_str(network).unwrap().contains_all_of(&other.parse().unwrap())
        };
        assert!(all_of("10.0.0.0/8", "10.1.0.0/16") && !all_of("10.1.0.0/16", "10.0.0.0/8"));
        for refused in ["", "localhost", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "/8"] {
            assert!(Network::from_str(refused).unwrap_err().contains("ADDRESS/BITS"), "{refused}");
        }
    }
}
