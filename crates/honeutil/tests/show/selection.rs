//! The options that select: each and its opposite, together, and with the descendants of processes.

use std::borrow::Cow;

use hone_pcapng::{Block, ByteOrder, ConnectionEventKind, NoOwner, Packet, ProcessEventKind};

use crate::fixture::{Stream, everyday};
use crate::tools::{honeutil, shown};

/// The kinds and process ids of the lines shown.
fn kinds(arguments: &[&str], stream: &[u8]) -> Vec<String> {
    let kind_and_id = |line: &String| {
        let words: Vec<_> = line.split_ascii_whitespace().skip(1).take(2).collect();
        words.join(" ")
    };
    shown(arguments, stream).iter().map(kind_and_id).collect()
}

/// The process ids of the packets shown.
fn packets(arguments: &[&str], stream: &[u8]) -> Vec<String> {
    let kinds = kinds(arguments, stream);
    kinds.iter().filter_map(|kind| kind.strip_prefix("PAKT ")).map(str::to_owned).collect()
}

/// The everyday stream, and a process of a systemd unit.
fn with_unit() -> Vec<u8> {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.bytes = everyday(ByteOrder::Little);
    stream.process(20, ProcessEventKind::Started, |event| {
        event.path = Some(Cow::Borrowed(b"/usr/sbin/sshd"));
        event.group = Some(0);
        event.unit = Some(Cow::Borrowed(b"ssh.service"));
    });
    stream.packet(&[], 1, None, Some(20));
    stream.bytes
}

#[test]
fn the_words_of_a_process() {
    let stream = with_unit();
    for (option, value, expected) in [
        ("--path", "/usr/bin/curl", &["8", "8", "8"][..]),
        ("--path", "/usr/sbin/", &["9", "20"]),
        ("--path", "/usr/sbin", &[]),
        ("--group", "users", &["8", "8", "8"]),
        ("--group", "100", &["8", "8", "8"]),
        ("--group", "0", &["20"]),
        ("--unit", "ssh.service", &["20"]),
        ("--unit", "ssh", &["20"]),
        ("--unit", "ss", &[]),
    ] {
        assert_eq!(packets(&[option, value], &stream), expected, "{option} {value}");
    }
}

/// What an option shows and what its opposite shows is everything, each event once; but nothing is known of a packet
/// without an address.
#[test]
fn an_opposite_shows_the_rest() {
    let stream = everyday(ByteOrder::Little);
    let all = shown(&[], &stream);
    for (word, value) in [
        ("pid", "8"),
        ("name", "curl"),
        ("path", "/usr/bin/"),
        ("user", "alice"),
        ("group", "users"),
        ("container", "3f"),
        ("unit", "ssh"),
        ("conn", "12"),
        ("port", "443"),
        ("host", "192.0.2.0/24"),
        ("direction", "in"),
        ("filter", "icmp or ip6"),
    ] {
        let selected = shown(&[&format!("--{word}"), value], &stream);
        let rest = shown(&[&format!("--not-{word}"), value], &stream);
        assert!(!rest.is_empty() && rest.len() < all.len() || word == "unit", "{word}");
        let mut both = [selected, rest].concat();
        let mut all = all.clone();
        both.sort_unstable();
        all.sort_unstable();
        assert_eq!(both, all, "{word}");
    }
}

#[test]
fn opposites_together_leave_out_what_any_of_them_matches() {
    let stream = everyday(ByteOrder::Little);
    assert_eq!(packets(&["--not-name", "curl", "--not-pid", "77"], &stream), ["9", "-"]);
    assert_eq!(packets(&["--user", "alice", "--not-direction", "in"], &stream), ["8", "8"]);
    assert_eq!(packets(&["--pid", "8", "--pid", "9", "--not-port", "53"], &stream), ["8", "8", "8"]);
    assert_eq!(packets(&["--filter", "icmp", "--filter", "ip6", "--not-filter", "inbound"], &stream), ["9"]);
    assert_eq!(packets(&["--path", "/usr/", "--not-path", "/usr/bin/"], &stream), ["9"]);
}

#[test]
fn contradictions_are_refused() {
    for (arguments, words) in [
        (
            &["--pid", "1", "--not-pid", "1"][..],
            "--pid \"1\" can match nothing, because --not-pid \"1\" leaves it out",
        ),
        (
            &["--host", "10.0.0.1", "--not-host", "10.0.0.0/8"],
            "because --not-host \"10.0.0.0/8\" leaves it out",
        ),
        (&["--children"], "--children needs a word that selects processes"),
        (&["--direction", "up"], "[possible values: in, out]"),
    ] {
        let output = honeutil(["show"].iter().chain(arguments)).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
        assert!(!message.contains("Usage:"), "{message}");
        assert_eq!(output.stdout, b"");
    }
}

/// A stream of forks, programs and ends.
struct Family(Stream);

impl Family {
    fn new() -> Self {
        Self(Stream::new(ByteOrder::Little))
    }

    /// Found running when the section began.
    fn found(&mut self, pid: u32, parent: u32, path: &'static str) {
        self.runs(pid, parent, path);
    }

