//! The interface that Wireshark and tshark have when Hone is installed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hone_testing::{Guarded, directory, run, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::HONEUTIL;

/// Where tshark looks for interfaces.
fn extcap_directory() -> PathBuf {
    let folders = run(Command::new("tshark").args(["-G", "folders"]));
    let line = folders.lines().find(|line| line.contains("Extcap path:") && !line.contains("Personal"));
    line.and_then(|line| line.rsplit('\t').next()).expect("tshark says where").into()
}

/// tshark with Hone installed below `place`, in a mount namespace of its own: this machine's Wireshark stays as it is.
fn tshark(place: &Path, arguments: &[&str]) -> Command {
    let extcap = place.join("root/usr/libexec/wireshark/extcap");
    std::fs::create_dir_all(&extcap).expect("the directory is ours");
    let mut install = Command::new(HONEUTIL);
    run(install.args(["install", "--honed", "/bin/true", "--root"]).arg(place.join("root")));
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        "mount --bind \"$1\" \"$2\" && shift 2 && exec tshark \"$@\"",
        "sh",
    ]);
    command.arg(extcap).arg(extcap_directory()).args(arguments).stdin(Stdio::null());
    let (path, built) = (std::env::var("PATH").expect("there is one"), Path::new(HONEUTIL).parent());
    command.env("PATH", format!("{}:{path}", built.expect("it is in a directory").display()));
    command
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
    let mut command = network.command(End::A, "ping");
    let ping = Guarded::spawn(
        command.args(["-q", "-i", "0.2"]).arg(network.v4(End::B).to_string()).stdout(Stdio::null()),
    );
    let mut command = tshark(place.path(), &["-i", "hone", "-w", file.to_str().expect("it is text")]);
    let mut tshark = Guarded::spawn(command.stderr(File::create(&log).expect("the directory is ours")));
    let said = || std::fs::read_to_string(&log).expect("the directory is ours");
    let pid = ping.pid().to_string();
    wait_for("the file has packets of both directions", || {
        assert_eq!(tshark.ended(), None, "{}", said());
        // The file is still being written: its end may be in the midst of a block.
        let shown = Command::new(HONEUTIL).arg("show").arg(&file).output().expect("it can be started").stdout;
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let packets = shown.lines().filter(|line| line.contains(" PAKT "));
        let mut own = packets.filter(|line| line.split_whitespace().nth(2) == Some(&pid));
        (own.any(|line| line.contains(" out icmp ")) && own.any(|line| line.contains(" in  icmp ")))
            .then_some(())
    });
    tshark.signal(Signal::INT);
    assert!(tshark.wait("tshark ends").success(), "{}", said());
}

#[test]
fn a_capture_filter_is_refused_with_a_reason() {
    if !ready(&["unshare", "mount"]) {
        return;
    }
    let place = directory();
    let mut tshark = tshark(place.path(), &["-i", "hone", "-c", "1", "-f", "port 80"]);
    let output = tshark.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Hone takes no capture filter"), "{said}");
}
