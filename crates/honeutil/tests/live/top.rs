//! `top` on a terminal: it draws, obeys keys, follows the terminal's size, and gives the terminal back on every way out.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use hone_testing::{Guarded, wait_for};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::containers::Container;
use crate::files::{await_more, endless_datagrams};
use crate::guard::ready;
use crate::names;
use crate::network::{End, Network};
use crate::recorder::{HONEUTIL, directory};
use crate::service::Service;

/// The escape sequences that switch a terminal to another screen and back.
const OTHER_SCREEN: &str = "\x1b[?1049h";
const OLD_SCREEN: &str = "\x1b[?1049l";

/// `honeutil top` on a terminal of its own.
struct Top {
    honeutil: Guarded,
    keys: File,
    /// Kept open, so that it can be looked at when `top` has ended.
    terminal: OwnedFd,
    seen: Arc<Mutex<String>>,
}

impl Top {
    fn start(arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it is ours");
        let terminal: OwnedFd =
            ioctl_tiocgptpeer(&controller, OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("it is ours");
        resize(&terminal, 100, 24);
        let copy = || terminal.try_clone().expect("descriptors can be copied");
        let mut command = Command::new(HONEUTIL);
        command.args(["top", "--interval", "0.2"]).args(arguments).env("NO_COLOR", "1").env("TERM", "xterm");
        command.stdin(copy()).stdout(copy()).stderr(copy());
        let honeutil = Guarded::spawn(&mut command);
        drop(command);
        let keys = File::from(controller);
        let mut screen = keys.try_clone().expect("descriptors can be copied");
        let seen = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                into.lock().expect("nobody panics").push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        let mut top = Self { honeutil, keys, terminal, seen };
        top.wait_for(OTHER_SCREEN);
        top
    }

    /// Waits until this word is among what was drawn since the last wait. Only what changes is drawn, cell by cell; but
    /// all of it when the terminal's size has changed.
    fn wait_for(&mut self, text: &str) {
        let mut looks = 0;
        wait_for(format!("{text:?}"), || {
            looks += 1;
            if looks % 100 == 0 {
                resize(&self.terminal, 100 + looks / 100 % 2 * 20, 24);
            }
            let mut seen = self.seen.lock().expect("nobody panics");
            let end = seen.find(text)? + text.len();
            seen.drain(..end);
            Some(())
        });
    }

    fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).expect("the terminal takes keys");
    }

    /// What is on the screen, in a file of this name, which it writes.
    fn picture(&mut self, file: &Path) -> String {
        // What is there of the proposed name is removed first.
        self.press(&format!("w\x15{}\r", file.display()));
        wait_for(file.display().to_string(), || {
            std::fs::read_to_string(file).ok().filter(|text| text.ends_with('\n'))
        })
    }

    /// Waits until a line of the screen has all of these; returns the screen.
    fn await_line(&mut self, place: &Path, parts: &[&str]) -> String {
        let mut number = 0;
        wait_for(format!("{parts:?}"), || {
            number += 1;
            let file = place.join(format!("{number}.txt"));
            let text = self.picture(&file);
            std::fs::remove_file(&file).expect("it is ours");
            let is_there = text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
            is_there.then_some(text)
        })
    }

    /// Waits for its end; the terminal must be as it was.
    fn ends(mut self) -> Option<i32> {
        let status = self.honeutil.wait("top ends");
        self.wait_for(OLD_SCREEN);
        let modes = tcgetattr(&self.terminal).expect("it is a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
        status.code()
    }
}

fn resize(terminal: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("it is a terminal");
}

#[test]
fn top_draws_what_talks_and_obeys_keys() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let mut top = Top::start(&["--socket", &service.socket()]);
    let mut traffic = endless_datagrams(&network);
    await_more(&traffic[0]);
    top.wait_for("through");
    top.wait_for("traffic");
    top.press("c");
    top.wait_for("CONNECTION");
    top.press("q");
    assert_eq!(top.ends(), Some(0));
    // The process was there before: the stream's beginning says what it is.
    let mut top = Top::start(&["--socket", &service.socket(), "--name", "traffic", "--direction", "out"]);
    top.wait_for("traffic");
    top.press("q");
    assert_eq!(top.ends(), Some(0));
    traffic[0].go_on();
}

