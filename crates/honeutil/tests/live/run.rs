//! `honeutil run`: a command and its descendants, from the first packet to the last.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hone_testing::{Guarded, run, wait_for};
use rustix::process::Signal;

use crate::files::datagrams;
use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::{Ip, TCP_FIN, Transport};
use crate::recorder::{HONEUTIL, directory, recorded};
use crate::recording::{Direction, Recording};
use crate::service::Service;
use crate::traffic::{Traffic, generator};

/// `honeutil run` with these options, in this folder.
fn recorder(place: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(HONEUTIL);
    command.arg("run").args(options).arg("--").current_dir(place).stdin(Stdio::null()).env_remove("SUDO_UID");
    command
}

/// Appends what runs in one end of the network.
fn within(command: &mut Command, network: &Network, end: End, script: &str) {
    let inner = network.command(end, "sh");
    command.arg(inner.get_program()).args(inner.get_args()).args(["-c", script]);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The one recording in a folder.
fn only(place: &Path) -> PathBuf {
    let files = recorded(place);
    let [file] = files.as_slice() else { panic!("not one file: {files:?}") };
    file.clone()
}

/// A daemon by double fork with a session of its own, a chain of execs, and the command itself, which ends first.
#[test]
fn descendants_are_recorded_whole_whoever_their_parents_were() {
    if !ready(&["sh", "setsid", "nsenter"]) {
        return;
    }
    let service = Service::start();
    let socket = format!("--socket={}", service.socket());
    for way in ["--local", &socket] {
        let (network, place) = (Network::new(), directory());
        let (server, address) =
            Traffic::server(&network, End::B, &format!("udp-server {}:0 150 echo", network.v4(End::B)));
        let client = format!(
            "{} udp-client {}:0 {address} 50 100 connected",
            generator().display(),
            network.v4(End::A)
        );
        let script = format!(
            "{client}; (setsid sh -c 'sleep 0.3; exec sh -c \"exec {client}\"' </dev/null >/dev/null 2>&1 &); \
             sh -c 'exec {client}'; exit 3"
        );
        let mut command = recorder(place.path(), &[way]);
        within(&mut command, &network, End::A, &script);
        let noise = datagrams(&network, 50, 100);
        let Output { status, stderr, .. } = command.output().expect("it starts");
        assert_eq!(status.code(), Some(3), "{way}: {}", text(&stderr));
        noise.into_iter().for_each(|traffic| drop(traffic.finish()));
        server.finish();

        let file = only(place.path());
        let name = file.file_name().expect("it has a name").to_string_lossy().into_owned();
        assert!(name.starts_with("nsenter_"), "{name}");
        let recording = Recording::read(&file);
        let own = |data: &[u8]| Ip::parse(data).is_some_and(|ip| network.has(ip.source));
        let packets: Vec<_> = recording.packets().collect();
        assert_eq!(packets.len(), 300, "three clients with 50 datagrams and their echoes: {way}");
        assert!(packets.iter().all(|packet| own(&packet.data)));
        for packet in packets.iter().filter(|packet| packet.direction == Direction::Outbound) {
            let payload = Ip::parse(&packet.data).map(|ip| text(ip.payload())).unwrap_or_default();
            let sender =
                payload.strip_prefix("hone pid=").and_then(|rest| rest.split(' ').next()?.parse().ok());
            assert!(
                sender.is_some() && packet.process == sender,
                "{way}: {payload:?} of {:?}",
                packet.process
            );
        }
        let pids: HashSet<_> = packets.iter().map(|packet| packet.process).collect();
        assert_eq!(pids.len(), 3, "{pids:?}");
    }
}

/// Sends and gets ten datagrams, and becomes another program.
const BECOMES_ANOTHER: &str = "import os, socket, sys
host, port = sys.argv[1].rsplit(':', 1)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect((host, int(port)))
for _ in range(10):
    sender.send(b'x' * 100)
    sender.recv(1000)
sender.close()
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn the_summary_has_what_each_program_of_a_process_sent() {
    if !ready(&["sh", "nsenter", "python3"]) {
        return;
    }
    let (network, place) = (Network::new(), directory());
    let server = format!("udp-server {}:0 60 echo", network.v4(End::B));
    let (server, address) = Traffic::server(&network, End::B, &server);
    std::fs::write(place.path().join("becomes.py"), BECOMES_ANOTHER).expect("it is written");
    let generator = generator().display().to_string();
    let client = format!("udp-client {}:0 {address} 50 100 connected", network.v4(End::A));
    let mut command = recorder(place.path(), &["--local", "--json"]);
    let script = format!("exec python3 becomes.py {address} {generator} {client}");
    within(&mut command, &network, End::A, &script);
    let Output { status, stderr, .. } = command.output().expect("it starts");
    assert!(status.success(), "{}", text(&stderr));
    server.finish();
    let summary = text(&stderr).lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let summary = summary.expect("a line of JSON");
    let rows = summary["processes"].as_array().expect("a list");
    let packets = |row: &serde_json::Value| {
        [row["traffic"]["packets_out"].as_u64(), row["traffic"]["packets_in"].as_u64()]
    };
    let [second, first] = rows.as_slice() else { panic!("not two rows: {summary}") };
    assert_eq!((packets(second), packets(first)), ([Some(50); 2], [Some(10); 2]), "{summary}");
    assert_eq!(first["pid"], second["pid"]);
    assert!(first["name"].as_str().is_some_and(|name| name.starts_with("python3")), "{summary}");
    assert_eq!(second["name"].as_str(), generator.rsplit('/').next());
}

/// The next process that is made gets this id, unless another is made in between.
fn next_is(pid: u32) -> bool {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).is_ok()
}

