//! Addresses as text. The packets of a connection come together, so the texts of the last addresses are kept.

use std::net::{IpAddr, Ipv4Addr};

/// How many are kept.
const KEPT: usize = 1024;

/// Writes addresses.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Each at the place that its bytes say.
    kept: Vec<(IpAddr, String)>,
}

impl Addresses {
    /// The text of an address.
    pub(super) fn text(&mut self, address: IpAddr) -> &str {
        if self.kept.is_empty() {
            let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            self.kept.resize_with(KEPT, || (none, none.to_string()));
        }
        let add = |place: usize, octet: &u8| place.wrapping_mul(31).wrapping_add(usize::from(*octet));
        let place = match address {
            IpAddr::V4(address) => address.octets().iter().fold(0, add),
            IpAddr::V6(address) => address.octets().iter().fold(0, add),
        };
        let (kept, text) = &mut self.kept[place % KEPT];
        if *kept != address {
            (*kept, *text) = (address, address.to_string());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn an_address_has_its_text_whichever_was_written_before() {
        let mut addresses = Addresses::default();
        let six = (0..1000_u128).map(|number| IpAddr::V6(Ipv6Addr::from_bits((number << 64) | (number % 7))));
        let four = ["0.0.0.0", "10.0.0.1", "255.255.255.255", "192.168.100.7"];
        let four = four.map(|text| text.parse::<IpAddr>().unwrap());
        let special = ["::", "::1", "::ffff:192.0.2.1", "fe80::1", "2001:db8::ffff:0:1"];
        let special = special.map(|text| text.parse::<IpAddr>().unwrap());
        for _ in 0..2 {
            for address in six.clone().chain(four).chain(special) {
                assert_eq!(addresses.text(address), address.to_string());
            }
        }
    }
}
