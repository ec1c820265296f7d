//! The first packets of a QUIC connection, whose keys anyone can compute (RFC 9001, section 5.2; version 2: RFC 9369).

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aes::cipher::BlockCipherEncrypt as _;
use aes_gcm::{AeadInOut as _, Aes128Gcm, KeyInit as _, aes::Aes128};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::bytes::Bytes;

/// Most bytes of a connection id in these versions (RFC 9000, section 17.2).
const MAX_ID: usize = 20;
const TAG: usize = 16;

/// What differs between the versions.
struct Version {
    number: u32,
    salt: [u8; 20],
    /// What the labels of the keys begin with.
    label: &'static [u8],
    /// The type of initial packets.
    initial: u8,
}

/// RFC 9001, section 5.2, and RFC 9369, section 3.
const VERSIONS: [Version; 2] = [
    Version {
        number: 1,
        salt: *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
        label: b"tls13 quic ",
        initial: 0,
    },
    Version {
        number: 0x6B33_43CF,
        salt: *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
        label: b"tls13 quicv2 ",
        initial: 1,
    },
];

/// A packet of a datagram.
struct LongPacket<'a> {
    version: &'static Version,
    is_initial: bool,
    id: &'a [u8],
    /// The packet.
    bytes: &'a [u8],
    /// Where its packet number begins.
    number_at: usize,
}

/// Whether a datagram begins as one of the first of a connection, even if it was cut off.
pub(crate) fn begins_initial(datagram: &[u8]) -> bool {
    version_of(datagram).is_some_and(|version| datagram[0] >> 4 & 3 == version.initial)
}

/// The version of a datagram that begins with a long header.
fn version_of(datagram: &[u8]) -> Option<&'static Version> {
    let (first, number) = (*datagram.first()?, Bytes(datagram.get(1..)?).u32()?);
    VERSIONS.iter().find(|version| version.number == number).filter(|_| first >> 6 == 3)
}

impl<'a> LongPacket<'a> {
    /// The next packet with a long header in a datagram (RFC 9000, sections 12.2 and 17.2).
    fn next(datagram: &mut &'a [u8]) -> Option<Self> {
        let version = version_of(datagram)?;
        let mut rest = Bytes(&datagram[5..]);
        let (id, source) = (rest.short()?, rest.short()?);
        let kind = datagram[0] >> 4 & 3;
        let is_initial = kind == version.initial;
        // A retry has no length, and nothing follows it.
        if id.len() > MAX_ID || source.len() > MAX_ID || kind == (version.initial + 3) % 4 {
            return None;
        }
        if is_initial {
            let length = rest.varint()?;
            rest.take(length.try_into().ok()?)?;
        }
        let length = rest.varint()?;
        let number_at = datagram.len() - rest.0.len();
        rest.take(length.try_into().ok()?)?;
        let (bytes, behind) = datagram.split_at(datagram.len() - rest.0.len());
        *datagram = behind;
        Some(Self { version, is_initial, id, bytes, number_at })
    }

    /// What a client has sealed in it, where the first packet of the connection went to `id`; `None` if it is not of it.
    fn open(&self, id: &[u8]) -> Option<Vec<u8>> {
        let (initial, _) = Hkdf::<Sha256>::extract(Some(&self.version.salt), id);
        let mut secret = [0; 32];
        expand(&initial, b"tls13 client in", &mut secret)?;
        let label = |name: &[u8]| [self.version.label, name].concat();
        let (mut key, mut iv, mut hp) = ([0; 16], [0; 12], [0; 16]);
        expand(&secret, &label(b"key"), &mut key)?;
        expand(&secret, &label(b"iv"), &mut iv)?;
        expand(&secret, &label(b"hp"), &mut hp)?;
        // RFC 9001, section 5.4.
        let sample: [u8; 16] = self.bytes.get(self.number_at + 4..)?.first_chunk().copied()?;
        let mut mask = sample.into();
        Aes128::new(&hp.into()).encrypt_block(&mut mask);
        let mut header = self.bytes[..self.number_at].to_vec();
        header[0] ^= mask[0] & 0xF;
        let number_length = usize::from(header[0] & 3) + 1;
        let number = &self.bytes[self.number_at..][..number_length];
        header.extend(number.iter().zip(&mask[1..]).map(|(byte, mask)| byte ^ mask));
        // The number of a first packet has no higher bytes than those.
        for (byte, number) in iv[12 - number_length..].iter_mut().zip(&header[self.number_at..]) {
            *byte ^= number;
        }
        let sealed = &self.bytes[header.len()..];
        let (sealed, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        let mut opened = sealed.to_vec();
        let tag = tag.try_into().ok()?;
        let cipher = Aes128Gcm::new(&key.into());
        cipher.decrypt_inout_detached(&iv.into(), &header, InOutBuf::from(&mut opened[..]), tag).ok()?;
        Some(opened)
    }
}

/// HKDF-Expand-Label without a context (RFC 8446, section 7.1).
fn expand(secret: &[u8], label: &[u8], out: &mut [u8]) -> Option<()> {
    let (length, label_length) = (u8::try_from(out.len()).ok()?, u8::try_from(label.len()).ok()?);
    let info = [&[0, length, label_length], label, &[0]].concat();
    Hkdf::<Sha256>::from_prk(secret).ok()?.expand(&info, out).ok()
}

/// The id to which the first packet of a connection went.
pub(crate) type FirstId = Vec<u8>;

/// The pieces of the client's handshake in a datagram, as (offset, bytes), if the client of a connection has sent it.
/// `first_id` is that of the connection, if it is known; a client that was told to retry has a new one.
pub(crate) fn handshake(
    mut datagram: &[u8],
    first_id: &mut Option<FirstId>,
    mut piece: impl FnMut(usize, &[u8]),
) -> bool {
    let mut is_clients = false;
    while let Some(packet) = LongPacket::next(&mut datagram) {
        if !packet.is_initial {
            continue;
        }
        let known = first_id.as_deref().and_then(|id| packet.open(id));
        let opened = known.or_else(|| {
            let opened = packet.open(packet.id)?;
            *first_id = Some(packet.id.to_vec());
            Some(opened)
        });
        let Some(opened) = opened else { break };
        is_clients = true;
        let _ = frames(&opened, &mut piece);
    }
    is_clients
}

/// Finds the CRYPTO frames (RFC 9000, sections 12.4 and 19).
fn frames(payload: &[u8], piece: &mut impl FnMut(usize, &[u8])) -> Option<()> {
    let mut rest = Bytes(payload);
    loop {
        match rest.varint()? {
            0 | 1 => {}
            kind @ (2 | 3) => {
                let (_largest, _delay, ranges) = (rest.varint()?, rest.varint()?, rest.varint()?);
                let _first = rest.varint()?;
                for _ in 0..ranges {
                    let (_gap, _length) = (rest.varint()?, rest.varint()?);
                }
                if kind == 3 {
                    let _counts = (rest.varint()?, rest.varint()?, rest.varint()?);
                }
            }
            6 => {
                let (offset, length) = (rest.varint()?, rest.varint()?);
                let data = rest.take(length.try_into().ok()?)?;
                piece(offset.try_into().ok()?, data);
            }
            _ => return None,
        }
    }
}
