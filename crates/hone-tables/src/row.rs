//! The rows. A field is a column of the same name, unless it says which columns it becomes.
//!
//! Times are nanoseconds since 1970-01-01 UTC. Texts are UTF-8; bytes of a recording that are not are replaced by U+FFFD.

use std::borrow::Cow;
use std::net::IpAddr;

use hone_types::Direction;

use crate::uid::Run;

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// [`ProcessRow`].
    Processes,
    /// [`ConnectionRow`].
    Connections,
    /// [`PacketRow`].
    Packets,
    /// [`NameRow`].
    Names,
    /// [`SectionRow`].
    Sections,
}

/// A program that a process ran. An exec ends one row and begins another, with the same process id. A process that goes
/// on in a later section has a row in each, with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow<'a> {
    /// Unique over hosts and time: [`uid::run`](crate::uid::run), or [`uid::process`](crate::uid::process) without a boot or a
    /// `run`.
    pub process_uid: &'a str,
    /// The program that the parent ran when this one began; none if no event describes the parent.
    pub parent_uid: Option<&'a str>,
    /// The host's id: a GUID, or the name that its administrator chose; or the file's name if the recording has neither.
    pub host: &'a str,
    /// The id of the host's boot; none in recordings that do not name it.
    pub boot: Option<&'a str>,
    /// The process id.
    pub pid: u32,
    /// The parent's process id when this program began.
    pub parent_pid: Option<u32>,
    /// When it began this program, by a fork or an exec; none if only packets name the process. Column `started`.
    pub start: Option<u64>,
    /// When it ended, or began the next program; none if it still ran at the section's end, or the end is unknown. Column
    /// `ended`.
    pub end: Option<u64>,
    /// How it ended. Column `ended_by`: `exit`, `exec`, or `other process` if its process id was used again and its end
    /// was not recorded.
    pub ended_by: Option<End>,
    /// The last time of the section up to which it is known: its end, or the latest event when the row was made. Its
    /// day is the row's partition.
    pub seen: Option<u64>,
    /// The last part of the path. Empty if unknown.
    pub name: Cow<'a, str>,
    /// The executable. Empty if unknown.
    pub path: Cow<'a, str>,
    /// The arguments, with the program's name first. Column: a JSON array as text. None if not recorded.
    pub args: Option<&'a [Cow<'a, str>]>,
    /// The command line: on Windows as it was given, elsewhere the arguments quoted as a shell needs them.
    pub command_line: Option<&'a str>,
    /// The effective user's number; on Windows none.
    pub user_id: Option<u32>,
    /// The user's name; none if unknown.
    pub user_name: Option<Cow<'a, str>>,
    /// (Windows) The user's security identifier.
    pub security_id: Option<&'a str>,
    /// The effective group's number.
    pub group_id: Option<u32>,
    /// The group's name; none if unknown.
    pub group_name: Option<Cow<'a, str>>,
    /// The container's id or name.
    pub container: Option<Cow<'a, str>>,
    /// The systemd unit.
    pub unit: Option<Cow<'a, str>>,
    /// The inode number of the network namespace.
    pub network_namespace: Option<u32>,
    /// The process id in the process's own process id namespace, where that is not the host's.
    pub namespace_pid: Option<u32>,
    /// The SHA-256 of the executable, in hexadecimal; none if it is not known, or if executables were not hashed.
    pub sha256: Option<&'a str>,
    /// Why the hash is not known, as words; none if executables were not hashed.
    pub no_hash: Option<&'static str>,
    /// Which program of the boot it is, as the kernel knows it; none of Windows, and in recordings that do not have it.
    /// Columns `born_ns`, `executions`.
    pub run: Option<Run>,
}

/// How a [`ProcessRow`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process ended.
    Exit,
    /// It began another program.
    Exec,
    /// Another process has its id now; its end was not recorded.
    OtherProcess,
}

impl End {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Exec => "exec",
            Self::OtherProcess => "other process",
        }
    }
}

/// An address, with its port if the protocol has ports and the packet had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