#[test]
fn a_stranger_that_gets_the_commands_process_id_is_not_recorded() {
    if !ready(&["sh", "setsid", "nsenter"]) {
        return;
    }
    if !Path::new("/proc/sys/kernel/ns_last_pid").exists() {
        hone_testing::skip("this kernel cannot choose process ids");
        return;
    }
    let service = Service::start();
    let socket = format!("--socket={}", service.socket());
    for way in ["--local", &socket] {
        let (network, place) = (Network::new(), directory());
        let (server, address) =
            Traffic::server(&network, End::B, &format!("udp-server {}:0 150 echo", network.v4(End::B)));
        let client = format!(
            "{} udp-client {}:0 {address} 50 100 connected",
            generator().display(),
            network.v4(End::A)
        );
        let script = format!(
            "{client}; echo $$ >new; mv new pid; \
             (setsid sh -c 'while ! [ -e go ]; do sleep 0.02; done; exec {client}' </dev/null >/dev/null 2>&1 &)"
        );
        let mut command = recorder(place.path(), &[way, "-q"]);
        within(&mut command, &network, End::A, &script);
        let mut honeutil = Guarded::spawn(command.stdout(Stdio::null()));
        let pid: u32 = wait_for("the command has ended, its daemon has not", || {
            let pid = std::fs::read_to_string(place.path().join("pid")).ok()?.trim().parse().ok()?;
            (!Path::new(&format!("/proc/{pid}")).exists()).then_some(pid)
        });
        let stranger = network.command(End::A, "sh");
        wait_for("a stranger has the id", || {
            assert!(next_is(pid), "the kernel lets root choose process ids");
            let mut command = Command::new("sh");
            command.args(["-c", "[ $$ = $0 ] && exec \"$@\"; exit 99", &pid.to_string()]);
            command.arg(stranger.get_program()).args(stranger.get_args()).args(["-c", &client]);
            let status = command.stdout(Stdio::null()).status().expect("it starts");
            assert!(matches!(status.code(), Some(0 | 99)), "{status}");
            status.success().then_some(())
        });
        File::create(place.path().join("go")).expect("the directory is ours");
        assert_eq!(honeutil.wait("the daemon ends").code(), Some(0));
        server.finish();
        let recording = Recording::read(&only(place.path()));
        let packets: Vec<_> = recording.packets().collect();
        assert_eq!(packets.len(), 200, "two clients with 50 datagrams and their echoes: {way}");
        assert!(packets.iter().all(|packet| packet.process.is_some_and(|process| process != pid)));
    }
}

/// There, the ids that it sees are not those of the recorder.
#[test]
fn in_a_process_id_namespace_it_is_refused_and_told_where_it_works() {
    if !ready(&["unshare"]) {
        return;
    }
    for options in [&["--pid", "--fork", "--mount-proc"][..], &["--pid", "--fork"]] {
        let place = directory();
        let output = Command::new("unshare")
            .args(options)
            .args([HONEUTIL, "run", "--local", "--", "touch", "ran"])
            .current_dir(place.path())
            .env_remove("SUDO_UID")
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{options:?}: {said}");
        assert!(said.contains("in a container") && said.contains("honeutil read --container"), "{said}");
        assert!(!place.path().join("ran").exists() && recorded(place.path()).is_empty());
    }
}

