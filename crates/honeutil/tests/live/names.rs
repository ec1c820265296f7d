//! The names that programs ask for and connect to, compared with what the servers have received ([`SERVERS`]).

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use hone_testing::{Guarded, PATIENCE, run};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::{HONEUTIL, Recorder, directory};

const SERVERS: &str = include_str!("names.py");

/// What a client has sent: what it is, the name, the client's port and process.
type Sent = (String, String, u64, u64);

/// Servers that print a line of JSON for each client, and an empty array before all.
pub(crate) struct Servers {
    process: Guarded,
    lines: Receiver<String>,
}

impl Servers {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = Guarded::spawn(command.stdout(Stdio::piped()));
        let stdout = process.child().stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("[]"), "the servers listen");
        Self { process, lines }
    }

    /// Ends them; what they have printed.
    pub(crate) fn finish<T: DeserializeOwned>(self) -> Vec<T> {
        drop(self.process);
        self.lines.iter().map(|line| serde_json::from_str(&line).expect("the servers print JSON")).collect()
    }
}

/// A key, and a certificate that it has signed itself.
pub(crate) fn certificate(place: &Path) -> [PathBuf; 2] {
    let [key, certificate] = ["key", "certificate"].map(|name| place.join(name));
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=names.test",
            "-days",
            "1",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null()));
    [key, certificate]
}

/// The servers of [`SERVERS`], in one end of a network.
pub(crate) fn start(network: &Network, place: &Path) -> Servers {
    let mut command = network.command(End::B, "python3");
    command.args(["-c", SERVERS, &network.v4(End::B).to_string()]).args(certificate(place));
    Servers::start(command)
}

