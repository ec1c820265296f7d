//! Datagrams on the loopback interface of a network namespace that goes with the thread that made it.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// What a payload begins with, before the tag.
const MARK: &[u8; 8] = b"hone-tag";
/// IPv4 and UDP headers, mark and tag.
const HEAD: usize = 20 + 8 + 8 + 8;

/// A tag that no other traffic has.
pub(crate) fn new_tag() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sends so many datagrams, each with a packet of `length` bytes, and receives them: two packets each, out and in.
pub(crate) fn send(tag: u64, count: usize, length: usize) {
    assert!(length >= HEAD, "a packet has room for its tag");
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            // SAFETY: a network namespace has nothing to do with descriptors or memory; no socket is open in this
            // thread that could mean to be in the old one.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("root may make a namespace");
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            assert!(up.expect("ip can be started").success(), "the loopback interface comes up");
            let [from, to] =
                [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are free"));
            from.connect(to.local_addr().expect("it is bound")).expect("it has an address");
            let mut payload = vec![b'.'; length - 28];
            payload[..8].copy_from_slice(MARK);
            payload[8..16].copy_from_slice(&tag.to_be_bytes());
            let mut received = vec![0; length];
            for _ in 0..count {
                from.send(&payload).expect("loopback takes datagrams");
                to.recv(&mut received).expect("loopback delivers datagrams");
            }
        });
        sender.join().expect("the sender does not panic");
    });
}

/// The tag of a packet that [`send`] sent.
pub(crate) fn tag_of(packet: &[u8]) -> Option<u64> {
    let payload = packet.get(28..HEAD)?;
    let tag = payload.strip_prefix(MARK)?;
    (packet[0] == 0x45 && packet[9] == 17).then(|| tag.try_into().map(u64::from_be_bytes).ok()).flatten()
}
