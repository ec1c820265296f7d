//! The columns of each table, in their order: described once, for every format and for the documents.

use std::fmt::Write as _;

use hone_types::Direction;

use crate::row::{ConnectionRow, Endpoint, NameRow, PacketRow, ProcessRow, SectionRow, Table};

/// Changes when a column changes its name, its type or its meaning, or is removed. A new column comes last and does not
/// change it.
pub const SCHEMA_VERSION: u32 = 1;

/// What a column contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// A whole number, 64 bits with a sign.
    Int,
    /// True or false.
    Bool,
    /// A time in UTC, microseconds. The next column has it in nanoseconds.
    Time,
}

impl Kind {
    /// Its name in the documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "int64",
            Self::Bool => "boolean",
            Self::Time => "timestamp",
        }
    }
}

/// A column. Each can be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it contains.
    pub kind: Kind,
}

/// Takes the values of a row, one after the other, in the order of its columns.
pub trait Values {
    /// A text.
    fn text(&mut self, value: Option<&str>);
    /// A number. What does not fit is null.
    fn int(&mut self, value: Option<i64>);
    /// True or false.
    fn bool(&mut self, value: Option<bool>);
    /// A time in microseconds since 1970-01-01 UTC.
    fn micros(&mut self, value: Option<i64>);

    /// An unsigned number.
    fn unsigned(&mut self, value: Option<u64>) {
        self.int(value.and_then(|value| i64::try_from(value).ok()));
    }

    /// An id of 64 bits: its bits as a number with a sign.
    fn id(&mut self, value: Option<u64>) {
        self.int(value.map(u64::cast_signed));
    }

    /// Both columns of a time in nanoseconds.
    fn time(&mut self, value: Option<u64>) {
        let nanos = value.and_then(|value| i64::try_from(value).ok());
        self.micros(nanos.map(|nanos| nanos / 1000));
        self.int(nanos);
    }
}

/// A row that can be written.
pub trait Row {
    /// Its table.
    const TABLE: Table;
    /// The columns.
    const COLUMNS: &'static [Column];

    /// The host, of which its partition is.
    fn host(&self) -> &str;

    /// The time of whose day its partition is, nanoseconds since 1970-01-01 UTC.
    fn partition_time(&self) -> Option<u64>;

    /// Hands over the values of all columns. `texts` is for texts that are made for it.
    fn values(&self, values: &mut impl Values, texts: &mut Texts);
}

/// Space for a text that is made for a column; kept from one row to the next.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
}

impl Texts {
    fn address(&mut self, end: Option<Endpoint>) -> Option<&str> {
        self.text.clear();
        write!(self.text, "{}", end?.address).ok()?;
        Some(&self.text)
    }

    /// A JSON array of these texts.
    fn array<T: AsRef<str>>(&mut self, items: &[T]) -> &str {
        self.text.clear();
        self.text.push('[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            push_json(item.as_ref(), &mut self.text);
        }
        self.text.push(']');
        &self.text
    }

    /// A JSON object of these numbers.
    fn object(&mut self, items: &[(&str, u64)]) -> &str {
        self.text.clear();
        self.text.push('{');
        for (at, (name, number)) in items.iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            push_json(name, &mut self.text);
            let _ = write!(self.text, ":{number}");
        }
        self.text.push('}');
        &self.text
    }
}

