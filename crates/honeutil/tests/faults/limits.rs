//! Few descriptors, a file system that may not be written to, one that is slow, and clocks that are set off.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hone_testing::{Class, Faults, Service, ready};

use crate::read::Traffic;
use crate::run::{HONEUTIL, contents, files, run};

/// A shell that does this first and then becomes honeutil.
fn after(script: &str) -> Command {
    let mut command = Command::new("unshare");
    // Private: what is mounted in there stays in there.
    command.args(["--mount", "--propagation", "private", "sh", "-e", "-c"]);
    command.arg(format!("{script}\nexec \"$0\" \"$@\"")).arg(HONEUTIL);
    command
}

#[test]
fn without_descriptors_it_says_so() {
    if !ready(&["unshare"]) {
        return;
    }
    // From what the programs' start takes to more than all that is opened.
    for most in [4, 8, 16, 32, 64] {
        let directory = hone_testing::directory();
        let mut command = after(&format!("ulimit -n {most}"));
        command
            .args(["read", "--local", "--buffer-size", "16", "--duration", "1ms", "-d"])
            .arg(directory.path());
        let output = command.output().expect("unshare can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{most} descriptors: {stderr}");
        assert!(
            stderr.contains("honeutil: ") && stderr.contains("Too many open files"),
            "{most} descriptors: {stderr}"
        );
        assert!(files(&directory).is_empty(), "nothing was recorded, so there is no file");
    }
}

#[test]
fn a_read_only_file_system_is_named() {
    if !ready(&["unshare", "mount"]) {
        return;
    }
    let directory = hone_testing::directory();
    let place = directory.path().display();
    let mut command = after(&format!("mount --bind {place} {place}\nmount -o remount,bind,ro {place}"));
    let output = command.args(["read", "--local", "--duration", "1ms", "-d"]).arg(directory.path()).output();
    let output = output.expect("unshare can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for words in ["Read-only file system", "another file system", &place.to_string()] {
        assert!(stderr.contains(words), "{words:?} is not in {stderr}");
    }
}

#[test]
fn a_slow_file_system_loses_nothing_that_is_not_counted() {
    if !ready(&[]) {
        return;
    }
    let Some(faults) = Faults::build() else { return };
    let service = Service::start("ring_buffer_size = 4096");
    let socket = service.socket().display().to_string();
    let traffic = Traffic::start();
    for way in [&["--socket", &socket][..], &["--local", "--buffer-size", "1"]] {
        let directory = hone_testing::directory();
        let mut command = Command::new(HONEUTIL);
        command.arg("read").args(way).args(["-s", "96", "--duration", "1500ms", "-d"]).arg(directory.path());
        faults.delay(Class::Write, Duration::from_millis(300));
        let run = run(&faults, None, &mut command);
        assert!(run.assert_orderly(), "slow is not wrong: {run:#?}");
        let files = files(&directory);
        let [file] = &files[..] else { panic!("not one file: {files:?}") };
        let found = contents(file);
        assert!(found.packets > 100, "{way:?}: {run:#?}");
        assert_eq!((found.sections, found.ended), (1, 1), "{way:?}: {run:#?}");
        assert_eq!(run.recorded(), Some(found.packets), "{way:?}: {run:#?}");
        assert_eq!(found.delivered, found.packets, "{way:?}: {run:#?}");
        // What the statistics count as dropped, the summary says.
        assert_eq!(
            found.dropped == 0,
            run.stderr.contains("Dropped     nothing"),
            "{way:?}: {found:?} {run:#?}"
        );
    }
    faults.disarm();
    drop(traffic);
    service.stop();
}

/// Programs in a time namespace see a boot clock that is set off; BPF programs see the machine's.
#[test]
fn times_are_right_in_a_time_namespace() {
    const OFF: Duration = Duration::from_secs(60);
    if !ready(&["unshare"]) {
        return;
    }
    let _traffic = Traffic::start();
    for days in ["864000", "-3"] {
        let directory = hone_testing::directory();
        let mut command = Command::new("unshare");
        command.args(["--time", "--fork", &format!("--boottime={days}"), "--", HONEUTIL, "read", "--local"]);
        command.args(["--buffer-size", "16", "--count", "50", "-s", "96", "-d"]).arg(directory.path());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
        let before = now();
        let output = command.output().expect("unshare can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("unshare failed") {
            return hone_testing::skip("this kernel has no time namespaces");
        }
        assert!(output.status.success(), "{stderr}");
        let (first, last) = contents(&files(&directory)[0]).times.expect("there are packets");
        let (first, last) = (Duration::from_nanos(first), Duration::from_nanos(last));
        assert!(before < first + OFF && last < now() + OFF, "{first:?} to {last:?}, and it was {before:?}");
    }
}
