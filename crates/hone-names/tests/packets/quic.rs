//! The first packets of QUIC connections: the samples of RFC 9001, appendix A.2, and RFC 9369, appendix A.2.

use super::common::*;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt as _;
use aes_gcm::{AeadInOut as _, Aes128Gcm, KeyInit as _};
use hkdf::Hkdf;
use hone_names::NameSource;
use sha2::Sha256;

const V1: &str = include_str!("quic/rfc9001-a2.hex");
const V2: &str = include_str!("quic/rfc9369-a2.hex");

#[test]
fn the_hello_of_both_versions_is_opened() {
    for packet in [V1, V2] {
        let mut host = Host::default();
        let hello = host.hello(&[udp(CLIENT, server(1, 4433), &hex(packet))]).unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("example.com"));
        assert_eq!((hello.alpn, hello.version, hello.is_quic), (vec!["alpn".to_owned()], 0x0304, true));
        assert!(hello.ja4.unwrap().starts_with("q13d0211an_"));
        let (found, name) = host.see(1, &udp(server(1, 4433), CLIENT, b"answer"));
        assert_eq!((found, name), (vec![], Some(("example.com".to_owned(), NameSource::Quic))));
    }
}

#[test]
fn a_packet_that_was_changed_is_not_believed_and_one_that_was_cut_is_known() {
    let whole = hex(V1);
    for at in [5, 6, 20, 300, 1199] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert_eq!(Host::default().hello(&[udp(CLIENT, server(1, 443), &changed)]), None, "{at}");
    }
    let mut host = Host { snap: 200, ..Host::default() };
    assert!(host.hello(&[udp(CLIENT, server(1, 4433), &whole)]).unwrap().is_cut);
}

/// A first packet of version 1 (RFC 9001, section 5), with the keys of a connection whose first packet went to `id`.
fn seal(id: &[u8], number: u8, frames: &[u8]) -> Vec<u8> {
    const SALT: &[u8] = b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
    fn expand<const N: usize>(secret: &[u8], label: &str) -> [u8; N] {
        let label = format!("tls13 {label}");
        let length = [0, u8::try_from(N).unwrap(), u8::try_from(label.len()).unwrap()];
        let mut out = [0; N];
        let info = [&length[..], label.as_bytes(), &[0]].concat();
        Hkdf::<Sha256>::from_prk(secret).unwrap().expand(&info, &mut out).unwrap();
        out
    }
    let (initial, _) = Hkdf::<Sha256>::extract(Some(SALT), id);
    let secret: [u8; 32] = expand(&initial, "client in");
    let mut payload = frames.to_vec();
    payload.resize(1100, 0);
    let mut header = [&[0xC0, 0, 0, 0, 1, u8::try_from(id.len()).unwrap()], id, &[0, 0]].concat();
    header.extend(u16::try_from(0x4000 + 1 + payload.len() + 16).unwrap().to_be_bytes());
    header.push(number);
    let mut iv: [u8; 12] = expand(&secret, "quic iv");
    iv[11] ^= number;
    let cipher = Aes128Gcm::new(&expand::<16>(&secret, "quic key").into());
    let buffer = InOutBuf::from(&mut payload[..]);
    let tag = cipher.encrypt_inout_detached(&iv.into(), &header, buffer).unwrap();
    payload.extend(tag);
    let mut mask = <[u8; 16]>::try_from(&payload[3..19]).unwrap().into();
    Aes128::new(&expand::<16>(&secret, "quic hp").into()).encrypt_block(&mut mask);
    header[0] ^= mask[0] & 0xF;
    *header.last_mut().unwrap() ^= mask[1];
    [header, payload].concat()
}

/// A CRYPTO frame with these bytes of a handshake.
fn crypto(handshake: &[u8], from: usize, to: usize) -> Vec<u8> {
    let number = |value: usize| u16::try_from(0x4000 + value).unwrap().to_be_bytes();
    [&[6][..], &number(from), &number(to - from), &handshake[from..to]].concat()
}

#[test]
fn a_hello_over_several_packets_is_put_together_in_any_order() {
    // As large as one with a post-quantum key, in pieces as Chrome sends them: out of order, between other frames.
    let handshake = hello(&[0x1301], &[(51, vec![7; 1216]), server_name("quic.example"), alpn(&["h3"])]);
    let id = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
    let end = handshake.len();
    let first = [crypto(&handshake, 900, 1000), vec![1, 0, 0], crypto(&handshake, 0, 500)].concat();
    let second = [crypto(&handshake, 1000, end), vec![2, 0, 0, 0, 0], crypto(&handshake, 500, 900)].concat();
    let packets =
        [seal(id, 0, &first), seal(id, 1, &second)].map(|packet| udp(CLIENT, server(1, 443), &packet));
    for order in [[0, 1], [1, 0]] {
        let mut host = Host::default();
        assert_eq!(host.hello(&[packets[order[0]].clone()]), None);
        let hello = host.hello(&[packets[order[1]].clone()]).unwrap();
        assert_eq!((hello.server_name.as_deref(), hello.alpn), (Some("quic.example"), vec!["h3".to_owned()]));
    }
    // A server that asks for a retry gives another id, from which the keys then are.
    let again = udp(CLIENT, server(1, 443), &seal(b"retry-id", 1, &second));
    assert_eq!(
        Host::default().hello(&[packets[0].clone(), again]).unwrap().server_name.as_deref(),
        Some("quic.example")
    );
}
