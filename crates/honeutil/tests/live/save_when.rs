//! `read --last --save-when`: what a rule finds is saved, with what came before it and after it.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hone_testing::{SmallDisk, directory, run, skip, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::guard::ready;
use crate::recent::{Numbers, assert_no_hole, keep, kept_in, run_noting, said, segments};
use crate::recorder::HONEUTIL;

/// What a recorder of this file has written on standard output, a line each.
fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file.with_extension("json")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

#[test]
fn a_process_that_starts_is_saved_once_with_what_was_before_and_after() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let file = place.path().join("out.pcapng");
    let program = place.path().join("marker");
    std::fs::copy("/bin/sleep", &program).expect("it can be copied");
    let rules = ["--save-when", "--name marker", "--save-when", "--name nobody-has-this"];
    let rest = ["--last", "4s", "--save-after", "500ms", "--json"];
    let mut recorder = keep(&file, &[&rest[..], &rules].concat());
    let numbers = Numbers::send(100, Duration::from_millis(1));
    wait_for("some numbers before it", || (numbers.sent() > 300).then_some(()));
    let before = numbers.sent();
    let mut marker = hone_testing::Guarded::spawn(Command::new(&program).arg("600"));
    let started = numbers.sent();
    wait_for("the file", || {
        assert_eq!(recorder.ended(), None, "{}", said(&file));
        file.exists().then_some(())
    });
    let saved = numbers.recorded(&file);
    assert_no_hole(&saved);
    let (first, last) = (saved[0], saved[saved.len() - 1]);
    assert!(first < before && last > started + 100, "{first} to {last}: it started at {before} to {started}");
    let shown = run(Command::new(HONEUTIL).args(["show", "--name", "marker"]).arg(&file));
    assert!(shown.contains(" EXEC "), "{shown}");

    // Each segment that begins reports the process again, which is not another start.
    let segment = segments(&file).pop().expect("there is one");
    wait_for("it is in no segment but as a process that runs", || (!segment.exists()).then_some(()));
    recorder.signal(Signal::INT);
    assert!(recorder.wait("it ends").success(), "{}", said(&file));
    marker.signal(Signal::KILL);
    marker.wait("it is killed");
    let text = said(&file);
    assert_eq!(text.matches("started").count(), 2, "when it is met, and when it is saved: {text}");
    let name = format!("rule '--name marker': process {} (marker) started", marker.pid());
    assert!(text.contains(&name), "{text}");
    let lines = lines(&file);
    let [by_rule, at_end, summary] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&by_rule["event"], &by_rule["cause"]), (&"saved".into(), &"rule".into()), "{by_rule}");
    assert_eq!(by_rule["file"], file.to_str().unwrap());
    assert_eq!((&by_rule["rule"], &by_rule["pid"]), (&"--name marker".into(), &marker.pid().into()));
    assert_eq!((&at_end["cause"], at_end["whole"].as_bool()), (&"end".into(), Some(true)));
    assert!(summary["packets"].as_u64() > Some(0), "{summary}");
    // The summary is of both saves.
    let written = &summary["written"];
    assert_eq!((&written["files"], &written["gone"]), (&2.into(), &0.into()), "{written}");
    assert_eq!((&written["first"], &written["last"]), (&by_rule["file"], &at_end["file"]), "{written}");
    let bytes = [by_rule, at_end].iter().filter_map(|saved| saved["bytes"].as_u64()).sum::<u64>();
    assert_eq!(written["bytes"], bytes, "{written}");
    let both = ["out.pcapng", "out_1.pcapng"].map(|name| place.path().join(name).metadata().unwrap().len());
    assert_eq!(bytes, both.iter().sum::<u64>());
}

