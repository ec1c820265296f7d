//! `hone.lua` in the versions of Lua that Wireshark has, without Wireshark: lua/wireshark.lua stands in for it. What it shows is
//! compared with what `show` has.

use std::path::Path;
use std::process::{Command, Output};

use hone_pcapng::{Block, ByteOrder, Method, Packet, ProcessEventKind, ProcessThread};
use hone_testing::skip;
use serde_json::Value;
use tempfile::TempDir;

use crate::corrections::handed_on;
use crate::fixture::{Stream, WIDE, everyday, hashed, hostile, udp, v4};
use crate::tools::{file, honeutil};

/// Wireshark up to 4.2 has 5.2; newer ones have 5.4.
const VERSIONS: [&str; 2] = ["lua5.2", "lua5.4"];

/// Those that are here.
fn versions() -> Vec<&'static str> {
    let there = |lua: &&str| {
        let there = Command::new(lua).arg("-v").output().is_ok();
        if !there {
            skip(&format!("{lua} is not installed"));
        }
        there
    };
    VERSIONS.into_iter().filter(there).collect()
}

fn run(lua: &str, recording: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(lua);
    command
        .arg(root.join("tests/show/lua/wireshark.lua"))
        .arg(root.join("../../packaging/wireshark/hone.lua"));
    command.arg(recording).output().unwrap()
}

/// The packets' fields, as `field=value` in the order of the alphabet; only those that `show` has too.
#[track_caller]
fn fields(lua: &str, recording: &Path) -> Vec<Vec<String>> {
    let output = run(lua, recording);
    assert!(output.status.success(), "{lua}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let compared = ["pid=", "name=", "path=", "user=", "conn=", "how=", "direction=", "note="];
    let line = |line: &str| {
        let fields = line.split('\t').skip(1);
        let fields = fields.filter(|field| compared.iter().any(|name| field.starts_with(name)));
        let mut fields: Vec<_> = fields.map(whole_connection).collect();
        fields.sort();
        fields
    };
    text.lines().map(line).collect()
}

/// A connection's two halves as one number.
fn whole_connection(field: &str) -> String {
    let halves = field.strip_prefix("conn=").and_then(|value| value.split_once("+2^32*"));
    halves.map_or_else(
        || field.to_owned(),
        |(low, high)| format!("conn={}", high.parse::<u64>().unwrap() << 32 | low.parse::<u64>().unwrap()),
    )
}

/// As the script writes characters that control, and bytes that are no text: those of these recordings are all 0xFF.
fn written_out(text: &str) -> String {
    let character = |character: char| match character {
        '\u{fffd}' => "\\xff".to_owned(),
        _ if character.is_ascii_control() => format!("\\x{:02x}", u32::from(character)),
        _ => character.to_string(),
    };
    text.chars().map(character).collect()
}

/// The same of `show`.
fn truth(recording: &[u8]) -> Vec<Vec<String>> {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "a.pcapng", recording);
    let output = honeutil(["show", "--json"]).arg(path).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let packets = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let packets = packets.filter(|event| event["event"]["action"] == "packet");
    let fields = |event: Value| {
        let text = |name: &str, value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(format!("{name}={}", written_out(text))),
            other => Some(format!("{name}={other}")),
        };
        let (process, hone) = (&event["process"], &event["hone"]);
        let direction = match event["network"]["direction"].as_str() {
            Some("ingress") => Value::from("in"),
            Some("egress") => Value::from("out"),
            _ => Value::Null,
        };
        let user = &process["user"];
        let mut fields: Vec<_> = [
            text("pid", &process["pid"]),
            text("name", &process["name"]),
            text("path", &process["executable"]),
            text("user", if user["name"].is_null() { &user["id"] } else { &user["name"] }),
            text("conn", &hone["connection"]["id"]),
            text("how", &hone["packet"]["how"]),
            text("direction", &direction),
        ]
        .into_iter()
        .flatten()
        .collect();
        fields.sort();
        fields
    };
    packets.map(fields).collect()
}

/// Recordings with what is hard to read: both byte orders and dialects, corrections, process ids that are used twice, sections
/// of several hosts, numbers of connections that Lua 5.2 has no number for.
fn recordings() -> Vec<(&'static str, Vec<u8>)> {
    let mut again = Stream::new(ByteOrder::Big);
    let packet = |stream: &mut Stream, connection: u64, process| {
        stream.packet(&v4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(53, 1000, 5)), 2, Some(connection), process);
    };
    again.exec(7, b"/usr/bin/\xc3\xa4\xff\n", 1000, b"alice");
    packet(&mut again, WIDE, Some(7));
    again.process(7, ProcessEventKind::Ended, |_| {});
    packet(&mut again, u64::MAX - 1, Some(7));
    again.exec(7, b"/usr/bin/second", 0, b"root");
    packet(&mut again, 5, Some(7));
    packet(&mut again, 6, Some(9));
    packet(&mut again, 5, None);
    vec![
        ("little-endian", everyday(ByteOrder::Little)),
        ("big-endian", everyday(ByteOrder::Big)),
        ("corrections", handed_on()),
        ("names", hostile()),
        ("used again", again.bytes.clone()),
        ("hashes", hashed().bytes),
        ("two sections", [everyday(ByteOrder::Little), again.bytes].concat()),
    ]
}

