//! The data of a page, from rows to what the page's script reads.

#![allow(clippy::cast_possible_truncation, reason = "the numbers are small")]

use std::borrow::Cow;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hone_tables::{
    ConnectionRow, Endpoint, NameKind, NameRow, PacketRow, ProcessRow, Rows as _, SectionRow, State,
};
use serde_json::Value;

use super::collect::Limits;
use super::*;

const SECOND: u64 = 1_000_000_000;
const BEGIN: u64 = 1_790_000_000 * SECOND;

fn process<'a>(uid: &'a str, parent: Option<&'a str>, pid: u32, name: &'a str, start: u64) -> ProcessRow<'a> {
    ProcessRow {
        process_uid: uid,
        parent_uid: parent,
        host: "web",
        boot: None,
        pid,
        parent_pid: None,
        start: Some(start),
        end: None,
        ended_by: None,
        seen: Some(start),
        name: Cow::Borrowed(name),
        path: Cow::Borrowed("/usr/bin/x"),
        args: None,
        command_line: Some("x -y"),
        user_id: Some(7),
        user_name: None,
        security_id: None,
        group_id: Some(8),
        group_name: Some("staff".into()),
        container: None,
        unit: None,
        network_namespace: None,
        namespace_pid: None,
        sha256: None,
        no_hash: None,
        run: None,
    }
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn connection<'a>(
    uid: &'a str,
    id: u64,
    process: Option<&'a str>,
    remote: u8,
    bytes: u64,
) -> ConnectionRow<'a> {
    let end = |address, port| Some(Endpoint { address, port: Some(port) });
    ConnectionRow {
        connection_uid: uid,
        host: "web",
        boot: None,
        connection_id: Some(id),
        process_uid: process,
        pid: process.map(|_| 7),
        process_name: process.map(|_| "curl".into()),
        opened: Some(BEGIN + SECOND),
        closed: Some(BEGIN + 3 * SECOND),
        first: None,
        last: None,
        protocol: Some(6),
        local: end(address(1), 40000),
        remote: end(address(remote), 443),
        is_local_initiated: Some(true),
        initiated_by: None,
        packets_out: 2,
        packets_in: 3,
        bytes_out: bytes,
        bytes_in: 2 * bytes,
        packets_unowned: 1,
        bytes_unowned: 60,
        name: None,
        name_source: None,
        community_id: None,
        how: Some("current task"),
        no_process: None,
        state: State::Closed,
    }
}

fn packet(process: Option<&str>, time: u64, length: u32) -> PacketRow<'_> {
    PacketRow {
        time: Some(time),
        host: "web",
        boot: None,
        connection_uid: None,
        process_uid: process,
        pid: process.map(|_| 7),
        thread: None,
        frame: 1,
        interface: 0,
        direction: None,
        protocol: Some(6),
        source: None,
        destination: None,
        length,
        captured: length,
        tcp_flags: None,
        how: None,
        is_corrected: false,
    }
}

