//! honed as the flight recorder: `[recent]` in its configuration, and `honeutil save` through it.

use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use hone_testing::{Service, directory, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};

use crate::guard::ready;
use crate::recent::{Numbers, assert_no_hole, run_noting};
use crate::recorder::HONEUTIL;

const NOBODY: u32 = 65_534;
/// A group that every system has.
const GROUP: (&str, u32) = ("daemon", 1);

/// A honed that keeps the newest part in its own directory, with more lines in `[recent]`.
fn keeping(config: &str, recent: &str) -> Service {
    let place = directory();
    let folder = place.path().join("kept");
    let config = format!("{config}\n[recent]\nfolder = '{}'\n{recent}", folder.display());
    let service = Service::start_in(place, &config);
    wait_for("the recorder records", || {
        assert!(!service.log().contains("error"), "{}", service.log());
        service.log().contains("recorder: Keeping the last").then_some(())
    });
    service
}

fn kept(service: &Service) -> PathBuf {
    service.directory().join("kept")
}

/// `honeutil save` through this honed.
fn save(service: &Service, file: &Path) -> Command {
    let mut command = Command::new(HONEUTIL);
    command.arg("save").arg("--socket").arg(service.socket()).arg(file);
    command
}

/// The recorder's process.
fn recorder(service: &Service) -> Option<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", service.pid());
    // Another thread of honed has started it.
    let of = |task: PathBuf| std::fs::read_to_string(task.join("children")).unwrap_or_default();
    let tasks = Path::new(&children).parent()?.parent()?.read_dir().ok()?.flatten();
    let text: String = tasks.map(|task| of(task.path())).collect();
    text.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn honed_keeps_the_newest_part_through_kills_of_the_recorder_and_of_itself() {
    if !ready(&[]) {
        return;
    }
    let mut service = keeping("", "last = '1h'\nsize = '1G'");
    let numbers = Numbers::send(100, Duration::from_millis(1));
    let place = directory();
    let sent = |more: u64| {
        let now = numbers.sent();
        wait_for("more datagrams", || (numbers.sent() > now + more).then_some(()));
        numbers.sent()
    };
    let first = sent(300);
    let file = place.path().join("first.pcapng");
    // What is sent is on disk a moment later.
    let saved = wait_for("all that was sent is saved", || {
        let _ = std::fs::remove_file(&file);
        let text = run_noting(&mut save(&service, &file));
        assert!(text.contains("less than the 1 h 00 min asked for: the recording began later"), "{text}");
        let saved = numbers.recorded(&file);
        saved.last().is_some_and(|last| *last >= first).then_some(saved)
    });
    assert_no_hole(&saved);

    let killed = recorder(&service).expect("it runs");
    kill_process(killed, Signal::KILL).expect("it is there");
    wait_for("another recorder", || (service.log().matches("Keeping the last").count() == 2).then_some(()));
    assert_ne!(recorder(&service), Some(killed));
    let second = sent(300);
    service.end(Signal::KILL);
    wait_for("the recorder ends with honed", || recorder_is_gone(&kept(&service)).then_some(()));
    service.start_again();
    wait_for("it records again", || service.log().contains("Keeping the last").then_some(()));
    let third = sent(300);

    let file = place.path().join("all.pcapng.zst");
    let all = wait_for("all that was sent is saved", || {
        let _ = std::fs::remove_file(&file);
        run_noting(&mut save(&service, &file));
        let plain = place.path().join("plain.pcapng");
        let _ = std::fs::remove_file(&plain);
        run(Command::new(HONEUTIL).args(["show", "-w"]).arg(&plain).arg(&file));
        let saved = numbers.recorded(&plain);
        saved.last().is_some_and(|last| *last >= third).then_some(saved)
    });
    for number in [first, second - 100, third] {
        assert!(all.contains(&number), "{number} of {:?}", all.first().zip(all.last()));
    }
    // The recorder is no reader that somebody would miss.
    run(Command::new(HONEUTIL).arg("stop").arg("--socket").arg(service.socket()));
    let (status, log, _) = service.wait();
    assert!(status.success(), "{log}");
}

/// Whether no recorder holds the lock of what is kept in this folder.
fn recorder_is_gone(folder: &Path) -> bool {
    let lock = std::fs::File::open(folder.join("hone.recent/lock")).expect("it is there");
    lock.try_lock().is_ok()
}

