//! The client hello of TLS (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2): who is called, and how.

use sha2::{Digest as _, Sha256};

use crate::bytes::Bytes;
use crate::text;

/// Extensions (IANA, "TLS ExtensionType Values").
const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const ENCRYPTED_HELLO: u16 = 0xFE0D;
/// The type of a client hello among the handshake messages.
const CLIENT_HELLO: u8 = 1;
/// Bytes before a handshake message: its type and length.
const MESSAGE_HEADER: usize = 4;
/// Most protocols of a hello that are kept.
const MAX_ALPN: usize = 16;

/// What a client says first on a TLS or QUIC connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The name of the server that it wants (SNI), in lower case; what does not print is `\DDD`.
    pub server_name: Option<String>,
    /// The protocols that it offers (ALPN), the best first; what does not print is `\DDD`.
    pub alpn: Vec<String>,
    /// The highest version that it offers: 0x0304 is TLS 1.3.
    pub version: u16,
    /// Its JA4 fingerprint; `None` if some of it was not captured.
    pub ja4: Option<String>,
    /// Whether it is sealed in another hello (Encrypted Client Hello): `server_name` is then a public name of the one who
    /// serves it, not the server's.
    pub is_encrypted: bool,
    /// Whether it is QUIC's; else it is TLS over TCP.
    pub is_quic: bool,
    /// Whether some of it was not captured.
    pub is_cut: bool,
}

/// How far a hello is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress<T> {
    /// It is there.
    Done(T),
    /// More bytes are needed.
    More,
    /// This is none.
    Other,
}

/// The name of a TLS version, such as `1.3`.
#[must_use]
pub fn version_name(version: u16) -> Option<&'static str> {
    Some(match version {
        0x0304 => "1.3",
        0x0303 => "1.2",
        0x0302 => "1.1",
        0x0301 => "1.0",
        0x0300 => "SSL 3.0",
        _ => return None,
    })
}

impl ClientHello {
    /// The hello at the beginning of a row of handshake messages. `is_cut`: the rest of it was not captured.
    pub(crate) fn of_handshake(messages: &[u8], is_quic: bool, is_cut: bool) -> Progress<Self> {
        let mut rest = Bytes(messages);
        match rest.u8() {
            None if is_cut => return Progress::Done(Self { is_quic, is_cut, ..Self::default() }),
            None => return Progress::More,
            Some(CLIENT_HELLO) => {}
            Some(_) => return Progress::Other,
        }
        let length = rest.u24();
        let body = length.and_then(|length| rest.take(length));
        match body {
            Some(body) => parse(body, is_quic, false).map_or(Progress::Other, Progress::Done),
            None if is_cut => {
                let hello = parse(rest.0, is_quic, true);
                Progress::Done(hello.unwrap_or(Self { is_quic, is_cut, ..Self::default() }))
            }
            // A hello of more than this is none that a server would take.
            None if length.is_some_and(|length| length + MESSAGE_HEADER > crate::MAX_STREAM) => {
                Progress::Other
            }
            None => Progress::More,
        }
    }

    /// The hello at the beginning of a stream of TLS records (RFC 8446, section 5.1). It may be in several records.
    pub(crate) fn of_records(stream: &[u8], is_cut: bool) -> Progress<Self> {
        let mut messages = Vec::new();
        let mut rest = Bytes(stream);
        loop {
            let mut record = rest;
            match (record.u8(), record.u8()) {
                (Some(22), Some(3) | None) | (None, _) => {}
                _ => return Progress::Other,
            }
            let Some(length) = record.u8().and_then(|_| record.u16()) else { break };
            let body = record.take(length.into());
            messages.extend(body.unwrap_or(record.0));
            if body.is_none() {
                break;
            }
            rest = record;
            if let done @ (Progress::Done(_) | Progress::Other) = Self::of_handshake(&messages, false, false)
            {
                return done;
            }
        }
        Self::of_handshake(&messages, false, is_cut)
    }
}

/// GREASE values (RFC 8701), which mean nothing.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0xF == 0xA
}

/// The numbers in a list of them, without GREASE.
fn numbers(list: &[u8]) -> impl Iterator<Item = u16> {
    let pairs = list.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    pairs.filter(|value| !is_grease(*value))
}

