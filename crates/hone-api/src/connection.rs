//! Open connections. A reader sends this list to a service that did not run yet when the connections were opened.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hone_types::Family;

use crate::layout::{Bytes, layout};
use crate::{Allowed, List, OriginalConnection};

/// `AF_INET`.
const V4: u8 = 2;
/// `AF_INET6` of Windows. Linux's own number is another one.
const V6: u8 = 23;

/// The address family as Windows numbers it. All systems use these numbers, because the original's records have them.
const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => V4,
        Family::V6 => V6,
    }
}

/// Bits of [`ConnectionRecord::known`].
mod known {
    pub(super) const LOCAL: u8 = 1;
    pub(super) const REMOTE: u8 = 2;
    pub(super) const CONNECTION: u8 = 4;
    pub(super) const PROCESS_START: u8 = 8;
    pub(super) const ALL: u8 = LOCAL | REMOTE | CONNECTION | PROCESS_START;
}

layout! {
    /// One open connection with its full tuple: Hone's own record. [`OpenConnection`] is the checked form.
    pub struct ConnectionRecord, 72 bytes {
        /// Address family, in Windows' numbers: 2 IPv4, 23 IPv6.
        [0] family: u8,
        /// Protocol number.
        [1] protocol: u8,
        /// Which of the fields below have a value: bit 0 `local`, bit 1 `remote` and `remote_port`, bit 2 `connection`,
        /// bit 3 `process_start`. A field without a value may have any content. The other bits are 0.
        [2] known: u8,
        /// Zero.
        [3] reserved: u8,
        /// Owner's process id.
        [4] process: u32,
        /// Local port, as a number.
        [8] local_port: u16,
        /// Remote port, as a number.
        [10] remote_port: u16,
        /// Zero.
        [12] reserved_too: u32,
        /// Local address in network order; an IPv4 address takes the first four bytes.
        [16] local: [u8; 16],
        /// Remote address, likewise.
        [32] remote: [u8; 16],
        /// When it was opened, nanoseconds since 1970-01-01 UTC; 0: not known.
        [48] opened: u64,
        /// Connection id.
        [56] connection: u64,
        /// When the owner started, by the sensor's own clock. Distinguishes it from another process with the same id.
        [64] process_start: u64,
    }
}

/// An open connection. All its values were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenConnection {
    /// IP version.
    pub family: Family,
    /// Protocol number. Every number is allowed.
    pub protocol: u8,
    /// Local port; 0 in protocols that have none.
    pub local_port: u16,
    /// Local address, if known. It belongs to `family`.
    pub local: Option<IpAddr>,
    /// Remote address and port, if there is one and it is known. It belongs to `family`.
    pub remote: Option<SocketAddr>,
    /// Connection id, where known.
    pub connection: Option<u64>,
    /// Owner's process id.
    pub process: u32,
    /// When the owner started, by the sensor's own clock, where known.
    pub process_start: Option<u64>,
    /// When it was opened, nanoseconds since 1970-01-01 UTC; 0: not known.
    pub opened: u64,
}

