//! Waits for the service that are given up, against a service of the test's own: at whatever byte that happens, the connection
//! goes on behind it.

#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use hone_client::api::{ApiVersion, Statistics};
use hone_client::protocol::{HEADER_BYTES, Header, Kind};
use hone_client::{Connection, Read, ReaderError};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// The service's side, and a client that gives up waiting when the flag is raised.
struct Ends {
    service: UnixStream,
    client: Connection,
    give_up: Arc<AtomicBool>,
    _directory: tempfile::TempDir,
}

fn frame(kind: Kind, sequence: u32, payload: &[u8]) -> Vec<u8> {
    [&Header::new(kind, 0, sequence, payload.len()).encode()[..], payload].concat()
}

impl Ends {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("the directory is ours");
        let greeting = std::thread::spawn(move || {
            let (mut service, _) = listener.accept().expect("the client comes");
            let hello = ApiVersion::of_service([0; 4]).encode();
            service.write_all(&frame(Kind::Hello, 0, &hello)).expect("the client is there");
            service
        });
        let give_up = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&give_up);
        let watch = Box::new(move |_| !asked.load(Relaxed));
        let client = Connection::open_watched(&path, watch).expect("it is greeted");
        Self { service: greeting.join().expect("it greets"), client, give_up, _directory: directory }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.service.write_all(bytes).expect("the client is there");
    }

    /// The number of the next request that arrives.
    fn request(&mut self) -> u32 {
        let mut head = [0; HEADER_BYTES];
        self.service.read_exact(&mut head).expect("a request comes");
        let header = Header::decode(&head);
        let mut input = vec![0; header.length as usize];
        self.service.read_exact(&mut input).expect("all of it comes");
        header.sequence
    }

    /// Asks for something and gives up.
    fn gives_up(&mut self) {
        self.give_up.store(true, Relaxed);
        let error = self.client.snap_length().expect_err("it is not answered");
        assert!(matches!(error, ReaderError::GivenUp { what: "to answer" }), "{error}");
        self.give_up.store(false, Relaxed);
    }

    /// So many bytes of the stream.
    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.client.read(&mut bytes[filled..], LONG).expect("the stream goes on") {
                Read::Bytes(count) => filled += count,
                other => panic!("{other:?}"),
            }
        }
        bytes
    }
}

#[test]
fn an_answer_that_comes_after_its_wait_was_given_up_is_no_part_of_the_stream() {
    let late = frame(Kind::Reply, 1, &96_u32.to_le_bytes());
    for cut in 0..=late.len() {
        let mut ends = Ends::new();
        ends.send(&late[..cut]);
        if cut < late.len() {
            ends.gives_up();
        } else {
            assert_eq!(ends.client.snap_length().expect("it is answered").number(), 96);
        }
        assert_eq!(ends.request(), 1);
        ends.send(&late[cut..]);
        ends.send(&frame(Kind::Blocks, 0, b"abcd"));
        assert_eq!(ends.read(4), b"abcd", "cut at {cut}");
        ends.send(&frame(Kind::Reply, 2, &7_u32.to_le_bytes()));
        assert_eq!(ends.client.snap_length().expect("the next is answered").number(), 7, "cut at {cut}");
    }
}

#[test]
fn blocks_that_are_half_there_when_a_wait_is_given_up_are_read_whole_and_in_order() {
    let blocks = frame(Kind::Blocks, 0, b"0123456789");
    for cut in 0..blocks.len() {
        let mut ends = Ends::new();
        ends.send(&frame(Kind::Blocks, 0, b"first"));
        ends.send(&blocks[..cut]);
        ends.gives_up();
        ends.send(&blocks[cut..]);
        ends.send(&frame(Kind::SectionEnd, 0, &[]));
        assert_eq!(ends.read(15), b"first0123456789", "cut at {cut}");
        let next = ends.client.read(&mut [0; 8], LONG).expect("the stream goes on");
        assert_eq!(next, Read::SectionEnd, "cut at {cut}");
    }
}

