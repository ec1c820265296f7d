//! The JSON form, parsed back.

use std::borrow::Cow;

use hone_pcapng::{Block, ByteOrder, ProcessEventKind, Section};
use serde_json::{Value, json};

use crate::fixture::{Stream, WIDE, everyday, hashed, hostile};
use crate::tools::shown;

fn objects(input: &[u8]) -> Vec<Value> {
    shown(&["--json"], input).iter().map(|line| serde_json::from_str(line).expect("valid JSON")).collect()
}

/// As many objects as lines of text, in the same order, at the same times.
#[test]
fn each_line_of_text_has_its_object() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let input = everyday(order);
        let objects = objects(&input);
        let lines = shown(&[], &input);
        assert_eq!(objects.len(), lines.len());
        for (object, line) in objects.iter().zip(&lines) {
            let time = line.split(' ').next().unwrap();
            assert_eq!(object["@timestamp"].as_str().unwrap_or("-"), time);
            assert_eq!(object["ecs"]["version"], "8.17.0");
        }
    }
}

#[test]
fn field_by_field() {
    let objects = objects(&everyday(ByteOrder::Little));
    let action = |action: &str| objects.iter().filter(|o| o["event"]["action"] == action).collect::<Vec<_>>();
    assert_eq!(
        action("section-started"),
        [&json!({
            "ecs": {"version": "8.17.0"},
            "event": {"kind": "event", "category": ["host"], "type": ["info"], "action": "section-started"},
            "host": {"id": "30313233-3435-3637-3839-616263646566", "os": {"full": "Linux box 6.18"}},
            "hone": {"section": {"application": "Hone 0.1.0", "hardware": "x86_64"}},
        })]
    );
    assert_eq!(
        action("exec")[1],
        &json!({
            "@timestamp": "2026-07-30T12:00:00.000004000Z",
            "ecs": {"version": "8.17.0"},
            "event": {"kind": "event", "category": ["process"], "type": ["start"], "action": "exec"},
            "process": {
                "pid": 8,
                "name": "curl",
                "executable": "/usr/bin/curl",
                "args": ["curl", "-s", "", "http://192.0.2.1/a b"],
                "args_count": 4,
                "parent": {"pid": 7, "name": "bash", "executable": "/usr/bin/bash"},
                "user": {"id": "1000", "name": "alice"},
                "group": {"id": "100", "name": "users"},
            },
            "hone": {"ancestors": [{"pid": 7, "name": "bash", "executable": "/usr/bin/bash"}]},
        })
    );
    let contained = action("exec")[2];
    assert_eq!(
        contained["container"],
        json!({"id": "3f4a0c1de2b59687a3f4a0c1de2b59687a3f4a0c1de2b59687a3f4a0c1de2b5a"})
    );
    assert_eq!((&contained["process"]["vpid"], &contained["process"]["pid"]), (&json!(2), &json!(9)));
    assert_eq!(contained["hone"], json!({"network_namespace": 4_026_532_281_u32}));
    let fork = action("fork")[0];
    assert_eq!(
        (&fork["process"]["name"], &fork["process"]["user"]["name"]),
        (&json!("bash"), &json!("alice"))
    );
    let end = action("end")[0];
    assert_eq!((&end["event"]["type"], &end["process"]["name"]), (&json!(["end"]), &json!("curl")));
    let opened = action("socket-opened");
    assert_eq!(opened[0]["event"]["type"], json!(["connection", "start"]));
    assert_eq!(opened[0]["event"]["category"], json!(["network"]));
    assert_eq!(opened[1]["hone"]["connection"]["id"], json!(WIDE));
    assert_eq!(opened[1]["process"]["name"], "dnsmasq");
    assert_eq!((&opened[1]["container"], opened[0].get("container")), (&contained["container"], None));
    assert_eq!(action("socket-closed")[0]["event"]["type"], json!(["connection", "end"]));
    let statistics = action("statistics")[0];
    assert_eq!(statistics["event"]["kind"], "metric");
    assert_eq!(
        statistics["hone"]["statistics"]["packets"],
        json!({"received": 7, "dropped_by_source": 1, "dropped_by_ring": 0, "delivered": 6})
    );
}

