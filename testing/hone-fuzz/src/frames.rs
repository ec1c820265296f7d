//! Fuzz targets: the reader protocol, from both sides.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use hone_api::Request;
use hone_client::protocol::{HEADER_BYTES, Header, Kind, MAX_UNKNOWN_BYTES};
use hone_client::{Connection, Read, ReaderError, Refusal};
use hone_pcapng::Reader;
use honed::fuzzing::{MOST, requests, session};

/// The first byte is the size of the pieces; the rest is what a client sends to honed. The size of the pieces must make
/// no difference, and the requests that are found must consist of the bytes that were sent.
pub fn server_frames(input: &[u8]) {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(MOST)];
    let piece = usize::from(piece).max(bytes.len() / 8).max(1);
    let (found, bad) = requests(bytes, piece);
    let mut rest = bytes;
    for (header, payload) in &found {
        rest = rest.strip_prefix(&header.encode()).expect("it came so");
        rest = match payload {
            Some(payload) => {
                assert_eq!(payload.len(), header.length as usize);
                rest.strip_prefix(&payload[..]).expect("it came so")
            }
            None => rest.get(header.length as usize..).unwrap_or_default(),
        };
    }
    if let Some(text) = &bad {
        assert!(!text.is_empty() && rest.len() >= HEADER_BYTES);
    } else if let Some((head, rest)) = rest.split_first_chunk() {
        let header = Header::decode(head);
        assert!(header.kind == Kind::Request.number() && rest.len() < header.length as usize);
    }
    assert_eq!(requests(bytes, usize::MAX), (found, bad), "in pieces of {piece}");
}

/// What a client sends to a honed that serves it. Each request must get one answer, in order. Bytes that are not a
/// request must be refused, and end the session. Everything that honed sends must be in complete, valid frames.
pub fn server_session(input: &[u8]) {
    let input = &input[..input.len().min(MOST)];
    let (asked, bad) = requests(input, usize::MAX);
    let got = session(input);
    let mut answers = Vec::new();
    let mut stream = Reader::new();
    let mut rest = &got[..];
    while let Some((head, after)) = rest.split_first_chunk() {
        let header = Header::decode(head);
        let kind = Kind::try_from(header.kind).expect("honed sends frames that it knows");
        // The client disconnected while honed was sending.
        let Some((payload, after)) = after.split_at_checked(header.length as usize) else { break };
        let is_first = rest.len() == got.len();
        rest = after;
        assert_eq!(kind == Kind::Hello, is_first);
        match kind {
            Kind::Hello | Kind::SectionEnd => {}
            Kind::Blocks => {
                stream.feed(payload).expect("there is memory");
                while stream.next_block().expect("every block is sound").is_some() {}
            }
            Kind::Reply => answers.push((header.sequence, Ok(header.code))),
            Kind::Refusal => {
                assert!(str::from_utf8(payload).is_ok_and(|text| !text.is_empty()));
                answers.push((header.sequence, Err(Refusal::try_from(header.code).expect("it is one"))));
            }
            _ => panic!("a {kind:?} that nobody asked for"),
        }
    }
    if bad.is_some() {
        assert_eq!(answers.pop().map(|(_, answer)| answer), Some(Err(Refusal::Frame)));
    }
    assert_eq!(answers.len(), asked.len(), "{asked:?}");
    for ((sequence, answer), (header, payload)) in answers.into_iter().zip(asked) {
        assert_eq!(sequence, header.sequence);
        assert!(answer.is_err() || (answer == Ok(header.code) && payload.is_some()));
        assert_ne!(answer, Err(Refusal::Fault));
    }
}

/// The first byte says when the client sends requests and how much it reads at once; the rest is what the service
/// sends. The client must end with an error that says why, and must not read more than was sent.
pub fn client_frames(input: &[u8]) {
    let Some((&how, bytes)) = input.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(MAX_UNKNOWN_BYTES)];
    let (socket, mut service) = UnixStream::pair().expect("there are sockets");
    service.write_all(bytes).expect("a socket has room");
    service.shutdown(Shutdown::Write).expect("a socket can be shut down");
    let error = match Connection::over(socket) {
        Ok(connection) => talk(connection, how, bytes.len()),
        Err(error) => error,
    };
    assert!(!error.to_string().is_empty());
}

fn talk(mut connection: Connection, how: u8, most: usize) -> ReaderError {
    let mut buffer = [0; 256];
    let size = usize::from(how >> 2) * 4 + 1;
    let mut total = 0;
    for round in 0.. {
        if round < 4 && how >> round & 1 != 0 {
            let asked = match round {
                0 => connection.statistics().map(drop),
                1 => connection.control(&Request::GetVersion).map(drop),
                2 => connection.memory().map(drop),
                _ => connection.log_levels().map(drop),
            };
            match asked {
                // Its request is finished. The stream continues.
                Ok(()) | Err(ReaderError::Refused { .. }) => {}
                Err(ReaderError::Ended { .. }) => continue,
                Err(error) => return error,
            }
        }
        match connection.read(&mut buffer[..size], Duration::ZERO) {
            Ok(Read::Bytes(count)) => total += count,
            Ok(Read::SectionEnd) => {}
            Ok(Read::Empty) => panic!("the service has closed"),
            Err(error) => return error,
        }
        assert!(total <= most && round <= most, "no more than came");
    }
    unreachable!("it ends with an error")
}