#[test]
fn a_rule_of_the_configuration_saves_into_its_folder() {
    if !ready(&[]) {
        return;
    }
    let service =
        keeping("", "last = '1h'\nsave_after = '100ms'\nsave_when = ['host 127.0.0.79', 'listener']");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    sender.send_to(b"x", "127.0.0.79:9").expect("it is sent");
    wait_for("it is saved", || service.log().contains("recorder: Saved the last").then_some(()));
    let files: Vec<_> = kept(&service).read_dir().unwrap().flatten().map(|entry| entry.path()).collect();
    let file = files.iter().find(|path| path.extension().is_some_and(|ending| ending == "pcapng"));
    let file = file.unwrap_or_else(|| panic!("{files:?}: {}", service.log()));
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    let found = run(Command::new(HONEUTIL).args(["show", "--host", "127.0.0.79"]).arg(file));
    assert!(found.contains(" PAKT "), "{found}");
    assert!(service.log().contains("recorder: rule 'host 127.0.0.79': process"), "{}", service.log());
    service.stop();
}

#[test]
fn members_save_as_themselves_and_one_at_a_time() {
    if !ready(&[]) {
        return;
    }
    let service = keeping(&format!("socket_group = '{}'", GROUP.0), "last = '1h'");
    // So much that a client which does not read leaves the rest with honed.
    let numbers = Numbers::send(10_000, Duration::from_micros(500));
    wait_for("much", || (numbers.sent() > 500).then_some(()));
    let place = directory();
    let (as_member, as_stranger) = (
        |command: &mut Command| command.uid(NOBODY).gid(GROUP.1).output().expect("it can be started"),
        |command: &mut Command| command.uid(NOBODY).gid(NOBODY).output().expect("it can be started"),
    );
    std::os::unix::fs::chown(place.path(), Some(NOBODY), None).expect("root may");
    let file = place.path().join("a.pcapng");
    let output = as_member(&mut save(&service, &file));
    assert!(output.status.success(), "{}", said(&output));
    let data = file.metadata().expect("it is there");
    assert_eq!((data.uid(), data.mode() & 0o777), (NOBODY, 0o600));
    assert_no_hole(&numbers.recorded(&file));
    let output = as_member(&mut save(&service, &file));
    assert!(!output.status.success() && said(&output).contains("exists already"), "{}", said(&output));
    let output = as_stranger(&mut save(&service, &place.path().join("b.pcapng")));
    assert!(said(&output).contains("no permission to read from honed"), "{}", said(&output));
    // A link leads nowhere, and what is named is not replaced.
    let link = place.path().join("link.pcapng");
    std::os::unix::fs::symlink(kept(&service), &link).unwrap();
    let output = as_member(&mut save(&service, &link));
    assert!(!output.status.success(), "{}", said(&output));

    // Root does not read on. Another one of root is refused, and members are served.
    let mut stuck = service.connect();
    stuck.save().expect("it is kept");
    let output = save(&service, &place.path().join("c.pcapng")).output().expect("it can be started");
    assert!(said(&output).contains("another save for root is on its way"), "{}", said(&output));
    assert!(!place.path().join("c.pcapng").exists());
    let error = stuck.save().unwrap_err().to_string();
    assert!(error.contains("saving already"), "{error}");
    let output = as_member(&mut save(&service, &place.path().join("d.pcapng")));
    assert!(output.status.success(), "{}", said(&output));
    drop(stuck);
    wait_for("it is root's turn again", || {
        save(&service, &place.path().join("e.pcapng"))
            .output()
            .is_ok_and(|output| output.status.success())
            .then_some(())
    });
    service.stop();
}

#[test]
fn a_wrong_section_is_reported_and_a_missing_one_is_named() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let (file, config) = (place.path().join("a.pcapng"), place.path().join("check.toml"));
    let service = Service::start("");
    let output = save(&service, &file).output().expect("it can be started");
    assert!(said(&output).contains("this honed keeps nothing: set [recent]"), "{}", said(&output));
    assert!(!file.exists());
    service.stop();
    std::fs::write(&config, "[recent]\nlast = '10m'\nsave_when = ['name == nc']\n").unwrap();
    let honed = Path::new(HONEUTIL).with_file_name("honed");
    let output = Command::new(&honed).arg("--check-config").arg("--config").arg(&config).output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("[recent]: ") && text.contains("A rule is"), "{text}");

    std::fs::write(&config, "[recent]\nlast = '10m'\nsize = 'zz'\n").unwrap();
    let output = Command::new(&honed).arg("--check-config").arg("--config").arg(&config).output().unwrap();
    let text = said(&output);
    let words = format!(
        "{}: [recent]: `honeutil read`, which records, refuses an option (--last-size is the key size; ",
        config.display()
    );
    assert!(text.contains("invalid value 'zz' for '--last-size <"), "{text}");
    assert!(text.contains(&words) && !text.contains("Usage:") && !text.contains("--help"), "{text}");

    let service = Service::start("[recent]\nlast = '10 years'\nfolder = '/nowhere/kept'");
    wait_for("it says why nothing is kept", || {
        service.log().contains("nothing is kept: cannot make /nowhere/kept").then_some(())
    });
    drop(service);
}