#[test]
fn packets() {
    let objects = objects(&everyday(ByteOrder::Big));
    let packets: Vec<_> = objects.iter().filter(|o| o["event"]["action"] == "packet").collect();
    assert_eq!(
        packets[0],
        &json!({
            "@timestamp": "2026-07-30T12:00:00.000008000Z",
            "ecs": {"version": "8.17.0"},
            "event": {"kind": "event", "category": ["network"], "type": ["info"], "action": "packet"},
            "network": {
                "type": "ipv4",
                "transport": "tcp",
                "iana_number": "6",
                "direction": "egress",
                "bytes": 140,
                "packets": 1,
                "community_id": "1:rQCafGKc8LGvM0iFow7oLGxZxy0=",
            },
            "source": {"ip": "10.0.0.1", "port": 40000},
            "destination": {"ip": "192.0.2.1", "port": 443},
            "process": {
                "pid": 8,
                "name": "curl",
                "executable": "/usr/bin/curl",
                "user": {"id": "1000", "name": "alice"},
                "group": {"id": "100", "name": "users"},
            },
            "hone": {"frame": 1, "connection": {"id": 12}, "packet": {"captured": 140, "flags": 2, "how": "current task"}},
        })
    );
    let back = packets[1];
    assert_eq!(back["network"]["direction"], "ingress");
    assert_eq!(back["network"]["community_id"], packets[0]["network"]["community_id"], "both ways");
    let udp = packets[2];
    assert_eq!(udp["source"], json!({"ip": "fe80::1", "port": 50000}));
    assert_eq!(udp["network"]["type"], "ipv6");
    assert!(udp["container"]["id"].as_str().is_some_and(|id| id.starts_with("3f4a")));
    let icmp = packets[3];
    assert_eq!(icmp["network"]["transport"], "icmp");
    assert_eq!(icmp["hone"]["packet"]["icmp"], json!({"type": 8, "code": 0}));
    assert_eq!((icmp.get("process"), icmp["source"].get("port")), (None, None));
    let gre = packets[4];
    assert_eq!(gre["process"], json!({"pid": 77}), "a process that the stream does not tell of");
    assert_eq!(packets[5]["process"]["name"], "curl", "after its end");
}

#[test]
fn bytes_that_are_no_text_are_there_in_base64() {
    let objects = objects(&hostile());
    let process = &objects[1]["process"];
    assert_eq!(process["executable"], "/tmp/\u{1b}[2J\nEXEC 1 root\u{fffd}\u{202e}.exe");
    assert_eq!(process["args"], json!(["a\nb", "\u{fffd}\u{fffd}", "\"quoted\" \\x1b"]));
    assert_eq!(process["user"], json!({"name": "al ice\r"}));
    use base64::Engine as _;
    let args = objects[1]["hone"]["bytes"]["args"].as_str().unwrap();
    assert_eq!(base64::prelude::BASE64_STANDARD.decode(args).unwrap(), b"a\nb\0\xff\xfe\0\"quoted\" \\x1b\0");
    assert_eq!(objects[4]["hone"]["connection"]["id"], json!(u64::MAX));
}

#[test]
fn what_the_text_escapes_is_escaped_in_json_and_decodes_to_what_it_was() {
    // C0 and C1 controls, DEL, blanks, all that changes direction, formats, separates lines or only combines; a tag
    // that takes two units; and text that is to stay as it is.
    let controls = "\u{1}\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9f}\u{a0}\u{ad}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\
                    \u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{301}\u{feff}\u{fff9}\u{e0041}";
    let plain = "naïve \"ü\" \\ 日本 🦀";
    let name = format!("{plain}{controls}");
    let path = format!("/bin/{name}");
    let mut stream = Stream::new(ByteOrder::Little);
    stream.process(6, ProcessEventKind::Started, |event| {
        event.path = Some(Cow::Owned(path.clone().into_bytes()));
        event.arguments = Some(Cow::Owned([path.as_bytes(), b"\0\xff\0"].concat()));
        event.user_name = Some(Cow::Owned(name.clone().into_bytes()));
        event.group_name = Some(Cow::Owned(name.clone().into_bytes()));
        event.container = Some(Cow::Owned(name.clone().into_bytes()));
        event.command_line = Some(Cow::Owned(name.clone().into_bytes()));
    });
    stream.packet(&[], 1, None, Some(6));
    let lines = shown(&["--json"], &stream.bytes);
    for line in &lines {
        let raw: Vec<_> = line.chars().filter(|char| controls.contains(*char)).collect();
        assert!(raw.is_empty(), "{raw:?} in {line}");
    }
    assert!(
        lines[1].contains("naïve \\\"ü\\\" \\\\ 日本 🦀\\u0001\\u001b\\u007f\\u0080\\u0085\\u009b"),
        "{}",
        lines[1]
    );
    assert!(lines[1].contains("\\u202e") && lines[1].contains("\\udb40\\udc41"), "{}", lines[1]);
    for object in objects(&stream.bytes)[1..].iter() {
        assert_eq!(object["process"]["executable"], *path);
        assert_eq!(object["process"]["name"], *name);
        assert_eq!(object["process"]["user"]["name"], *name);
        assert_eq!(object["container"]["id"], *name);
    }
    let exec = &objects(&stream.bytes)[1]["process"];
    assert_eq!((&exec["args"][0], &exec["args"][1]), (&json!(path), &json!("\u{fffd}")));
    assert_eq!((&exec["group"]["name"], &exec["command_line"]), (&json!(name), &json!(name)));
    // The text form escapes the same ones.
    for line in shown(&[], &stream.bytes) {
        assert!(!line.chars().any(|char| controls.contains(char)), "{line}");
        assert!(!line.contains("PAKT") || line.contains("ü") && line.contains("🦀"), "{line}");
    }
}

