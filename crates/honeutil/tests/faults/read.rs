//! `honeutil read`: with its own sensor, and through honed into files that are rotated and compressed.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hone_testing::{Class, Faults, Service, points, ready};

use crate::run::{Contents, HONEUTIL, Run, contents, files, run};

/// Large datagrams over the loopback interface, two packets each, until dropped.
pub(crate) struct Traffic(Arc<AtomicBool>, Option<JoinHandle<()>>);

/// The most that a datagram is, so that files are soon large enough to be rotated.
const DATAGRAM: usize = 60_000;
const PAUSE: Duration = Duration::from_millis(1);

impl Traffic {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let [from, to] =
                [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are free"));
            from.connect(to.local_addr().expect("it is bound")).expect("it has an address");
            let (payload, mut received) = (vec![b'.'; DATAGRAM], vec![0; DATAGRAM]);
            while !stopped.load(Ordering::Relaxed) {
                from.send(&payload).expect("loopback takes datagrams");
                to.recv(&mut received).expect("loopback delivers datagrams");
                std::thread::sleep(PAUSE);
            }
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

/// Packets asked for: at this snap length, some files full.
const COUNT: u64 = 60;

fn read(faults: &Faults, fault: Option<(Class, u64, hone_testing::Fault)>, arguments: &[&str]) -> Run {
    let directory = hone_testing::directory();
    let mut command = Command::new(HONEUTIL);
    command.arg("read").args(arguments).args(["--count", &COUNT.to_string(), "-d"]).arg(directory.path());
    faults.disarm();
    let run = run(faults, fault, &mut command);
    let good = run.assert_orderly();
    let mut sum = Contents::default();
    let files = files(&directory);
    for file in &files {
        // What an aborted compression leaves is half of a file, beside the whole one; also where it cannot be looked at or
        // removed.
        if file.extension().is_some_and(|extension| extension == "part") {
            let name = matches!(fault, Some((Class::Name, ..))) && !good;
            assert!(name || run.status.code().is_none(), "{} is left behind: {run:#?}", file.display());
            continue;
        }
        let found = contents(file);
        // Both the plain and the compressed one are there: a kill, or a plain one that could not be removed.
        let twin =
            file.extension().is_some_and(|extension| extension == "zst") && file.with_extension("").exists();
        assert!(!twin || !good, "{} is there twice: {run:#?}", file.display());
        if !twin {
            sum.packets += found.packets;
            sum.sections += found.sections;
            sum.ended += found.ended;
        }
    }
    if let Some(recorded) = run.recorded() {
        assert_eq!(recorded, sum.packets, "the summary counts what is in the files: {files:?} {run:#?}");
    }
    if good {
        assert_eq!(sum.packets, COUNT, "nothing failed, so all is there: {run:#?}");
        assert_eq!(sum.sections, sum.ended, "each section has its statistics: {run:#?}");
    }
    run
}

fn walk(faults: &Faults, arguments: &[&str], most: impl Fn(Class) -> u64) {
    read(faults, None, arguments);
    let calls = Class::ALL.map(|class| (class, faults.calls(class)));
    for (class, calls) in calls {
        for (nth, fault) in points(class, calls, most(class)) {
            let run = read(faults, Some((class, nth, fault)), arguments);
            if std::env::var_os("HONE_FAULT_POINTS").is_some() {
                let said = run.stderr.lines().filter(|line| !line.starts_with(' ')).take(3);
                eprintln!(
                    "{class:?} {nth} of {calls} {fault:?}: {} {:?}",
                    run.status,
                    said.collect::<Vec<_>>()
                );
            }
        }
    }
}

#[test]
fn a_recording_with_its_own_sensor_is_whole_or_says_why_not() {
    if !ready(&[]) {
        return;
    }
    let Some(faults) = Faults::build() else { return };
    let _traffic = Traffic::start();
    walk(&faults, &["--local", "--buffer-size", "16", "-s", "96"], |class| match class {
        Class::Read | Class::Bpf | Class::Memory => 2,
        _ => 1,
    });
}

#[test]
fn a_recording_through_honed_is_whole_or_says_why_not() {
    if !ready(&[]) {
        return;
    }
    let Some(faults) = Faults::build() else { return };
    let service = Service::start("");
    let _traffic = Traffic::start();
    let socket = service.socket().display().to_string();
    walk(&faults, &["--socket", &socket, "--rotate-size", "1M", "--compress"], |_| 6);
    drop(_traffic);
    service.stop();
}
