//! Rows as events with the names of the Elastic Common Schema, for logs. What the schema has no name for is `hone.*`. The same names as
//! in `packaging/sql/ecs.sql` and in the JSON of `honeutil show`.

use hone_tables::Table;
use serde_json::{Map, Value, json};

/// The version of the schema.
const VERSION: &str = "8.17.0";

/// An event, as nested objects.
#[derive(Debug, Default)]
struct Event(Map<String, Value>);

impl Event {
    /// Sets a field; `name` has a dot between the objects. A value that is not known is left out.
    fn set(&mut self, name: &str, value: Value) {
        if value.is_null() {
            return;
        }
        let mut object = &mut self.0;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                object.insert(part.to_owned(), value);
                return;
            }
            let next = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(next) = next else { return };
            object = next;
        }
    }

    /// Takes columns over under other names.
    fn columns(&mut self, row: &Row<'_>, names: &[(&str, &str)]) {
        for (column, name) in names {
            self.set(name, row.get(column));
        }
    }
}

/// A row as `hone-tables` writes it.
struct Row<'a>(&'a Map<String, Value>);

impl Row<'_> {
    /// A column; null if it is not there.
    fn get(&self, column: &str) -> Value {
        self.0.get(column).cloned().unwrap_or_default()
    }

    /// The first of these columns that is known.
    fn first_of(&self, columns: &[&str]) -> Value {
        columns.iter().map(|column| self.get(column)).find(|value| !value.is_null()).unwrap_or_default()
    }

    fn is(&self, column: &str, text: &str) -> bool {
        self.0.get(column).and_then(Value::as_str) == Some(text)
    }

    /// The sum of columns; null if none is known.
    fn sum(&self, columns: [&str; 2]) -> Value {
        let known = columns.iter().filter_map(|column| self.0.get(*column)?.as_i64());
        known.reduce(i64::saturating_add).into()
    }

    /// A column with a JSON array as text.
    fn array(&self, column: &str) -> Value {
        let text = self.0.get(column).and_then(Value::as_str);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// A column as text, as the schema has ids.
    fn text(&self, column: &str) -> Value {
        match self.get(column) {
            Value::Number(number) => number.to_string().into(),
            other => other,
        }
    }
}

/// The event of a row; `id`: unique over hosts and time, and the same whenever the row is delivered.
#[must_use]
pub(crate) fn event(table: Table, row: &Map<String, Value>, id: &str) -> Map<String, Value> {
    let row = Row(row);
    let mut event = Event::default();
    let time = match table {
        Table::Connections => row.first_of(&["first_packet", "opened", "closed"]),
        Table::Processes => row.first_of(&["started", "seen"]),
        Table::Packets | Table::Names => row.get("time"),
        Table::Sections => row.first_of(&["first_packet", "last_packet"]),
    };
    event.set("@timestamp", time);
    event.set("ecs.version", VERSION.into());
    event.set("event.id", id.into());
    event.set("event.kind", "event".into());
    event.set("event.dataset", format!("hone.{}", table.name()).into());
    event.columns(&row, &[("host", "host.id"), ("boot", "host.boot.id")]);
    match table {
        Table::Connections => connection(&row, &mut event),
        Table::Processes => process(&row, &mut event),
        Table::Names => name(&row, &mut event),
        Table::Packets => packet(&row, &mut event),
        Table::Sections => section(&row, &mut event),
    }
    event.0
}

fn kind(event: &mut Event, category: &str, kinds: &[&str]) {
    event.set("event.category", json!([category]));
    event.set("event.type", json!(kinds));
}

fn network_type(address: &Value) -> Value {
    let word = |text: &str| if text.contains(':') { "ipv6" } else { "ipv4" };
    address.as_str().map(word).into()
}

