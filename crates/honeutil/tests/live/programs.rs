//! Every packet carries the process that it belongs to: real programs.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use hone_testing::{Guarded, run};

use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::{Icmp, Ip, Transport};
use crate::recorder::{HONEUTIL, Recorder, directory};
use crate::recording::{Direction, Recording};
use crate::traffic::wait_until_listening;
use crate::truth::{Closing, Process, Protocol, Truth};

#[test]
fn http_between_curl_and_python() {
    if !ready(&["python3", "curl"]) {
        return;
    }
    const PORT: u16 = 8000;
    const CURLS: u16 = 3;
    const SIZE: usize = 700_000;
    let network = Network::new();
    let site = directory();
    let mut file = std::fs::File::create(site.path().join("page")).expect("the directory is ours");
    file.write_all(&b"hello ".repeat(SIZE / 6 + 1)[..SIZE]).expect("the file can be written");
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let recorder = Recorder::start(&[]);
    let mut command = network.command(End::B, "python3");
    command
        .args(["-m", "http.server", &PORT.to_string(), "--bind", &b.to_string(), "--directory"])
        .arg(site.path());
    let mut server = Guarded::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until_listening(&mut server, PORT);

    let mut truth = Truth::default();
    truth.endpoint(Protocol::Tcp, SocketAddr::new(b, PORT), server.pid());
    // While it runs, the kernel reports its program.
    truth.processes.push(describe(server.pid()));
    for port in 30_000..30_000 + CURLS {
        let url = format!("http://{b}:{PORT}/page");
        let mut command = network.command(End::A, "curl");
        command.args([
            "--silent",
            "--fail",
            "--local-port",
            &port.to_string(),
            "--output",
            "/dev/null",
            &url,
        ]);
        let mut curl = Guarded::spawn(&mut command);
        truth.endpoint(Protocol::Tcp, SocketAddr::new(a, port), curl.pid());
        assert!(curl.wait("curl ends").success(), "curl failed");
    }
    drop(server);
    let recording = recorder.stop();
    truth.check_owners(&network, &recording, Closing::ByKernel);
    truth.check_processes(&recording);
    truth.check_connections(&recording);
    let bytes = |direction| {
        let packets = recording.packets().filter(move |packet| packet.direction == direction);
        let ips = packets.filter_map(|packet| Ip::parse(&packet.data)).filter(|ip| ip.source == b);
        ips.map(|ip| ip.payload().len()).sum::<usize>()
    };
    let expected = usize::from(CURLS) * SIZE;
    assert!(bytes(Direction::Outbound) >= expected, "python sent {} bytes", bytes(Direction::Outbound));
    assert!(bytes(Direction::Inbound) >= expected, "curl received {} bytes", bytes(Direction::Inbound));
}

/// What /proc says of a process of ours.
fn describe(pid: u32) -> Process {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).expect("it runs");
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
    Process {
        pid,
        parent: std::process::id(),
        path: path.display().to_string(),
        arguments: String::from_utf8_lossy(&arguments).into_owned(),
        user: (0, "root".into()),
        group: (0, "root".into()),
    }
}

/// Requests and replies are ping's; the replies that the other end's kernel makes are nobody's.
#[test]
fn ping_over_ipv4() {
    if ready(&["ping"]) {
        check_ping(Network::v4);
    }
}

#[test]
fn ping_over_ipv6() {
    if ready(&["ping"]) {
        check_ping(Network::v6);
    }
}

fn check_ping(address: fn(&Network, End) -> IpAddr) {
    const COUNT: usize = 3;
    let network = Network::new();
    let (here, there) = (address(&network, End::A), address(&network, End::B));
    let ping = || {
        let recorder = Recorder::start(&[]);
        let mut command = network.command(End::A, "ping");
        command.args(["-n", "-q", "-i", "0.2", "-c", &COUNT.to_string(), &there.to_string()]);
        let mut ping = Guarded::spawn(command.stdout(Stdio::null()));
        let pid = ping.pid();
        assert!(ping.wait("ping ends").success(), "ping has no answer");
        let recording = recorder.stop();
        check_echoes(&recording, (here, there), pid, COUNT);
    };
    // First with a raw socket: no group may use the other kind.
    network.set(End::A, "net/ipv4/ping_group_range", "1 0");
    ping();
    // Then with a ping socket (icmp(7)).
    network.set(End::A, "net/ipv4/ping_group_range", "0 2147483647");
    ping();
}

