//! What each filter shows and leaves out.

use hone_pcapng::ByteOrder;

use crate::fixture::{WIDE, everyday};
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