#[test]
fn signals_and_the_status_are_the_commands() {
    if !ready(&["sh"]) {
        return;
    }
    let place = directory();
    let mut command = recorder(place.path(), &["--local"]);
    command.args(["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"]);
    let said = place.path().join("said");
    command.stdout(File::create(&said).expect("the directory is ours")).stderr(Stdio::null());
    let mut honeutil = Guarded::spawn(&mut command);
    wait_for("the command runs", || {
        assert_eq!(honeutil.ended(), None);
        (std::fs::read_to_string(&said).ok()? == "ready\n").then_some(())
    });
    honeutil.signal(Signal::TERM);
    assert_eq!(honeutil.wait("the command ends").code(), Some(9));
    Recording::read(&only(place.path()));
    let killed = recorder(place.path(), &["--local", "-q"])
        .args(["sh", "-c", "kill -9 $$"])
        .output()
        .expect("it starts");
    assert_eq!((killed.status.code(), text(&killed.stderr)), (Some(137), String::new()));
}

#[test]
fn what_cannot_be_run_or_recorded_is_said_and_leaves_nothing() {
    if !ready(&["sh"]) {
        return;
    }
    let place = directory();
    std::fs::write(place.path().join("plain"), "text").expect("the directory is ours");
    let cases: [(&[&str], &[&str], i32, &str); 8] = [
        (&["--local", "-w", "-"], &["touch", "ran"], 2, "the command has standard output for itself"),
        (&["--local", "--ready-fd", "0"], &["touch", "ran"], 125, "--ready-fd 0: it must be 3 or more"),
        (&["--local"], &["no-such-command"], 127, "no-such-command: command not found; nothing is recorded"),
        (&["--local"], &["./plain"], 126, "./plain: it cannot be executed; nothing is recorded"),
        (&["--socket", "/nowhere/hone.sock"], &["touch", "ran"], 125, "The command was not started"),
        (&["--local", "--name", "x"], &["touch", "ran"], 125, "only words about packets"),
        (&["--local", "-w", "/nowhere/x"], &["touch", "ran"], 125, "cannot open /nowhere/x"),
        (&["--local"], &[], 2, "name a command"),
    ];
    for (options, line, status, message) in cases {
        let output = recorder(place.path(), options).args(line).output().expect("it starts");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{options:?} {line:?}: {said}");
        assert!(said.contains(message), "{said}");
        assert!(
            recorded(place.path()).is_empty() && !place.path().join("ran").exists(),
            "{options:?} {line:?}"
        );
    }
    let same = Command::new(HONEUTIL).args(["read", "--", "no-such-command"]).output().expect("it starts");
    assert_eq!(same.status.code(), Some(127));
}

#[test]
fn through_sudo_the_command_and_its_files_are_the_callers() {
    if !ready(&["sh", "id"]) {
        return;
    }
    let place = directory();
    let script = "id -u; id -g; echo $HOME; grep CapEff /proc/self/status";
    for (options, expected) in [(&["--local"][..], 65_534), (&["--local", "--as-root"], 0)] {
        let mut command = recorder(place.path(), options);
        let output = command.env("SUDO_UID", "65534").args(["sh", "-c", script]).output().expect("it starts");
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(said.lines().next(), Some(expected.to_string().as_str()), "{said}");
        assert_eq!(said.contains("CapEff:\t0000000000000000"), expected != 0, "{said}");
        let file = only(place.path());
        assert_eq!(file.metadata().expect("it is there").uid(), expected);
        std::fs::remove_file(file).expect("it is ours");
    }
    // What was there before, and what a link leads to, stays whose it is.
    std::fs::write(place.path().join("old.pcapng"), "").expect("the directory is ours");
    std::os::unix::fs::symlink("elsewhere", place.path().join("link.pcapng")).expect("the directory is ours");
    for (name, file) in [("old.pcapng", "old.pcapng"), ("link.pcapng", "elsewhere")] {
        let mut command = recorder(place.path(), &["--local", "-q", "-w", name]);
        assert!(command.env("SUDO_UID", "65534").arg("true").status().expect("it starts").success());
        assert_eq!(place.path().join(file).metadata().expect("it is there").uid(), 0, "{name}");
    }
    let stranger = recorder(place.path(), &["--local"])
        .env("SUDO_UID", "4000000000")
        .arg("true")
        .output()
        .expect("it starts");
    assert_eq!(stranger.status.code(), Some(125));
    assert!(text(&stranger.stderr).contains("there is no user 4000000000"), "{}", text(&stranger.stderr));
    let help = run(Command::new(HONEUTIL).args(["run", "--help"]));
    assert!(help.contains("there is no such command") && !help.contains("begin-command"), "{help}");
}

