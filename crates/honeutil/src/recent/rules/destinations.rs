//! A list of addresses and networks in a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;

use hone_select::{Network, NetworkError};

use crate::text::{printable, shown_path};

/// Most bytes of the file,
const MAX_BYTES: u64 = 16 << 20;
/// and most entries: 8 MiB of memory.
const MAX_ENTRIES: usize = 262_144;
/// Characters of a line that are shown.
const SHOWN: usize = 60;

/// Addresses, as ranges in order that do not overlap. IPv4 addresses are those that IPv6 maps them to.
#[derive(Debug, Default)]
pub struct Destinations {
    ranges: Vec<(u128, u128)>,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file cannot be read.
    #[error("cannot read {name}: {source}")]
    Read {
        /// Its path, fit to be shown.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{name} has no address: each line is an address or ADDRESS/BITS, and # begins a comment")]
    Empty {
        /// Its path, fit to be shown.
        name: String,
    },
    /// There is too much in it.
    #[error("{name} is too long: at most {MAX_ENTRIES} addresses and networks, and 16 MiB")]
    TooLong {
        /// Its path, fit to be shown.
        name: String,
    },
    /// A line is wrong.
    #[error("{name}, line {line}: {found:?} {problem}; # begins a comment")]
    Line {
        /// Its path, fit to be shown.
        name: String,
        /// Its number, from 1 on.
        line: usize,
        /// What is there.
        found: String,
        /// What must be there.
        problem: NetworkError,
    },
}

impl Destinations {
    /// Reads a list: an address or a network a line.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn read(path: &Path) -> Result<Self, ListError> {
        let name = shown_path(path);
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|source| ListError::Read { name: name.clone(), source })?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ListError::TooLong { name });
        }
        Self::parse(&String::from_utf8_lossy(&bytes), &name)
    }

    /// The list that this text is. `name`: that of its file, for errors.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn parse(text: &str, name: &str) -> Result<Self, ListError> {
        let mut ranges = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            let network: Network = entry.parse().map_err(|problem| ListError::Line {
                name: name.to_owned(),
                line: index + 1,
                found: printable(entry, SHOWN),
                problem,
            })?;
            if ranges.len() == MAX_ENTRIES {
                return Err(ListError::TooLong { name: name.to_owned() });
            }
            ranges.push(range(network));
        }
        if ranges.is_empty() {
            return Err(ListError::Empty { name: name.to_owned() });
        }
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let is_inside = next.0 <= before.1;
            if is_inside {
                before.1 = before.1.max(next.1);
            }
            is_inside
        });
        Ok(Self { ranges })
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).is_some_and(|index| number <= self.ranges[index].1)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .to_bits()
}

fn range(network: Network) -> (u128, u128) {
    let width = if network.address().is_ipv4() { 32 } else { 128 };
    // All ones where its addresses differ.
    let rest = u128::MAX.checked_shr(128 - (width - u32::from(network.bits()))).unwrap_or(0);
    let number = number(network.address());
    (number & !rest, number | rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_of_both_families_are_found() {
        let text = "# bad ones\n192.0.2.1\n192.0.2.0/30 # a network around it\n\n198.51.100.7\r\n2001:db8::/32\n::1\n";
        let list = Destinations::parse(text, "list").unwrap();
        assert_eq!(list.ranges.len(), 4);
        for (address, is_there) in [
            ("192.0.2.0", true),
            ("192.0.2.3", true),
            ("192.0.2.4", false),
            ("198.51.100.7", true),
            ("198.51.100.6", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::", false),
            ("::ffff:192.0.2.1", true),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), is_there, "{address}");
        }
        let all = Destinations::parse("0.0.0.0/0\n", "list").unwrap();
        assert!(all.contains("255.255.255.255".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        assert!(Destinations::parse("::/0", "list").unwrap().contains("ffff::".parse().unwrap()));
    }

    #[test]
    fn an_error_names_file_and_line() {
        let error = |text: &str| Destinations::parse(text, "bad.txt").unwrap_err().to_string();
        let text = error("# hosts\n192.0.2.1\nexample.com\n");
        assert!(
            text.starts_with("bad.txt, line 3: \"example.com\" must be an IPv4 or IPv6 address"),
            "{text}"
        );
        assert!(error("# nothing\n").contains("bad.txt has no address"));
        assert!(error(&"10.0.0.1\n".repeat(MAX_ENTRIES + 1)).contains("too long"));
    }
}
