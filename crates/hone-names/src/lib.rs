#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod addresses;
mod assembly;
mod bytes;
mod dns;
mod flow;
mod hello;
mod http;
mod names;
mod quic;
mod recent;
mod text;

pub use dns::{Answer, Data, DnsMessage, Question, response_code_name, type_name};
pub use hello::{ClientHello, version_name};
pub use http::HttpRequest;
pub use names::{End, Found, NameSource, Named, Names, Noted, Packet};
pub use text::MAX_NAME;

/// Most bytes of the beginning of a stream in which a name is looked for.
pub const MAX_STREAM: usize = 16 << 10;
/// Most streams in which names are looked for at a time. Those in which nothing has come for longest are forgotten.
pub const MAX_STREAMS: usize = 4096;
/// Most connections whose names are remembered.
pub const MAX_FLOWS: usize = 1 << 16;