/// A text as JSON, in quotes.
pub(crate) fn push_json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // Characters that hide or turn others would mislead who looks at the file.
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
            {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What people call a transport protocol, for those met every day.
#[must_use]
pub const fn transport(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

macro_rules! columns {
    ($($name:literal: $kind:ident),* $(,)?) => {
        &[$(Column { name: $name, kind: Kind::$kind }),*]
    };
}

impl Row for ProcessRow<'_> {
    const TABLE: Table = Table::Processes;
    const COLUMNS: &'static [Column] = columns![
        "process_uid": Text, "parent_uid": Text, "host": Text, "boot": Text, "pid": Int, "parent_pid": Int,
        "started": Time, "started_ns": Int, "ended": Time, "ended_ns": Int, "ended_by": Text, "seen": Time, "seen_ns": Int,
        "name": Text, "path": Text, "args": Text, "command_line": Text, "user_id": Int, "user_name": Text,
        "security_id": Text, "group_id": Int, "group_name": Text, "container": Text, "unit": Text,
        "network_namespace": Int, "namespace_pid": Int, "sha256": Text, "no_hash": Text,
        "born_ns": Int, "executions": Int,
    ];

    fn host(&self) -> &str {
        self.host
    }

    fn partition_time(&self) -> Option<u64> {
        self.seen.or(self.end).or(self.start)
    }

    fn values(&self, values: &mut impl Values, texts: &mut Texts) {
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        values.text(Some(self.process_uid));
        values.text(self.parent_uid);
        values.text(Some(self.host));
        values.text(self.boot);
        values.int(Some(self.pid.into()));
        values.int(self.parent_pid.map(Into::into));
        values.time(self.start);
        values.time(self.end);
        values.text(self.ended_by.map(crate::End::word));
        values.time(self.seen);
        values.text(some(&self.name));
        values.text(some(&self.path));
        values.text(self.args.map(|args| texts.array(args)));
        values.text(self.command_line);
        values.int(self.user_id.map(Into::into));
        values.text(self.user_name.as_deref());
        values.text(self.security_id);
        values.int(self.group_id.map(Into::into));
        values.text(self.group_name.as_deref());
        values.text(self.container.as_deref());
        values.text(self.unit.as_deref());
        values.int(self.network_namespace.map(Into::into));
        values.int(self.namespace_pid.map(Into::into));
        values.text(self.sha256);
        values.text(self.no_hash);
        values.unsigned(self.run.map(|run| run.born));
        values.int(self.run.map(|run| run.executions.into()));
    }
}

impl Row for ConnectionRow<'_> {
    const TABLE: Table = Table::Connections;
    const COLUMNS: &'static [Column] = columns![
        "connection_uid": Text, "host": Text, "boot": Text, "connection_id": Int, "process_uid": Text, "pid": Int,
        "process_name": Text, "opened": Time, "opened_ns": Int, "closed": Time, "closed_ns": Int, "first_packet": Time, "first_packet_ns": Int, "last_packet": Time, "last_packet_ns": Int, "protocol": Int, "transport": Text, "local_address": Text,
        "local_port": Int, "remote_address": Text, "remote_port": Int, "initiated": Text, "initiated_by": Text,
        "packets_out": Int, "packets_in": Int, "bytes_out": Int, "bytes_in": Int, "packets_unowned": Int,
        "bytes_unowned": Int, "name": Text, "name_source": Text, "community_id": Text, "how": Text, "no_process": Text, "state": Text,
    ];

    fn host(&self) -> &str {
        self.host
    }

    fn partition_time(&self) -> Option<u64> {
        self.last.or(self.closed).or(self.opened)
    }

    fn values(&self, values: &mut impl Values, texts: &mut Texts) {
        values.text(Some(self.connection_uid));
        values.text(Some(self.host));
        values.text(self.boot);
        values.id(self.connection_id);
        values.text(self.process_uid);
        values.int(self.pid.map(Into::into));
        values.text(self.process_name.as_deref());
        values.time(self.opened);
        values.time(self.closed);
        values.time(self.first);
        values.time(self.last);
        values.int(self.protocol.map(Into::into));
        values.text(self.protocol.and_then(transport));
        for end in [self.local, self.remote] {
            values.text(texts.address(end));
            values.int(end.and_then(|end| end.port).map(Into::into));
        }
        values.text(self.is_local_initiated.map(|is_local| if is_local { "local" } else { "remote" }));
        values.text(self.initiated_by.map(crate::Evidence::word));
        for count in [
            self.packets_out,
            self.packets_in,
            self.bytes_out,
            self.bytes_in,
            self.packets_unowned,
            self.bytes_unowned,
        ] {
            values.unsigned(Some(count));
        }
        values.text(self.name);
        values.text(self.name_source);
        values.text(self.community_id);
        values.text(self.how);
        values.text(self.no_process);
        values.text(Some(self.state.word()));
    }
}