#[test]
fn packets_are_numbered_through_all_sections_of_a_file_and_through_a_selection() {
    let both = [everyday(ByteOrder::Little), everyday(ByteOrder::Big)].concat();
    let frames = |arguments: &[&str]| -> Vec<_> {
        let numbers = shown(&[&["--json"], arguments].concat(), &both);
        let numbers =
            numbers.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["hone"]["frame"].as_u64());
        numbers.collect()
    };
    let all: Vec<_> = frames(&[]).into_iter().flatten().collect();
    assert_eq!(all, (1..=12).collect::<Vec<_>>());
    assert_eq!(frames(&["--port", "53"]), [Some(3), Some(9)], "only packets have one");
}

#[test]
fn the_unit_is_with_each_event_of_a_process_in_it() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.process(20, ProcessEventKind::Started, |event| event.unit = Some(Cow::Borrowed(b"ssh.service")));
    stream.packet(&[], 1, None, Some(20));
    for object in &objects(&stream.bytes)[1..] {
        assert_eq!(object["hone"]["unit"], "ssh.service");
    }
    assert!(shown(&[], &stream.bytes)[1].contains(" unit=ssh.service"));
}

/// Connection ids are unique within a boot, so who joins recordings needs it.
#[test]
fn the_boot_is_the_hosts() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.bytes.clear();
    let boot = Some(*b"0123456789abcdef");
    stream.block(&Block::Section(Section { boot, ..Section::default() }));
    let id = "30313233-3435-3637-3839-616263646566";
    assert_eq!(objects(&stream.bytes)[0]["host"], json!({"boot": {"id": id}}));
    assert!(shown(&[], &stream.bytes)[0].contains(&format!("boot={id}")));
}

/// The hash comes after the start, even after the end, and the process stays what it is.
#[test]
fn a_hash_is_of_its_process_and_changes_nothing_else() {
    let stream = hashed();
    let objects = objects(&stream.bytes);
    let [start, exit, hash, late, second, failed] = &objects[1..] else { panic!("{objects:#?}") };
    assert_eq!(start["hone"]["no_hash"], "pending");
    assert!(start["process"]["hash"].is_null());
    assert_eq!(hash["event"]["action"], "executable-hashed");
    assert_eq!(hash["process"]["hash"]["sha256"], "0a".repeat(32));
    assert_eq!(exit["hone"]["no_hash"], "pending", "not known by then");
    assert!(hash["hone"]["no_hash"].is_null());
    for object in [start, hash, late] {
        assert_eq!(object["process"]["executable"], "/bin/short");
        assert_eq!(object["hone"]["unit"], "a.service");
    }
    assert!(second["process"]["hash"].is_null() && second["hone"]["no_hash"].is_null(), "another program");
    assert_eq!(failed["hone"]["no_hash"], "file gone");
    let lines = shown(&[], &stream.bytes);
    assert!(lines[1].contains(" sha256=pending"), "{}", lines[1]);
    assert!(
        lines[3].contains(" HASH      20 ") && lines[3].contains(&format!(" sha256={}", "0a".repeat(32)))
    );
    assert!(lines[6].ends_with(" sha256=file-gone"), "{}", lines[6]);
}

#[test]
fn a_process_has_what_names_its_program_in_every_recording() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.process(7, ProcessEventKind::Started, |event| {
        (event.born, event.executions) = (Some(12_345_678_901), Some(3));
    });
    stream.process(8, ProcessEventKind::Started, |_| {});
    let objects = objects(&stream.bytes);
    let run =
        |pid: u32| &objects.iter().find(|object| object["process"]["pid"] == pid).unwrap()["hone"]["run"];
    assert_eq!(run(7), &json!({"born": 12_345_678_901_u64, "executions": 3}));
    assert_eq!(run(8), &Value::Null);
}