/// A client in the other end, whose resolver asks the servers with these options. Returns its process id.
fn client(network: &Network, place: &Path, options: &str, command: &str) -> u64 {
    let resolver = place.join("resolv.conf");
    let text = format!("nameserver {}\noptions {options}\n", network.v4(End::B));
    std::fs::write(&resolver, text).expect("it is ours");
    let script = format!("mount --bind {} /etc/resolv.conf && exec {command}", resolver.display());
    let mut unshare = network.command(End::A, "unshare");
    unshare.args(["--mount", "sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = Guarded::spawn(&mut unshare);
    let pid = client.pid().into();
    client.wait(command);
    pid
}

pub(crate) fn show(file: &Path, arguments: &[&str]) -> String {
    run(Command::new(HONEUTIL).arg("show").args(arguments).arg(file))
}

pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

/// Every name has the process that has sent it, and none is missing; each packet of a connection has its name.
#[test]
fn names_are_those_that_the_servers_received_with_the_processes_that_sent_them() {
    if !ready(&["python3", "curl", "openssl", "unshare", "mount"]) {
        return;
    }
    let (network, place) = (Network::new(), directory());
    let mut recorder = Recorder::start(&["-s", "0"]);
    recorder.await_text("Recording");
    let servers = start(&network, place.path());
    let server = network.v4(End::B).to_string();
    let open = format!("openssl s_client -connect {server}:443");
    let curl = "curl --silent --insecure --max-time 20";
    let mut clients = Vec::new();
    for (options, command, names) in [
        (
            "timeout:5",
            format!("{curl} https://www.names.test/"),
            &["dns www.names.test", "tls www.names.test"][..],
        ),
        (
            "use-vc",
            format!("{curl} http://Plain.Names.test/"),
            &["dns plain.names.test", "http plain.names.test"],
        ),
        (
            "timeout:5",
            format!("{curl} https://alias.names.test/"),
            &["dns alias.names.test", "tls alias.names.test"],
        ),
        ("timeout:5", format!("{curl} http://missing.names.test/"), &["dns missing.names.test"]),
        (
            "timeout:5",
            format!("{open} -servername deep.names.test -alpn h2,http/1.1 </dev/null"),
            &["tls deep.names.test"],
        ),
    ] {
        let pid = client(&network, place.path(), options, &command);
        clients.extend(names.iter().map(|name| (pid, *name)));
    }
    let truth: Vec<(String, String, u64)> = servers.finish();
    recorder.signal(rustix::process::Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    let file = &ended.files[0];

    let events = objects(&show(file, &["--json", "--host", &network.range()]));
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let number = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_u64);
    let sent: BTreeSet<Sent> = events
        .iter()
        .filter(|object| text(object, "/network/direction").as_deref() == Some("egress"))
        .filter_map(|object| {
            let name = |path| text(object, path);
            let dns = name("/dns/question/name").filter(|_| name("/dns/type").as_deref() == Some("query"));
            let found =
                [("dns", dns), ("tls", name("/tls/client/server_name")), ("http", name("/url/domain"))];
            let (kind, name) = found.into_iter().find_map(|(kind, name)| Some((kind.to_owned(), name?)))?;
            Some((kind, name, number(object, "/source/port")?, number(object, "/process/pid")?))
        })
        .collect();
    let without_pid = |(kind, name, port, _): &Sent| (kind.clone(), name.clone(), *port);
    let lower = |(kind, name, port): &(String, String, u64)| (kind.clone(), name.to_lowercase(), *port);
    assert_eq!(
        sent.iter().map(without_pid).collect::<BTreeSet<_>>(),
        truth.iter().map(lower).collect::<BTreeSet<_>>()
    );
    let by_pid: BTreeSet<(u64, String)> =
        sent.iter().map(|(kind, name, _, pid)| (*pid, format!("{kind} {name}"))).collect();
    let expected: BTreeSet<(u64, String)> =
        clients.iter().map(|(pid, name)| (*pid, (*name).to_owned())).collect();
    assert_eq!(by_pid, expected);

    // From the first packet on, by the DNS answer, and in both directions. The alias is the name that was asked for.
    for name in ["www", "plain", "alias"] {
        let name = format!("{name}.names.test");
        let (_, _, port, _) =
            sent.iter().find(|sent| sent.1 == name && sent.0 != "dns").expect("it is there");
        let of_client = |object: &&Value| {
            number(object, "/source/port") == Some(*port)
                && text(object, "/source/ip").is_some_and(|ip| ip != server)
                && text(object, "/network/direction").as_deref() == Some("egress")
        };
        let packets: Vec<_> = events.iter().filter(of_client).collect();
        assert!(packets.len() > 3, "{name}: {}", packets.len());
        let sources: Vec<_> = packets.iter().map(|packet| text(packet, "/hone/name/source")).collect();
        assert_eq!(sources[0].as_deref(), Some("dns"), "{name}");
        assert_ne!(sources.last().expect("there are some").as_deref(), Some("dns"), "{name}");
        for packet in packets {
            assert_eq!(text(packet, "/destination/domain"), Some(name.clone()), "{packet}");
        }
    }
    let deep = events
        .iter()
        .find(|object| text(object, "/tls/client/server_name").as_deref() == Some("deep.names.test"));
    let deep = deep.expect("it is there");
    assert_eq!(deep.pointer("/hone/tls/alpn"), Some(&serde_json::json!(["h2", "http/1.1"])));
    assert!(
        text(deep, "/hone/tls/ja4").is_some_and(|ja4| ja4.starts_with("t13d") && ja4.len() == 36),
        "{deep}"
    );
    let missing = show(file, &["--host", &network.range(), "--port", "53"]);
    assert!(missing.contains("answer=missing.names.test type=A rcode=NXDOMAIN"), "{missing}");
    assert!(
        missing.contains("answer=alias.names.test type=A rcode=NOERROR data=www.names.test,"),
        "{missing}"
    );

    // All packets of a connection are selected, from the first one on, and the DNS messages about its name.
    let own = network.range();
    let select = |words: &[&str]| show(file, &[&["--host", &own], words].concat());
    let (_, _, port, _) =
        sent.iter().find(|sent| sent.1 == "plain.names.test" && sent.0 == "http").expect("it is there");
    let selected = select(&["--domain", "Plain.names.test."]);
    let (of_dns, others): (Vec<&str>, Vec<&str>) =
        selected.lines().partition(|line| line.contains(&format!("{server}:53 ")));
    assert!(of_dns.iter().all(|line| line.contains("=plain.names.test type=")), "{of_dns:?}");
    assert!(of_dns.len() >= 2, "{of_dns:?}");
    let all = select(&["--port", &port.to_string(), "--port", "80"]);
    let of_connection: Vec<&str> = all.lines().filter(|line| line.contains(&format!(":{port} "))).collect();
    assert_eq!(others, of_connection);
    let by_filter = |expression: &str| select(&["--filter", expression]);
    assert_eq!(by_filter("domain Plain.names.test."), selected);
    assert_eq!(by_filter("ip domain (plain.names.test) and not port 53").lines().collect::<Vec<_>>(), others);
    assert!(
        select(&["--domain", "test"]).lines().count()
            > select(&["--domain", "www.names.test"]).lines().count()
    );
    assert!(
        select(&["--domain", "ames.test"]).is_empty()
            && select(&["--not-domain", "test", "--port", "443"]).is_empty()
    );

    // As a recording of its own, in which the names are known, too.
    let out = place.path().join("out.pcapng");
    run(Command::new(HONEUTIL)
        .args(["show", "--host", &own, "--domain", "plain.names.test", "-w"])
        .arg(&out)
        .arg(file)
        .stderr(Stdio::null()));
    assert_eq!(show(&out, &["--host", &own]), selected);

    // The same packets as tables.
    let tables = place.path().join("tables");
    run(Command::new(HONEUTIL)
        .args([
            "export",
            "--to",
            "jsonl",
            "--tables",
            "packets,names",
            "--host",
            &own,
            "--domain",
            "plain.names.test",
            "-d",
        ])
        .arg(&tables)
        .arg(file)
        .stderr(Stdio::null()));
    let rows = |table: &str| {
        let find = run(Command::new("find")
            .arg(tables.join(table))
            .args(["-name", "*.jsonl", "-exec", "cat", "{}", "+"]));
        objects(&find)
    };
    assert_eq!(rows("packets").len(), selected.lines().count());
    let names: BTreeSet<_> =
        rows("names").iter().map(|row| text(row, "/name").expect("each has one")).collect();
    assert_eq!(names, ["plain.names.test".to_owned()].into());

    crate::report::is_as_shown(file, place.path(), &["--host", &own]);
}