/// The body of a hello; of one that was cut off, what is there.
fn parse(body: &[u8], is_quic: bool, is_cut: bool) -> Option<ClientHello> {
    let mut rest = Bytes(body);
    let legacy_version = rest.u16()?;
    rest.take(32)?;
    rest.short()?;
    let ciphers: Vec<u16> = numbers(rest.long()?).collect();
    rest.short()?;
    let mut hello = ClientHello { version: legacy_version, is_quic, is_cut, ..ClientHello::default() };
    let mut extensions = Vec::new();
    let mut signatures = Vec::new();
    let mut first_protocol = None;
    let mut list = match rest.long() {
        Some(list) => Bytes(list),
        None if is_cut && rest.u16().is_some() => rest,
        // Before extensions were invented, a hello had none.
        None => Bytes(&[]),
    };
    let mut is_named = false;
    while let Some(kind) = list.u16() {
        let Some(body) = list.long() else {
            if is_cut {
                break;
            }
            return None;
        };
        if is_grease(kind) {
            continue;
        }
        extensions.push(kind);
        match kind {
            SERVER_NAME => {
                is_named = true;
                hello.server_name = server_name(body);
            }
            ALPN => {
                let mut protocols = Bytes(Bytes(body).long().unwrap_or_default());
                while let Some(protocol) = protocols.short() {
                    first_protocol.get_or_insert(protocol);
                    if hello.alpn.len() < MAX_ALPN {
                        hello.alpn.extend(text::as_given(protocol));
                    }
                }
            }
            SUPPORTED_VERSIONS => {
                let offered = numbers(Bytes(body).short().unwrap_or_default()).max();
                hello.version = offered.unwrap_or(legacy_version);
            }
            SIGNATURE_ALGORITHMS => signatures = numbers(Bytes(body).long().unwrap_or_default()).collect(),
            ENCRYPTED_HELLO => hello.is_encrypted = true,
            _ => {}
        }
    }
    if !is_cut {
        let version = hello.version;
        let ja4 = Ja4 { is_quic, version, is_named, ciphers, extensions, signatures, first_protocol };
        hello.ja4 = Some(ja4.text());
    }
    Some(hello)
}

/// The name in the extension of RFC 6066, section 3.
fn server_name(body: &[u8]) -> Option<String> {
    let mut list = Bytes(Bytes(body).long()?);
    while let Some(kind) = list.u8() {
        let name = list.long()?;
        if kind == 0 {
            return text::name(name);
        }
    }
    None
}

/// What the fingerprint JA4 is made of (FoxIO, "JA4: TLS Client Fingerprinting", technical_details/JA4.md; BSD licence).
struct Ja4<'a> {
    is_quic: bool,
    version: u16,
    is_named: bool,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    signatures: Vec<u16>,
    first_protocol: Option<&'a [u8]>,
}

impl Ja4<'_> {
    fn text(mut self) -> String {
        let version = match self.version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        };
        let transport = if self.is_quic { 'q' } else { 't' };
        let named = if self.is_named { 'd' } else { 'i' };
        let (ciphers, extensions) = (self.ciphers.len().min(99), self.extensions.len().min(99));
        let [first, last] = alpn_ends(self.first_protocol);
        self.ciphers.sort_unstable();
        self.extensions.sort_unstable();
        self.extensions.retain(|kind| !matches!(*kind, SERVER_NAME | ALPN));
        let mut kinds = hex_list(&self.extensions);
        if !self.signatures.is_empty() && !kinds.is_empty() {
            kinds = format!("{kinds}_{}", hex_list(&self.signatures));
        }
        format!(
            "{transport}{version}{named}{ciphers:02}{extensions:02}{first}{last}_{}_{}",
            hash(&hex_list(&self.ciphers)),
            hash(&kinds)
        )
    }
}

/// The first and the last character of the first protocol; of its hexadecimal digits, if one of them is neither a letter
/// nor a digit.
fn alpn_ends(protocol: Option<&[u8]>) -> [char; 2] {
    let (Some(&first), Some(&last)) = (protocol.and_then(<[u8]>::first), protocol.and_then(<[u8]>::last))
    else {
        return ['0'; 2];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first.into(), last.into()];
    }
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 0xF)]
}

fn hex_list(values: &[u16]) -> String {
    values.iter().map(|value| format!("{value:04x}")).collect::<Vec<_>>().join(",")
}

/// Twelve digits of the list's SHA-256; zeros for an empty one.
fn hash(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(12);
    }
    Sha256::digest(list.as_bytes())[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
