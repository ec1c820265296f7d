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

    /// A time in nanoseconds, as a time.
    fn time(&mut self, value: Option<u64>) {
        let nanos = value.and_then(|value| i64::try_from(value).ok());
        self.micros(nanos.map(|nanos| nanos / 1000));
    }

    /// A time in nanoseconds, as a number.
    fn nanos(&mut self, value: Option<u64>) {
        self.unsigned(value);
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

/// What a column of each method of [`Values`] contains.
mod kind {
    #![allow(non_upper_case_globals, reason = "they are called as the methods are")]
    use super::Kind;

    pub(super) const text: Kind = Kind::Text;
    pub(super) const int: Kind = Kind::Int;
    pub(super) const unsigned: Kind = Kind::Int;
    pub(super) const id: Kind = Kind::Int;
    pub(super) const nanos: Kind = Kind::Int;
    pub(super) const bool: Kind = Kind::Bool;
    pub(super) const time: Kind = Kind::Time;
}

/// The columns of a table, each with the method of [`Values`] that takes its value, and the value.
macro_rules! table {
    ($row:ident: $table:ident, of $host:expr, $partition:expr; |$self:ident, $texts:ident| $($method:ident $name:literal = $value:expr;)*) => {
        impl Row for $row<'_> {
            const TABLE: Table = Table::$table;
            const COLUMNS: &'static [Column] = &[$(Column { name: $name, kind: kind::$method }),*];

            fn host(&$self) -> &str {
                $host
            }

            fn partition_time(&$self) -> Option<u64> {
                $partition
            }

            fn values(&$self, values: &mut impl Values, $texts: &mut Texts) {
                $(values.$method($value);)*
            }
        }
    };
}

table! {
    ProcessRow: Processes, of self.host, self.seen.or(self.end).or(self.start); |self, texts|
    text "process_uid" = Some(self.process_uid);
    text "parent_uid" = self.parent_uid;
    text "host" = Some(self.host);
    text "boot" = self.boot;
    int "pid" = Some(self.pid.into());
    int "parent_pid" = self.parent_pid.map(Into::into);
    time "started" = self.start;
    nanos "started_ns" = self.start;
    time "ended" = self.end;
    nanos "ended_ns" = self.end;
    text "ended_by" = self.ended_by.map(crate::End::word);
    time "seen" = self.seen;
    nanos "seen_ns" = self.seen;
    text "name" = filled(&self.name);
    text "path" = filled(&self.path);
    text "args" = self.args.map(|args| texts.array(args));
    text "command_line" = self.command_line;
    int "user_id" = self.user_id.map(Into::into);
    text "user_name" = self.user_name.as_deref();
    text "security_id" = self.security_id;
    int "group_id" = self.group_id.map(Into::into);
    text "group_name" = self.group_name.as_deref();
    text "container" = self.container.as_deref();
    text "unit" = self.unit.as_deref();
    int "network_namespace" = self.network_namespace.map(Into::into);
    int "namespace_pid" = self.namespace_pid.map(Into::into);
    text "sha256" = self.sha256;
    text "no_hash" = self.no_hash;
    unsigned "born_ns" = self.run.map(|run| run.born);
    int "executions" = self.run.map(|run| run.executions.into());
}