impl Row for PacketRow<'_> {
    const TABLE: Table = Table::Packets;
    const COLUMNS: &'static [Column] = columns![
        "time": Time, "time_ns": Int, "host": Text, "boot": Text, "connection_uid": Text, "process_uid": Text,
        "pid": Int, "thread": Int, "frame": Int, "interface": Int, "direction": Text, "protocol": Int,
        "transport": Text, "source_address": Text, "source_port": Int, "destination_address": Text,
        "destination_port": Int, "length": Int, "captured": Int, "tcp_flags": Int, "how": Text, "is_corrected": Bool,
    ];

    fn host(&self) -> &str {
        self.host
    }

    fn partition_time(&self) -> Option<u64> {
        self.time
    }

    fn values(&self, values: &mut impl Values, texts: &mut Texts) {
        values.time(self.time);
        values.text(Some(self.host));
        values.text(self.boot);
        values.text(self.connection_uid);
        values.text(self.process_uid);
        values.int(self.pid.map(Into::into));
        values.int(self.thread.map(Into::into));
        values.unsigned(Some(self.frame));
        values.int(Some(self.interface.into()));
        values.text(
            self.direction.map(|direction| if direction == Direction::Outbound { "out" } else { "in" }),
        );
        values.int(self.protocol.map(Into::into));
        values.text(self.protocol.and_then(transport));
        for end in [self.source, self.destination] {
            values.text(texts.address(end));
            values.int(end.and_then(|end| end.port).map(Into::into));
        }
        values.int(Some(self.length.into()));
        values.int(Some(self.captured.into()));
        values.int(self.tcp_flags.map(Into::into));
        values.text(self.how);
        values.bool(Some(self.is_corrected));
    }
}

impl Row for NameRow<'_> {
    const TABLE: Table = Table::Names;
    const COLUMNS: &'static [Column] = columns![
        "time": Time, "time_ns": Int, "host": Text, "boot": Text, "process_uid": Text, "pid": Int,
        "connection_uid": Text, "kind": Text, "name": Text, "question_type": Text, "response_code": Text,
        "answers": Text, "ttl": Int, "alpn": Text, "version": Text, "ja4": Text, "is_encrypted": Bool, "is_cut": Bool,
    ];

    fn host(&self) -> &str {
        self.host
    }

    fn partition_time(&self) -> Option<u64> {
        self.time
    }

    fn values(&self, values: &mut impl Values, texts: &mut Texts) {
        values.time(self.time);
        values.text(Some(self.host));
        values.text(self.boot);
        values.text(self.process_uid);
        values.int(self.pid.map(Into::into));
        values.text(self.connection_uid);
        values.text(Some(self.kind.word()));
        values.text(self.name);
        values.text(self.question_type);
        values.text(self.response_code);
        values.text(Some(texts.array(self.answers)));
        values.int(self.ttl.map(Into::into));
        values.text(self.alpn);
        values.text(self.version);
        values.text(self.ja4);
        values.bool(Some(self.is_encrypted));
        values.bool(Some(self.is_cut));
    }
}

impl Row for SectionRow<'_> {
    const TABLE: Table = Table::Sections;
    const COLUMNS: &'static [Column] = columns![
        "host": Text, "boot": Text, "input": Text, "application": Text, "os": Text, "hardware": Text, "first_packet": Time, "first_packet_ns": Int, "last_packet": Time, "last_packet_ns": Int, "packets": Int, "bytes": Int, "dropped": Int, "unowned": Int,
        "unowned_reasons": Text,
    ];

    fn host(&self) -> &str {
        self.host
    }

    fn partition_time(&self) -> Option<u64> {
        self.last
    }

    fn values(&self, values: &mut impl Values, texts: &mut Texts) {
        values.text(Some(self.host));
        values.text(self.boot);
        values.text(Some(self.input));
        values.text(self.application.as_deref());
        values.text(self.os.as_deref());
        values.text(self.hardware.as_deref());
        values.time(self.first);
        values.time(self.last);
        values.unsigned(Some(self.packets));
        values.unsigned(Some(self.bytes));
        values.unsigned(self.dropped);
        values.unsigned(Some(self.unowned));
        values.text(Some(texts.object(self.unowned_reasons)));
    }
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 5] =
        [Self::Processes, Self::Connections, Self::Packets, Self::Names, Self::Sections];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Connections => "connections",
            Self::Packets => "packets",
            Self::Names => "names",
            Self::Sections => "sections",
        }
    }

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Processes => ProcessRow::COLUMNS,
            Self::Connections => ConnectionRow::COLUMNS,
            Self::Packets => PacketRow::COLUMNS,
            Self::Names => NameRow::COLUMNS,
            Self::Sections => SectionRow::COLUMNS,
        }
    }
}