/// What one process exchanged with one remote end by one connection, as far as a section has it. A TCP connection of one
/// process is one row a section. A datagram socket has one row for each remote end, and a shared socket one for each
/// process. So sums over `connection_uid` are those of the connection.
///
/// Packets that name no connection (of other programs' recordings, forwarded ones, of the kernel) are grouped by their
/// addresses, ports and protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow<'a> {
    /// Unique over hosts and time: [`uid::connection`](crate::uid::connection), or [`uid::flow`](crate::uid::flow) if
    /// there is no `connection_id`.
    pub connection_uid: &'a str,
    /// The host's id, as in [`ProcessRow`].
    pub host: &'a str,
    /// The id of the host's boot.
    pub boot: Option<&'a str>,
    /// The number that the kernel gave it, unique within a boot; none for packets without a connection.
    pub connection_id: Option<u64>,
    /// The program that the process ran at its first packet, or when it opened the connection.
    pub process_uid: Option<&'a str>,
    /// The process id; none if nobody is known to have it.
    pub pid: Option<u32>,
    /// The last part of the executable's path.
    pub process_name: Option<Cow<'a, str>>,
    /// When the connection was opened; one older than the recorder has the time at which it was found.
    pub opened: Option<u64>,
    /// When it was closed.
    pub closed: Option<u64>,
    /// The first packet of the row. Column `first_packet`.
    pub first: Option<u64>,
    /// The last packet of the row. Column `last_packet`.
    pub last: Option<u64>,
    /// The number of the transport protocol. Column `transport` has its word. None without packets.
    pub protocol: Option<u8>,
    /// This host's end. Columns `local_address`, `local_port`.
    pub local: Option<Endpoint>,
    /// The other end. Columns `remote_address`, `remote_port`. For packets whose direction is unknown, the receiver of
    /// the first packet.
    pub remote: Option<Endpoint>,
    /// Which side began. Column `initiated`: `local` or `remote`.
    pub is_local_initiated: Option<bool>,
    /// How this is known. Column `initiated_by`: `syn` or `first packet`.
    pub initiated_by: Option<Evidence>,
    /// Packets that this host sent.
    pub packets_out: u64,
    /// Packets that this host received.
    pub packets_in: u64,
    /// Their bytes on the wire, with all headers that were recorded.
    pub bytes_out: u64,
    /// Their bytes on the wire, with all headers that were recorded.
    pub bytes_in: u64,
    /// Of these packets, those that were recorded without a process, as the last ones of a connection are.
    pub packets_unowned: u64,
    /// Of these bytes, those of packets without a process.
    pub bytes_unowned: u64,
    /// The name of the server's end: that for which the client asked, or the name by which the process knows the remote
    /// address from an earlier answer of DNS.
    pub name: Option<&'a str>,
    /// Where the name is from, as a word: `tls`, `quic`, `http` or `dns`.
    pub name_source: Option<&'static str>,
    /// The Community ID of the flow; none without packets, or where a packet was cut before its ports.
    pub community_id: Option<&'a str>,
    /// How the first packet that has a process got it, as words; none if none has one.
    pub how: Option<&'static str>,
    /// Why the last packet without a process has none, as words.
    pub no_process: Option<&'static str>,
    /// Why the row is complete. Column `state`.
    pub state: State,
}

/// Why a [`ConnectionRow`] was made. More of the same connection may follow in another row, unless it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The connection was closed.
    Closed,
    /// The section ended: the connection may go on in a later one.
    SectionEnd,
    /// Nothing was sent for a while by packets without a connection: the next one begins another row.
    Silent,
    /// There was no room for more rows in memory.
    NoRoom,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::SectionEnd => "section end",
            Self::Silent => "silent",
            Self::NoRoom => "no room",
        }
    }
}

/// What shows which side began a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The SYN of TCP, or its answer, was recorded.
    Syn,
    /// Only that the first recorded packet went this way.
    FirstPacket,
}

impl Evidence {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::FirstPacket => "first packet",
        }
    }
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketRow<'a> {
    /// When it was sent or received; none in simple packet blocks.
    pub time: Option<u64>,
    /// The host's id, as in [`ProcessRow`].
    pub host: &'a str,
    /// The id of the host's boot.
    pub boot: Option<&'a str>,
    /// The connection or flow, as in [`ConnectionRow`]; none if its headers were not recorded or are malformed.
    pub connection_uid: Option<&'a str>,
    /// The program of its process.
    pub process_uid: Option<&'a str>,
    /// The process id.
    pub pid: Option<u32>,
    /// The thread; only other programs' recordings have it.
    pub thread: Option<u32>,
    /// Its number among the packets of the file, from 1 on: `frame.number` of Wireshark.
    pub frame: u64,
    /// The interface's number in the section.
    pub interface: u32,
    /// `out` or `in`.
    pub direction: Option<Direction>,
    /// The number of the transport protocol. Column `transport` has its word.
    pub protocol: Option<u8>,
    /// The sender. Columns `source_address`, `source_port`.
    pub source: Option<Endpoint>,
    /// The receiver. Columns `destination_address`, `destination_port`.
    pub destination: Option<Endpoint>,
    /// Bytes on the wire.
    pub length: u32,
    /// Bytes that were recorded.
    pub captured: u32,
    /// The flags byte of the TCP header.
    pub tcp_flags: Option<u8>,
    /// How its process is known, or why it has none, as words; none in other programs' recordings.
    pub how: Option<&'static str>,
    /// Whether a later correction of the recording changed its process.
    pub is_corrected: bool,
}

