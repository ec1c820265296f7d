//! The open-connection list: the owners of connections that are older than the sensor. A program that sees the whole
//! host lists them and sends them with `send-conns`. Owns the list. Called by the engine, under the embedder's one
//! lock.

use core::net::IpAddr;

use hashbrown::HashMap;

use crate::{OpenListError, OutOfMemory, ProcessKey, fallible, tuple::Tuple};

pub use hone_types::Family;

/// One record of the open-connection list. It matches the packets that agree with all its fields, as long as the engine
/// knows its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenConnection {
    /// Version of the internet protocol. If the record has an address, the version of the address is used instead.
    pub family: Family,
    /// IANA's number, for example 6: TCP, 17: UDP.
    pub protocol: u8,
    /// This host's port.
    pub local_port: u16,
    /// This host's address; `None` or the unspecified address: any.
    pub local_address: Option<IpAddr>,
    /// Address and port of the other end; `None`, the unspecified address or port 0: any.
    pub remote: Option<(IpAddr, u16)>,
    /// The connection's owner; see [`Engine::process`](crate::Engine::process).
    pub process: ProcessKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    family: Family,
    protocol: u8,
    local_port: u16,
    local_address: Option<IpAddr>,
    remote: Option<(IpAddr, u16)>,
}

impl Key {
    /// The key of the packets that `record` matches. An IPv4 address that is mapped into IPv6 is stored as an IPv4
    /// address, as in [`Tuple`].
    fn of(record: &OpenConnection) -> Self {
        let specified = |address: &IpAddr| !address.is_unspecified();
        let local_address = record.local_address.map(|address| address.to_canonical()).filter(specified);
        let remote = record.remote.map(|(address, port)| (address.to_canonical(), port));
        let remote = remote.filter(|(address, port)| *port != 0 && specified(address));
        let address = local_address.or(remote.map(|(address, _)| address));
        let family = address.map_or(record.family, Family::of);
        Self { family, protocol: record.protocol, local_port: record.local_port, local_address, remote }
    }
}

/// An open-connection list, ready for look-ups. A shell makes it before it takes its lock, calls
/// [`Engine::exchange_open_connections`](crate::Engine::exchange_open_connections), and frees the former list after it
/// has unlocked the lock.
#[derive(Debug)]
pub struct OpenList {
    /// The owner for each key. `None`: records with this key name several processes, so the owner is not known.
    records: HashMap<Key, Option<ProcessKey>>,
}

impl OpenList {
    pub(crate) fn empty() -> Self {
        Self { records: HashMap::new() }
    }

    /// A list of `records`, at most `most`.
    ///
    /// # Errors
    /// There are more than `most` records, or there is no memory.
    pub fn new(records: &[OpenConnection], most: usize) -> Result<Self, OpenListError> {
        if records.len() > most {
            return Err(OpenListError::TooMany { most });
        }
        let mut list = HashMap::new();
        list.try_reserve(records.len()).map_err(OutOfMemory::from)?;
        for record in records {
            let key = Key::of(record);
            let known = list.get(&key).is_some_and(|&process| process != Some(record.process));
            fallible::insert(&mut list, key, (!known).then_some(record.process))?;
        }
        Ok(Self { records: list })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The owner of a packet, from the record that matches with the most fields.
    pub(crate) fn owner(&self, packet: &Tuple) -> Option<ProcessKey> {
        let Tuple { protocol, local, remote } = *packet;
        let key = |local_address, remote| {
            let (family, local_port) = (Family::of(local.0), local.1);
            Key { family, protocol, local_port, local_address, remote }
        };
        let keys = [
            key(Some(local.0), Some(remote)),
            key(None, Some(remote)),
            key(Some(local.0), None),
            key(None, None),
        ];
        keys.iter().find_map(|key| self.records.get(key)).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THEIRS: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 443);
    const PACKET: Tuple = Tuple { protocol: 6, local: (OURS, 5000), remote: THEIRS };

    fn record(local_address: Option<IpAddr>, remote: Option<(IpAddr, u16)>, pid: u32) -> OpenConnection {
        let process = ProcessKey { pid, start: 1 };
        OpenConnection { family: Family::V4, protocol: 6, local_port: 5000, local_address, remote, process }
    }

    fn owner(records: &[OpenConnection]) -> Option<u32> {
        let list = OpenList::new(records, 9).expect("there is memory");
        list.owner(&PACKET).map(|process| process.pid)
    }

    #[test]
    fn the_record_that_says_most_wins() {
        let records = [
            record(None, None, 1),
            record(Some(OURS), None, 2),
            record(None, Some(THEIRS), 3),
            record(Some(OURS), Some(THEIRS), 4),
        ];
        for count in 1..=4 {
            assert_eq!(owner(&records[..count]), u32::try_from(count).ok());
        }
    }

    #[test]
    fn what_a_record_says_must_agree() {
        let elsewhere = (THEIRS.0, 444);
        let v6 = OpenConnection { family: Family::V6, ..record(None, None, 1) };
        let udp = OpenConnection { protocol: 17, ..record(None, None, 1) };
        let port = OpenConnection { local_port: 5001, ..record(None, None, 1) };
        let records = [record(Some(THEIRS.0), None, 1), record(None, Some(elsewhere), 1), v6, udp, port];
        assert_eq!(owner(&records), None);
    }

    #[test]
    fn listings_way_of_saying_any_and_mapped_addresses_are_understood() {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(owner(&[record(Some(any), Some((any, 0)), 1)]), Some(1));
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let v6 = OpenConnection { family: Family::V6, ..record(Some(mapped), None, 1) };
        assert_eq!(owner(&[v6]), Some(1));
    }

    #[test]
    fn where_records_contradict_each_other_nobody_is_named() {
        assert_eq!(owner(&[record(None, None, 1), record(None, None, 1)]), Some(1));
        assert_eq!(owner(&[record(None, None, 1), record(None, None, 2)]), None);
        assert_eq!(owner(&[record(None, None, 1), record(None, None, 2), record(None, None, 2)]), None);
        assert_eq!(
            owner(&[record(None, None, 3), record(Some(OURS), None, 1), record(Some(OURS), None, 2)]),
            None
        );
    }

    #[test]
    fn a_list_too_long_is_refused() {
        let refused = OpenList::new(&[record(None, None, 2); 2], 1);
        assert_eq!(refused.err(), Some(OpenListError::TooMany { most: 1 }));
        assert!(OpenList::new(&[], 1).expect("there is memory").is_empty());
    }
}