#[test]
fn many_packets_to_a_destination_of_a_list_are_one_save() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let list = place.path().join("bad.txt");
    std::fs::write(&list, "# not here\n198.51.100.0/24\n127.0.0.77 # here\n").unwrap();
    let file = place.path().join("out.pcapng");
    let rule = format!("destination in {}", list.display());
    let mut recorder = keep(&file, &["--last", "1h", "--save-after", "1s", "--save-when", &rule]);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    for _ in 0..20 {
        sender.send_to(b"x", "127.0.0.77:9").expect("it is sent");
    }
    wait_for("the file", || {
        assert_eq!(recorder.ended(), None, "{}", said(&file));
        file.exists().then_some(())
    });
    let found = run(Command::new(HONEUTIL).args(["show", "--filter", "dst host 127.0.0.77"]).arg(&file));
    assert_eq!(found.lines().filter(|line| line.contains(" out udp ")).count(), 20, "{found}");
    wait_for("what is said of it", || said(&file).contains("Saved").then_some(()));
    let text = said(&file);
    let met = format!("process {} (live-", std::process::id());
    assert!(text.contains(&met) && text.contains("sent to 127.0.0.77"), "{text}");
    assert!(text.contains("then 19 more events"), "{text}");
    recorder.signal(Signal::INT);
    assert!(recorder.wait("it ends").success(), "{text}");
}

#[test]
fn what_a_rule_found_outlives_a_kill_before_it_is_saved() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let file = place.path().join("out.pcapng");
    let rest = ["--last", "1h", "--save-after", "30m", "--save-when", "host 127.0.0.78"];
    let mut recorder = keep(&file, &rest);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    sender.send_to(b"x", "127.0.0.78:9").expect("it is sent");
    wait_for("the rule is met", || said(&file).contains("saving in 30 min").then_some(()));
    recorder.signal(Signal::KILL);
    recorder.wait("it is killed");
    assert!(!file.exists());
    run_noting(Command::new(HONEUTIL).args(["save", "--from"]).arg(kept_in(&file)).arg(&file));
    let found = run(Command::new(HONEUTIL).args(["show", "--host", "127.0.0.78"]).arg(&file));
    assert!(found.contains(" PAKT "), "{found}");
}

