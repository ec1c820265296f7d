//! The text form, as a person sees it.

use hone_pcapng::ByteOrder;

use crate::fixture::{Stream, everyday, hostile, tcp, v4};
use crate::tools::{file, honeutil, shown};

#[test]
fn an_everyday_recording() {
    insta::assert_snapshot!("everyday", shown(&[], &everyday(ByteOrder::Little)).join("\n"));
}

#[test]
fn hostile_names_stay_within_their_words() {
    let lines = shown(&[], &hostile());
    assert_eq!(lines.len(), 5, "no name makes a line of its own");
    assert!(lines.iter().all(|line| !line.chars().any(char::is_control) && !line.contains('\u{202e}')));
    insta::assert_snapshot!("hostile", lines.join("\n"));
}

#[test]
fn both_byte_orders_read_the_same() {
    assert_eq!(shown(&[], &everyday(ByteOrder::Little)), shown(&[], &everyday(ByteOrder::Big)));
}

/// Five words in front, whatever follows.
#[test]
fn columns_can_be_counted_on() {
    for line in shown(&[], &everyday(ByteOrder::Little)).iter().chain(&shown(&[], &hostile())) {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        assert!(words.len() >= 6, "{line}");
        assert!(words[0] == "-" || words[0].len() == 30 && words[0].ends_with('Z'), "{line}");
        assert_eq!(words[1].len(), 4, "{line}");
        assert!(words[2] == "-" || words[2].parse::<u32>().is_ok(), "{line}");
    }
}

#[test]
fn several_files_sections_and_compressed_ones() {
    let directory = tempfile::tempdir().unwrap();
    let (little, big) = (everyday(ByteOrder::Little), everyday(ByteOrder::Big));
    let plain = file(&directory, "a.pcapng", &little);
    // The name says nothing: the content does.
    let compressed = file(&directory, "b.pcapng", &zstd::stream::encode_all(&big[..], 3).unwrap());
    let sections = file(&directory, "c.pcapng", &[&little[..], &big].concat());
    let one = shown(&[], &little);
    for (files, times) in [
        (vec![&plain], 1),
        (vec![&compressed], 1),
        (vec![&sections], 2),
        (vec![&plain, &compressed, &sections], 4),
    ] {
        let output = honeutil(["show"]).args(&files).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(lines, vec![one.clone(); times].concat(), "{files:?}");
    }
    assert_eq!(shown(&["-"], &zstd::stream::encode_all(&little[..], 3).unwrap()), one);
}

#[test]
fn a_section_forgets_the_processes_of_the_one_before() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(7, b"/bin/first", 0, b"root");
    stream.section(101);
    stream.packet(&v4(6, [1; 4], [2; 4], &tcp(1, 2, 0)), 1, None, Some(7));
    let lines = shown(&[], &stream.bytes);
    assert!(lines[1].contains("first") && !lines[3].contains("first"), "{lines:?}");
}

#[test]
fn other_link_types() {
    let ip = v4(6, [10, 0, 0, 1], [192, 0, 2, 1], &tcp(1000, 443, 0));
    let mut stream = Stream::with_link_type(ByteOrder::Little, 1);
    stream.packet(&[&[0; 12][..], &[8, 0], &ip].concat(), 2, None, None);
    stream.packet(&[&[0; 12][..], &[8, 6], &ip].concat(), 2, None, None);
    let lines = shown(&["--filter", "ip and len = 40"], &stream.bytes);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("out tcp 10.0.0.1:1000 > 192.0.2.1:443 len=54 how=kernel"), "{lines:?}");
}
