//! The client in Python, which is written from `docs/reader-protocol.md` alone.

use std::fs::File;
use std::process::{Command, Stdio};

use hone_testing::{Guarded, Service, ready, wait_for};

use crate::stream::{SETTLE, parse};
use crate::traffic::{new_tag, send};

/// Starts it in the service's directory.
pub(crate) fn python(service: &Service, arguments: &[&str]) -> Guarded {
    let output = File::create(service.directory().join("python")).expect("the directory is ours");
    let errors = output.try_clone().expect("it is a file");
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client.py")).arg(service.socket());
    command.args(arguments).current_dir(service.directory());
    Guarded::spawn(command.stdin(Stdio::null()).stdout(output).stderr(errors))
}

#[test]
fn a_client_written_from_the_documentation() {
    if !ready(&["python3"]) {
        return;
    }
    let service = Service::start("");
    let mut watcher = service.connect();
    let mut client = python(&service, &["record", "first.pcapng", "second.pcapng"]);
    let tag = new_tag();
    for file in ["first.pcapng", "second.pcapng"] {
        wait_for("the client reads", || {
            assert_eq!(client.ended(), None, "{}", said(&service));
            let length = service.directory().join(file).metadata().ok()?.len();
            (length > 0).then_some(())
        });
        send(tag, 500, 300);
        std::thread::sleep(SETTLE);
        // What makes the client end the section.
        File::create(service.directory().join(format!("{file}.end"))).expect("the directory is ours");
    }
    let status = client.wait("the client ends");
    assert!(status.success(), "{}", said(&service));
    for file in ["first.pcapng", "second.pcapng"] {
        let bytes = std::fs::read(service.directory().join(file)).expect("the client wrote it");
        let section = parse(&bytes);
        assert_eq!((section.count(tag), section.longest(tag)), (1000, 128), "{file}");
        let [_, _, dropped, delivered] = section.statistics.expect("a whole section has statistics");
        assert_eq!((delivered, dropped), (section.all_packets, 0), "{file}");
    }
    wait_for("it is detached", || (watcher.statistics().ok()?.readers == 0).then_some(()));
    drop(watcher);
    service.stop();
}

fn said(service: &Service) -> String {
    std::fs::read_to_string(service.directory().join("python")).unwrap_or_default()
}
