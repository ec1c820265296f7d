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
        ("--name", "..", "must not have . or .."),
        ("--name", "/usr/./bin/curl", "must not have . or .."),
        ("--path", "/usr/../bin/", "must not have . or .."),
        ("--user", "", "empty"),
        ("--user", "-1", "a name or a number, 0 to 4294967295"),
        ("--not-group", "-1", "a name or a number, 0 to 4294967295"),
        ("--group", "4294967296", "a name or a number, 0 to 4294967295"),
        ("--container", "", "empty"),
        ("--conn", "18446744073709551616", "0 to 18446744073709551615"),
        ("--port", "65536", "0 to 65535"),
        ("--host", "example.com", "ADDRESS/BITS"),
        ("--host", "10.0.0.1/8", "write 10.0.0.0/8 for the network, or 10.0.0.1 for this address only"),
        ("--not-host", "fe80::1/10", "write fe80::/10 for the network"),
        ("--filter", "tcp and net 10.0.0.1/8", "write 10.0.0.0/8 for the network"),
        ("--filter", "port http", "expected a port by its number, 0 to 65535, found \"http\""),
        ("--filter", "ether host 1", "not supported"),
        ("--filter", "len > 99999999999", "at character 7: expected a number, 0 to 4294967295"),
        ("--filter", "tcp[0:3]=1", "at character 7: expected 1, 2 or 4: the size in bytes, found \"3\""),
        ("--not-filter", "", "found the end"),
        ("--path", "curl", "must be a whole path, such as /usr/bin/curl"),
        ("--not-path", "./bin/", "must be a whole path, such as /usr/bin/curl"),
        ("--name", "bin/curl", "must be a file name, such as curl, or a whole path"),
        ("--name", "a\\x1", "the backslash at character 2 begins no escape"),
    ] {
        for arguments in [&[&format!("{option}={value}")[..]][..], &[option, value]] {
            let output = honeutil(["show"]).args(arguments).output().unwrap();
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(message.contains(words), "{option} {value}: {message}");
            assert_eq!(output.stdout, b"");
        }
    }
}

/// Names and paths that have a dot, but not as a whole part of them; a user of Windows may be called by a large number.
#[test]
fn values_that_are_unusual_but_possible_are_taken() {
    for (option, value) in [
        ("--name", "...hidden"),
        ("--path", "/opt/a..b/.c/"),
        ("--user", "4294967296"),
        ("--user", "-x"),
        ("--user", "4294967295"),
    ] {
        let output = honeutil(["show"]).arg(format!("{option}={value}")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{option} {value}: {output:?}");
    }
}

#[test]
fn what_is_too_long_is_said_briefly() {
    let long = vec!["tcp"; 1200].join(" or ");
    let ports: Vec<String> = (1..=300).map(|port| format!("--port={port}")).collect();
    for (arguments, words) in [
        (vec![format!("--filter={long}")], "it is longer than 2000 words and signs"),
        (ports, "error: a selection has at most 256 conditions"),
    ] {
        let output = honeutil(["show"]).args(arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{message}");
        assert!(message.len() < 400 && !message.contains("Usage:"), "{message}");
    }
}

#[test]
fn the_place_of_an_error_in_an_expression_is_marked() {
    for (expression, mark) in [
        ("tcp prot 80", "at character 5: "),
        ("tcp prot 80", "\n  tcp prot 80\n      ^\n"),
        ("tcp or (udp", "\n  tcp or (udp\n             ^\n"),
        // The line that is wrong, and nothing that could control a terminal.
        ("tcp\nand\tport http\nor udp", "\n  and port http\n           ^\n"),
        ("\x1b[2J", "\n   [2J\n  ^\n"),
    ] {
        let output = honeutil(["show", "--filter", expression]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(mark), "{expression:?}: {message}");
    }
}

/// As in tcpdump, also beside another expression: one match is enough.
#[test]
fn an_empty_expression_selects_all() {
    let all = kinds(&[]);
    assert_ne!(kinds(&["--filter", "udp"]), all);
    for arguments in [&["--filter", ""][..], &["--filter", " \t"], &["--filter", "udp", "--filter", ""]] {
        assert_eq!(kinds(arguments), all, "{arguments:?}");
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
