//! Entry points for the fuzz targets (`hone-fuzz`): the code that reads bytes from outside.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use hone_client::protocol::Header;
use hone_engine::Engine;

use crate::hub::Hub;
use crate::input::{Input, Received};
use crate::peer::Peer;
use crate::{config, engine_config, requests, session};

/// Most bytes of a client's input that are sent. A socket has room for all of them, so that sending never blocks.
pub const MOST: usize = 16 << 10;

/// Reads the text of a configuration file.
///
/// # Errors
/// The text is not a valid configuration. The error explains why.
pub fn configuration(text: &str) -> Result<(), String> {
    config::parse(Path::new("hone.toml"), text).map(drop).map_err(|error| error.to_string())
}

/// The head of a request and its input. Without input, the request was refused because of its head.
pub type Request = (Header, Option<Vec<u8>>);

/// The requests in the bytes that a client sends in pieces of this length, and the error that ended them, if there was
/// one.
///
/// # Panics
/// No sockets can be made, or honed's side of one fails.
#[must_use]
pub fn requests(bytes: &[u8], piece: usize) -> (Vec<Request>, Option<String>) {
    let hub = hub();
    let (mut service, mut client) = UnixStream::pair().expect("there are sockets");
    let peer = Peer::of(&service).expect("a socket has a peer");
    service.set_nonblocking(true).expect("a socket can be set up");
    let mut input = Input::default();
    let mut found = Vec::new();
    let mut receive = |input: &mut Input| {
        let admit = |asked, code, length| requests::admit(&hub, &peer, asked, code, length);
        input.receive(&mut service, admit).expect("a socket can be read")
    };
    for piece in bytes.chunks(piece) {
        client.write_all(piece).expect("a socket has room for a piece");
        loop {
            match receive(&mut input) {
                Received::Request(header) => {
                    let whole = std::mem::take(&mut input);
                    found.push((header, Some(whole.payload().to_vec())));
                }
                Received::Refused(header, _) => found.push((header, None)),
                Received::Nothing => break,
                Received::Bad { text, .. } => return (found, Some(text)),
                Received::Closed => panic!("the client has not closed"),
            }
        }
    }
    drop(client);
    assert!(matches!(receive(&mut input), Received::Closed));
    (found, None)
}

/// The bytes that honed answers to a client that sends these bytes, at most [`MOST`], and then closes its direction.
/// The service has no sensor and is never stopped. The client has the user id of the calling process.
///
/// # Panics
/// No sockets can be made.
#[must_use]
pub fn session(bytes: &[u8]) -> Vec<u8> {
    let (service, mut client) = UnixStream::pair().expect("there are sockets");
    let peer = Peer::of(&service).expect("a socket has a peer");
    service.set_nonblocking(true).expect("a socket can be set up");
    client.write_all(&bytes[..bytes.len().min(MOST)]).expect("a socket has room");
    client.shutdown(Shutdown::Write).expect("a socket can be shut down");
    session::start(hub(), service, peer).expect("there are threads");
    let mut got = Vec::new();
    // If a service closes while something is unread, what it sent before has still arrived.
    let _ = client.read_to_end(&mut got);
    got
}

/// A service without a sensor.
fn hub() -> Arc<Hub> {
    static HUB: OnceLock<Arc<Hub>> = OnceLock::new();
    let hub = HUB.get_or_init(|| {
        let config = config::parse(Path::new("hone.toml"), "").expect("defaults are allowed");
        let engine = Engine::new(engine_config(&config)).expect("there is memory");
        Arc::new(Hub::new(engine, &config, None).expect("there are descriptors"))
    });
    Arc::clone(hub)
}