table! {
    ConnectionRow: Connections, of self.host, self.last.or(self.closed).or(self.opened); |self, texts|
    text "connection_uid" = Some(self.connection_uid);
    text "host" = Some(self.host);
    text "boot" = self.boot;
    id "connection_id" = self.connection_id;
    text "process_uid" = self.process_uid;
    int "pid" = self.pid.map(Into::into);
    text "process_name" = self.process_name.as_deref();
    time "opened" = self.opened;
    nanos "opened_ns" = self.opened;
    time "closed" = self.closed;
    nanos "closed_ns" = self.closed;
    time "first_packet" = self.first;
    nanos "first_packet_ns" = self.first;
    time "last_packet" = self.last;
    nanos "last_packet_ns" = self.last;
    int "protocol" = self.protocol.map(Into::into);
    text "transport" = self.protocol.and_then(transport);
    text "local_address" = texts.address(self.local);
    int "local_port" = port(self.local);
    text "remote_address" = texts.address(self.remote);
    int "remote_port" = port(self.remote);
    text "initiated" = self.is_local_initiated.map(|is_local| if is_local { "local" } else { "remote" });
    text "initiated_by" = self.initiated_by.map(crate::Evidence::word);
    unsigned "packets_out" = Some(self.packets_out);
    unsigned "packets_in" = Some(self.packets_in);
    unsigned "bytes_out" = Some(self.bytes_out);
    unsigned "bytes_in" = Some(self.bytes_in);
    unsigned "packets_unowned" = Some(self.packets_unowned);
    unsigned "bytes_unowned" = Some(self.bytes_unowned);
    text "name" = self.name;
    text "name_source" = self.name_source;
    text "community_id" = self.community_id;
    text "how" = self.how;
    text "no_process" = self.no_process;
    text "state" = Some(self.state.word());
}

table! {
    PacketRow: Packets, of self.host, self.time; |self, texts|
    time "time" = self.time;
    nanos "time_ns" = self.time;
    text "host" = Some(self.host);
    text "boot" = self.boot;
    text "connection_uid" = self.connection_uid;
    text "process_uid" = self.process_uid;
    int "pid" = self.pid.map(Into::into);
    int "thread" = self.thread.map(Into::into);
    unsigned "frame" = Some(self.frame);
    int "interface" = Some(self.interface.into());
    text "direction" = self.direction.map(|direction| if direction == Direction::Outbound { "out" } else { "in" });
    int "protocol" = self.protocol.map(Into::into);
    text "transport" = self.protocol.and_then(transport);
    text "source_address" = texts.address(self.source);
    int "source_port" = port(self.source);
    text "destination_address" = texts.address(self.destination);
    int "destination_port" = port(self.destination);
    int "length" = Some(self.length.into());
    int "captured" = Some(self.captured.into());
    int "tcp_flags" = self.tcp_flags.map(Into::into);
    text "how" = self.how;
    bool "is_corrected" = Some(self.is_corrected);
}

table! {
    NameRow: Names, of self.host, self.time; |self, texts|
    time "time" = self.time;
    nanos "time_ns" = self.time;
    text "host" = Some(self.host);
    text "boot" = self.boot;
    text "process_uid" = self.process_uid;
    int "pid" = self.pid.map(Into::into);
    text "connection_uid" = self.connection_uid;
    text "kind" = Some(self.kind.word());
    text "name" = self.name;
    text "question_type" = self.question_type;
    text "response_code" = self.response_code;
    text "answers" = Some(texts.array(self.answers));
    int "ttl" = self.ttl.map(Into::into);
    text "alpn" = self.alpn;
    text "version" = self.version;
    text "ja4" = self.ja4;
    bool "is_encrypted" = Some(self.is_encrypted);
    bool "is_cut" = Some(self.is_cut);
}

table! {
    SectionRow: Sections, of self.host, self.last; |self, texts|
    text "host" = Some(self.host);
    text "boot" = self.boot;
    text "input" = Some(self.input);
    text "application" = self.application.as_deref();
    text "os" = self.os.as_deref();
    text "hardware" = self.hardware.as_deref();
    time "first_packet" = self.first;
    nanos "first_packet_ns" = self.first;
    time "last_packet" = self.last;
    nanos "last_packet_ns" = self.last;
    unsigned "packets" = Some(self.packets);
    unsigned "bytes" = Some(self.bytes);
    unsigned "dropped" = self.dropped;
    unsigned "unowned" = Some(self.unowned);
    text "unowned_reasons" = Some(texts.object(self.unowned_reasons));
}

fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn port(end: Option<Endpoint>) -> Option<i64> {
    end?.port.map(Into::into)
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
