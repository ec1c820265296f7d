//! honeutil with a real honed: recordings through it are what recordings without it are, and the commands that manage
//! it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use hone_testing::wait_for;
use rustix::process::Signal;

use crate::files::{await_more, await_recorded, check_parts, datagrams, endless_datagrams};
use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::Ip;
use crate::recorder::{HONEUTIL, Recorder, directory, has_content};
use crate::recording::Recording;
use crate::service::Service;
use crate::traffic::Traffic;
use crate::truth::{Closing, Truth};

const NOBODY: u32 = 65_534;

#[test]
fn a_recording_through_honed_is_as_good_as_one_without() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let recorder = Recorder::start_through(&service, &["-v"]);
    let truth = Truth::told(datagrams(&network, 200, 1200).map(Traffic::finish));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    truth.check(&network, &ended.recording(), Closing::ByOwner);
    assert!(ended.stderr.contains("recording through honed"), "{}", ended.stderr);
    assert!(ended.stderr.contains("Dropped     nothing"), "{}", ended.stderr);
}

#[test]
fn rotation_through_honed_loses_nothing_and_tells_nothing_twice() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let recorder = Recorder::start_in_directory_through(&service, &[]);
    let mut traffic = endless_datagrams(&network);
    for number in 2..=4 {
        await_recorded(&recorder, &network);
        recorder.signal(Signal::HUP);
        wait_for("the next file", || {
            let files = recorder.files();
            (files.len() == number && files.iter().all(|file| has_content(file))).then_some(())
        });
    }
    await_recorded(&recorder, &network);
    traffic[0].go_on();
    let truth = Truth::told(traffic.map(Traffic::finish));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    check_parts(&network, &truth, ended.files.iter().map(|file| Recording::read(file)).collect());
}

/// honed sends on until the section's end was asked for; the file has what was asked for, and says so.
#[test]
fn the_count_is_exact_through_honed() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let recorder = Recorder::start_through(&service, &["--count", "77"]);
    let mut traffic = endless_datagrams(&network);
    let recording = recorder.wait().recording();
    assert_eq!(recording.packets().count(), 77);
    traffic[0].go_on();
}

#[test]
fn when_honed_stops_the_file_ends_well_and_it_is_told() {
    if !ready(&[]) {
        return;
    }
    let (mut service, network) = (Service::start(), Network::new());
    let recorder = Recorder::start_through(&service, &[]);
    let truth = Truth::told(datagrams(&network, 50, 100).map(Traffic::finish));
    service.end(Signal::TERM);
    let ended = recorder.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("honeutil: honed has ended the stream"), "{}", ended.stderr);
    // With its statistics: nothing is missing.
    truth.check(&network, &Recording::read(&ended.files[0]), Closing::ByOwner);
}

#[test]
fn when_honed_is_killed_the_file_ends_at_a_whole_block() {
    if !ready(&[]) {
        return;
    }
    let (mut service, network) = (Service::start(), Network::new());
    let recorder = Recorder::start_through(&service, &[]);
    let mut traffic = endless_datagrams(&network);
    await_more(&traffic[0]);
    service.end(Signal::KILL);
    let ended = recorder.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the connection to honed broke off"), "{}", ended.stderr);
    assert!(Recording::read_cut_short(&ended.files[0]).statistics.is_none());
    traffic[0].go_on();
}

#[test]
fn follow_goes_on_with_a_new_section_when_honed_is_back() {
    if !ready(&[]) {
        return;
    }
    let (mut service, network) = (Service::start(), Network::new());
    let recorder = Recorder::start_through(&service, &["--follow"]);
    let file = recorder.files().remove(0);
    let mut traffic = endless_datagrams(&network);
    let own = |section: &Recording| {
        let packets = section.packets().filter_map(|packet| Ip::parse(&packet.data));
        packets.filter(|ip| network.has(ip.source)).count()
    };
    for signal in [Signal::TERM, Signal::KILL] {
        await_recorded(&recorder, &network);
        service.end(signal);
        // Nobody is there for a while.
        await_more(&traffic[0]);
        let length = file.metadata().expect("it is there").len();
        service.start_again();
        wait_for("the next section", || (file.metadata().expect("it is there").len() > length).then_some(()));
    }
    await_recorded(&recorder, &network);
    traffic[0].go_on();
    let truth = Truth::told(traffic.map(Traffic::finish));
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    assert!(ended.stderr.contains("honed is back"), "{}", ended.stderr);
    let sections = Recording::read_unended(&file);
    assert_eq!(sections.len(), 3);
    let whole: Vec<bool> = sections.iter().map(|section| section.statistics.is_some()).collect();
    assert_eq!(whole, [true, false, true], "stopped, killed, asked to end");
    for section in &sections {
        // What a killed honed had not sent yet is lost.
        assert!(own(section) >= 50 || section.statistics.is_none(), "a section without packets");
        // Also those of sockets that are in use while the sensor starts.
        truth.check_owners(&network, section, Closing::ByOwner);
    }
}