#[test]
fn a_new_listener_is_named_with_its_process() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let file = place.path().join("out.pcapng");
    let mut recorder = keep(&file, &["--last", "1h", "--save-after", "0", "--save-when", "listener"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let local = listener.local_addr().expect("it is bound");
    wait_for("it is found and saved", || {
        assert_eq!(recorder.ended(), None, "{}", said(&file));
        (said(&file).contains(&format!("listens at TCP {local}")) && file.exists()).then_some(())
    });
    let text = said(&file);
    assert!(text.contains(&format!("rule 'listener': process {} (", std::process::id())), "{text}");
    recorder.signal(Signal::INT);
    assert!(recorder.wait("it ends").success(), "{text}");
}

/// A program in a network namespace of its own, whose socket of this type listens at this port.
fn in_a_namespace(kind: &str, port: u16) -> hone_testing::Guarded {
    let program = format!(
        "import socket, time\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_{kind})\n\
         s.bind(('', {port}))\n\
         if '{kind}' == 'STREAM': s.listen()\n\
         time.sleep(1000)"
    );
    hone_testing::Guarded::spawn(Command::new("unshare").args(["-n", "python3", "-c", &program]))
}

#[test]
fn what_begins_to_listen_in_another_network_namespace_is_found_and_what_listened_before_is_not() {
    if !ready(&["unshare", "python3"]) {
        return;
    }
    let place = directory();
    let file = place.path().join("out.pcapng");
    let before = in_a_namespace("STREAM", 4441);
    let listens = || {
        let lists = std::fs::read_to_string(format!("/proc/{}/net/tcp", before.pid())).unwrap_or_default();
        lists.contains(":1159 ").then_some(())
    };
    wait_for("it listens before the recording", listens);
    let rules = ["--save-when", "listener", "--save-when", "udp listener"];
    let mut recorder = keep(&file, &[&["--last", "4s", "--save-after", "0"][..], &rules].concat());
    for (kind, port, protocol) in [("STREAM", 4442, "TCP"), ("DGRAM", 4443, "UDP")] {
        let server = in_a_namespace(kind, port);
        let what = format!("process {} (python3) listens at {protocol} 0.0.0.0:{port}", server.pid());
        wait_for(&what, || {
            assert_eq!(recorder.ended(), None, "{}", said(&file));
            said(&file)
                .lines()
                .any(|line| line.contains(&what) && line.contains(" in network namespace "))
                .then_some(())
        });
    }
    recorder.signal(Signal::INT);
    recorder.wait("it ends");
    assert!(!said(&file).contains(":4441"), "{}", said(&file));
}

/// Meets the rule `host 127.0.0.80`.
fn meet() {
    let sender = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    sender.send_to(b"x", "127.0.0.80:9").expect("it is sent");
}

#[test]
fn rules_that_are_met_again_and_again_do_not_fill_the_disk() {
    if !ready(&[]) {
        return;
    }
    let Some(disk) = SmallDisk::mount("48m") else {
        return skip("a small disk: mounting a tmpfs needs root");
    };
    let file = disk.path().join("out.pcapng");
    let rest = ["--last", "2s", "--last-size", "8M", "--save-after", "0", "--save-files", "2", "--json"];
    let mut recorder = keep(&file, &[&rest[..], &["--save-when", "host 127.0.0.80"]].concat());
    meet();
    wait_for("the first save", || file.exists().then_some(()));

    // Something else leaves less than is to be kept.
    let ballast = disk.path().join("ballast");
    run(Command::new("fallocate").args(["-l", "44M"]).arg(&ballast));
    meet();
    wait_for("it says that there is no room", || {
        said(&file).contains("has no room for it and").then_some(())
    });
    assert!(!disk.path().join("out_1.pcapng").exists());
    std::fs::remove_file(&ballast).expect("it is there");
    meet();
    wait_for("the second save", || disk.path().join("out_1.pcapng").exists().then_some(()));
    meet();
    wait_for("it says that there are two", || {
        said(&file).contains("2 files of this recorder are in").then_some(())
    });
    assert!(!disk.path().join("out_2.pcapng").exists(), "{}", said(&file));
    let errors: Vec<_> = lines(&file).into_iter().filter(|line| line["event"] == "not saved").collect();
    assert!(errors.len() == 2 && errors[0]["rule"] == "host 127.0.0.80", "{errors:?}");
    recorder.signal(Signal::INT);
    assert_eq!(recorder.wait("it ends").code(), Some(1), "{}", said(&file));
    assert!(disk.path().join("out_2.pcapng").exists(), "the end is no rule: {}", said(&file));
}

#[test]
fn rules_that_cannot_be_met_are_refused() {
    let place = directory();
    let list = place.path().join("bad.txt");
    std::fs::write(&list, "127.0.0.1\n\nexample.com\n").unwrap();
    let file = place.path().join("out.pcapng");
    let rule = format!("destination in {}", list.display());
    for (options, message) in [
        (
            &["--save-when", rule.as_str()][..],
            "bad.txt, line 3: \"example.com\" must be an IPv4 or IPv6 address",
        ),
        (&["--save-when", "name == nc"], "A rule is `listener`, `udp listener`, `destination in FILE`"),
        (&["--save-when", "--user no-such-user"], "this host has no user \"no-such-user\""),
        (&["--save-when", "listener", "--save-after", "1m"], "--save-after must be less than --last"),
        (&["--save-when=listener"; 17], "17 rules; allowed: 16"),
    ] {
        let mut command = Command::new(HONEUTIL);
        command.args(["read", "--local", "--last", "10s", "-w"]).arg(&file).args(options);
        let output = command.output().expect("it can be started");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(message), "{options:?}: {text}");
    }
    assert!(!kept_in(&file).exists());
}