/// What is wrong with a record: the part, its offset in the record, its value, and what is allowed.
pub(crate) type Flaw = (&'static str, usize, u64, Allowed);

fn family(number: u8, at: usize) -> Result<Family, Flaw> {
    match number {
        V4 => Ok(Family::V4),
        V6 => Ok(Family::V6),
        _ => Err(("address family", at, number.into(), Allowed::OneOf("2 (IPv4), 23 (IPv6)"))),
    }
}

fn address(family: Family, bytes: [u8; 16]) -> IpAddr {
    match (family, bytes) {
        (Family::V4, [a, b, c, d, ..]) => Ipv4Addr::new(a, b, c, d).into(),
        (Family::V6, bytes) => Ipv6Addr::from(bytes).into(),
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

impl OpenConnection {
    pub(crate) fn of_original(record: &OriginalConnection) -> Result<Self, Flaw> {
        Ok(Self {
            family: family(record.family, 2)?,
            protocol: record.protocol,
            local_port: record.local_port,
            local: None,
            remote: None,
            connection: None,
            process: record.process,
            process_start: None,
            opened: record.opened_nanos(),
        })
    }

    pub(crate) fn of_record(record: &ConnectionRecord) -> Result<Self, Flaw> {
        let family = family(record.family, 0)?;
        if record.known & !known::ALL != 0 {
            return Err((
                "set of known fields",
                2,
                record.known.into(),
                Allowed::Range(0, known::ALL.into()),
            ));
        }
        for (at, value) in [(3, record.reserved.into()), (12, u64::from(record.reserved_too))] {
            if value != 0 {
                return Err(("reserved field", at, value, Allowed::Range(0, 0)));
            }
        }
        let is_known = |bit| record.known & bit != 0;
        Ok(Self {
            family,
            protocol: record.protocol,
            local_port: record.local_port,
            local: is_known(known::LOCAL).then(|| address(family, record.local)),
            remote: is_known(known::REMOTE)
                .then(|| SocketAddr::new(address(family, record.remote), record.remote_port)),
            connection: is_known(known::CONNECTION).then_some(record.connection),
            process: record.process,
            process_start: is_known(known::PROCESS_START).then_some(record.process_start),
            opened: record.opened,
        })
    }

    /// The connection's record. Unknown fields are zero. An address of another family than [`family`](Self::family) is
    /// written as unknown.
    #[must_use]
    pub fn record(&self) -> ConnectionRecord {
        let fits = |address: &IpAddr| address.is_ipv4() == (self.family == Family::V4);
        let local = self.local.filter(fits);
        let remote = self.remote.filter(|remote| fits(&remote.ip()));
        let bit = |bit: u8, known: bool| if known { bit } else { 0 };
        ConnectionRecord {
            family: number(self.family),
            protocol: self.protocol,
            known: bit(known::LOCAL, local.is_some())
                | bit(known::REMOTE, remote.is_some())
                | bit(known::CONNECTION, self.connection.is_some())
                | bit(known::PROCESS_START, self.process_start.is_some()),
            reserved: 0,
            process: self.process,
            local_port: self.local_port,
            remote_port: remote.map_or(0, |remote| remote.port()),
            reserved_too: 0,
            local: local.map_or([0; 16], octets),
            remote: remote.map_or([0; 16], |remote| octets(remote.ip())),
            opened: self.opened,
            connection: self.connection.unwrap_or(0),
            process_start: self.process_start.unwrap_or(0),
        }
    }

    /// The connection as the original's record describes it: family, protocol and local port.
    #[must_use]
    pub const fn original(&self) -> OriginalConnection {
        OriginalConnection {
            local_port: self.local_port,
            family: number(self.family),
            protocol: self.protocol,
            process: self.process,
            opened: OriginalConnection::filetime(self.opened),
        }
    }
}

/// A list of open connections in which every record was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenConnections<'a> {
    /// In the original's records.
    Original(List<'a, OriginalConnection>),
    /// In Hone's own records.
    Full(List<'a, ConnectionRecord>),
}

impl<'a> OpenConnections<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Original(records) => records.len(),
            Self::Full(records) => records.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The connections, in order. Skips invalid records; a parsed list has none.
    pub fn iter(&self) -> impl Iterator<Item = OpenConnection> + Clone + use<'a> {
        self.checked().filter_map(Result::ok)
    }

    fn checked(&self) -> impl Iterator<Item = Result<OpenConnection, Flaw>> + Clone + use<'a> {
        let (original, full) = match *self {
            Self::Original(records) => (records, List::EMPTY),
            Self::Full(records) => (List::EMPTY, records),
        };
        let original = original.iter().map(|record| OpenConnection::of_original(&record));
        original.chain(full.iter().map(|record| OpenConnection::of_record(&record)))
    }

    /// The first invalid record, and what is wrong with it. Offsets count from the first record.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        let length = match self {
            Self::Original(_) => OriginalConnection::BYTES,
            Self::Full(_) => ConnectionRecord::BYTES,
        };
        self.checked().enumerate().find_map(|(index, result)| {
            result.err().map(|(what, at, value, allowed)| (what, index * length + at, value, allowed))
        })
    }
}
