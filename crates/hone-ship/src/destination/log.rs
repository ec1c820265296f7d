//! What the destinations that are logs have in common: a row is a message. Its id is that of its batch with the numbers of the file and
//! of the line, so a message that is delivered twice has the same id, and the same content.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::DeliveryError;
use super::request::{chain, is_of_tls};
use crate::batch::Batch;
use crate::config::{CLIENT_CERTIFICATE, CLIENT_KEY, ConfigError, Settings};
use crate::ecs;

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    /// Unique over hosts and time.
    pub(super) id: String,
    /// The host: the key.
    pub(super) host: String,
    /// The name of the table.
    pub(super) table: String,
    /// A JSON object with ECS names.
    pub(super) json: Vec<u8>,
}

/// Hands over the messages of a batch, in groups of at most this many messages and bytes (or one message).
pub(super) fn groups(
    batch: &Batch,
    (most, most_bytes): (usize, usize),
    mut take: impl FnMut(Vec<Message>) -> Result<(), DeliveryError>,
) -> Result<(), DeliveryError> {
    let mut group = Vec::new();
    let mut bytes = 0;
    for (number, file) in batch.description.files.iter().enumerate() {
        let path = batch.path(file);
        let damaged = |why: &dyn Display| DeliveryError::Damaged(format!("{}: {why}", path.display()));
        let table =
            file.table().ok_or_else(|| damaged(&format_args!("no table is called {:?}", file.table)))?;
        for (line, row) in batch.lines(file).map_err(|error| damaged(&error))?.enumerate() {
            let row = row.map_err(|error| damaged(&error))?;
            let row = serde_json::from_str(&row).map_err(|error| damaged(&error))?;
            let id = format!("{}-{number}-{line}", batch.description.id);
            let json = serde_json::to_vec(&ecs::event(table, &row, &id)).map_err(|error| damaged(&error))?;
            if !group.is_empty() && (group.len() >= most || bytes + json.len() > most_bytes) {
                take(std::mem::take(&mut group))?;
                bytes = 0;
            }
            bytes += json.len();
            group.push(Message { id, host: file.host.clone(), table: file.table.clone(), json });
        }
    }
    if group.is_empty() { Ok(()) } else { take(group) }
}

/// The hosts with their ports, and what follows the slash.
pub(super) fn address(settings: &Settings) -> Option<(Vec<&str>, &str)> {
    let (hosts, rest) = settings.url.split_once("://")?.1.split_once('/')?;
    let has_port = |host: &&str| {
        host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
    };
    let hosts: Vec<_> = hosts.split(',').collect();
    (hosts.iter().all(has_port) && !rest.is_empty()).then_some((hosts, rest))
}

/// The options, with those of the file of credentials, if all of them are of these names.
pub(super) fn options(settings: &Settings, known: &[&str]) -> Result<BTreeMap<String, String>, ConfigError> {
    let options = settings.all_options()?;
    match options.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(settings.wrong("options", key, &known.join(", "))),
        None => Ok(options),
    }
}

/// TLS as the settings have it; none if they do not ask for it. The system's certificates and `ca_certificates` are trusted.
pub(super) fn tls(
    settings: &Settings,
    options: &BTreeMap<String, String>,
) -> Result<Option<rustls::ClientConfig>, ConfigError> {
    let is_wanted = match options.get("tls").map(String::as_str) {
        Some("true") => true,
        Some("false") => false,
        None => settings.ca_certificates.is_some() || options.contains_key(CLIENT_CERTIFICATE),
        Some(other) => return Err(settings.wrong("options", other, "tls of true or false")),
    };
    if !is_wanted {
        return Ok(None);
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = settings.certificates()? {
        let path = format!("{:?}", settings.ca_certificates);
        let wrong = |error: &dyn Display| {
            settings.wrong("ca_certificates", &path, &format!("certificates as PEM: {error}"))
        };
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            count += 1;
        }
        if count == 0 {
            return Err(wrong(&"there is none"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| settings.wrong("url", &settings.url, &error.to_string()))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = settings.client_identity()? else {
        return Ok(Some(config.with_no_client_auth()));
    };
    let wrong =
        |name: &str, error: &dyn Display| settings.wrong("options", name, &format!("a file of PEM: {error}"));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(CLIENT_CERTIFICATE, &error))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| wrong(CLIENT_KEY, &error))?;
    config.with_client_auth_cert(chain, key).map(Some).map_err(|error| wrong(CLIENT_CERTIFICATE, &error))
}

/// Why a request failed. `is_denied`: it does not pass by itself; neither does what is wrong with a certificate.
pub(super) fn failed(settings: &Settings, error: &dyn std::error::Error, is_denied: bool) -> DeliveryError {
    let text = format!("{}: {}", settings.url, chain(error));
    if is_denied || is_of_tls(&text) { DeliveryError::Denied(text) } else { DeliveryError::Away(text) }
}