fn check_echoes(recording: &Recording, (here, there): (IpAddr, IpAddr), pid: u32, count: usize) {
    let echoes: Vec<_> = recording
        .packets()
        .filter_map(|packet| {
            let ip = Ip::parse(&packet.data)?;
            let Transport::Icmp(kind @ (Icmp::EchoRequest | Icmp::EchoReply)) = ip.transport else {
                return None;
            };
            let ours = [(here, there), (there, here)].contains(&(ip.source, ip.destination));
            ours.then_some((kind, packet.direction, packet.process, packet.connection))
        })
        .collect();
    let those = |kind, direction| {
        let those: Vec<_> = echoes.iter().filter(|echo| (echo.0, echo.1) == (kind, direction)).collect();
        those
    };
    let requests = those(Icmp::EchoRequest, Direction::Outbound);
    let replies = those(Icmp::EchoReply, Direction::Inbound);
    let made_by_the_kernel = those(Icmp::EchoReply, Direction::Outbound);
    assert_eq!(
        (requests.len(), replies.len(), made_by_the_kernel.len()),
        (count, count, count),
        "{echoes:?}"
    );
    let (opened, closed) = recording.opened_and_closed_by(pid);
    assert_eq!(opened, closed, "sockets that ping {pid} opened and that were closed");
    for echo in requests.iter().chain(&replies) {
        assert_eq!(echo.2, Some(pid), "not of ping {pid}: {echo:?}");
        assert!(echo.3.is_some_and(|id| opened.contains(&id)), "not on a socket of ping {pid}: {echo:?}");
    }
    for echo in made_by_the_kernel {
        assert_eq!((echo.2, echo.3), (None, None), "the kernel's own");
    }
}

/// The second example of the README.
#[test]
fn a_clone_is_recorded_from_the_first_packet_to_the_last() {
    if !ready(&["git"]) {
        return;
    }
    const PORT: u16 = 9418;
    let (network, place) = (Network::new(), directory());
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(words);
        run(git.current_dir(place.path()).env("GIT_CONFIG_GLOBAL", "/dev/null"))
    };
    git(&["init", "-q", "origin"]);
    std::fs::write(place.path().join("origin/file"), "hello ".repeat(200_000))
        .expect("the directory is ours");
    git(&["-C", "origin", "add", "."]);
    git(&["-C", "origin", "commit", "-q", "-m", "first"]);
    // Itself, not as a child of git, which would leave it behind.
    let mut daemon = network.command(End::B, Path::new(git(&["--exec-path"]).trim()).join("git-daemon"));
    daemon.args(["--export-all", "--reuseaddr"]).arg(format!("--base-path={}", place.path().display()));
    let mut daemon = Guarded::spawn(daemon.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until_listening(&mut daemon, PORT);

    let client = network.command(End::A, "git");
    let mut honeutil = Command::new(HONEUTIL);
    honeutil
        .args(["run", "--local", "-w", "clone.pcapng", "--"])
        .arg(client.get_program())
        .args(client.get_args());
    honeutil.arg("clone").arg(format!("git://{}/origin", network.v4(End::B))).arg("copy");
    let output = honeutil.current_dir(place.path()).env_remove("SUDO_UID").stdin(Stdio::null()).output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        std::fs::read(place.path().join("copy/file")).expect("it was cloned"),
        "hello ".repeat(200_000).as_bytes()
    );
    // What a user reads: git's own lines, then a calm summary.
    for line in ["Cloning into 'copy'", "Recorded ", "Dropped     nothing", "100 % of the packets", "PROCESS"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }

    let recording = Recording::read(&place.path().join("clone.pcapng"));
    let flags: Vec<(Direction, u8)> = recording
        .packets()
        .map(|packet| {
            let ip = Ip::parse(&packet.data).expect("it is of this network");
            assert!(network.has(ip.source) && packet.process.is_some());
            let Transport::Tcp { flags, .. } = ip.transport else { panic!("not TCP: {ip:?}") };
            (packet.direction, flags)
        })
        .collect();
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    assert_eq!(
        flags.first().map(|(direction, flags)| (*direction, flags & SYN)),
        Some((Direction::Outbound, SYN))
    );
    for side in [Direction::Outbound, Direction::Inbound] {
        assert!(flags.iter().any(|(direction, flags)| *direction == side && flags & FIN != 0), "{flags:?}");
    }
}