/// The command gets nothing of the recorder but its standard streams.
#[test]
fn the_sign_is_given_once_and_the_command_does_not_hold_it() {
    if !ready(&["sh", "ls"]) {
        return;
    }
    let place = directory();
    let script = r#"exec "$0" run --local -q --ready-fd 7 -w a.pcapng -- ls /proc/self/fd 7>sign"#;
    let output = Command::new("sh")
        .args(["-c", script, HONEUTIL])
        .env_remove("SUDO_UID")
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output();
    let output = output.expect("it starts");
    assert_eq!(std::fs::read_to_string(place.path().join("sign")).expect("it is there"), "ready\n");
    // What the test itself has inherited is not meant.
    let descriptors = text(&output.stdout);
    assert!(
        descriptors.lines().all(|number| number != "7") && descriptors.contains("0\n1\n"),
        "{descriptors}"
    );
}

/// A recorder that is killed leaves no process behind that waits for ever.
#[test]
fn a_recorder_that_is_killed_early_takes_the_waiting_process_with_it() {
    if !ready(&["mkfifo"]) {
        return;
    }
    let place = directory();
    run(Command::new("mkfifo").arg(place.path().join("pipe")));
    // Nobody opens the pipe, so the recording does not begin.
    let mut command = recorder(place.path(), &["--local", "-w", "pipe"]);
    let mut honeutil =
        Guarded::spawn(command.args(["touch", "ran"]).stdout(Stdio::null()).stderr(Stdio::null()));
    let children = format!("/proc/{0}/task/{0}/children", honeutil.pid());
    let child = wait_for("the process waits", || {
        let child = std::fs::read_to_string(&children).ok()?.trim().to_owned();
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
        line.contains("begin-command").then_some(child)
    });
    honeutil.signal(Signal::KILL);
    honeutil.wait("it is killed");
    wait_for("the process is gone", || {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    });
    assert!(!place.path().join("ran").exists());
}

/// It closes a second after the command and its process have ended: the kernel alone remembers the connection then.
#[test]
fn a_peer_that_closes_later_is_recorded_to_its_end() {
    if !ready(&["sh", "nsenter", "python3"]) {
        return;
    }
    let server = "import socket, sys, time
server = socket.create_server((sys.argv[1], 7791))
for wait in (1, 30):
    print('listens', flush=True)
    connection, _ = server.accept()
    while connection.recv(100): pass
    time.sleep(wait)
    connection.close()
";
    let client = "import socket, sys
connection = socket.create_connection((sys.argv[1], 7791))
connection.sendall(b'x')
connection.close()
";
    let service = Service::start();
    let socket = format!("--socket={}", service.socket());
    for way in ["--local", &socket] {
        let (network, place) = (Network::new(), directory());
        let address = network.v4(End::B).to_string();
        let mut command = network.command(End::B, "python3");
        let mut peer = Traffic::spawn(command.args(["-c", server, &address]));
        for (options, is_waited_for) in
            [(&["-w", "late.pcapng"][..], true), (&["-w", "never.pcapng", "--linger=1s"], false)]
        {
            peer.wait_for("listens");
            let inner = network.command(End::A, "python3");
            let mut command = recorder(place.path(), &[&[way, "-q"], options].concat());
            command.arg(inner.get_program()).args(inner.get_args()).args(["-c", client, &address]);
            let output = command.output().expect("it starts");
            assert!(output.status.success(), "{way}: {}", text(&output.stderr));

            let recording = Recording::read(&place.path().join(options[1]));
            let packets: Vec<_> = recording
                .packets()
                .filter_map(|packet| {
                    let Transport::Tcp { flags, .. } = Ip::parse(&packet.data)?.transport else {
                        return None;
                    };
                    Some((packet, flags))
                })
                .collect();
            let connection = packets[0].0.connection;
            assert!(packets.iter().all(|(packet, _)| packet.connection == connection), "{packets:?}");
            let last: Vec<_> = packets
                .iter()
                .filter(|(packet, flags)| packet.direction == Direction::Inbound && flags & TCP_FIN != 0)
                .collect();
            assert_eq!(last.len(), usize::from(is_waited_for), "{way}: {packets:?}");
            assert!(last.iter().all(|(packet, _)| packet.process.is_none()), "its process has ended");
        }
    }
}
