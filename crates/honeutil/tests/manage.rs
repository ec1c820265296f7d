//! `install` and `uninstall` below a directory of the test's own, `start`, `stop` and `status` with a socket of its own.
//!
//! What takes root and a kernel that can run the sensor says `skipped: ` and why where that is missing; with
//! `HONE_LIVE=required` in the environment it fails.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hone_client::{Connection, Options};
use hone_testing::ready;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn honeutil(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeutil"));
    command.args(arguments).stdin(Stdio::null()).output().expect("honeutil can be started")
}

/// Runs it, expects this exit status, returns standard output and standard error.
#[track_caller]
fn run(arguments: &[&str], status: i32) -> (String, String) {
    let output = honeutil(arguments);
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stdout}{stderr}");
    (stdout, stderr)
}

/// Everything below a directory, relative to it.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).expect("the directory is ours") {
            let path = entry.expect("the directory is ours").path();
            found.push(path.strip_prefix(directory).expect("it is below").to_owned());
            if path.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort();
    found
}

/// An empty root, and a file that stands for honed: what is installed is not run.
struct Root {
    _directory: TempDir,
    root: String,
    honed: String,
}

impl Root {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = |name: &str| directory.path().join(name).to_str().expect("it is text").to_owned();
        let (root, honed) = (path("root"), path("honed"));
        fs::create_dir(&root).expect("the directory is ours");
        fs::write(&honed, "first").expect("the directory is ours");
        Self { _directory: directory, root, honed }
    }

    #[track_caller]
    fn install(&self, more: &[&str], status: i32) -> (String, String) {
        run(&[&["install", "--root", &self.root, "--honed", &self.honed], more].concat(), status)
    }

    #[track_caller]
    fn uninstall(&self, more: &[&str]) -> (String, String) {
        run(&[&["uninstall", "--root", &self.root], more].concat(), 0)
    }

    fn path(&self, path: &str) -> PathBuf {
        Path::new(&self.root).join(path)
    }

    fn tree(&self) -> Vec<PathBuf> {
        tree(Path::new(&self.root))
    }
}

#[test]
fn what_is_installed_is_uninstalled() {
    let root = Root::new();
    // Something of others, which stays.
    fs::create_dir_all(root.path("usr/local/bin")).expect("the directory is ours");
    fs::write(root.path("usr/local/bin/other"), "").expect("the directory is ours");
    // A Wireshark.
    let extcap = "usr/lib/x86_64-linux-gnu/wireshark/extcap";
    let plugins = "usr/lib/x86_64-linux-gnu/wireshark/plugins";
    for directory in [extcap, plugins, "usr/share/wireshark"] {
        fs::create_dir_all(root.path(directory)).expect("the directory is ours");
    }
    let before = root.tree();

    let (stdout, stderr) = root.install(&[], 0);
    assert_eq!(stdout, "", "messages go to standard error");
    assert!(stderr.contains("usr/local/bin/honed (mode 755)"), "{stderr}");
    for file in [
        "usr/local/bin/honed",
        "usr/local/bin/honeutil",
        "etc/hone/hone.toml",
        "etc/systemd/system/honed.service",
        "etc/sysusers.d/honed.conf",
        "etc/tmpfiles.d/honed.conf",
        "usr/local/share/man/man1/honeutil-read.1",
        "usr/local/share/man/man8/honed.8",
        "usr/local/share/bash-completion/completions/honeutil",
    ] {
        assert!(root.path(file).is_file(), "{file}: {stderr}");
    }
    let mode = |file: &str| fs::metadata(root.path(file)).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode("usr/local/bin/honed"), 0o755);
    assert_eq!(mode("etc/hone/hone.toml"), 0o644);
    assert_eq!(mode(&format!("{extcap}/hone")), 0o755);
    assert_eq!(mode(&format!("{plugins}/hone.lua")), 0o644);
    assert_eq!(mode(&format!("{plugins}/hone-index.lua")), 0o644);
    assert_eq!(mode("usr/share/wireshark/profiles/Hone/preferences"), 0o644);
    let unit = fs::read_to_string(root.path("etc/systemd/system/honed.service")).expect("it is there");
    assert!(unit.contains("\nExecStart=/usr/local/bin/honed\n"), "{unit}");

    root.uninstall(&[]);
    assert_eq!(root.tree(), before);
    let (_, stderr) = root.uninstall(&[]);
    assert!(stderr.contains("has installed nothing here"), "{stderr}");
}

