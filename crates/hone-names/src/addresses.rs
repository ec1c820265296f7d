//! By which name an address is known, from the answers that were received.

use std::net::IpAddr;
use std::sync::Arc;

use crate::recent::Recent;

/// Most addresses, and most names of each.
const MAX_ADDRESSES: usize = 1 << 16;
const MAX_NAMES: usize = 4;
/// How long an address keeps its name at least, nanoseconds: programs use addresses longer than their time to live says.
const GRACE: u64 = 3600 * 1_000_000_000;

/// A name of an address.
#[derive(Debug)]
struct Lookup {
    process: Option<u32>,
    name: Arc<str>,
    until: u64,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Addresses(Recent<IpAddr, Vec<Lookup>>);

impl Addresses {
    pub(crate) fn new() -> Self {
        Self(Recent::new(MAX_ADDRESSES))
    }

    /// A process has received an answer: the address has this name for `ttl` seconds.
    pub(crate) fn note(
        &mut self,
        address: IpAddr,
        process: Option<u32>,
        name: &Arc<str>,
        nanos: u64,
        ttl: u32,
    ) {
        let until = nanos.saturating_add((u64::from(ttl) * 1_000_000_000).max(GRACE));
        let lookup = Lookup { process, name: Arc::clone(name), until };
        match self.0.get(&address) {
            Some(lookups) => {
                lookups.retain(|known| known.process != process);
                lookups.truncate(MAX_NAMES - 1);
                lookups.insert(0, lookup);
            }
            None => self.0.insert(address, vec![lookup]),
        }
    }

    /// The name by which a process has last looked the address up; else, by which another one has.
    pub(crate) fn name(&mut self, address: IpAddr, process: Option<u32>, nanos: u64) -> Option<&Arc<str>> {
        let lookups = self.0.get(&address)?;
        let current = || lookups.iter().filter(|lookup| lookup.until >= nanos);
        let own = current().find(|lookup| process.is_some() && lookup.process == process);
        own.or_else(|| current().next()).map(|lookup| &lookup.name)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_an_address_by_the_name_that_it_looked_up() {
        let mut table = Addresses::new();
        let address = IpAddr::from([192, 0, 2, 1]);
        let second = 1_000_000_000;
        table.note(address, Some(1), &"a.example".into(), 0, 60);
        table.note(address, Some(2), &"b.example".into(), second, 60);
        let name = |table: &mut Addresses, process, at| {
            table.name(address, process, at * second).map(ToString::to_string)
        };
        assert_eq!(name(&mut table, Some(1), 2).as_deref(), Some("a.example"));
        assert_eq!(name(&mut table, Some(2), 2).as_deref(), Some("b.example"));
        assert_eq!(
            name(&mut table, Some(3), 2).as_deref(),
            Some("b.example"),
            "the last one that was looked up"
        );
        assert_eq!(
            name(&mut table, Some(1), 3599).as_deref(),
            Some("a.example"),
            "longer than the time to live"
        );
        assert_eq!(name(&mut table, Some(1), 4000), None);
        assert_eq!(table.name([192, 0, 2, 2].into(), Some(1), 0), None);
    }
}
