//! A stream that is sent on does not record itself.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use hone_testing::{Guarded, run, wait_for};

use crate::guard::ready;
use crate::recorder::{HONEUTIL, directory};

/// Sends a recording over TCP to a collector on this host, and returns how much that is. Stops at `most` bytes.
fn collected(options: &[&str], most: u64) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let mut out = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (mut collector, _) = listener.accept().expect("it is connected");
    let sink = thread::spawn(move || {
        let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
        while let Ok(count @ 1..) = collector.read(&mut buffer) {
            total += count as u64;
        }
        total
    });
    let mut command = Command::new(HONEUTIL);
    // Only this stream's packets, so that nothing that other tests send makes it long.
    let port = out.local_addr().expect("it is bound").port().to_string();
    command.args(["read", "--local", "-q", "-w", "-", "--duration", "2s", "--port", &port]).args(options);
    let mut honeutil =
        Guarded::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut stdout = honeutil.child().stdout.take().expect("it is piped");
    let (mut sent, mut buffer) = (0, vec![0; 1 << 16]);
    while let Ok(count @ 1..) = stdout.read(&mut buffer) {
        out.write_all(&buffer[..count]).expect("the collector takes it");
        sent += count as u64;
        if sent > most {
            honeutil.signal(rustix::process::Signal::KILL);
            break;
        }
    }
    honeutil.wait("honeutil ends");
    drop(out);
    sink.join().expect("the collector ends")
}

#[test]
fn a_stream_that_is_sent_on_stays_bounded_and_with_include_own_it_does_not() {
    if !ready(&[]) {
        return;
    }
    const MOST: u64 = 16 << 20;
    let bounded = collected(&[], MOST);
    assert!(bounded < MOST / 2, "{bounded} bytes were collected");
    let unbounded = collected(&["--include-own"], MOST);
    assert!(unbounded > MOST, "{unbounded} bytes: does the test still test anything?");
}

/// Starts what sends a stream to a port of this host, in a directory of its own. Returns all that runs.
type Sender = fn(stream: Stdio, target: &str, place: &Path) -> Vec<Guarded>;

#[test]
fn a_collector_on_this_host_that_is_connected_later_is_left_out_soon() {
    if ready(&["socat"]) {
        stays_bounded(|stream, target, _| vec![socat("-", target, stream)]);
    }
}

#[test]
fn what_tee_writes_to_besides_its_output_is_left_out() {
    if ready(&["socat", "bash", "tee"]) {
        stays_bounded(|stream, target, _| {
            let script = "exec tee >(exec socat -u - \"$0\" >&2) >/dev/null";
            let mut command = Command::new("bash");
            command.args(["-c", script, target]).stdin(stream).stderr(Stdio::null());
            vec![Guarded::spawn(&mut command)]
        });
    }
}

#[test]
fn what_reads_a_fifo_that_tee_writes_to_is_left_out() {
    if ready(&["socat", "mkfifo", "tee"]) {
        stays_bounded(|stream, target, place| {
            let fifo = place.join("fifo");
            run(Command::new("mkfifo").arg(&fifo));
            let socat = socat(&format!("OPEN:{}", fifo.display()), target, Stdio::null());
            let mut command = Command::new("tee");
            command.arg(&fifo).stdin(stream).stdout(Stdio::null()).stderr(Stdio::null());
            vec![Guarded::spawn(&mut command), socat]
        });
    }
}

fn socat(from: &str, to: &str, input: Stdio) -> Guarded {
    let mut command = Command::new("socat");
    command.args(["-u", from, to]).stdin(input).stderr(Stdio::null());
    Guarded::spawn(&mut command)
}

/// socat connects when the recording has begun, so it has no connection at first; the collector is another program of this
/// host, which is not left out by itself.
fn stays_bounded(sender: Sender) {
    const BEGUN: u64 = 128 << 10;
    const MOST: u64 = 1 << 30;
    const STILL: u32 = 100;
    let place = directory();
    let port = {
        let reserved = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        reserved.local_addr().expect("it is bound").port()
    };
    let mut command = Command::new("sh");
    let script = "exec \"$0\" read --local -q -w - --port \"$1\" --ready-fd 3 3>ready";
    command.args(["-c", script, HONEUTIL, &port.to_string()]).current_dir(place.path());
    let mut honeutil =
        Guarded::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let stream = honeutil.child().stdout.take().expect("it is piped");
    // Not for ever: one that is not a child of this test ends by itself if nobody listens any more.
    let target = format!("TCP:127.0.0.1:{port},retry=600,interval=0.1");
    let mut senders = sender(stream.into(), &target, place.path());
    wait_for("the recording begins", || {
        assert_eq!(honeutil.ended(), None);
        assert!(senders.iter_mut().all(|sender| sender.ended().is_none()), "a sender has ended");
        place.path().join("ready").metadata().is_ok_and(|data| data.len() > 0).then_some(())
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port was free");
    let (mut collector, _) = listener.accept().expect("socat connects");
    let total = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&total);
    let sink = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(bytes @ 1..) = collector.read(&mut buffer) {
            count.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    });
    let (mut last, mut still) = (0, 0);
    wait_for("the stream is still", || {
        let now = total.load(Ordering::Relaxed);
        assert!(now < MOST, "it records itself without end");
        still = if now == last { still + 1 } else { 0 };
        last = now;
        (now >= BEGUN && still >= STILL).then_some(())
    });
    honeutil.signal(rustix::process::Signal::INT);
    honeutil.wait("honeutil ends");
    for mut sender in senders {
        sender.wait("what sends the stream ends");
    }
    sink.join().expect("the collector ends");
}