fn name<'a>(connection: Option<&'a str>, name: &'a str, answers: &'a [Cow<'a, str>]) -> NameRow<'a> {
    NameRow {
        time: Some(BEGIN),
        host: "web",
        boot: None,
        process_uid: Some("p7"),
        pid: Some(7),
        connection_uid: connection,
        kind: if connection.is_some() { NameKind::Tls } else { NameKind::Dns },
        name: Some(name),
        question_type: None,
        response_code: None,
        answers,
        ttl: None,
        alpn: None,
        version: None,
        ja4: None,
        is_encrypted: false,
        is_cut: false,
    }
}

fn section<'a>(reasons: &'a [(&'static str, u64)]) -> SectionRow<'a> {
    SectionRow {
        host: "web",
        boot: None,
        input: "web.pcapng",
        application: Some("honeutil".into()),
        os: Some("Linux </script>".into()),
        hardware: None,
        first: Some(BEGIN),
        last: Some(BEGIN + 9 * SECOND),
        packets: 5,
        bytes: 600,
        dropped: Some(3),
        unowned: 1,
        unowned_reasons: reasons,
    }
}

/// The data that a page's script would read: its head, and its columns as numbers.
struct Read {
    head: Value,
    rest: Vec<u8>,
}

impl Read {
    fn of(collected: Collected) -> Self {
        let mut page = Vec::new();
        let notes = super::notes(&collected);
        write(&mut page, collected, &[], Vec::new(), &notes).unwrap();
        let page = String::from_utf8(page).unwrap();
        let (_, data) = page.split_once("id=\"data\">").unwrap();
        let packed = STANDARD.decode(data.split_once('<').unwrap().0).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        let head = serde_json::from_slice(&bytes[4..4 + length]).unwrap();
        Self { head, rest: bytes.split_off((4 + length).next_multiple_of(8)) }
    }

    fn column(&self, name: &str) -> Vec<f64> {
        let place = &self.head["columns"][name];
        let (offset, length) = (place[1].as_u64().unwrap() as usize, place[2].as_u64().unwrap() as usize);
        let size = match place[0].as_str().unwrap() {
            "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            _ => 8,
        };
        let numbers = self.rest[offset..offset + size * length].chunks(size);
        let number = |bytes: &[u8]| match size {
            8 => f64::from_le_bytes(bytes.try_into().unwrap()),
            _ => bytes.iter().rev().fold(0.0, |number, byte| number * 256.0 + f64::from(*byte)),
        };
        numbers.map(number).collect()
    }

    fn texts(&self, column: &str) -> Vec<String> {
        let ends = self.column("string_ends");
        let bytes: Vec<_> = self.column("strings").into_iter().map(|byte| byte as u8).collect();
        let text = |number: f64| {
            let begin = if number == 0.0 { 0.0 } else { ends[number as usize - 1] };
            String::from_utf8(bytes[begin as usize..ends[number as usize] as usize].to_vec()).unwrap()
        };
        self.column(column).into_iter().map(text).collect()
    }
}

#[test]
fn the_name_that_a_client_asked_this_host_for_is_not_the_clients() {
    let mut collected = Collected::default();
    for (uid, source, is_local) in [("c1", "tls", true), ("c2", "tls", false), ("c3", "dns", false)] {
        let row = ConnectionRow {
            name: Some("www.example"),
            name_source: Some(source),
            is_local_initiated: Some(is_local),
            ..connection(uid, 1, Some("p7"), 2, 100)
        };
        let Ok(()) = collected.connection(&row);
    }
    collected.finish();
    assert_eq!(Read::of(collected).texts("connections.remote_name"), ["www.example", "", "www.example"]);
}

#[test]
fn rows_come_into_the_page_in_any_order() {
    let mut collected = Collected::default();
    let Ok(()) = collected.input("web.pcapng");
    let Ok(()) = collected.packet(&packet(Some("p7"), BEGIN, 100));
    let Ok(()) = collected.packet(&packet(None, BEGIN + 9 * SECOND, 60));
    let Ok(()) = collected.name(&name(None, "a.example", &["10.0.0.2".into(), "no address".into()]));
    let Ok(()) = collected.name(&name(Some("c2"), "b.example", &[]));
    let named = |name, name_source, connection| ConnectionRow { name, name_source, ..connection };
    let first = connection("c1", 1, Some("p7"), 2, 100);
    let Ok(()) = collected.connection(&named(Some("a.example"), Some("dns"), first));
    let second = connection("c2", u64::MAX - 1, None, 2, 1);
    let Ok(()) = collected.connection(&named(Some("b.example"), Some("tls"), second));
    let Ok(()) = collected.process(&process("p7", Some("p1"), 7, "curl", BEGIN + SECOND));
    let Ok(()) = collected.process(&process("p1", None, 1, "in\u{202e}it", BEGIN - SECOND));
    let Ok(()) = collected.section(&section(&[("kernel", 1)]));
    collected.finish();
    let read = Read::of(collected);

    let host = &read.head["hosts"][0];
    assert_eq!(
        (&host["name"], &host["dropped"], &host["reasons"]["kernel"]),
        (&"web".into(), &3.into(), &1.into())
    );
    assert_eq!(read.texts("processes.name"), ["curl", r"in\u{202e}it"]);
    assert_eq!(read.column("processes.parent"), [1.0, f64::from(NONE)]);
    assert_eq!(read.column("processes.is_new"), [1.0, 0.0]);
    assert_eq!(read.column("processes.bytes"), [100.0, 0.0]);
    assert_eq!(read.texts("processes.user"), ["7", "7"]);
    assert_eq!(read.column("connections.process"), [0.0, f64::from(NONE)]);
    assert_eq!(read.texts("connections.remote_name"), ["a.example", "b.example"]);
    assert_eq!(read.texts("connections.remote_address"), ["10.0.0.2", "10.0.0.2"]);
    assert_eq!(read.column("connections.bytes_in"), [200.0, 2.0]);
    assert_eq!(read.column("connections.id_high"), [0.0, f64::from(u32::MAX)]);
    assert_eq!(read.column("connections.id_low"), [1.0, f64::from(u32::MAX - 1)]);
    assert_eq!(read.column("connections.open")[0], ((BEGIN + SECOND) / 1000) as f64);
    assert_eq!(read.column("timeline.bytes"), [100.0, 60.0]);
    let series = &read.head["timeline"]["series"];
    let names: Vec<_> =
        read.column("timeline.series").iter().map(|at| series[*at as usize]["name"] != 0).collect();
    assert_eq!(names, [true, false]);
    assert!(read.head["notes"].as_array().unwrap().is_empty());
}

#[test]
fn what_has_no_room_is_counted() {
    let mut collected = Collected::within(Limits { processes: 2, connections: 10, names: 1 });
    for number in 0..25_u64 {
        let uid = format!("p{number}");
        let Ok(()) = collected.process(&process(&uid, None, 7, "curl", BEGIN));
        let uid = format!("c{number}");
        let Ok(()) = collected.connection(&connection(&uid, number, None, 2, (number * 7) % 25));
        let Ok(()) = collected.name(&name(None, &uid, &[]));
        assert!(collected.connections.open.len() < 20);
    }
    collected.finish();
    let notes = super::notes(&collected);
    let read = Read::of(collected);
    let mut bytes = read.column("connections.bytes_out");
    bytes.sort_by(f64::total_cmp);
    assert_eq!(bytes, (15..25).map(f64::from).collect::<Vec<_>>(), "the largest ones stay");
    assert_eq!(read.column("processes.pid").len(), 2);
    assert_eq!(read.column("names.time").len(), 1);
    assert!(
        notes[0].starts_with("The 15 connections with the fewest bytes (75 packets, 315 bytes) are left out"),
        "{notes:?}"
    );
    assert_eq!(notes.len(), 3);
}
