//! The machine's open sockets and their processes: the list that the service takes, and a table for people.
//! `send-conns` uses both. The platform's module `open_connections` finds the sockets.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use hone_api::{Family, OpenConnection};
use hone_packet::protocol::{ICMP, ICMPV6, TCP, UDP, UDP_LITE};

/// A socket, and a process that has it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    /// The protocol's number.
    pub protocol: u8,
    /// Its local address; port 0 in protocols that have none.
    pub local: SocketAddr,
    /// Its remote address.
    pub remote: Option<SocketAddr>,
    /// The process.
    pub pid: u32,
    /// The process's name; empty if it has ended since.
    pub name: String,
}

/// The sockets that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenSockets {
    /// Each socket with each process that has it open.
    pub sockets: Vec<OpenSocket>,
    /// How many sockets belong to no process that was found.
    pub without_process: usize,
    /// How many processes could not be examined for lack of permission.
    pub unreadable: usize,
    /// How many network namespaces were examined; 0 where the system has none.
    pub namespaces: usize,
}

impl OpenSockets {
    /// The list that the service takes. An IPv6 socket without a local address also receives IPv4 packets, unless
    /// another socket has the same port. So it is listed for both.
    #[must_use]
    pub fn records(&self) -> Vec<OpenConnection> {
        let taken: BTreeSet<(u8, u16)> = self
            .sockets
            .iter()
            .filter(|socket| socket.local.is_ipv4())
            .map(|socket| (socket.protocol, socket.local.port()))
            .collect();
        let mut records = Vec::new();
        for socket in &self.sockets {
            let OpenSocket { protocol, local, remote, .. } = *socket;
            let record = |family, address: Option<std::net::IpAddr>, remote| OpenConnection {
                family,
                protocol,
                local_port: local.port(),
                local: address,
                remote,
                connection: None,
                process: socket.pid,
                process_start: None,
                opened: 0,
            };
            let family = Family::of(local.ip());
            let is_any = local.ip().is_unspecified();
            records.push(record(family, (!is_any).then_some(local.ip()), remote));
            if is_any && local.is_ipv6() && remote.is_none() && !taken.contains(&(protocol, local.port())) {
                records.push(record(Family::V4, None, None));
            }
        }
        records
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![["PROTOCOL", "LOCAL", "REMOTE", "PID", "PROCESS"].map(str::to_owned)];
        for socket in &self.sockets {
            let OpenSocket { protocol, local, remote, .. } = *socket;
            rows.push([
                protocol_name(protocol),
                shown(local),
                remote.map_or_else(|| "-".to_owned(), shown),
                socket.pid.to_string(),
                socket.name.clone(),
            ]);
        }
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut out = String::new();
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let _ = if column == 3 {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:width$}  ")
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Leaves out what is more than `most` records; returns how many these are. Records without a remote address stay
/// first, as each of them is for all connections of a local port.
pub fn leave_out(records: &mut Vec<OpenConnection>, most: usize) -> usize {
    let left_out = records.len().saturating_sub(most);
    if left_out > 0 {
        records.sort_by_key(|record| record.remote.is_some());
        records.truncate(most);
    }
    left_out
}

/// `*` for any address and any port.
fn shown(address: SocketAddr) -> String {
    let ip = match address {
        _ if address.ip().is_unspecified() => if address.is_ipv4() { "0.0.0.0" } else { "[::]" }.to_owned(),
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    if address.port() == 0 { format!("{ip}:*") } else { format!("{ip}:{}", address.port()) }
}

/// The usual name of a protocol.
fn protocol_name(protocol: u8) -> String {
    match protocol {
        ICMP => "icmp".to_owned(),
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        ICMPV6 => "icmpv6".to_owned(),
        UDP_LITE => "udplite".to_owned(),
        number => format!("ip/{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_records_those_for_a_whole_port_stay() {
        let socket = |port: u16, remote: Option<&str>| OpenSocket {
            protocol: TCP,
            local: SocketAddr::from(([10, 0, 0, 1], port)),
            remote: remote.map(|remote| remote.parse().expect("an address")),
            pid: 7,
            name: String::new(),
        };
        let connection = socket(80, Some("10.0.0.2:4000"));
        let sockets = vec![connection.clone(), connection, socket(80, None), socket(81, None)];
        let mut records = OpenSockets { sockets, ..OpenSockets::default() }.records();
        assert_eq!((leave_out(&mut records, 4), records.len()), (0, 4));
        assert_eq!(leave_out(&mut records, 3), 1);
        let kept: Vec<_> =
            records.iter().map(|record| (record.local_port, record.remote.is_some())).collect();
        assert_eq!(kept, [(80, false), (81, false), (80, true)]);
    }
}
