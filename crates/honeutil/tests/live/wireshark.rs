//! The interface that Wireshark and tshark have when Hone is installed.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hone_pcapng::{ByteOrder, foreign, view};
use hone_testing::{Guarded, directory, run, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::HONEUTIL;
use crate::service::Service;
use crate::traffic::{Traffic, generator};

/// Where tshark looks for interfaces, and for scripts.
fn directories() -> [PathBuf; 2] {
    let folders = run(Command::new("tshark").args(["-G", "folders"]));
    ["Extcap path:", "Global Lua Plugins:"].map(|name| {
        let line = folders.lines().find(|line| line.contains(name) && !line.contains("Personal"));
        line.and_then(|line| line.rsplit('\t').next()).expect("tshark says where").into()
    })
}

/// tshark with Hone.
fn tshark(place: &Path, arguments: &[&str]) -> Command {
    in_wireshark(place, "tshark", arguments)
}

/// tshark or Wireshark with Hone installed below `place`, in a mount namespace of its own: this machine's Wireshark stays as
/// it is.
pub(crate) fn in_wireshark(place: &Path, program: &str, arguments: &[&str]) -> Command {
    let extcap = place.join("root/usr/libexec/wireshark/extcap");
    let scripts = place.join("root/usr/lib/x/wireshark/plugins");
    for directory in [&extcap, &scripts] {
        std::fs::create_dir_all(directory).expect("the directory is ours");
    }
    let mut install = Command::new(HONEUTIL);
    run(install.args(["install", "--honed", "/bin/true", "--root"]).arg(place.join("root")));
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" \"$2\" && mount --bind \"$3\" \"$4\" && shift 4 && exec \"$@\"";
    let [interfaces, plugins] = directories();
    command.args(["--mount", "sh", "-c", script, "sh"]).args([extcap, interfaces, scripts, plugins]);
    command.arg(program).args(arguments).stdin(Stdio::null());
    let path = std::env::var("PATH").expect("there is one");
    command.env("PATH", format!("{}/root/usr/local/bin:{path}", place.display())).env("HOME", place);
    command
}

/// Packets of a file that a capture is still writing: its end may be in the midst of a block.
fn packets(file: &Path) -> Vec<String> {
    let shown = Command::new(HONEUTIL).arg("show").arg(file).output().expect("it can be started").stdout;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    shown.lines().filter(|line| line.contains(" PAKT ")).map(str::to_owned).collect()
}

/// The process of a packet that `show` has printed.
fn process(packet: &str) -> Option<&str> {
    packet.split_whitespace().nth(2)
}

/// Opens a directory of the test to other users.
fn open_to_all(directory: &Path) {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
}

/// A ping that goes on in a network of its own.
fn ping(network: &Network) -> Guarded {
    let mut command = network.command(End::A, "ping");
    command.args(["-q", "-i", "0.2"]).arg(network.v4(End::B).to_string());
    Guarded::spawn(command.stdout(Stdio::null()))
}

#[test]
fn tshark_captures_packets_with_their_processes() {
    if !ready(&["unshare", "mount", "ping"]) {
        return;
    }
    let place = directory();
    let interfaces = run(&mut tshark(place.path(), &["-D"]));
    assert!(interfaces.contains("hone (Hone: packets with their processes)"), "{interfaces}");

    let (file, log) = (place.path().join("a.pcapng"), place.path().join("log"));
    let network = Network::new();
    let ping = ping(&network);
    let mut command = tshark(place.path(), &["-i", "hone", "-w", file.to_str().expect("it is text")]);
    let mut tshark = Guarded::spawn(command.stderr(File::create(&log).expect("the directory is ours")));
    let said = || std::fs::read_to_string(&log).expect("the directory is ours");
    let pid = ping.pid().to_string();
    wait_for("the file has packets of both directions", || {
        assert_eq!(tshark.ended(), None, "{}", said());
        let packets = packets(&file);
        let mut own = packets.iter().filter(|packet| process(packet) == Some(&pid));
        (own.any(|line| line.contains(" out icmp ")) && own.any(|line| line.contains(" in  icmp ")))
            .then_some(())
    });
    tshark.signal(Signal::INT);
    assert!(tshark.wait("tshark ends").success(), "{}", said());
}

#[test]
fn settings_and_a_capture_filter_select_and_wrong_ones_are_refused() {
    if !ready(&["unshare", "mount", "ping"]) {
        return;
    }
    let place = directory();
    let network = Network::new();
    let (wanted, other) = (ping(&network), ping(&network));
    let file = place.path().join("a.pcapng");
    let (pid, net) = (format!("extcap.hone.pid:{}", wanted.pid()), format!("net {}", network.range()));
    let name = file.to_str().expect("it is text");
    let arguments =
        ["-i", "hone", "-o", &pid, "-o", "extcap.hone.direction:out", "-f", &net, "-c", "5", "-w", name];
    let output = tshark(place.path(), &arguments).output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let packets = packets(&file);
    assert_eq!(packets.len(), 5, "{packets:?}");
    for packet in &packets {
        assert_eq!(
            process(packet),
            Some(wanted.pid().to_string().as_str()),
            "not of {}: {packet}",
            other.pid()
        );
        assert!(packet.contains(" out icmp "), "{packet}");
    }

    for (option, value, reason) in [
        ("-f", "port x", "--filter port x: at character 6: expected a port by its number"),
        ("-o", "extcap.hone.port:80,x", "--port x: must be a port, 0 to 65535"),
    ] {
        let output = tshark(place.path(), &["-i", "hone", "-c", "1", option, value]).output();
        let said = String::from_utf8_lossy(&output.expect("it can be started").stderr).into_owned();
        assert!(said.contains(reason), "{said}");
    }
}

/// What Wireshark asks while a filter is typed.
#[test]
fn a_capture_filter_is_checked_as_it_is_typed() {
    let said = |filter: &str| {
        let mut command = Command::new(HONEUTIL);
        command.args(["extcap", "--extcap-interface", "hone", "--extcap-capture-filter", filter]);
        run(&mut command)
    };
    assert_eq!(said("tcp port 443"), "", "no output: it is right");
    assert_eq!(said(""), "");
    assert!(
        said("tcp port").starts_with("at character 9: expected a port by its number"),
        "{}",
        said("tcp port")
    );
}

#[test]
fn members_of_the_group_capture_without_root_and_others_learn_why_they_cannot() {
    if !ready(&["unshare", "mount", "ping", "setpriv"]) {
        return;
    }
    let service = Service::configured("socket_group = \"daemon\"\n");
    let groups = std::fs::read_to_string("/etc/group").expect("there is one");
    let line = groups.lines().find(|line| line.starts_with("daemon:"));
    let group = line.and_then(|line| line.split(':').nth(2)).expect("each system has this group");
    let (place, network) = (directory(), Network::new());
    for directory in [service.directory(), place.path()] {
        open_to_all(directory);
    }
    let _ping = ping(&network);
    let socket = format!("extcap.hone.socket:{}", service.socket());
    let file = place.path().join("a.pcapng");
    let capture = |group: &str| {
        // tshark is the last word of the script that puts the interface in place.
        let name = file.to_str().expect("it is text");
        let mut command = tshark(
            place.path(),
            &["-i", "hone", "-o", &socket, "-o", "extcap.hone.name:ping", "-c", "3", "-w", name],
        );
        let script = "mount --bind \"$1\" \"$2\" && shift 5 && \
                      exec setpriv --reuid=65534 --regid=65534 \"$HONE_TEST_GROUPS\" tshark \"$@\"";
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let (path, home) = (envs(&command, "PATH"), envs(&command, "HOME"));
        command = Command::new("unshare");
        command.args(&arguments[..3]).arg(script).args(&arguments[4..]).stdin(Stdio::null());
        command.env("PATH", path).env("HOME", home).env("HONE_TEST_GROUPS", group);
        command.output().expect("it can be started")
    };
    let member = capture(&format!("--groups={group}"));
    assert!(member.status.success(), "{}", String::from_utf8_lossy(&member.stderr));
    assert_eq!(packets(&file).len(), 3);

    let stranger = capture("--clear-groups");
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(said.contains("no permission") && said.contains("usermod -aG daemon USER"), "{said}");
}

/// What a command has in its environment.
fn envs(command: &Command, name: &str) -> std::ffi::OsString {
    let found = command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
    found.expect("it was set").to_owned()
}

#[test]
fn a_killed_wireshark_leaves_nothing_that_captures() {
    if !ready(&["unshare", "mount", "ping"]) {
        return;
    }
    let (place, network) = (directory(), Network::new());
    let _ping = ping(&network);
    let file = place.path().join("a.pcapng");
    let name = file.to_str().expect("it is text");
    let mut command = tshark(place.path(), &["-i", "hone", "-o", "extcap.hone.name:ping", "-w", name]);
    let mut tshark =
        Guarded::spawn(command.stderr(File::create(place.path().join("log")).expect("it is ours")));
    wait_for("the capture has packets", || (!packets(&file).is_empty()).then_some(()));
    let program = place.path().join("root/usr/local/bin/honeutil");
    assert_eq!(captures(&program).len(), 1, "it captures");
    tshark.signal(Signal::KILL);
    tshark.wait("tshark ends");
    wait_for("the capture ends", || captures(&program).is_empty().then_some(()));
}

/// The command lines of the processes of a program.
pub(crate) fn captures(program: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("there is one").flatten().map(|entry| entry.path());
    let ours =
        entries.filter(|process| std::fs::read_link(process.join("exe")).is_ok_and(|path| path == program));
    ours.map(|process| std::fs::read(process.join("cmdline")).unwrap_or_default())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

/// What the toolbar of Wireshark's window sends: a value of the field for the selection, or that it has sent all.
fn message(command: u8, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 2).expect("it is short");
    [&[b'T', 0, 0, length, 0, command], text.as_bytes()].concat()
}

/// A capture as Wireshark's window starts it, with the toolbar.
struct Capture {
    honeutil: Guarded,
    window: File,
    /// Keeps the pipe that the window would read from.
    _status: File,
    reader: std::process::Child,
    file: PathBuf,
}

impl Capture {
    fn start(place: &Path, arguments: &[&str]) -> Self {
        let pipe = |name: &str| {
            let path = place.join(name);
            run(Command::new("mkfifo").arg(&path));
            path
        };
        let (packets, control_in, control_out) = (pipe("packets"), pipe("in"), pipe("out"));
        let file = place.join("a.pcapng");
        // The readers first: a pipe that is also open for reading never ends, and is never waited for.
        let open = |path: &Path| File::options().read(true).write(true).open(path).expect("it is there");
        let (mut window, status) = (open(&control_in), open(&control_out));
        let mut reader = Command::new("cat");
        reader.arg(&packets).stdout(File::create(&file).expect("it is ours"));
        let reader = reader.spawn().expect("it can be started");
        let mut command = Command::new(HONEUTIL);
        command.args(["extcap", "--capture"]).args(arguments).arg("--fifo").arg(&packets);
        command.arg("--extcap-control-in").arg(&control_in).arg("--extcap-control-out").arg(&control_out);
        let honeutil = Guarded::spawn(command.stdin(Stdio::null()));
        window.write_all(&message(0, "")).expect("it is open");
        Self { honeutil, window, _status: status, reader, file }
    }

    /// Says in the toolbar what is to be selected.
    fn select(&mut self, text: &str) {
        self.window.write_all(&message(1, text)).expect("it is open");
    }

    /// Ends it; the packets.
    fn finish(mut self) -> Vec<String> {
        self.honeutil.signal(Signal::TERM);
        assert!(self.honeutil.wait("the capture ends").success());
        self.reader.wait().expect("it has ended");
        packets(&self.file)
    }
}

#[test]
fn the_toolbar_changes_what_a_running_capture_selects() {
    if !ready(&["mkfifo", "ping"]) {
        return;
    }
    let (place, network) = (directory(), Network::new());
    let _ping = ping(&network);
    let arguments = ["--extcap-interface", "hone-local", "--host", "203.0.113.9"];
    let mut capture = Capture::start(place.path(), &arguments);
    let host = network.v4(End::B).to_string();
    capture.select(&format!("icmp and host {host}"));
    wait_for("packets that are now selected", || (packets(&capture.file).len() > 3).then_some(()));
    let all = capture.finish();
    assert!(all.iter().all(|packet| packet.contains(&host) && packet.contains(" icmp ")), "{all:?}");
}

/// What the kernel leaves out follows the toolbar, too: by an address, by a program, and by both.
#[test]
fn the_kernel_leaves_out_what_the_toolbar_does() {
    if !ready(&["mkfifo"]) {
        return;
    }
    let (service, place, network) = (Service::start(), directory(), Network::new());
    let left_out = || {
        let report: serde_json::Value =
            serde_json::from_str(&service.ask(&["get-stats", "--json"])).expect("one JSON object");
        let packets = &report["filtered_in_kernel"];
        packets.as_u64().unwrap_or_else(|| panic!("no number: {report}"))
    };
    // 50 datagrams and their echoes, each at both ends.
    const EXCHANGE: u64 = 200;
    // A name that no other test uses: these run at the same time.
    let program = place.path().join("toolbar-chat");
    std::fs::copy(generator(), &program).expect("the directory is ours");
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let exchange = || {
        let start = |end, line: String| Traffic::spawn(network.command(end, &program).args(line.split(' ')));
        let mut server = start(End::B, format!("udp-server {b}:0 50 echo"));
        let endpoint = server.wait_for("endpoint");
        let address = endpoint.split('\t').nth(2).expect("it has an address").to_owned();
        start(End::A, format!("udp-client {a}:0 {address} 50 100 connected")).finish();
        server.finish();
    };
    let socket = service.socket();
    let arguments =
        ["--extcap-interface", "hone", "--socket", &socket, "--host", "203.0.113.9", "--format", "wireshark"];
    let mut capture = Capture::start(place.path(), &arguments);
    wait_for("the capture begins", || {
        (capture.file.metadata().expect("it is there").len() > 0).then_some(())
    });
    let before = left_out();
    exchange();
    let by_address = left_out();
    assert!(by_address - before >= EXCHANGE, "the first selection: {before}, {by_address}");

    capture.select("--name toolbar-chat");
    wait_for("packets that are now selected", || {
        exchange();
        (!packets(&capture.file).is_empty()).then_some(())
    });
    // An exchange in whose midst the selection changed may be recorded in part; the next one is whole.
    let recorded = wait_for("no more comes", || {
        let before = packets(&capture.file).len();
        std::thread::sleep(std::time::Duration::from_millis(500));
        (packets(&capture.file).len() == before).then_some(before)
    });
    exchange();
    wait_for("all packets of the program", || {
        let more = packets(&capture.file).len() - recorded;
        assert!(more as u64 <= EXCHANGE, "{more} packets");
        (more as u64 == EXCHANGE).then_some(())
    });

    capture.select("--not-name toolbar-chat --host 203.0.113.9");
    wait_for("packets of the program are left out", || {
        let before = left_out();
        exchange();
        (left_out() - before >= EXCHANGE).then_some(())
    });
    let file = capture.file.clone();
    capture.finish();
    let bytes = std::fs::read(file).expect("it is ours");
    assert!(
        view::blocks(&bytes, ByteOrder::NATIVE).any(|block| block.kind() == foreign::CUSTOM),
        "process blocks of Wireshark, as the setting of the format asks for"
    );
}
