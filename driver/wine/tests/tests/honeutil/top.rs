//! `top` on a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::thread;

use hone_wine_tests::{Driver, Honeutil, NOW, Step, driver, packet, wait};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// `honeutil.exe top` on its own terminal, which Wine turns into a console.
struct Top {
    honeutil: Honeutil,
    keys: File,
    screen: Arc<Mutex<String>>,
}

impl Top {
    fn start(driver: &Driver, arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it is ours");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = ioctl_tiocgptpeer(&controller, flags).expect("it is ours");
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).expect("it is a terminal");
        let arguments = [&["top", "--interval", "0.2"], arguments].concat();
        let honeutil = driver.honeutil_on(&arguments, &terminal);
        drop(terminal);
        let keys = File::from(controller);
        let mut output = keys.try_clone().expect("descriptors can be copied");
        let screen = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&screen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                into.lock().expect("nobody panics").push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { honeutil, keys, screen }
    }

    /// Waits until this text is in the output so far.
    fn await_drawn(&self, text: &str) {
        wait(&format!("{text:?} in {:?}", Arc::clone(&self.screen)), || {
            self.screen.lock().expect("nobody panics").contains(text).then_some(())
        });
    }
}

#[test]
fn top_draws_who_talks_and_ends_with_q() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut top = Top::start(&driver, &[]);
    top.await_drawn("PROCESS");
    talks(&mut driver, 5000, r"C:\talker.exe");
    top.await_drawn("talker.exe");
    top.keys.write_all(b"q").expect("the terminal takes keys");
    assert_eq!(top.honeutil.end().code, Some(0));
    assert!(driver.stop(), "no reader is left");
}

/// A program starts and sends a packet.
fn talks(driver: &mut Driver, pid: u32, path: &'static str) {
    let start = Step::Start { pid, parent: 4, path, command_line: "talk 1", arguments: &[] };
    driver.stand_in.step(NOW + 1, &start);
    driver.stand_in.step(NOW + 2, &Step::Open(0, pid.into(), pid));
    driver.stand_in.step(NOW + 3, &packet(pid.into(), 1000));
}

#[test]
fn top_draws_only_what_is_selected() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    let mut top = Top::start(&driver, &["--name", "TALKER.exe"]);
    top.await_drawn("PROCESS");
    talks(&mut driver, 5000, r"C:\other.exe");
    talks(&mut driver, 5004, r"C:\talker.exe");
    top.await_drawn("talker.exe");
    assert!(!top.screen.lock().expect("nobody panics").contains("other.exe"), "it came before");
    top.keys.write_all(b"q").expect("the terminal takes keys");
    assert_eq!(top.honeutil.end().code, Some(0));
}

#[test]
fn top_wants_a_terminal() {
    let Some(driver) = driver() else { return };
    driver.run_honeutil(&["top"]).failed(
        "honeutil: top draws on a terminal and reads its keys; for files and pipes use `honeutil read`\n",
    );
}