#[test]
fn installing_again_changes_nothing_and_mends_what_is_missing() {
    let root = Root::new();
    root.install(&[], 0);
    let installed = root.tree();
    let (_, stderr) = root.install(&[], 0);
    assert_eq!(stderr, "everything is in place already\n");

    fs::remove_file(root.path("usr/local/share/man/man1/honeutil.1")).expect("it is there");
    fs::write(&root.honed, "second").expect("the directory is ours");
    let (_, stderr) = root.install(&[], 0);
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert_eq!(root.tree(), installed);
    assert_eq!(fs::read(root.path("usr/local/bin/honed")).expect("it is there"), b"second");
    root.uninstall(&[]);
    assert_eq!(root.tree(), Vec::<PathBuf>::new());
}

/// The first releases had a script there that did everything itself.
#[test]
fn what_wireshark_starts_is_replaced_by_an_upgrade_and_calls_honeutil() {
    let root = Root::new();
    let directory = root.path("usr/lib64/wireshark/extcap");
    fs::create_dir_all(&directory).expect("the directory is ours");
    root.install(&[], 0);
    let file = directory.join("hone");
    fs::write(&file, "#!/bin/sh\necho 'extcap {version=1.0}'\n").expect("it is there");
    root.install(&[], 0);
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o7777, 0o755);
    let output = Command::new(&file)
        .arg("--extcap-interfaces")
        .env("PATH", format!("/usr/bin:/bin:{}", root.path("usr/local/bin").display()))
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("interface {value=hone}{display=Hone: packets with their processes"), "{output:?}");
    root.uninstall(&[]);
    assert!(!file.exists() && directory.exists());
}

#[test]
fn a_dry_run_says_what_happens_and_does_nothing() {
    let root = Root::new();
    let (planned, stderr) = root.install(&["--dry-run"], 0);
    assert_eq!((root.tree(), stderr.as_str()), (Vec::new(), ""));
    let (_, done) = root.install(&[], 0);
    assert_eq!(planned, done, "it does what it said");

    let installed = root.tree();
    let (planned, _) = root.uninstall(&["--dry-run"]);
    assert_eq!(root.tree(), installed);
    for file in installed.iter().filter(|file| root.path(file.to_str().expect("it is text")).is_file()) {
        assert!(planned.contains(&format!("remove {}/{}\n", root.root, file.display())), "{planned}");
    }
}

#[test]
fn a_changed_configuration_is_kept() {
    let root = Root::new();
    root.install(&[], 0);
    let config = root.path("etc/hone/hone.toml");
    fs::write(&config, "max_readers = 3\n").expect("it is there");
    let (_, stderr) = root.install(&[], 0);
    assert!(stderr.contains("was changed: it stays"), "{stderr}");
    root.uninstall(&["--keep-config"]);
    assert_eq!(root.tree(), ["etc", "etc/hone", "etc/hone/hone.toml"].map(PathBuf::from));
    root.install(&[], 0);
    assert_eq!(fs::read_to_string(&config).expect("it is there"), "max_readers = 3\n");
    root.uninstall(&[]);
    assert!(!config.exists());
}

#[test]
fn what_others_have_installed_is_not_overwritten() {
    let root = Root::new();
    fs::create_dir_all(root.path("usr/local/bin")).expect("the directory is ours");
    fs::write(root.path("usr/local/bin/honed"), "of others").expect("the directory is ours");
    let before = root.tree();
    let (_, stderr) = root.install(&[], 1);
    assert!(stderr.contains("in the way") && stderr.contains("usr/local/bin/honed"), "{stderr}");
    assert_eq!(root.tree(), before);

    fs::remove_file(root.path("usr/local/bin/honed")).expect("it is there");
    fs::create_dir_all(root.path("usr/lib/systemd/system")).expect("the directory is ours");
    fs::write(root.path("usr/lib/systemd/system/honed.service"), "").expect("the directory is ours");
    let (_, stderr) = root.install(&[], 0);
    assert!(stderr.contains("as a package"), "{stderr}");
    assert!(!root.path("usr/local/bin/honed").exists());
}