/// As a debugger, a frozen container or a hung machine stops it.
#[test]
fn a_recording_goes_on_when_a_honed_that_was_stopped_goes_on() {
    if !ready(&[]) {
        return;
    }
    // The tests that run at the same time flood it meanwhile.
    let (service, network) = (Service::configured("ring_buffer_size = 16777216"), Network::new());
    let mut recorder = Recorder::start_through(&service, &[]);
    service.signal(Signal::STOP);
    let truth = Truth::told(datagrams(&network, 100, 200).map(Traffic::finish));
    recorder.await_text("honed has not answered for");
    service.signal(Signal::CONT);
    recorder.await_text("honed answers again");
    recorder.signal(Signal::INT);
    // Nothing is missing.
    truth.check(&network, &recorder.wait().recording(), Closing::ByOwner);
}

#[test]
fn a_recording_through_a_honed_that_hangs_ends_in_time_or_at_the_second_ctrl_c() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start();
    let limited = Recorder::start_through(&service, &["--duration", "1"]);
    let mut hurried = Recorder::start_through(&service, &[]);
    service.signal(Signal::STOP);
    hurried.signal(Signal::INT);
    hurried.await_text("waiting for honed to answer, for at most 10 s; Ctrl-C gives up");
    hurried.signal(Signal::INT);
    let ended = hurried.wait();
    assert_eq!(ended.status.code(), Some(130), "{}", ended.stderr);
    assert!(!ended.stderr.contains("took longer"), "{}", ended.stderr);
    assert!(Recording::read_cut_short(&ended.files[0]).statistics.is_none());
    let ended = limited.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    for said in ["waiting for honed to answer", "honed took longer than 10 s to answer", "Written"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert!(Recording::read_cut_short(&ended.files[0]).statistics.is_none());
    service.signal(Signal::CONT);
}

#[test]
fn a_honed_outside_the_pid_namespace_is_named_so() {
    if !ready(&["unshare"]) {
        return;
    }
    let service = Service::start();
    let run = |command: &str| {
        let mut inside = Command::new("unshare");
        inside.args(["--pid", "--fork", HONEUTIL, command, "--socket", &service.socket()]);
        let output = inside.stdin(Stdio::null()).output().expect("unshare can be started");
        let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
        assert!(output.status.success(), "{command}: {said}");
        said
    };
    let said = run("status");
    assert!(said.contains("process  outside this pid namespace\n"), "{said}");
    let said = run("stop");
    assert!(said.contains("honed has stopped\n"), "{said}");
}

/// Nobody's packets are recorded in another way behind somebody's back.
#[test]
fn who_may_not_read_is_told_so_and_nothing_is_recorded() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start();
    let place = directory();
    std::os::unix::fs::chown(place.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    let copy = place.path().join("honeutil");
    std::fs::copy(HONEUTIL, &copy).expect("the directory is ours");
    for (arguments, words) in [
        (&["read"][..], "--local records without it"),
        (&["get-stats"], "only root "),
        (&["log-level", "all"], "only root "),
    ] {
        // The copy may be busy for a moment: another test's fork has it open still.
        let output = wait_for("the copy can be run", || {
            let mut command = Command::new(&copy);
            command.args(arguments).args(["--socket", &service.socket()]);
            command.current_dir(place.path()).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
            command.output().ok()
        });
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(message.contains("no permission") && message.contains(words), "{arguments:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    assert_eq!(std::fs::read_dir(place.path()).expect("it is there").count(), 1, "no file is left");
}

#[test]
fn statistics_memory_levels_and_sizes() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let recorder = Recorder::start_through(&service, &["-s", "96"]);
    Truth::told(datagrams(&network, 100, 500).map(Traffic::finish));
    let number = |report: &serde_json::Value, path: &str| {
        report.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("{path}: {report}"))
    };
    let stats = || {
        let report = service.ask(&["get-stats", "--json"]);
        serde_json::from_str::<serde_json::Value>(&report).expect("one JSON object")
    };
    wait_for("the packets are counted", || (number(&stats(), "/packets/count") >= 400).then_some(()));
    let report = stats();
    assert_eq!((number(&report, "/readers/now"), number(&report, "/readers/total")), (1, 1));
    assert_eq!(number(&report, "/max_snap_length"), 96);
    assert!(number(&report, "/packets/bytes") >= 400 * 500, "{report}");
    assert!(number(&report, "/logging") <= number(&report, "/loaded"));
    assert!(report["reader"].is_null());
    let text = service.ask(&["get-stats"]);
    for line in
        ["Version  ", "Readers                     1 now, 1 ever", "96 bytes", "Dropped by the sensor"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    recorder.stop();
    assert!(service.ask(&["get-stats"]).contains("Readers                     0 now, 1 ever"));
    let memory = service.ask(&["get-stats", "--memory"]);
    assert!(memory.starts_with("MODULE") && memory.contains("ring buffer to the kernel"), "{memory}");

    assert_eq!(service.ask(&["log-level"]), "0x07 error, warning, information\n");
    assert_eq!(service.ask(&["log-level", "verbose"]), "0x09 error, verbose\n");
    assert_eq!(service.ask(&["log-level"]), "0x09 error, verbose\n");
    assert!(service.ask(&["ring-size", "16384"]).starts_with("16384 bytes (16.0 KiB): 2,048 blocks"));
    assert_eq!(number(&stats(), "/ring_bytes"), 16_384);
}

#[test]
fn open_connections_are_listed_with_their_processes() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let (b, b6) = (network.v4(End::B), network.v6(End::B));
    let (udp, udp_address) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 any echo"));
    let (tcp, tcp_address) = Traffic::server(&network, End::B, &format!("tcp-server [{b6}]:0 1"));
    let table = service.ask(&["send-conns", "--dry-run", "-v"]);
    let has = |protocol: &str, address: String, pid: u32| {
        let words = [protocol, &address, "-", &pid.to_string()];
        table.lines().any(|line| line.split_whitespace().take(4).eq(words))
    };
    assert!(has("udp", udp_address.to_string(), udp.pid()), "{table}");
    assert!(has("tcp", tcp_address.to_string(), tcp.pid()), "{table}");
    let sent = service.run(&["send-conns"]);
    let message = String::from_utf8_lossy(&sent.stderr);
    assert!(sent.status.success() && message.contains("sent "), "{message}");
    assert_eq!(sent.stdout, b"");
}

