//! An object store that answers only who shows a certificate.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use common::{Content, batch, certificate};
use hone_ship::batch::Format;
use hone_ship::config::Config;
use hone_ship::destination::{DeliveryError, Stop, open};
use hone_testing::ready;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Takes everything from who shows `known.pem`, until this process ends. Returns its port.
fn store(folder: &Path) -> u16 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("known.pem")).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, socket.unwrap()));
            let mut length = 0;
            let mut line = String::new();
            // The head of a request; an error is a client without a certificate.
            while stream.read_line(&mut line).is_ok_and(|count| count > 2) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            if line != "\r\n" || stream.by_ref().take(length).read_to_end(&mut Vec::new()).is_err() {
                continue;
            }
            let answer = b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let stream = stream.get_mut();
            stream.write_all(answer).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
    });
    port
}

#[test]
fn a_store_that_asks_for_a_certificate_gets_the_one_that_the_options_name() {
    if !ready(&["openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["server", "known", "other"] {
        certificate(folder, name, "localhost");
    }
    let port = store(folder);
    // It is not looked into.
    let rows = Content { table: "processes", file: "0.parquet", rows: 1, bytes: b"rows".to_vec() };
    let batch = batch(folder, Format::Parquet, &[rows]);
    let path = |name: &str| folder.join(name).display().to_string();
    let deliver = |identity: &str| {
        let text = format!(
            "[destination]\nurl = 's3://fleet/hone'\ntimeout = 20\nca_certificates = '{}'\n[destination.options]\n\
             endpoint = 'https://localhost:{port}'\nregion = 'x'\naccess_key_id = 'a'\nsecret_access_key = 'b'\n{identity}",
            path("server.pem")
        );
        let config = Config::parse(Path::new("ship.toml"), &text).unwrap();
        let opened = open(&config.destination);
        opened.map(|mut store| store.deliver(&batch, &Stop::default())).map_err(|error| error.to_string())
    };
    let with = |certificate: &str, key: &str| {
        deliver(&format!("client_certificate = '{}'\nclient_key = '{}'", path(certificate), path(key)))
    };
    with("known.pem", "known.key").unwrap().unwrap();
    for delivered in [deliver(""), with("other.pem", "other.key")] {
        match delivered.unwrap() {
            Err(DeliveryError::Denied(text)) => {
                assert!(text.contains("fatal alert"), "{text}")
            }
            other => panic!("{other:?}"),
        }
    }
    // What is wrong is said before anything is delivered.
    let error = deliver(&format!("client_certificate = '{}'", path("known.pem"))).unwrap_err();
    assert!(error.contains("client_certificate") && error.contains("with client_key"), "{error}");
    let error = with("known.pem", "known.pem").unwrap_err();
    assert!(error.contains("chmod 600") || error.contains("PEM"), "{error}");
    fs::set_permissions(path("known.key"), Permissions::from_mode(0o644)).unwrap();
    let error = with("known.pem", "known.key").unwrap_err();
    assert!(error.contains("known.key: its mode is 644"), "{error}");
}