/// A honed of the test's own; killed when dropped, if it runs.
struct Service {
    directory: TempDir,
    arguments: [String; 2],
    log: String,
}

impl Service {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = |name: &str| directory.path().join(name).to_str().expect("it is text").to_owned();
        let (config, log) = (path("hone.toml"), path("log"));
        let text = format!("socket = '{}'\nsocket_group = ''\nsensor_buffer = 4\n", path("hone.sock"));
        fs::write(&config, text).expect("the directory is ours");
        Self { arguments: ["--config".to_owned(), config], log, directory }
    }

    #[track_caller]
    fn run(&self, command: &str, more: &[&str], status: i32) -> (String, String) {
        let [option, config] = &self.arguments;
        run(&[&[command, option.as_str(), config], more].concat(), status)
    }

    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.directory.path().join("hone.pid")).ok()?;
        text.trim().parse().ok().and_then(Pid::from_raw)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Only while its pid file is there, which `stop` removes, and only if it still is a honed.
        if let Some(pid) = self.pid()
            && fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()))
                .is_ok_and(|name| name == "honed\n")
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// As in `honeutil install --dry-run | head -1`.
#[test]
fn a_dry_run_of_which_the_rest_is_not_read_ends_well_and_quietly() {
    let root = Root::new();
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeutil"));
    command.args(["install", "--dry-run", "--root", &root.root, "--honed", &root.honed]);
    let output = command.stdin(Stdio::null()).stdout(writer).output().expect("honeutil can be started");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert!(root.tree().is_empty());
}

#[test]
fn honed_is_started_asked_and_stopped() {
    if !ready(&[]) {
        return;
    }
    let service = Service::new();
    let (stdout, _) = service.run("status", &[], 3);
    assert!(stdout.contains("does not run"), "{stdout}");
    let (_, stderr) = service.run("stop", &[], 0);
    assert!(stderr.contains("honed does not run"), "{stderr}");

    let (_, stderr) = service.run("start", &["--log", &service.log], 0);
    assert!(stderr.contains("serves readers on"), "{stderr}");
    let pid = service.pid().expect("the pid file is written").as_raw_nonzero();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("honed runs");
    let session = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3)).map(str::to_owned);
    assert_eq!(session, Some(pid.to_string()), "it leads a session of its own: {stat}");
    let (_, stderr) = service.run("start", &["--log", &service.log], 0);
    assert!(stderr.contains(&format!("runs already (process {pid})")), "{stderr}");

    let mut reader = Connection::open(service.directory.path().join("hone.sock")).expect("honed serves");
    reader.attach(&Options::default()).expect("honed takes readers");
    let (stdout, _) = service.run("status", &[], 0);
    for expected in ["runs since 20", &format!("process  {pid}\n"), "version  0.", "readers  1\n"] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (_, stderr) = service.run("stop", &[], 1);
    assert!(stderr.contains("--force"), "{stderr}");
    service.run("status", &[], 0);
    let (_, stderr) = service.run("stop", &["--force"], 0);
    assert!(stderr.contains(&format!("honed has stopped (process {pid})")), "{stderr}");
    assert!(!Path::new(&format!("/proc/{pid}")).exists() || !is_honed(pid), "it has ended");
    service.run("status", &[], 3);
}