/// A name that a process asked for or connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRow<'a> {
    /// The time of the packet that completed it.
    pub time: Option<u64>,
    /// The host's id, as in [`ProcessRow`].
    pub host: &'a str,
    /// The id of the host's boot.
    pub boot: Option<&'a str>,
    /// The program of the process that asked.
    pub process_uid: Option<&'a str>,
    /// The process id.
    pub pid: Option<u32>,
    /// The connection by which it asked.
    pub connection_uid: Option<&'a str>,
    /// Where the name was found.
    pub kind: NameKind,
    /// The name, in lower case; none if the message has none. It is that of a DNS question, of the TLS or QUIC server, or of the HTTP host.
    pub name: Option<&'a str>,
    /// The type of a DNS question, as text: `A`, `AAAA`, `TYPE65280`.
    pub question_type: Option<&'a str>,
    /// The response code of a DNS answer, as text: `NOERROR`, `NXDOMAIN`; none for a question.
    pub response_code: Option<&'a str>,
    /// The data of the answers. Column: a JSON array as text.
    pub answers: &'a [Cow<'a, str>],
    /// The shortest time to live of the answers, seconds.
    pub ttl: Option<u32>,
    /// The first protocol that the client offers by ALPN.
    pub alpn: Option<&'a str>,
    /// The highest TLS version that the client offers: `1.3`.
    pub version: Option<&'a str>,
    /// The JA4 fingerprint of the client.
    pub ja4: Option<&'a str>,
    /// Whether the hello is sealed in another one: the name is then a public name of who serves it.
    pub is_encrypted: bool,
    /// Whether some of the message was not captured, so that names may be missing.
    pub is_cut: bool,
}

/// Where a name was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A question or answer of DNS.
    Dns,
    /// A client hello of TLS over TCP.
    Tls,
    /// A client hello of TLS in QUIC.
    Quic,
    /// A clear-text request of HTTP.
    Http,
}

impl NameKind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Http => "http",
        }
    }
}

/// A section of a recording: what one host recorded without a break. Comes after all rows of the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionRow<'a> {
    /// The host's id, as in [`ProcessRow`].
    pub host: &'a str,
    /// The id of the host's boot.
    pub boot: Option<&'a str>,
    /// The input's name, as it was given.
    pub input: &'a str,
    /// The program that wrote it.
    pub application: Option<Cow<'a, str>>,
    /// The operating system.
    pub os: Option<Cow<'a, str>>,
    /// The hardware.
    pub hardware: Option<Cow<'a, str>>,
    /// The first packet. Column `first_packet`.
    pub first: Option<u64>,
    /// The last packet. Column `last_packet`.
    pub last: Option<u64>,
    /// The packets of the rows.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets that were lost before they were recorded, of the section's statistics; none without these.
    pub dropped: Option<u64>,
    /// Packets without a process. Column `unowned`.
    pub unowned: u64,
    /// Their number for each reason, as words; reasons without packets are left out. Column `unowned_reasons`: a JSON
    /// object as text.
    pub unowned_reasons: &'a [(&'static str, u64)],
}

/// Gets the rows of a recording, each when it is complete. What is not wanted stays without effect.
///
/// A row comes after its section has begun and before its [`SectionRow`]. A process's row comes when the process ends, so
/// after rows that name its `process_uid`.
pub trait Rows {
    /// Why rows cannot be taken. The reading stops then.
    type Error;

    /// Whether rows of a table are wanted at all. Those of others are not made, which saves time.
    fn wants(&self, table: Table) -> bool;

    /// An input begins. All rows up to the next call are of it.
    ///
    /// # Errors
    /// As the implementation says.
    fn input(&mut self, name: &str) -> Result<(), Self::Error> {
        let _ = name;
        Ok(())
    }

    /// A row of [`Table::Processes`].
    ///
    /// # Errors
    /// As the implementation says.
    fn process(&mut self, row: &ProcessRow<'_>) -> Result<(), Self::Error> {
        let _ = row;
        Ok(())
    }

    /// A row of [`Table::Connections`].
    ///
    /// # Errors
    /// As the implementation says.
    fn connection(&mut self, row: &ConnectionRow<'_>) -> Result<(), Self::Error> {
        let _ = row;
        Ok(())
    }

    /// A row of [`Table::Packets`].
    ///
    /// # Errors
    /// As the implementation says.
    fn packet(&mut self, row: &PacketRow<'_>) -> Result<(), Self::Error> {
        let _ = row;
        Ok(())
    }

    /// A row of [`Table::Names`].
    ///
    /// # Errors
    /// As the implementation says.
    fn name(&mut self, row: &NameRow<'_>) -> Result<(), Self::Error> {
        let _ = row;
        Ok(())
    }

    /// A row of [`Table::Sections`].
    ///
    /// # Errors
    /// As the implementation says.
    fn section(&mut self, row: &SectionRow<'_>) -> Result<(), Self::Error> {
        let _ = row;
        Ok(())
    }
}
