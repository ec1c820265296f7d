//! Wireshark's window, on a display of the test's own: the dialog with Hone's settings, and a capture that uses them. With
//! HONE_PICTURES=DIR, the pictures of docs/pictures are made there.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use hone_testing::{Guarded, directory, run, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::recorder::HONEUTIL;
use crate::wireshark::{captures, in_wireshark};
use crate::wireshark_fields::Web;

/// A display, with a manager of windows.
struct Display {
    _server: Guarded,
    _manager: Guarded,
    name: String,
}

impl Display {
    fn start(log: &Path) -> Self {
        let errors = || File::create(log.join("display")).expect("the directory is ours");
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1100x760x24", "-nolisten", "tcp"]);
        let mut server = Guarded::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors()));
        let mut number = String::new();
        let stdout = server.child().stdout.take().expect("it is a pipe");
        BufReader::new(stdout).read_line(&mut number).expect("it says its number");
        let name = format!(":{}", number.trim());
        let mut command = Command::new("openbox");
        command.env("DISPLAY", &name).env("HOME", log).stdin(Stdio::null()).stdout(Stdio::null());
        let manager = Guarded::spawn(command.stderr(errors()));
        Self { _server: server, _manager: manager, name }
    }

    /// Moves the mouse, types, and so on; whether it was possible.
    fn act(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("xdotool");
        let output = command.env("DISPLAY", &self.name).args(arguments).output().expect("it can be started");
        output.status.success()
    }

    /// The window whose title has this.
    fn window(&self, title: &str) -> Option<String> {
        let mut command = Command::new("xdotool");
        command.env("DISPLAY", &self.name).args(["search", "--onlyvisible", "--name", title]);
        let output = command.output().expect("it can be started");
        String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
    }

    /// A picture of a window.
    fn picture(&self, window: &str, path: &Path) {
        let mut command = Command::new("import");
        command
            .env("DISPLAY", &self.name)
            .args(["-window", window, "+dither", "-colors", "64", "-depth", "8", "-strip"])
            .arg(path);
        run(&mut command);
    }
}

/// Wireshark on this display, with Hone installed below `place`.
fn wireshark(display: &Display, place: &Path, arguments: &[&str]) -> Guarded {
    let mut command = in_wireshark(place, "wireshark", arguments);
    command.env("DISPLAY", &display.name).env("QT_QPA_PLATFORM", "xcb").env("XDG_RUNTIME_DIR", place);
    command.env_remove("XDG_CONFIG_HOME").env("LC_ALL", "C.UTF-8");
    let log = File::create(place.join("log")).expect("the directory is ours");
    Guarded::spawn(command.stdout(Stdio::null()).stderr(log))
}

/// Copies a picture to where HONE_PICTURES asks for it.
fn keep(picture: &Path) {
    if let Some(pictures) = std::env::var_os("HONE_PICTURES") {
        let name = picture.file_name().expect("it is a file");
        std::fs::copy(picture, Path::new(&pictures).join(name)).expect("the directory is there");
    }
}

/// Gives the window time to draw: it does not say when it has.
fn pause() {
    thread::sleep(Duration::from_millis(400));
}

