use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use hone_packet::Headers;
use hone_types::Direction;

use super::*;
use crate::error::{ParseError, Problem};

/// The selection that these arguments make.
#[track_caller]
fn selection(arguments: &[&str]) -> Selection {
    let text =
        arguments.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect::<Vec<_>>();
    Selection::parse(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

const CURL: ProcessView<'_> = ProcessView {
    pid: Some(8),
    path: b"/usr/bin/curl",
    user: Some(1000),
    user_name: b"alice",
    security_id: b"",
    group: Some(100),
    group_name: b"users",
    container: b"3f4a0c",
    unit: b"fetch.service",
};

#[test]
fn each_word_of_a_process_and_its_opposite() {
    for (word, yes, no) in [
        ("pid", &["8"][..], &["9"][..]),
        ("name", &["curl", "/usr/bin/curl"], &["cur", "curl2", "/bin/curl"]),
        (
            "path",
            &["/usr/bin/curl", "/usr/bin/", "/usr/", "/"],
            &["/curl", "/usr/bin", "/usr/lib/", "/bin/curl"],
        ),
        ("user", &["alice", "1000"], &["bob", "100", "ali"]),
        ("group", &["users", "100"], &["wheel", "1000", "alice"]),
        ("container", &["3f4a0c", "3f4a"], &["3f4b", "f4a"]),
        ("unit", &["fetch.service", "fetch"], &["fetch.serv", "fetch.timer", "other"]),
    ] {
        for (values, expected) in [(yes, true), (no, false)] {
            for value in values {
                let matches = |prefix: &str, process: Option<&ProcessView<'_>>| {
                    selection(&[&format!("{prefix}{word}"), value]).process_matches(process)
                };
                assert_eq!(matches("--", Some(&CURL)), expected, "--{word} {value}");
                assert_eq!(matches("--not-", Some(&CURL)), !expected, "--not-{word} {value}");
                assert!(!matches("--", None) && matches("--not-", None), "{word} of no process");
                let unknown = ProcessView { pid: Some(77), ..ProcessView::default() };
                assert!(!matches("--", Some(&unknown)), "--{word} of an unknown process");
                assert!(matches("--not-", Some(&unknown)), "--not-{word} of an unknown process");
            }
        }
    }
    let system = ProcessView { security_id: b"S-1-5-18", ..ProcessView::default() };
    assert!(selection(&["--user", "S-1-5-18"]).process_matches(Some(&system)));
    let tool = ProcessView { path: br"C:\Tools\a.exe", ..ProcessView::default() };
    assert!(selection(&["--path", r"C:\Tools\"]).process_matches(Some(&tool)));
    assert!(selection(&["--name", "a.exe"]).process_matches(Some(&tool)));
}

#[test]
fn on_windows_case_does_not_matter_and_elsewhere_it_does() {
    let tool = ProcessView {
        path: br"C:\Tools\Browser.exe",
        user_name: b"Alice",
        security_id: b"S-1-5-21-1",
        ..ProcessView::default()
    };
    for words in [
        ["--name", "BROWSER.EXE"],
        ["--name", r"c:\tools\browser.exe"],
        ["--path", r"c:\TOOLS\"],
        ["--path", "C:/Tools/"],
        ["--path", r"c:\tools\browser.EXE"],
        ["--user", "alice"],
    ] {
        assert!(selection(&words).process_matches(Some(&tool)), "{words:?}");
        let opposite = [&format!("--not-{}", &words[0][2..]), words[1]];
        assert!(!selection(&opposite).process_matches(Some(&tool)), "{opposite:?}");
    }
    for words in [["--name", "Curl"], ["--path", "/USR/"], ["--user", "Alice"]] {
        assert!(!selection(&words).process_matches(Some(&CURL)), "{words:?}");
    }
    for words in [["--name", "BROWSER"], ["--path", r"D:\tools\"], ["--path", r"C:\Too"]] {
        assert!(!selection(&words).process_matches(Some(&tool)), "{words:?}");
    }
}

/// A UDP datagram from 10.0.0.1:40000 to 192.0.2.1:53.
fn datagram() -> Vec<u8> {
    let mut ip = vec![0; 20];
    (ip[0], ip[9]) = (0x45, 17);
    ip[12..20].copy_from_slice(&[10, 0, 0, 1, 192, 0, 2, 1]);
    ip.extend([0x9C, 0x40, 0, 53, 0, 8, 0, 0]);
    ip
}

fn view(ip: &[u8]) -> PacketView<'_> {
    PacketView {
        names: &[],
        ip,
        headers: Headers::parse(ip).ok(),
        length: 28,
        direction: Some(Direction::Outbound),
        connection: Some(12),
        is_undecoded: false,
    }
}

#[test]
fn each_word_of_a_packet_and_its_opposite() {
    let ip = datagram();
    let packet = view(&ip);
    let bare = PacketView { ip: &[], headers: None, direction: None, connection: None, ..packet };
    let undecoded = PacketView { is_undecoded: true, ..packet };
    for (word, yes, no) in [
        ("conn", &["12"][..], &["13"][..]),
        ("port", &["53", "40000"], &["54"]),
        ("host", &["10.0.0.1", "192.0.2.0/24"], &["10.0.0.2", "::/0"]),
        ("direction", &["out"], &["in"]),
        ("filter", &["udp port 53", "len = 28"], &["tcp"]),
    ] {
        for (values, expected) in [(yes, true), (no, false)] {
            for value in values {
                let matches = |prefix: &str, packet: &PacketView<'_>| {
                    selection(&[&format!("{prefix}{word}"), value]).packet_matches(packet)
                };
                assert_eq!(matches("--", &packet), expected, "--{word} {value}");
                assert_eq!(matches("--not-", &packet), !expected, "--not-{word} {value}");
                if word != "filter" {
                    assert!(
                        !matches("--", &bare) && matches("--not-", &bare),
                        "{word} of a packet without it"
                    );
                }
                if word != "conn" {
                    assert!(!matches("--", &undecoded) && !matches("--not-", &undecoded), "{word}");
                }
                let of_events = |prefix: &str| {
                    selection(&[&format!("{prefix}{word}"), value]).connection_matches(Some(12))
                };
                let is_connection = word == "conn";
                assert_eq!(of_events("--"), is_connection && expected, "--{word} of an event");
                assert_eq!(of_events("--not-"), !(is_connection && expected), "--not-{word} of an event");
            }
        }
    }
}

#[test]
fn a_domain_matches_any_name_of_a_packet_and_nothing_else() {
    let of = |is_negated, text| {
        let mut selection = Selection::default();
        selection.add(Word::Domain, is_negated, text).unwrap();
        assert!(selection.needs_names());
        selection
    };
    let ip = datagram();
    let bare = view(&ip);
    let names = ["www.example.com", "cdn.example.net"];
    let packet = PacketView { names: &names, ..bare };
    for (domain, expected) in [("example.com", true), ("NET", true), ("ample.com", false)] {
        assert_eq!(of(false, domain).packet_matches(&packet), expected, "{domain}");
        assert_eq!(of(true, domain).packet_matches(&packet), !expected, "{domain}");
        assert!(!of(false, domain).packet_matches(&bare) && of(true, domain).packet_matches(&bare));
        assert!(!of(false, domain).connection_matches(Some(12)));
    }
    let mut filter = Selection::default();
    filter.add(Word::Filter, false, "udp and domain example.com").unwrap();
    assert!(filter.needs_names() && filter.packet_matches(&packet) && !filter.packet_matches(&bare));
    let mut both = of(true, "example.com");
    both.add(Word::Domain, false, "www.example.com").unwrap();
    assert!(both.check().is_err(), "the names below are left out, too");
}

#[test]
fn the_same_word_is_or_another_is_and_an_opposite_is_none() {
    let matches = |arguments: &[&str]| selection(arguments).process_matches(Some(&CURL));
    assert!(matches(&["--name", "wget", "--name", "curl"]));
    assert!(matches(&["--name", "curl", "--user", "alice"]));
    assert!(!matches(&["--name", "curl", "--user", "bob"]));
    assert!(!matches(&["--name", "curl", "--not-user", "alice"]));
    assert!(!matches(&["--not-name", "wget", "--not-name", "curl"]));
    assert!(matches(&["--not-name", "wget", "--not-name", "sh"]));
    let ip = datagram();
    let matches = |arguments: &[&str]| selection(arguments).packet_matches(&view(&ip));
    assert!(matches(&["--port", "53", "--port", "443", "--not-host", "192.0.2.2", "--direction", "out"]));
    assert!(!matches(&["--port", "53", "--not-filter", "udp"]));
    assert!(matches(&["--filter", "tcp", "--filter", "udp"]));
    assert!(!matches(&["--port", "53", "--conn", "13"]));
}

#[test]
fn children_inherit_at_fork_and_keep_it_over_exec() {
    let shell = ProcessView { pid: Some(7), path: b"/bin/sh", ..ProcessView::default() };
    let child = ProcessView { pid: Some(9), path: b"/usr/bin/curl", ..ProcessView::default() };
    let with = |arguments: &[&str]| {
        let selection = selection(arguments);
        let before = selection.mark(&shell, Mark::default());
        let forked = selection.mark(&ProcessView { pid: Some(9), ..shell }, before);
        let executed = selection.mark(&child, forked);
        [before, forked, executed].map(|mark| selection.admits(Some(Mark::of_bits(mark.bits()))))
    };
    assert_eq!(with(&["--pid", "7", "--children"]), [true; 3]);
    assert_eq!(with(&["--pid", "7"]), [true, false, false]);
    assert_eq!(with(&["--name", "sh"]), [true, true, false], "another program, no child");
    assert_eq!(with(&["--name", "sh", "--not-name", "curl", "--children"]), [true, true, false]);
    assert_eq!(with(&["--not-pid", "7", "--children"]), [false; 3], "also without its descendants");
    assert_eq!(with(&["--pid", "9", "--children"]), [false, true, true], "not its ancestors");
}

#[test]
fn a_selection_is_the_same_after_it_was_text() {
    let all = [
        "--pid",
        "8",
        "--not-pid",
        "9",
        "--name",
        "a\nb --pid 1",
        "--not-path",
        "/usr/",
        "--user",
        "é",
        "--group",
        "7",
        "--container",
        "3f",
        "--unit",
        "ssh",
        "--conn",
        "18446744073709551615",
        "--port",
        "0",
        "--not-host",
        "fe80::/10",
        "--direction",
        "in",
        "--not-direction",
        "out",
        "--filter",
        "tcp[tcpflags] & tcp-syn != 0",
        "--children",
    ];
    let first = selection(&all);
    let mut text = Vec::new();
    first.to_text(&mut text).unwrap();
    assert_eq!(Selection::parse(&text).unwrap(), first);
    assert_eq!(text, all.map(|argument| argument.to_string() + "\0").concat().as_bytes());
    assert_eq!(Selection::parse(b"").unwrap(), Selection::default());
    assert!(Selection::default().is_everything() && !first.is_everything());
}

#[test]
fn what_is_wrong_with_a_text_is_said_with_its_place() {
    for (text, words) in [
        (&b"--pid"[..], "argument 1 of the selection: it is not text with a zero byte"),
        (b"--pid\0", "argument 1 of the selection: its value is missing"),
        (b"--pid\x008\0--name\0\xff\0", "argument 4 of the selection: it is not text"),
        (b"--pid\x008\0--nmae\0a\0", "argument 3 of the selection: \"--nmae\" is not a word"),
        (b"pid\x008\0", "\"pid\" is not a word"),
        (b"\0", "\"\" is not a word"),
        (b"--not-children\0", "\"--not-children\" is not a word"),
        (b"--pid\0x\0", "argument 2 of the selection: must be a process id, 0 to 4294967295"),
        (b"--pid\0+8\0", "must be a process id"),
        (b"--conn\0-1\0", "must be a connection id"),
        (b"--port\x0065536\0", "must be a port, 0 to 65535"),
        (b"--host\0a\0", "ADDRESS/BITS"),
        (b"--direction\0up\0", "must be in or out"),
        (b"--not-domain\0a.b\0", "argument 2 of the selection: --domain selects in recordings only"),
        (
            b"--port\x0080\0--filter\0tcp and domain a.b\0",
            "argument 4 of the selection: domain in --filter selects in recordings only",
        ),
        (b"--user\0\0", "must not be empty"),
        (b"--filter\0\0", "found the end"),
        (b"--path\0curl\0", "must be a whole path"),
        (b"--path\0./a/\0", "must be a whole path"),
        (b"--name\0bin/curl\0", "must be a file name, such as curl, or a whole path"),
        (b"--name\0/usr/bin/\0", "--path takes a folder"),
        (
            b"--name\0a\\xq1\0",
            r"the backslash at character 2 begins no escape: write \\ for a backslash, \xHH",
        ),
        (b"--name\0\xc3\xa9vil\\x1\0", "character 5"),
        (b"--path\0/tmp/\\u{110000}\0", "character 6"),
        (b"--name\0\\xq1\0", "character 1 "),
        (b"--filter\0port x\0", "expected a port by its number, 0 to 65535, found \"x\""),
    ] {
        let message = Selection::parse(text).unwrap_err().to_string();
        assert!(message.contains(words), "{}: {message}", String::from_utf8_lossy(text));
    }
}

#[test]
fn other_backslashes_are_no_escapes() {
    for (word, value) in [
        (Word::Name, r"C:\xampp\httpd.exe"),
        (Word::Path, r"C:\xampp\"),
        (Word::Path, r"\Device\HarddiskVolume1\"),
        (Word::Path, "[kworker/0:1]"),
        (Word::Name, r"back\slash"),
        (Word::User, r"DOMAIN\user"),
        (Word::Group, r"BUILTIN\Users"),
        (Word::Unit, r"dev-disk-by\x2duuid"),
    ] {
        Selection::default().add(word, false, value).unwrap_or_else(|error| panic!("{value}: {error}"));
    }
}

#[test]
fn a_selection_is_bounded() {
    let many = "--pid\x001\0".repeat(MAX_CONDITIONS);
    assert!(Selection::parse(many.as_bytes()).is_ok());
    let error = Selection::parse((many + "--pid\x001\0").as_bytes()).unwrap_err();
    let problem = Problem::Condition(ConditionError::TooMany);
    assert_eq!(error, ParseError { argument: 2 * MAX_CONDITIONS + 2, problem });
    let mut long = Selection::default();
    let value = "x".repeat(MAX_TEXT_BYTES - "--name".len() - 2);
    assert_eq!(long.add(Word::Name, false, &(value.clone() + "x")), Err(ConditionError::TooLong));
    long.add(Word::Name, false, &value).unwrap();
    assert_eq!(long.add(Word::Pid, false, "1"), Err(ConditionError::TooLong));
    long.set_children(true);
    let mut text = Vec::new();
    long.to_text(&mut text).unwrap();
    assert_eq!(Selection::parse(&text).unwrap(), long, "what was made is also parsed");
    text.extend(b"--pid\x001\0");
    assert!(Selection::parse(&text).is_err());
    let huge = vec![b'x'; 1 << 20];
    assert_eq!(Selection::parse(&huge).unwrap_err().problem, Problem::TooLong);
}

#[test]
fn contradictions_are_found() {
    for (arguments, words) in [
        (
            &["--pid", "1", "--pid", "2", "--not-pid", "1"][..],
            "--pid \"1\" can match nothing, because --not-pid \"1\" leaves",
        ),
        (&["--name", "curl", "--not-name", "curl"], "--name \"curl\""),
        (&["--host", "10.0.0.1", "--not-host", "10.0.0.0/8"], "--host"),
        (&["--container", "3f4a", "--not-container", "3f"], "--container"),
        (&["--path", "/usr/bin/curl", "--not-path", "/usr/"], "--path"),
        (&["--filter", "tcp  port 80", "--not-filter", "tcp port 80"], "--filter"),
        (&["--direction", "in", "--not-direction", "in"], "--direction"),
        (
            &["--children", "--port", "1"],
            "--children needs a word that selects processes: --pid, --name, --path",
        ),
    ] {
        let message = selection(arguments).check().unwrap_err().to_string();
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
    for arguments in [
        &["--pid", "1", "--not-pid", "2"][..],
        &["--host", "10.0.0.0/8", "--not-host", "10.0.0.1"],
        &["--name", "curl", "--not-name", "/opt/curl"],
        &["--path", "/usr/", "--not-path", "/usr/bin/"],
        &["--name", "sh", "--children", "--not-user", "root"],
    ] {
        assert_eq!(selection(arguments).check(), Ok(()), "{arguments:?}");
    }
}

/// Whatever bytes come, they are a selection that is the same after it was text, or an error with a place.
#[test]
fn any_bytes_are_a_selection_or_an_error() {
    let seed = "--pid\x008\0--not-name\0a\\x1b\0--host\x0010.0.0.0/8\0--filter\0tcp[2:2] = 1 or not port 5\0--children\0";
    let ip = datagram();
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    // Miri is slow.
    let (mut sound, tries) = (0, if cfg!(miri) { 200 } else { 20_000 });
    for _ in 0..tries {
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..1 + random(3) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => bytes[at] = 0,
                2 => bytes.truncate(at + 1),
                _ => drop(bytes.remove(at)),
            }
            bytes.push(0);
        }
        if let Ok(selection) = Selection::parse(&bytes) {
            sound += 1;
            let mut text = Vec::new();
            selection.to_text(&mut text).unwrap();
            assert_eq!(Selection::parse(&text), Ok(selection));
        }
    }
    assert!(sound > tries / 200, "{sound}");
    assert!(!selection(&["--filter", "tcp"]).packet_matches(&view(&ip)));
}
