//! What each filter shows and leaves out.

use std::borrow::Cow;

use hone_pcapng::{ByteOrder, ProcessEventKind};

use crate::fixture::{Stream, WIDE, everyday};
use crate::tools::{honeutil, shown};

/// The kinds and process ids of the lines shown.
fn kinds(arguments: &[&str]) -> Vec<String> {
    let lines = shown(arguments, &everyday(ByteOrder::Little));
    lines
        .iter()
        .map(|line| line.split_ascii_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn each_kind() {
    let of_8 = ["FORK 8", "EXEC 8", "SOCK 8", "PAKT 8", "PAKT 8", "SOCK 8", "EXIT 8", "PAKT 8"];
    assert_eq!(kinds(&["--pid", "8"]), of_8);
    assert_eq!(kinds(&["--name", "curl"]), &of_8[1..], "what it did as curl");
    assert_eq!(kinds(&["--name", "/usr/bin/curl"]), &of_8[1..]);
    assert_eq!(kinds(&["--name", "bash"]), ["EXEC 7", "FORK 8"]);
    assert_eq!(kinds(&["--name", "/bin/curl"]), [""; 0]);
    assert_eq!(kinds(&["--user", "root"]), ["EXEC 9", "SOCK 9", "PAKT 9"]);
    assert_eq!(kinds(&["--user", "0"]), ["KTHR 2", "EXEC 9", "SOCK 9", "PAKT 9"]);
    assert_eq!(kinds(&["--container", "3f4a0c1de2b5"]), ["EXEC 9", "SOCK 9", "PAKT 9"]);
    assert_eq!(kinds(&["--container", "3f4b"]), [""; 0]);
    assert_eq!(kinds(&["--conn", "12"]), ["SOCK 8", "PAKT 8", "PAKT 8", "SOCK 8", "PAKT 8"]);
    assert_eq!(kinds(&["--conn", &WIDE.to_string()]), ["SOCK 9", "PAKT 9"]);
    assert_eq!(kinds(&["--port", "443"]), ["PAKT 8"; 3]);
    assert_eq!(kinds(&["--port", "53"]), ["PAKT 9"]);
    assert_eq!(kinds(&["--host", "192.0.2.0/24"]), ["PAKT 8", "PAKT 8", "PAKT -", "PAKT 77", "PAKT 8"]);
    assert_eq!(kinds(&["--host", "fe80::2"]), ["PAKT 9"]);
    assert_eq!(kinds(&["--filter", "icmp or ip6"]), ["PAKT 9", "PAKT -"]);
    assert_eq!(kinds(&["--filter", "inbound"]), ["PAKT 8", "PAKT -"]);
}

#[test]
fn the_same_again_is_or_another_is_and() {
    assert_eq!(kinds(&["--pid", "7", "--pid", "9"]), ["EXEC 7", "EXEC 9", "SOCK 9", "PAKT 9"]);
    assert_eq!(kinds(&["--port", "53", "--port", "443"]), ["PAKT 8", "PAKT 8", "PAKT 9", "PAKT 8"]);
    assert_eq!(kinds(&["--host", "fe80::1", "--host", "10.0.0.1"]).len(), 6);
    assert_eq!(kinds(&["--user", "alice", "--port", "443", "--filter", "dst port 443"]), ["PAKT 8"; 2]);
    assert_eq!(kinds(&["--pid", "9", "--conn", "12"]), [""; 0]);
    assert_eq!(kinds(&["--name", "curl", "--name", "dnsmasq", "--filter", "udp"]), ["PAKT 9"]);
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    for (option, value, words) in [
        ("--pid", "-1", "0 to 4294967295"),
        ("--pid", "x", "0 to 4294967295"),
        ("--name", "", "empty"),
        ("--user", "", "empty"),
        ("--container", "", "empty"),
        ("--conn", "18446744073709551616", "0 to 18446744073709551615"),
        ("--port", "65536", "0 to 65535"),
        ("--host", "example.com", "ADDRESS/BITS"),
        ("--filter", "port http", "expected a port by its number, 0 to 65535, found \"http\""),
        ("--filter", "ether host 1", "not supported"),
    ] {
        let output = honeutil(["show", &format!("{option}={value}")]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{option} {value}: {message}");
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn a_name_can_be_given_back_as_it_was_printed() {
    let names: [&[u8]; 9] = [
        b"\xff\xfe",
        b"a b",
        b"tab\there",
        b"esc\x1b[2J",
        "bidi\u{202e}x".as_bytes(),
        "c1\u{9b}x".as_bytes(),
        b"back\\slash",
        b"-",
        b"caf\xc3\xa9\xff",
    ];
    let mut stream = Stream::new(ByteOrder::Little);
    for (pid, name) in (1..).zip(names) {
        let path = [b"/opt/", name].concat();
        stream.process(pid, ProcessEventKind::Started, |event| {
            event.path = Some(Cow::Owned(path));
            event.user_name = Some(Cow::Borrowed(name));
            event.container = Some(Cow::Borrowed(name));
        });
        stream.packet(&[], 1, None, Some(pid));
    }
    // What is not known is shown as `-`, too, and is no name.
    stream.packet(&[], 1, None, Some(100));
    let all = shown(&[], &stream.bytes);
    let json = shown(&["--json"], &stream.bytes);
    for (index, line) in all[1..].chunks(2).enumerate().take(names.len()) {
        let words: Vec<_> = line[0].split_ascii_whitespace().collect();
        let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)).unwrap();
        for option in [
            ["--user", words[3]],
            ["--name", words[4]],
            ["--name", value("path=")],
            ["--container", value("container=")],
        ] {
            assert_eq!(shown(&option, &stream.bytes), line, "{option:?}");
        }
        // As jq -r prints it.
        let object: serde_json::Value = serde_json::from_str(&json[1 + 2 * index]).unwrap();
        let name = object["process"]["name"].as_str().unwrap();
        assert_eq!(shown(&["--name", name], &stream.bytes), line, "{name:?}");
    }
    assert_eq!(shown(&["--name", r"\xff"], &stream.bytes), [""; 0], "a part of a name is none");
}