fn is_honed(pid: std::num::NonZeroI32) -> bool {
    // A child that nobody has waited for yet has ended, too.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_honed_that_was_killed_is_told_from_one_that_was_stopped() {
    if !ready(&[]) {
        return;
    }
    let service = Service::new();
    service.run("start", &["--log", &service.log], 0);
    let pid = service.pid().expect("the pid file is written");
    kill_process(pid, Signal::KILL).expect("honed runs");
    while is_honed(pid.as_raw_nonzero()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (stdout, _) = service.run("status", &[], 1);
    assert!(stdout.contains("was not stopped"), "{stdout}");
    service.run("start", &["--log", &service.log], 0);
    service.run("stop", &[], 0);
}

#[test]
fn a_honed_that_cannot_start_says_why() {
    if !ready(&[]) {
        return;
    }
    let service = Service::new();
    fs::write(&service.arguments[1], "max_readers = 0\n").expect("it is ours");
    let socket = service.directory.path().join("hone.sock");
    let (_, stderr) =
        service.run("start", &["--log", &service.log, "--socket", socket.to_str().expect("it is text")], 1);
    assert!(stderr.contains("max_readers = 0; allowed: 1 to 1024"), "{stderr}");
    assert!(service.pid().is_none());
}

/// Root starts it, perhaps in a directory where others may write.
#[test]
fn neither_log_nor_pid_file_is_written_through_a_link() {
    if !ready(&[]) {
        return;
    }
    let service = Service::new();
    let path = |name: &str| service.directory.path().join(name);
    fs::write(path("precious"), "precious").expect("the directory is ours");
    symlink(path("precious"), &service.log).expect("the directory is ours");
    let (_, stderr) = service.run("start", &["--log", &service.log], 1);
    assert!(stderr.contains(&service.log) && stderr.contains("a symbolic link"), "{stderr}");
    assert!(stderr.contains("--log"), "what to do: {stderr}");
    service.run("status", &[], 3);

    fs::remove_file(&service.log).expect("the directory is ours");
    symlink(path("precious"), path("hone.pid")).expect("the directory is ours");
    let (_, stderr) = service.run("start", &["--log", &service.log], 1);
    let pid_file = path("hone.pid").display().to_string();
    assert!(stderr.contains(&pid_file) && stderr.contains("a symbolic link"), "{stderr}");
    assert!(stderr.contains("honed has started"), "{stderr}");
    service.run("stop", &[], 0);
    assert_eq!(fs::read(path("precious")).expect("it is there"), b"precious");
}

#[test]
fn installing_writes_through_no_link() {
    let root = Root::new();
    fs::create_dir_all(root.path("usr/local/bin")).expect("the directory is ours");
    fs::write(root.path("precious"), "precious").expect("the directory is ours");
    symlink(root.path("precious"), root.path("usr/local/bin/.honed.new")).expect("the directory is ours");
    root.install(&[], 0);
    assert_eq!(fs::read(root.path("precious")).expect("it is there"), b"precious");
    assert_eq!(fs::read(root.path("usr/local/bin/honed")).expect("it is there"), b"first");
}

/// Runs it where systemd seems to run, with a `systemctl` that succeeds and notes its arguments. Returns exit status,
/// both outputs, and the notes. Only `/run` is replaced, in a mount namespace that ends with the command.
fn with_systemd(command: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let (systemctl, notes) = (directory.path().join("systemctl"), directory.path().join("notes"));
    fs::write(&systemctl, "#!/bin/sh\necho \"$@\" >>\"$NOTES\"\n").expect("the directory is ours");
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec \"$@\"";
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_honeutil"), command])
        .env("PATH", format!("{}:{path}", directory.path().display()))
        .env("NOTES", &notes)
        .stdin(Stdio::null())
        .output()
        .expect("unshare can be started");
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), said, fs::read_to_string(notes).unwrap_or_default())
}

#[test]
fn where_systemd_runs_it_does_the_work() {
    if !ready(&[]) {
        return;
    }
    let (status, said, told) = with_systemd("start");
    assert_eq!((status, told.as_str()), (Some(0), "cat honed\nstart honed\n"), "{said}");
    let (status, said, told) = with_systemd("stop");
    assert_eq!((status, told.as_str()), (Some(0), "cat honed\nstop honed\n"), "{said}");
    let (status, said, told) = with_systemd("status");
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("does not run") && told.starts_with("cat honed\n"), "{said}{told}");
}
