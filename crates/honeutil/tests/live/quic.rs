//! The names in the first packets of QUIC, compared with what the server has received (`quic.py`).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use hone_testing::{Guarded, skip};
use serde_json::{Value, json};

use crate::guard::ready;
use crate::names::{Servers, certificate, objects, show};
use crate::network::{End, Network};
use crate::recorder::{Recorder, directory};

const SCRIPT: &str = include_str!("quic.py");
const PORT: &str = "4433";

/// A name, the client's port, the protocols that it offers, and its JA4.
type Sent = (String, u64, Vec<String>, String);

#[test]
fn names_in_quic_are_those_that_the_server_received_with_the_processes_that_sent_them() {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("quic-venv").join("bin/python");
    if !ready(&["openssl"]) {
        return;
    }
    if !python.exists() {
        skip("there is no aioquic: scripts/test installs it into the target directory");
        return;
    }
    let (network, place) = (Network::new(), directory());
    let python = python.to_str().expect("it is UTF-8");
    let mut recorder = Recorder::start(&["-s", "0"]);
    recorder.await_text("Recording");
    let address = network.v4(End::B).to_string();
    let mut server = network.command(End::B, python);
    server.args(["-c", SCRIPT, "server", &address]).args(certificate(place.path()));
    let server = Servers::start(server);
    // So many that the hello is in two packets.
    let many: Vec<String> = (0..9).map(|number| format!("{number}").repeat(200)).collect();
    let mut clients = BTreeSet::new();
    for (name, version, protocols) in [
        ("one.names.test", "VERSION_1", &[][..]),
        ("two.names.test", "VERSION_2", &[]),
        ("long.names.test", "VERSION_1", &many),
    ] {
        let mut client = network.command(End::A, python);
        client.args(["-c", SCRIPT, "client", &address, name, version]).args(protocols).arg("h3");
        let mut client = Guarded::spawn(client.stdout(Stdio::null()));
        clients.insert((u64::from(client.pid()), name.to_owned()));
        client.wait(name);
    }
    let truth: Vec<Sent> = server.finish();
    recorder.signal(rustix::process::Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    let file = &ended.files[0];

    // Both ends of each packet are on this host, so each hello is there twice.
    let own = network.range();
    let events = objects(&show(file, &["--json", "--host", &own, "--direction", "out"]));
    let found = |events: &[Value]| -> BTreeSet<(Sent, u64)> {
        let hellos = events.iter().filter(|event| event["network"]["protocol"] == "quic");
        let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
        let sent = hellos.map(|hello| {
            let offer = &hello["hone"]["tls"];
            let alpn = offer["alpn"].as_array().expect("it offers protocols");
            let name = text(&hello["tls"]["client"]["server_name"]);
            let port = hello["source"]["port"].as_u64().expect("it has a port");
            let pid = hello["process"]["pid"].as_u64().expect("it has a process");
            ((name, port, alpn.iter().map(text).collect(), text(&offer["ja4"])), pid)
        });
        sent.collect()
    };
    let sent = found(&events);
    assert_eq!(sent.iter().map(|(sent, _)| sent).collect::<BTreeSet<_>>(), truth.iter().collect());
    assert_eq!(sent.iter().map(|((name, ..), pid)| (*pid, name.clone())).collect::<BTreeSet<_>>(), clients);

    // Every packet of a connection has its name from then on, and is selected by it.
    for ((name, port, ..), _) in &sent {
        let port = port.to_string();
        let of_client = |words: &[&str]| {
            let words = [&["--json", "--host", &own, "--port", PORT, "--port", &port], words].concat();
            objects(&show(file, &words))
                .into_iter()
                .filter(|event| {
                    [&event["source"]["port"], &event["destination"]["port"]]
                        .iter()
                        .any(|end| end.to_string() == port)
                })
                .collect::<Vec<_>>()
        };
        let all = of_client(&[]);
        assert_eq!(of_client(&["--filter", &format!("udp and domain {name}")]), all);
        let last = all.last().expect("there are some");
        assert!(
            [&last["source"]["domain"], &last["destination"]["domain"]].contains(&&json!(name)),
            "{last}"
        );
    }
}