fn connection(row: &Row<'_>, event: &mut Event) {
    kind(event, "network", if row.is("state", "closed") { &["connection", "end"] } else { &["connection"] });
    event.set("event.start", row.first_of(&["first_packet", "opened"]));
    event.set("event.end", row.first_of(&["closed", "last_packet"]));
    event.set("network.type", network_type(&row.get("local_address")));
    event.set("network.iana_number", row.text("protocol"));
    event.set("network.packets", row.sum(["packets_in", "packets_out"]));
    event.set("network.bytes", row.sum(["bytes_in", "bytes_out"]));
    let is_server = row.is("initiated", "remote");
    if !row.get("initiated").is_null() {
        event.set("network.direction", if is_server { "ingress" } else { "egress" }.into());
    }
    let ends = if is_server { ["destination", "source"] } else { ["source", "destination"] };
    for (end, columns) in ends.iter().zip([
        ["local_address", "local_port", "bytes_out", "packets_out"],
        ["remote_address", "remote_port", "bytes_in", "packets_in"],
    ]) {
        for (column, field) in columns.iter().zip(["ip", "port", "bytes", "packets"]) {
            event.set(&format!("{end}.{field}"), row.get(column));
        }
    }
    event.columns(
        row,
        &[
            ("name", "destination.domain"),
            ("name_source", "hone.name.source"),
            ("transport", "network.transport"),
            ("community_id", "network.community_id"),
            ("process_uid", "process.entity_id"),
            ("pid", "process.pid"),
            ("process_name", "process.name"),
            ("connection_uid", "hone.connection.uid"),
            ("connection_id", "hone.connection.id"),
            ("state", "hone.connection.state"),
            ("opened", "hone.connection.opened"),
            ("closed", "hone.connection.closed"),
            ("last_packet", "hone.connection.last_packet"),
            ("initiated_by", "hone.connection.initiated_by"),
            ("packets_unowned", "hone.connection.packets_unowned"),
            ("bytes_unowned", "hone.connection.bytes_unowned"),
            ("how", "hone.packet.how"),
            ("no_process", "hone.packet.no_process"),
        ],
    );
}

fn process(row: &Row<'_>, event: &mut Event) {
    kind(event, "process", if row.get("ended").is_null() { &["start"] } else { &["start", "end"] });
    event.set("process.args", row.array("args"));
    // Of Windows, or of Linux. A value that is not known is not set.
    event.set("process.user.id", row.text("user_id"));
    event.set("process.user.id", row.get("security_id"));
    event.set("process.group.id", row.text("group_id"));
    event.columns(
        row,
        &[
            ("started", "process.start"),
            ("ended", "process.end"),
            ("process_uid", "process.entity_id"),
            ("pid", "process.pid"),
            ("namespace_pid", "process.vpid"),
            ("name", "process.name"),
            ("path", "process.executable"),
            ("command_line", "process.command_line"),
            ("sha256", "process.hash.sha256"),
            ("user_name", "process.user.name"),
            ("group_name", "process.group.name"),
            ("parent_uid", "process.parent.entity_id"),
            ("parent_pid", "process.parent.pid"),
            ("container", "container.id"),
            ("unit", "hone.unit"),
            ("network_namespace", "hone.network_namespace"),
            ("no_hash", "hone.no_hash"),
            ("ended_by", "hone.process.ended_by"),
            ("seen", "hone.process.seen"),
        ],
    );
}

fn name(row: &Row<'_>, event: &mut Event) {
    kind(event, "network", &["protocol"]);
    event.columns(
        row,
        &[
            ("process_uid", "process.entity_id"),
            ("pid", "process.pid"),
            ("connection_uid", "hone.connection.uid"),
            ("kind", "network.protocol"),
            ("is_cut", "hone.name_cut_off"),
        ],
    );
    if row.is("kind", "dns") {
        event.set("dns.type", if row.get("response_code").is_null() { "query" } else { "answer" }.into());
        event.columns(
            row,
            &[
                ("name", "dns.question.name"),
                ("question_type", "dns.question.type"),
                ("response_code", "dns.response_code"),
                ("ttl", "hone.dns.ttl"),
            ],
        );
        event.set("hone.dns.answers", row.array("answers"));
    } else if row.is("kind", "http") {
        event.columns(row, &[("name", "url.domain")]);
    } else {
        event.columns(
            row,
            &[
                ("name", "tls.client.server_name"),
                ("ja4", "hone.tls.ja4"),
                ("alpn", "hone.tls.alpn"),
                ("version", "hone.tls.version"),
                ("is_encrypted", "hone.tls.encrypted_hello"),
            ],
        );
    }
}