#[test]
fn each_version_of_lua_shows_the_processes_that_show_does() {
    let directory = TempDir::new().unwrap();
    for lua in versions() {
        for (name, recording) in recordings() {
            let truth = truth(&recording);
            assert!(
                truth.iter().any(|packet| packet.iter().any(|field| field.starts_with("pid="))),
                "{name}"
            );
            let path = file(&directory, "a.pcapng", &recording);
            assert_eq!(fields(lua, &path), truth, "{lua}: {name}");
        }
    }
}

/// What takes most of the time that the script takes.
#[test]
fn packets_with_a_process_as_hone_writes_them_are_read_the_quick_way() {
    let directory = TempDir::new().unwrap();
    let mut stream = Stream::new(ByteOrder::Little);
    let data = v4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(53, 1000, 5));
    stream.exec(7, b"/bin/quick", 0, b"root");
    for _ in 0..3 {
        stream.block(&Block::Packet(Packet {
            original_length: 33,
            data: (&data[..]).into(),
            flags: Some(2),
            process_thread: ProcessThread::of_process(Some(7)),
            connection: Some(12),
            process: Some(7),
            how: Some(Ok(Method::Reader)),
            ..Packet::default()
        }));
    }
    let path = file(&directory, "a.pcapng", &stream.bytes);
    let script = "local recording = dofile(arg[1]) \
        local file, index = io.open(arg[2], 'rb'), recording.new() \
        recording.feed(index, function(n) return file:read(n) end, true) \
        local process, how, direction = recording.decode(index.codes[3]) \
        print(string.format('%.0f %s %.0f %.0f %.0f', index.slow, index.processes[process].name, how, direction, index.connections[3]))";
    let script = file(&directory, "quick.lua", script.as_bytes());
    let index = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/wireshark/hone-index.lua");
    for lua in versions() {
        let output = Command::new(lua).args([&script, &index, &path]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0 quick 9 2 12\n", "{lua}: {said}");
    }
}

#[test]
fn a_packet_of_two_owners_has_the_fields_of_both() {
    let directory = TempDir::new().unwrap();
    for (lua, order) in
        versions().into_iter().flat_map(|lua| [ByteOrder::Little, ByteOrder::Big].map(|it| (lua, it)))
    {
        let path = file(&directory, "a.pcapng", &crate::once::once(order));
        let all = fields(lua, &path);
        let of = |packet: usize, field: &str| -> Vec<&str> {
            all[packet].iter().filter_map(|it| it.strip_prefix(field)).collect()
        };
        for (packet, receiver) in
            [(0, Some(("8", "nginx", "last receiver"))), (1, Some(("9", "worker", "reader"))), (2, None)]
        {
            let both = |sender: &'static str, of_receiver: fn((&'static str, &'static str, &'static str)) -> &'static str| {
                let mut both = vec![sender];
                both.extend(receiver.map(of_receiver));
                both.sort_unstable();
                both
            };
            assert_eq!(of(packet, "pid="), both("7", |it| it.0), "{lua}: {all:?}");
            assert_eq!(of(packet, "name="), both("curl", |it| it.1), "{lua}: {all:?}");
            assert_eq!(of(packet, "how="), both("current task", |it| it.2), "{lua}: {all:?}");
            assert_eq!(of(packet, "direction="), both("out", |_| "in"), "{lua}: {all:?}");
        }
    }
}

#[test]
fn a_hash_that_is_known_later_is_shown_with_the_packets_of_its_process() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "a.pcapng", &hashed().bytes);
    for lua in versions() {
        let output = String::from_utf8(run(lua, &path).stdout).unwrap();
        assert!(output.contains(&format!("\tsha256={}\t", "0a".repeat(32))), "{lua}: {output}");
    }
}

#[test]
fn no_damage_is_an_error_of_lua() {
    let directory = TempDir::new().unwrap();
    for lua in versions() {
        for (name, recording) in recordings() {
            for at in (0..recording.len()).step_by(29) {
                let mut changed = recording.clone();
                changed[at] ^= 0xFF;
                for damaged in [&recording[..at], &changed] {
                    let path = file(&directory, "a.pcapng", damaged);
                    let output = run(lua, &path);
                    let text = String::from_utf8_lossy(&output.stdout);
                    let errors = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success() && errors.is_empty(), "{lua}: {name}, {at}: {errors}");
                    assert!(!text.contains("hone.lua:"), "{lua}: {name}, {at}: {text}");
                }
            }
        }
    }
}
