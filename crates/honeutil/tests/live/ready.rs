//! What scripts and service managers see of a recording.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use hone_testing::{Guarded, run, wait_for};
use rustix::process::Signal;

use crate::files::datagrams;
use crate::guard::ready;
use crate::network::Network;
use crate::recorder::{HONEUTIL, directory};
use crate::recording::Recording;
use crate::traffic::Traffic;
use crate::truth::{Closing, Truth};

#[test]
fn what_happens_after_the_sign_is_recorded_and_the_summary_is_for_programs_too() {
    if !ready(&["sh"]) {
        return;
    }
    let (network, place) = (Network::new(), directory());
    let socket = UnixDatagram::bind(place.path().join("notify")).expect("the directory is ours");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("it is not zero");
    let message = || {
        let mut bytes = [0; 64];
        let count = socket.recv(&mut bytes).expect("the message comes");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let (sign, summary) = (place.path().join("sign"), place.path().join("summary"));
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" read --local --json --ready-fd 3 -w a.pcapng 3>sign"#, HONEUTIL]);
    command.current_dir(place.path()).env("NOTIFY_SOCKET", place.path().join("notify"));
    command.stdin(Stdio::null()).stdout(File::create(&summary).expect("the directory is ours"));
    let stderr = place.path().join("stderr");
    let mut honeutil = Guarded::spawn(command.stderr(File::create(&stderr).expect("the directory is ours")));
    wait_for("the sign", || {
        let said = std::fs::read_to_string(&stderr).unwrap_or_default();
        assert_eq!(honeutil.ended(), None, "{said}");
        (std::fs::read_to_string(&sign).ok()? == "ready\n").then_some(())
    });
    assert_eq!(message(), "READY=1");
    let truth = Truth::told(datagrams(&network, 50, 100).map(Traffic::finish));
    honeutil.signal(Signal::INT);
    assert!(honeutil.wait("honeutil ends").success());
    assert_eq!(message(), "STOPPING=1");
    let recording = Recording::read(&place.path().join("a.pcapng"));
    truth.check(&network, &recording, Closing::ByOwner);
    assert_eq!(std::fs::read_to_string(&stderr).expect("it is there"), "Recording to a.pcapng\n");

    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&summary).expect("it is there")).expect("one object");
    assert_eq!(summary["packets"], recording.packets().count());
    assert_eq!(summary["written"]["first"], "a.pcapng");
    assert_eq!(summary["dropped"]["sensor"]["packets"], 0);
    let processes = summary["processes"].as_array().expect("a list");
    let client = processes
        .iter()
        .find(|process| process["traffic"]["packets_out"] == 50 && process["name"] == "traffic");
    assert!(client.is_some_and(|client| client["peers"][0].is_string()), "{summary}");
    assert_eq!(summary.get("error"), None);
}

#[test]
fn a_descriptor_that_is_not_open_is_named_before_anything_begins() {
    let place = directory();
    let file = place.path().join("a.pcapng");
    let output = Command::new(HONEUTIL)
        .args(["read", "--ready-fd", "77", "-w"])
        .arg(&file)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--ready-fd 77: Bad file descriptor"), "{said}");
    assert!(!file.exists());
    let help = run(Command::new(HONEUTIL).args(["read", "--help"]));
    assert!(help.contains("NOTIFY_SOCKET"), "{help}");
}
