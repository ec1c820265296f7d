//! A stream that is sent on does not record itself.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use hone_testing::Guarded;

use crate::guard::ready;
use crate::recorder::HONEUTIL;

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