/// A client of TLS in a container, with a name that it asks DNS for, and a connection that stays.
fn client(network: &Network, container: &Container, place: &Path) -> Guarded {
    let resolver = place.join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {}\n", network.v4(End::B))).expect("it is ours");
    let script = format!(
        "echo 0 > {}/cgroup.procs && mount --bind {} /etc/resolv.conf
        while sleep 0.1; do printf 'GET / HTTP/1.1\\n\\n'; done |
            openssl s_client -quiet -connect www.names.test:443 -servername www.names.test",
        container.inner.display(),
        resolver.display()
    );
    let mut command = network.command(End::A, "unshare");
    command.args(["--mount", "sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
    Guarded::spawn(&mut command)
}

#[test]
fn top_shows_names_units_and_containers_and_all_that_is_known_of_a_connection() {
    if !ready(&["python3", "openssl", "unshare", "mount"]) {
        return;
    }
    let Some(container) = Container::new() else { return };
    let (service, network, place) = (Service::start(), Network::new(), directory());
    let place = place.path();
    let _servers = names::start(&network, place);
    let socket = service.socket();
    for way in [&["--socket", &*socket][..], &["--local"]] {
        let mut top = Top::start(&[way, &["--domain", "names.test"]].concat());
        resize(&top.terminal, 170, 40);
        let _client = client(&network, &container, place);
        let peer = "www.names.test:443 tcp";
        let unit = format!("docker-{}", &container.id[..8]);
        let screen = top.await_line(place, &["openssl", &unit, &container.id[..8], peer]);
        assert!(screen.contains(if way.len() > 1 { "through" } else { "without" }), "{screen}");
        // The units, by their number; then the connections.
        top.press("3");
        top.await_line(place, &[&unit]);
        top.press("2");
        top.await_line(place, &["openssl", peer]);
        // Whatever else asks for the name: its connection is not to port 443.
        top.press("/:443 tcp\r");
        top.await_line(place, &["openssl", peer]);
        top.press("\r");
        let server = format!("www.names.test ({}:443) tcp", network.v4(End::B));
        let screen = top.await_line(place, &["Other end", &server]);
        for line in [
            &["Connection", ", open"][..],
            &["Local end", &network.v4(End::A).to_string()],
            &["Name", "www.names.test, from its client's first message (TLS)"],
            &["TLS", "offers version 1.3", "JA4 t13"],
            &["> openssl "],
            &["Command", "openssl s_client -quiet -connect www.names.test:443"],
            &["unit docker-", &container.id],
            &["Opened", " UTC, ", " ago"],
            &["Sent", " packets; now "],
            &["Attributed", "current task ("],
        ] {
            // A long line is wrapped.
            let text = screen.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(line.iter().all(|part| text.contains(part.trim())), "{line:?} in {screen}");
        }
        let picture = top.picture(&place.join(format!("{}.svg", way.len())));
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"), "{picture}");
        assert!(picture.contains(&server), "{picture}");
        top.press("q");
        assert_eq!(top.ends(), Some(0));
        std::fs::write(container.inner.join("cgroup.kill"), "1").expect("it is ours");
    }
}

#[test]
fn top_gives_the_terminal_back_on_every_way_out() {
    if !ready(&[]) {
        return;
    }
    let mut service = Service::start();
    let socket = service.socket();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let top = Top::start(&["--socket", &socket]);
        top.honeutil.signal(signal);
        assert_eq!(top.ends(), Some(0), "{signal:?}");
    }
    let mut top = Top::start(&["--socket", &socket]);
    top.press("\x03");
    assert_eq!(top.ends(), Some(0), "Ctrl-C");
    // Without honed, too.
    let mut top = Top::start(&["--local"]);
    top.wait_for("without");
    top.press("\x1b");
    assert_eq!(top.ends(), Some(0), "Esc");

    let top = Top::start(&["--socket", &socket]);
    service.end(Signal::KILL);
    let seen = Arc::clone(&top.seen);
    assert_eq!(top.ends(), Some(1));
    wait_for("the reason", || seen.lock().expect("nobody panics").contains("broke off").then_some(()));
}

#[test]
fn top_wants_a_terminal() {
    let mut command = Command::new(HONEUTIL);
    let output = command.arg("top").stdin(std::process::Stdio::null()).output().expect("it can be started");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("honeutil: top draws on a terminal"), "{message}");
    assert_eq!(output.stdout, b"");
}