#[test]
fn the_dialog_has_settings_that_a_capture_uses() {
    if !ready(&["unshare", "mount", "wireshark", "Xvfb", "openbox", "xdotool", "import"]) {
        return;
    }
    let place = directory();
    let display = Display::start(place.path());
    let config = place.path().join(".config/wireshark");
    std::fs::create_dir_all(&config).expect("the directory is ours");
    // Interfaces of all kinds but those of programs are hidden: Hone's is the only one.
    let hidden = "gui.interfaces_hidden_types: 0,1,2,3,4,5,6,7,9\n";
    std::fs::write(config.join("preferences"), hidden).expect("the directory is ours");
    let mut wireshark = wireshark(&display, place.path(), &[]);
    let main = wait_for("Wireshark's window", || display.window("The Wireshark Network Analyzer"));

    // The wheel is before the interface's name, at a height that depends on the fonts.
    let heights = || (221..275).step_by(6).cycle();
    let mut tried = heights();
    let dialog = wait_for("the dialog opens", || {
        let height = tried.next()?.to_string();
        display.act(&["mousemove", "--window", &main, "45", &height, "click", "1"]);
        pause();
        display.window("Interface Options")
    });
    display.act(&["mousemove", "--window", &dialog, "120", "27", "click", "1"]);
    pause();
    display.act(&["mousemove", "--window", &dialog, "300", "62", "click", "1"]);
    display.act(&["type", "curl"]);
    pause();
    let picture = place.path().join("wireshark-dialog.png");
    display.picture(&dialog, &picture);
    keep(&picture);
    display.act(&["key", "Return"]);
    let preferences = config.join("preferences");
    wait_for("the setting is saved", || {
        let text = std::fs::read_to_string(&preferences).unwrap_or_default();
        text.lines().any(|line| line == "extcap.hone.name: curl").then_some(())
    });

    let program = place.path().join("root/usr/local/bin/honeutil");
    let mut tried = heights();
    let capturing = wait_for("the capture runs", || {
        // A double click on the interface starts it.
        let height = tried.next()?.to_string();
        display.act(&["mousemove", "--window", &main, "150", &height, "click", "--repeat", "2", "1"]);
        (0..5).find_map(|_| {
            pause();
            captures(&program).into_iter().find(|line| line.contains("--capture"))
        })
    });
    assert!(capturing.contains(" --name curl") && capturing.contains(" --extcap-control-in "), "{capturing}");
    wireshark.signal(Signal::KILL);
    wireshark.wait("Wireshark ends");
    wait_for("the capture ends", || captures(&program).is_empty().then_some(()));
}

/// A picture of the window of an open recording, when it does not change any more.
fn opened(display: &Display, place: &Path, name: &str, arguments: &[&str]) -> Vec<u8> {
    let mut wireshark = wireshark(display, place, arguments);
    let main = wait_for("the recording is open", || display.window("web.pcapng"));
    let picture = place.join(name);
    let mut before = Vec::new();
    wait_for("the window is drawn", || {
        pause();
        display.picture(&main, &picture);
        let now = std::fs::read(&picture).expect("it is ours");
        let is_drawn = now == before;
        before = now;
        is_drawn.then_some(())
    });
    for title in ["Lua", "Error"] {
        assert_eq!(display.window(title), None, "a window tells of an error");
    }
    let said = std::fs::read_to_string(place.join("log")).expect("it is ours");
    assert!(!said.contains(".lua"), "{said}");
    keep(&picture);
    wireshark.signal(Signal::KILL);
    wireshark.wait("Wireshark ends");
    before
}

#[test]
fn a_window_has_the_columns_of_the_profile_and_a_filter_changes_what_it_shows() {
    if !ready(&["unshare", "mount", "wireshark", "Xvfb", "openbox", "xdotool", "import", "curl", "python3"]) {
        return;
    }
    let (place, web) = (directory(), Web::start());
    let file = place.path().join("web.pcapng");
    let net = format!("net {}", web.network.range());
    let mut command = Command::new(HONEUTIL);
    command.args(["read", "--count", "80", "--filter", &net, "-w"]).arg(&file);
    let mut read = Guarded::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_for("packets of both programs are recorded", || {
        web.curl(&["--max-time", "10"]);
        web.python();
        read.child().try_wait().expect("it is ours")
    });
    let display = Display::start(place.path());
    let profile = place.path().join(".config/wireshark/profiles/Hone");
    std::fs::create_dir_all(&profile).expect("the directory is ours");
    for name in ["preferences", "colorfilters", "dfilter_buttons"] {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/wireshark/profile").join(name);
        std::fs::copy(source, profile.join(name)).expect("the directory is ours");
    }
    let file = file.to_str().expect("it is text");
    let filter = ["-C", "Hone", "-r", file, "-Y", "hone.name == \"curl\""];
    let columns = opened(&display, place.path(), "wireshark-columns.png", &filter[..4]);
    let filtered = opened(&display, place.path(), "wireshark-filter.png", &filter);
    assert_ne!(columns, filtered, "the filter leaves other packets");
}
