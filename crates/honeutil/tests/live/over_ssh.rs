//! A stream that ssh carries to another host does not record itself.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hone_testing::{Guarded, run, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::{HONEUTIL, directory};

const PORT: &str = "2222";
/// sshd gives up its privileges in this folder, which the system makes when its own sshd starts (sshd(8)).
const EMPTY: &str = "/run/sshd";

/// Removes [`EMPTY`] again, if it was not there.
struct Empty(bool);

impl Empty {
    fn new() -> Self {
        Self(fs::create_dir(EMPTY).is_ok())
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        if self.0 {
            let _ = fs::remove_dir(EMPTY);
        }
    }
}

/// A server at one end of the network, with keys of its own.
fn server(network: &Network, place: &Path) -> Guarded {
    for key in ["host", "user"] {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]).current_dir(place));
    }
    let folder = place.display();
    let settings = format!(
        "Port {PORT}\nListenAddress {}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n\
         PidFile none\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nUsePAM yes\n",
        network.v4(End::B)
    );
    fs::write(place.join("settings"), settings).expect("the directory is ours");
    let mut command = network.command(End::B, "/usr/sbin/sshd");
    command.arg("-D").arg("-f").arg(place.join("settings"));
    let mut server = Guarded::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    wait_for("sshd listens", || {
        assert_eq!(server.ended(), None);
        let mut list = network.command(End::B, "ss");
        run(list.args(["-Hltn"])).contains(&format!(":{PORT}")).then_some(())
    });
    server
}

/// What the other end gets through ssh of a recording of the ssh connections there, in bytes; stops at `most`.
fn received(network: &Network, place: &Path, remote: &str, most: u64) -> u64 {
    let mut command = network.command(End::A, "ssh");
    command.args(["-F", "none", "-p", PORT, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
    command
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-i"])
        .arg(place.join("user"));
    command.arg(format!("root@{}", network.v4(End::B))).arg(remote);
    let mut ssh = Guarded::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut stdout = ssh.child().stdout.take().expect("it is piped");
    let (mut total, mut buffer) = (0, vec![0; 1 << 16]);
    while let Ok(count @ 1..) = stdout.read(&mut buffer) {
        total += count as u64;
        if total > most {
            ssh.signal(Signal::KILL);
            ssh.wait("ssh is killed");
            return total;
        }
    }
    assert_eq!(ssh.wait("ssh ends").code(), Some(0), "{remote}");
    total
}

#[test]
fn a_stream_through_ssh_stays_bounded_and_with_include_own_it_grows() {
    if !ready(&["ssh", "ssh-keygen", "ss"]) {
        return;
    }
    if !Path::new("/usr/sbin/sshd").exists() {
        hone_testing::skip("not installed: sshd");
        return;
    }
    const MOST: u64 = 4 << 20;
    let (empty, network, place) = (Empty::new(), Network::new(), directory());
    let server = server(&network, place.path());
    let read = format!("{HONEUTIL} read --local -q -w - --duration 2s --port {PORT}");
    // Directly, and with another program that passes the stream on.
    for remote in [read.clone(), format!("{read} | cat")] {
        let bounded = received(&network, place.path(), &remote, MOST);
        assert!((1..MOST / 16).contains(&bounded), "{remote}: {bounded} bytes were received");
    }
    let read = format!("{HONEUTIL} read --local -q -w - --include-own --port {PORT}");
    let unbounded = received(&network, place.path(), &read, MOST);
    assert!(unbounded > MOST, "{unbounded} bytes: does the test still test anything?");
    drop((server, empty));
}