    fn forks(&mut self, parent: u32, child: u32) {
        self.0.process(child, ProcessEventKind::Forked, |event| event.parent = Some(parent));
    }

    fn runs(&mut self, pid: u32, parent: u32, path: &'static str) {
        self.0.process(pid, ProcessEventKind::Started, |event| {
            event.path = Some(Cow::Borrowed(path.as_bytes()));
            event.parent = Some(parent);
        });
    }

    fn ends(&mut self, pid: u32) {
        self.0.process(pid, ProcessEventKind::Ended, |_| {});
    }

    fn sends(&mut self, pid: u32) {
        self.0.packet(&[], 2, None, Some(pid));
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], expected: &[&str]) {
        assert_eq!(packets(arguments, &self.0.bytes), expected, "{arguments:?}");
    }
}

#[test]
fn a_daemon_by_double_fork_is_a_descendant() {
    let mut family = Family::new();
    family.found(1, 0, "/sbin/init");
    family.found(5, 1, "/bin/sh");
    family.forks(5, 6);
    family.forks(6, 7);
    family.ends(6);
    family.runs(7, 1, "/usr/sbin/daemon");
    family.ends(5);
    family.sends(7);
    family.forks(1, 8);
    family.sends(8);
    family.check(&["--name", "sh", "--children"], &["7"]);
    family.check(&["--name", "sh"], &[]);
    family.check(&["--pid", "5", "--children"], &["7"]);
    family.check(&["--pid", "6", "--children"], &["7"]);
    family.check(&["--not-pid", "5", "--children"], &["8"]);
    family.check(&["--name", "init", "--children", "--not-name", "sh"], &["8"]);
}

/// As `honeutil read` selects them: the last packets of a connection whose peer closes later.
#[test]
fn what_the_kernel_does_for_an_ended_connection_is_selected_with_the_process_that_had_it() {
    let mut family = Family::new();
    family.found(5, 1, "/usr/bin/curl");
    family.found(6, 1, "/usr/bin/wget");
    for (connection, pid) in [(70, 5), (71, 6)] {
        family.0.connection(connection, pid, ConnectionEventKind::Opened);
        family.0.connection(connection, pid, ConnectionEventKind::Closed);
    }
    family.ends(5);
    for (connection, reason) in
        [(70, NoOwner::TimeWait), (71, NoOwner::TimeWait), (70, NoOwner::Shared), (99, NoOwner::TimeWait)]
    {
        let packet = Packet {
            timestamp: family.0.tick(),
            connection: Some(connection),
            how: Some(Err(reason)),
            ..Packet::default()
        };
        family.0.block(&Block::Packet(packet));
    }
    let connections = |arguments: &[&str]| -> Vec<_> {
        let lines = shown(arguments, &family.0.bytes).into_iter().filter(|line| line.contains("PAKT"));
        lines.filter_map(|line| Some(line.split_once("conn=")?.1.split(' ').next()?.to_owned())).collect()
    };
    assert_eq!(connections(&["--name", "curl"]), ["70"]);
    assert_eq!(connections(&["--pid", "1", "--pid", "5", "--children"]), ["70"]);
    assert_eq!(connections(&["--not-name", "curl"]), ["71", "70", "99"]);
}

#[test]
fn a_chain_of_programs_stays_a_descendant() {
    let mut family = Family::new();
    family.found(5, 1, "/bin/sh");
    family.runs(5, 1, "/usr/bin/env");
    family.forks(5, 6);
    family.runs(6, 5, "/usr/bin/nice");
    family.runs(6, 5, "/usr/bin/curl");
    family.sends(6);
    family.sends(5);
    family.check(&["--name", "sh", "--children"], &["6", "5"]);
    family.check(&["--name", "nice", "--children"], &["6"]);
    family.check(&["--name", "nice"], &[]);
}

#[test]
fn the_id_of_an_ended_process_is_not_inherited() {
    let mut family = Family::new();
    family.found(1, 0, "/sbin/init");
    family.found(5, 1, "/bin/sh");
    family.forks(5, 6);
    family.ends(6);
    family.sends(6);
    family.forks(1, 6);
    family.sends(6);
    family.check(&["--name", "sh", "--children"], &["6"]);
    family.check(&["--name", "init"], &["6"]);
}

#[test]
fn who_was_running_before_descends_by_the_parents_of_the_snapshot() {
    let mut family = Family::new();
    family.found(1, 0, "/sbin/init");
    family.found(5, 1, "/bin/sh");
    family.found(6, 5, "/usr/bin/make");
    family.found(7, 6, "/usr/bin/cc");
    family.found(8, 1, "/usr/bin/cc");
    for pid in [5, 6, 7, 8] {
        family.sends(pid);
    }
    family.check(&["--name", "make", "--children"], &["6", "7"]);
    family.check(&["--name", "sh", "--children", "--not-name", "cc"], &["5", "6"]);
    family.check(&["--name", "init", "--children", "--not-name", "make"], &["5", "8"]);
}