/// While honed starts no process has the socket, and later none is seen to use it. Only the list reports the owner.
#[test]
fn send_conns_names_the_process_that_honed_cannot_know() {
    if !ready(&["bash"]) {
        return;
    }
    let network = Network::new();
    let b = network.v4(End::B);
    let (mut holder, address) = Traffic::server(&network, End::B, &format!("hide {b}:0"));
    let service = Service::start();
    let recorder = Recorder::start_through(&service, &[]);
    let file = recorder.files().remove(0);
    holder.go_on();
    holder.wait_for("held");
    let port = address.port().to_string();
    let script = format!("for i in 1 2 3; do echo $i > /dev/udp/{b}/{port}; done");
    let owners = |count: usize| {
        hone_testing::run(network.command(End::A, "bash").args(["-c", &script]));
        wait_for("the datagrams are recorded", || {
            let mut show = Command::new(HONEUTIL);
            // The file is still being written.
            let shown = show.args(["show", "--port", &port]).arg(&file).output().expect("it can be started");
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            let arrived = shown.lines().filter(|line| line.contains(" PAKT ") && line.contains(" in "));
            let owners: Vec<_> =
                arrived.map(|line| line.split_whitespace().nth(2).unwrap_or_default().to_owned()).collect();
            (owners.len() == count).then_some(owners)
        })
    };
    assert_eq!(owners(3), ["-"; 3], "honed cannot know");
    service.ask(&["send-conns"]);
    let pid = holder.pid().to_string();
    assert_eq!(owners(6)[3..], [&*pid; 3], "it was told");
    holder.go_on();
    holder.finish();
    recorder.stop();
}

#[test]
fn a_honed_that_does_not_run_is_missed_only_if_it_was_asked_for() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let socket = place.path().join("hone.sock").display().to_string();
    for command in ["read", "get-stats", "send-conns", "log-level", "ring-size"] {
        let mut honeutil = Command::new(HONEUTIL);
        honeutil.args([command, "--socket", &socket]).current_dir(place.path()).stdin(Stdio::null());
        let output = honeutil.output().expect("it can be started");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command}: {message}");
        assert!(message.contains("honed does not run") && message.contains(&socket), "{command}: {message}");
        assert_eq!(output.stdout, b"");
    }
    let recorder = Recorder::start(&["-v"]);
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    assert!(ended.stderr.contains("without honed"), "{}", ended.stderr);
}

/// As the configuration says: a name as it is, or a GUID.
#[test]
fn the_host_identity_is_the_configured_one() {
    if !ready(&[]) {
        return;
    }
    for (id, shown) in [
        ("büro 15 zeichen", "host=büro\\x2015\\x20zeichen"),
        ("{00112233-4455-6677-8899-AABBCCDDEEFF}", "host=00112233-4455-6677-8899-aabbccddeeff"),
    ] {
        let service = Service::configured(&format!("host_id = '{id}'"));
        let recorder = Recorder::start_through(&service, &[]);
        recorder.signal(Signal::INT);
        let ended = recorder.wait();
        let text = hone_testing::run(Command::new(HONEUTIL).arg("show").arg(&ended.files[0]));
        assert!(text.lines().next().is_some_and(|line| line.contains(shown)), "{shown}: {text:.300}");
    }
}
