//! What is missing is named, with the remedy, and the exit code is 1.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hone_testing::{Guarded, SmallDisk, run, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::files::endless_datagrams;
use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::{HONEUTIL, directory, has_content, recorded};
use crate::recording::Recording;
use crate::service::Service;
use crate::traffic::Traffic;

/// A place to which the program is copied, that other users can enter.
fn copied() -> (TempDir, PathBuf) {
    let place = directory();
    let program = place.path().join("honeutil");
    std::fs::copy(HONEUTIL, &program).expect("the program can be copied");
    run(Command::new("chmod").arg("755").args([place.path(), &program]));
    (place, program)
}

/// Runs a command that must fail with exit code 1 before anything is recorded, and returns its message.
fn refused(command: &mut Command, place: &Path) -> String {
    let file = place.join("refused.pcapng");
    // Should it not fail, it ends nevertheless.
    command.args(["read", "--duration", "1s", "-w"]).arg(&file).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {message}");
    assert!(message.starts_with("honeutil: "), "{message}");
    assert!(!file.exists(), "nothing was recorded, so there is no file");
    message
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn without_root_the_missing_capabilities_are_named() {
    if !ready(&["setpriv"]) {
        return;
    }
    let (place, program) = copied();
    // Where anybody may write, so that the capabilities are all that is missing.
    run(Command::new("chmod").arg("777").arg(place.path()));
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    let message = refused(&mut command, place.path());
    assert_says(&message, &["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "root", "setcap"]);
}

#[test]
fn root_with_one_capability_less_learns_which() {
    if !ready(&["setpriv"]) {
        return;
    }
    let place = directory();
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-net_admin", "--bounding-set=-net_admin", "--", HONEUTIL]);
    let message = refused(&mut command, place.path());
    assert_says(&message, &["CAP_NET_ADMIN", "setcap"]);
    assert!(!message.contains("missing CAP_BPF"), "{message}");
}

/// A shell script that prepares a mount namespace of its own and then becomes honeutil.
fn in_mount_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    // Private, as is the default: what is mounted or unmounted in there stays in there.
    command.args(["--mount", "--propagation", "private", "sh", "-e", "-c"]);
    command.arg(format!("{script}\nexec \"$0\" \"$@\"")).arg(HONEUTIL);
    command
}

#[test]
fn without_cgroup_v2_the_remedy_is_named() {
    if !ready(&["unshare", "umount"]) {
        return;
    }
    let place = directory();
    let script = "while mount=$(grep -m 1 ' - cgroup2 ' /proc/self/mountinfo); do\n\
                    point=$(echo \"$mount\" | cut -d ' ' -f 5)\n\
                    umount -l \"$point\"\n\
                  done";
    let message = refused(&mut in_mount_namespace(script), place.path());
    assert_says(&message, &["cgroup v2", "mount -t cgroup2"]);
}

#[test]
fn without_btf_the_remedy_is_named() {
    if !ready(&["unshare", "mount"]) {
        return;
    }
    let place = directory();
    let message = refused(&mut in_mount_namespace("mount -t tmpfs none /sys/kernel/btf"), place.path());
    assert_says(&message, &["BTF", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
}

/// What was finished before is whole, the last file ends at a whole block, and honed goes on.
#[test]
fn a_disk_that_fills_while_rotating() {
    if !ready(&["mount", "umount"]) {
        return;
    }
    let service = Service::start();
    let socket = format!("--socket={}", service.socket());
    for way in ["--local", &socket] {
        let (disk, words) = (SmallDisk::mount("64m").expect("root may"), directory());
        let stderr = words.path().join("stderr");
        let mut command = Command::new(HONEUTIL);
        command.args(["read", way, "-s", "96", "-d"]).arg(disk.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(File::create(&stderr).expect("the directory is ours"));
        let mut honeutil = Guarded::spawn(&mut command);
        let wait_for_files = |honeutil: &mut Guarded, count: usize| {
            wait_for("the files have begun", || {
                assert_eq!(honeutil.ended(), None, "{:?}", std::fs::read_to_string(&stderr));
                let files = recorded(disk.path());
                (files.len() == count && files.iter().all(|file| has_content(file))).then_some(())
            });
        };
        wait_for_files(&mut honeutil, 1);
        honeutil.signal(Signal::HUP);
        wait_for_files(&mut honeutil, 2);
        let mut rest = File::create(disk.path().join("rest")).expect("there is room");
        std::io::copy(&mut std::io::repeat(0), &mut rest).expect_err("the disk is full in the end");
        honeutil.signal(Signal::HUP);
        let status = honeutil.wait("honeutil finds the disk full");
        let message = std::fs::read_to_string(&stderr).expect("the directory is ours");
        assert_eq!(status.code(), Some(1), "{way}: {message}");
        let place = disk.path().display().to_string();
        assert_says(&message, &["No space left on device", &place, "free some space"]);
        let files = recorded(disk.path());
        let (last, finished) = files.split_last().expect("there are files");
        assert!(!finished.is_empty(), "{way}: {files:?}");
        for file in finished {
            Recording::read(file);
        }
        Recording::read_cut_short(last);
    }
    wait_for("honed has noticed", || {
        service.ask(&["get-stats"]).contains("Readers                     0 now, 1 ever").then_some(())
    });
}

/// Who asks for a ring of files wants the newest. Files of others stay.
#[test]
fn a_ring_of_files_goes_on_when_the_disk_is_full() {
    if !ready(&["mount", "umount"]) {
        return;
    }
    let network = Network::new();
    for compress in [&[][..], &["--compress"]] {
        let disk = SmallDisk::mount("16m").expect("root may");
        let others = disk.path().join("others.pcapng.zst");
        std::fs::write(&others, vec![7; 9 << 20]).expect("there is room");
        let words = directory();
        let stderr = words.path().join("stderr");
        let mut command = Command::new(HONEUTIL);
        command.args(["read", "--local", "--rotate-size", "1M", "--max-files", "50"]).args(compress);
        command.arg("-d").arg(disk.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&stderr).expect("the directory is ours"));
        let mut honeutil = Guarded::spawn(&mut command);
        wait_for("the recording has begun", || {
            recorded(disk.path()).iter().any(|file| has_content(file)).then_some(())
        });
        let mut traffic = endless_datagrams(&network);
        let said = || std::fs::read_to_string(&stderr).expect("the directory is ours");
        wait_for("the disk is full", || {
            assert_eq!(honeutil.ended(), None, "{}", said());
            said().contains("No space left on device").then_some(())
        });
        let before = names(disk.path());
        wait_for("newer files", || {
            assert_eq!(honeutil.ended(), None, "{}", said());
            before.is_disjoint(&names(disk.path())).then_some(())
        });
        traffic[0].go_on();
        honeutil.signal(Signal::INT);
        let status = honeutil.wait("honeutil ends");
        let message = said();
        let is_success = compress.is_empty() || !message.contains("cannot compress");
        assert_eq!(status.code(), Some(i32::from(!is_success)), "{message}");
        assert_eq!(message.matches("the oldest files are removed").count(), 1, "{message}");
        assert!(message.contains("older ones were removed"), "{message}");
        for file in recorded(disk.path()) {
            Recording::read_unended(&file);
        }
        assert_eq!(others.metadata().expect("it stays").len(), 9 << 20);
    }
}

/// The recordings in a directory, without endings.
fn names(directory: &Path) -> HashSet<String> {
    let names = std::fs::read_dir(directory).expect("the directory is ours");
    let names = names.map(|entry| entry.expect("it is ours").file_name().to_string_lossy().into_owned());
    names
        .filter(|name| !name.starts_with("others"))
        .map(|name| name.split('.').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_full_disk_ends_the_file_at_a_whole_block() {
    if !ready(&["mount", "umount"]) {
        return;
    }
    let network = Network::new();
    let disk = SmallDisk::mount("2m").expect("root may");
    let words = directory();
    let stderr = words.path().join("stderr");
    let mut command = Command::new(HONEUTIL);
    command.args(["read", "-d"]).arg(disk.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(&stderr).expect("the directory is ours"));
    let mut honeutil = Guarded::spawn(&mut command);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (_server, address) = Traffic::server(&network, End::B, &format!("tcp-server {b}:0 1000"));
    let _client = Traffic::start(&network, End::A, &format!("tcp-client {a}:0 {address} 1000 5 1000000"));
    let status = honeutil.wait("honeutil finds the disk full");
    let message = std::fs::read_to_string(&stderr).expect("the directory is ours");
    assert_eq!(status.code(), Some(1), "{message}");
    let files = recorded(disk.path());
    let [file] = files.as_slice() else { panic!("not one file: {files:?}") };
    assert_says(&message, &["No space left on device", &file.display().to_string(), "free some space"]);
    let recording = Recording::read_cut_short(file);
    let bytes = file.metadata().expect("it is there").len();
    assert!(recording.packets().count() > 10 && bytes > 1 << 20, "{bytes} bytes were all that fitted");
}