fn packet(row: &Row<'_>, event: &mut Event) {
    kind(event, "network", &["info"]);
    event.set("network.type", network_type(&row.get("source_address")));
    event.set("network.iana_number", row.text("protocol"));
    let word = |text: &str| if text == "in" { "ingress" } else { "egress" };
    event.set("network.direction", row.get("direction").as_str().map(word).into());
    event.columns(
        row,
        &[
            ("transport", "network.transport"),
            ("length", "network.bytes"),
            ("source_address", "source.ip"),
            ("source_port", "source.port"),
            ("destination_address", "destination.ip"),
            ("destination_port", "destination.port"),
            ("process_uid", "process.entity_id"),
            ("pid", "process.pid"),
            ("thread", "process.thread.id"),
            ("connection_uid", "hone.connection.uid"),
            ("captured", "hone.packet.captured"),
            ("tcp_flags", "hone.packet.tcp_flags"),
            ("how", "hone.packet.how"),
            ("is_corrected", "hone.corrected"),
        ],
    );
}

fn section(row: &Row<'_>, event: &mut Event) {
    kind(event, "host", &["info"]);
    event.columns(
        row,
        &[
            ("first_packet", "event.start"),
            ("last_packet", "event.end"),
            ("os", "host.os.full"),
            ("application", "hone.section.application"),
            ("hardware", "hone.section.hardware"),
            ("packets", "hone.section.packets"),
            ("bytes", "hone.section.bytes"),
            ("dropped", "hone.section.dropped"),
            ("unowned", "hone.section.unowned"),
        ],
    );
    event.set("hone.section.unowned_reasons", row.array("unowned_reasons"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of dotted names and their values.
    fn flat(prefix: &str, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    let prefix = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    flat(&prefix, value, lines);
                }
            }
            value => lines.push(format!("{prefix}={value}")),
        }
    }

    fn lines(table: Table, row: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        let row = row.as_object().expect("it is an object");
        flat("", &Value::Object(event(table, row, "batch-0-7")), &mut lines);
        lines
    }

    #[test]
    fn the_server_s_end_is_the_destination_on_both_hosts() {
        let mut row = json!({
            "host": "h", "first_packet": "2026-07-30T12:00:00.000001Z", "protocol": 6, "transport": "tcp",
            "local_address": "192.0.2.1", "local_port": 40000, "remote_address": "192.0.2.2", "remote_port": 443,
            "initiated": "local", "bytes_out": 3, "bytes_in": 5, "packets_out": 1, "packets_in": 2, "state": "closed",
            "name": "web.example", "no_process": null,
        });
        let client = lines(Table::Connections, &row);
        for expected in [
            "@timestamp=\"2026-07-30T12:00:00.000001Z\"",
            "event.id=\"batch-0-7\"",
            "host.id=\"h\"",
            "source.ip=\"192.0.2.1\"",
            "source.bytes=3",
            "destination.port=443",
            "destination.domain=\"web.example\"",
            "network.bytes=8",
            "network.iana_number=\"6\"",
            "event.type=[\"connection\",\"end\"]",
        ] {
            assert!(client.iter().any(|line| line == expected), "{expected}: {client:#?}");
        }
        assert!(!client.iter().any(|line| line.contains("null")), "{client:#?}");
        for (column, value) in [
            ("local_address", json!("192.0.2.2")),
            ("local_port", json!(443)),
            ("remote_address", json!("192.0.2.1")),
            ("remote_port", json!(40000)),
            ("initiated", json!("remote")),
        ] {
            row[column] = value;
        }
        let server = lines(Table::Connections, &row);
        for expected in ["source.ip=\"192.0.2.1\"", "destination.port=443", "network.direction=\"ingress\""] {
            assert!(server.iter().any(|line| line == expected), "{expected}: {server:#?}");
        }
    }

    #[test]
    fn a_process_has_its_arguments_as_an_array_and_ids_as_text() {
        let row = json!({"host": "h", "process_uid": "u", "pid": 7, "args": "[\"a\",\"\"]", "user_id": 0, "started": "t", "ended": null});
        let process = lines(Table::Processes, &row);
        for expected in [
            "process.args=[\"a\",\"\"]",
            "process.user.id=\"0\"",
            "event.type=[\"start\"]",
            "process.entity_id=\"u\"",
        ] {
            assert!(process.iter().any(|line| line == expected), "{expected}: {process:#?}");
        }
    }
}
