//! `honeutil run` at a terminal: keys, job control, and a terminal that is closed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use hone_testing::{Guarded, wait_for};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::guard::ready;
use crate::recorder::{HONEUTIL, directory, recorded};
use crate::recording::Recording;
use crate::service::Service;

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

/// A terminal with a shell. Dropped, the terminal is closed.
struct Terminal {
    controller: File,
    seen: String,
    shell: Guarded,
}

impl Terminal {
    /// In a directory. `$H` is `honeutil run` there, without its messages.
    fn open(place: &Path) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).expect("there are terminals");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it is ours");
        let terminal = ioctl_tiocgptpeer(&controller, flags).expect("it is ours");
        fcntl_setfl(&controller, OFlags::NONBLOCK).expect("it is ours");
        let copy = || terminal.try_clone().expect("descriptors can be copied");
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"]).current_dir(place);
        command.env("PS1", "$ ").env("TERM", "dumb").env_remove("SUDO_UID").env_remove("PROMPT_COMMAND");
        command.env("H", format!("{HONEUTIL} run --local -q --"));
        command.stdin(copy()).stdout(copy()).stderr(copy());
        Self { controller: File::from(controller), seen: String::new(), shell: Guarded::spawn(&mut command) }
    }

    fn keys(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until this is shown. What is typed is shown, too, so words to wait for are typed with quotes inside.
    fn sees(&mut self, text: &str) {
        wait_for(format!("{text:?}"), || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = self.controller.read(&mut buffer) {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            assert_eq!(self.shell.ended(), None, "{:?}", self.seen);
            let end = self.seen.find(text)? + text.len();
            self.seen.drain(..end);
            Some(())
        });
    }
}

#[test]
fn what_stops_gives_the_terminal_back_and_goes_on_with_fg() {
    if !ready(&["setsid", "bash"]) {
        return;
    }
    // Stopped by a key, and by itself.
    for (stops, key) in [("", CTRL_Z), ("kill -STOP $$;", "")] {
        let place = directory();
        let mut terminal = Terminal::open(place.path());
        terminal.keys(&format!(
            "$H sh -c 'echo beg\"\"un; {stops} until [ -e go ]; do sleep 0.02; done; echo t\"\"wo; exit 4'\n"
        ));
        terminal.sees("begun");
        terminal.keys(key);
        terminal.sees("Stopped");
        terminal.keys("touch go; echo b''ack\n");
        terminal.sees("back");
        terminal.keys("fg\n");
        terminal.sees("two");
        terminal.keys("echo status=$?.\n");
        terminal.sees("status=4.");
        let [file] = recorded(place.path()).try_into().expect("one file");
        Recording::read(&file);
    }
}

#[test]
fn a_shell_that_is_run_has_the_terminal_for_itself() {
    if !ready(&["setsid", "bash"]) {
        return;
    }
    let place = directory();
    let mut terminal = Terminal::open(place.path());
    terminal.keys("PS1='i''nner ' $H bash --norc --noprofile -i\n");
    terminal.sees("inner ");
    // The key ends the shell's job, neither the shell nor the recording.
    terminal.keys("sh -c 'echo w\"\"aits; sleep 1000'\n");
    terminal.sees("waits");
    terminal.keys(CTRL_C);
    terminal.sees("inner ");
    terminal.keys("suspend\n");
    terminal.sees("Stopped");
    terminal.keys("echo o''uter; fg\n");
    terminal.sees("outer");
    terminal.keys("echo a''gain; exit 5\n");
    terminal.sees("again");
    terminal.keys("echo status=$?.\n");
    terminal.sees("status=5.");
    let [file] = recorded(place.path()).try_into().expect("one file");
    Recording::read(&file);
}

#[test]
fn a_closed_terminal_ends_the_command_unless_nohup_was_asked_for() {
    if !ready(&["setsid", "bash", "nohup"]) {
        return;
    }
    for (nohup, behind) in [("", ""), ("nohup", "&")] {
        let place = directory();
        let mut terminal = Terminal::open(place.path());
        terminal.keys(&format!(
            "{nohup} $H sh -c 'echo $PPID >pid; until [ -e go ]; do sleep 0.02; done; touch went' {behind}\n"
        ));
        let recorder: u32 = wait_for("the command runs", || {
            std::fs::read_to_string(place.path().join("pid")).ok()?.trim().parse().ok()
        });
        let state = || std::fs::read_to_string(format!("/proc/{recorder}/stat")).unwrap_or_default();
        // The process that takes in orphans may do so late.
        let runs =
            || !matches!(state().rsplit(") ").next().unwrap_or_default().chars().next(), None | Some('Z'));
        let Terminal { controller, mut shell, .. } = terminal;
        drop(controller);
        shell.wait("the shell has no terminal any more");
        if !nohup.is_empty() {
            assert!(runs(), "it goes on");
            File::create(place.path().join("go")).expect("the directory is ours");
        }
        wait_for("the recording ends", || (!runs()).then_some(()));
        assert_eq!(place.path().join("went").exists(), !nohup.is_empty());
        let [file] = recorded(place.path()).try_into().expect("one file");
        Recording::read(&file);
    }
}

#[test]
fn top_ends_with_its_terminal() {
    if !ready(&["setsid", "bash"]) {
        return;
    }
    let (place, service) = (directory(), Service::start());
    let mut terminal = Terminal::open(place.path());
    terminal.keys(&format!("echo $$ >pid; exec {HONEUTIL} top --socket {}\n", service.socket()));
    // It draws on another screen.
    terminal.sees("\x1b[?1049h");
    let pid = std::fs::read_to_string(place.path().join("pid")).expect("the shell wrote it");
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(state().contains("(honeutil)"), "{}", state());
    let Terminal { controller, shell, .. } = terminal;
    drop(controller);
    // The process that takes in orphans may do so late.
    wait_for("top ends", || {
        matches!(state().rsplit(") ").next().unwrap_or_default().chars().next(), None | Some('Z'))
            .then_some(())
    });
    drop(shell);
}

#[test]
fn standard_input_is_the_commands() {
    if !ready(&["cat"]) {
        return;
    }
    let place = directory();
    let mut command = Command::new(HONEUTIL);
    command.args(["run", "--local", "-q", "--", "cat"]).current_dir(place.path()).env_remove("SUDO_UID");
    let mut honeutil = Guarded::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut input = honeutil.child().stdin.take().expect("it is piped");
    input.write_all(b"to the command\n").expect("somebody reads");
    drop(input);
    let mut output = String::new();
    honeutil.child().stdout.take().expect("it is piped").read_to_string(&mut output).expect("it is text");
    assert_eq!((honeutil.wait("cat ends").code(), output.as_str()), (Some(0), "to the command\n"));
}