#[test]
fn statistics_that_are_asked_for_come_with_the_stream() {
    let mut ends = Ends::new();
    ends.client.ask_statistics().expect("it is sent");
    ends.client.ask_statistics().expect("once is enough");
    assert_eq!(ends.request(), 1);
    ends.send(&frame(Kind::Blocks, 0, b"abcd"));
    assert_eq!(ends.read(4), b"abcd");
    assert!(
        ends.client.silent_for().is_some() && ends.client.asked_statistics().expect("none yet").is_none()
    );
    let statistics = Statistics { readers_total: 5, ..Statistics::default() };
    ends.send(&frame(Kind::Reply, 1, &statistics.reply()));
    ends.send(&frame(Kind::Blocks, 0, b"efgh"));
    assert_eq!(ends.read(4), b"efgh");
    let came = ends.client.asked_statistics().expect("they are understood").expect("they have come");
    assert_eq!(came.readers_total, 5);
    assert_eq!(ends.client.silent_for(), None);
}

#[test]
fn an_answer_to_what_was_never_asked_is_refused() {
    for (kind, sequence) in [(Kind::Reply, 0), (Kind::Reply, 1), (Kind::Refusal, 9), (Kind::Hello, 0)] {
        let mut ends = Ends::new();
        ends.send(&frame(kind, sequence, b"x"));
        let error = ends.client.read(&mut [0; 8], LONG).expect_err("nobody asked");
        assert!(matches!(error, ReaderError::Protocol { .. }), "{kind:?}: {error}");
    }
}

/// Bytes come between any two looks at the socket.
#[test]
fn a_stream_that_comes_byte_by_byte_is_read_whole() {
    const FRAMES: u32 = 20_000;
    let mut ends = Ends::new();
    let mut service = ends.service.try_clone().expect("it is ours");
    let sending = std::thread::spawn(move || {
        for number in 0..FRAMES {
            let bytes = frame(Kind::Blocks, 0, &number.to_le_bytes());
            let (first, second) = bytes.split_at(number as usize % bytes.len());
            service.write_all(first).expect("the client is there");
            service.write_all(second).expect("the client is there");
        }
    });
    for number in 0..FRAMES {
        let (mut bytes, mut filled) = ([0; 4], 0);
        while filled < bytes.len() {
            // Looks all the time, and so also right before the bytes come.
            match ends.client.read(&mut bytes[filled..], Duration::ZERO).expect("the stream goes on") {
                Read::Bytes(count) => filled += count,
                Read::Empty => {}
                Read::SectionEnd => panic!("no section ends"),
            }
        }
        assert_eq!(bytes, number.to_le_bytes());
    }
    sending.join().expect("it sends");
}

/// Whoever listens on the socket: it need not be honed.
#[test]
fn what_the_service_says_cannot_steer_a_terminal() {
    let hostile = "no\x1b[2J\x07 \u{202e}\u{2066}\u{200b}e\u{301}\r\nhoneutil: \"all's\" well\0";
    let shown = "no\\u{1b}[2J\\u{7} \\u{202e}\\u{2066}\\u{200b}e\\u{301}\\r\\nhoneutil: \"all's\" well\\0";
    for kind in [Kind::Refusal, Kind::End] {
        let mut ends = Ends::new();
        ends.send(&frame(kind, 0, hostile.as_bytes()));
        let error = ends.client.read(&mut [0; 8], LONG).expect_err("the stream ends").to_string();
        assert!(error.ends_with(shown), "{error}");

        let mut ends = Ends::new();
        ends.send(&frame(kind, 0, &[0xFF; 100_000]));
        let error = ends.client.snap_length().expect_err("the stream ends").to_string();
        assert!(error.contains('\u{fffd}') && error.len() < 5000, "{} bytes", error.len());
    }
}
