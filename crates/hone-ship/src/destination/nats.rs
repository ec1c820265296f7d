//! NATS with JetStream: a message for each row, with the subject `PREFIX.TABLE.HOST` and the header `Nats-Msg-Id`. A stream that takes these
//! subjects must be there: this program makes none.
//!
//! A message counts as delivered when the stream has acknowledged it. Within its window (two minutes, unless the stream says otherwise),
//! the server drops a message whose id it has seen; later ones are recognised by the same id.

use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::context::{ContextBuilder, PublishErrorKind};
use async_nats::{ConnectErrorKind, ConnectOptions, Event, HeaderMap, ServerAddr};

use super::log::{self, Message};
use super::request;
use super::{DeliveryError, Destination, Stop, escaped};
use crate::batch::{Batch, Format};
use crate::config::{ConfigError, Settings};

/// Messages that wait for their acknowledgement at the same time, and their bytes.
const GROUP: (usize, usize) = (256, 1 << 20);
/// The options.
const OPTIONS: [&str; 7] = ["user", "password", "token", "nkey", "tls", "client_certificate", "client_key"];

/// The destination.
pub(super) struct Nats {
    settings: Settings,
    addresses: Vec<ServerAddr>,
    prefix: String,
}

impl Nats {
    pub(super) fn open(settings: &Settings) -> Result<Self, ConfigError> {
        let wrong = || {
            settings.wrong(
                "url",
                &settings.url,
                "nats://HOST:PORT/PREFIX, also with several HOST:PORT and commas",
            )
        };
        let (hosts, prefix) = log::address(settings).ok_or_else(wrong)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !prefix.chars().all(is_plain) || prefix.split('.').any(str::is_empty) {
            return Err(wrong());
        }
        let addresses = hosts.iter().map(|host| format!("nats://{host}").parse());
        let addresses = addresses.collect::<Result<_, _>>().map_err(|_| wrong())?;
        let nats = Self { settings: settings.clone(), addresses, prefix: prefix.to_owned() };
        nats.options(&Arc::default())?;
        Ok(nats)
    }

    /// How to connect. The file of credentials is read again each time. `complaint`: the latest error that the server reports.
    fn options(&self, complaint: &Arc<Mutex<String>>) -> Result<ConnectOptions, ConfigError> {
        let settings = &self.settings;
        let given = log::options(settings, &OPTIONS)?;
        let complaint = Arc::clone(complaint);
        let mut options = ConnectOptions::new()
            .name("hone-ship")
            .connection_timeout(settings.timeout())
            .max_reconnects(1)
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    *complaint.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
                }
                std::future::ready(())
            });
        if let Some(tls) = log::tls(settings, &given)? {
            options = options.require_tls(true).tls_client_config(tls);
        }
        if let Some(user) = given.get("user") {
            options =
                options.user_and_password(user.clone(), given.get("password").cloned().unwrap_or_default());
        }
        if let Some(token) = given.get("token") {
            options = options.token(token.clone());
        }
        if let Some(seed) = given.get("nkey") {
            options = options.nkey(seed.clone());
        }
        Ok(options)
    }

    fn subject(&self, message: &Message) -> String {
        format!("{}.{}.{}", self.prefix, message.table, escaped(&message.host, b"-_"))
    }
}

impl Destination for Nats {
    fn format(&self) -> Format {
        Format::Json
    }

    fn deliver(&mut self, batch: &Batch, stop: &Stop) -> Result<(), DeliveryError> {
        let settings = &self.settings;
        let complaint = Arc::<Mutex<String>>::default();
        let options = self.options(&complaint).map_err(|error| DeliveryError::Denied(error.to_string()))?;
        // The connection ends with the runtime: nothing would answer the server between two batches.
        let runtime = request::runtime().map_err(|error| log::failed(settings, &error, false))?;
        let client = request::run(&runtime, settings, stop, async {
            options.connect(&self.addresses[..]).await.map_err(|error| {
                let is_denied = matches!(
                    error.kind(),
                    ConnectErrorKind::Authentication
                        | ConnectErrorKind::AuthorizationViolation
                        | ConnectErrorKind::Tls
                );
                log::failed(settings, &error, is_denied)
            })
        })?;
        let context = {
            let _inside = runtime.enter();
            ContextBuilder::new().timeout(settings.timeout()).build(client)
        };
        log::groups(batch, GROUP, |group| {
            request::run(&runtime, settings, stop, async {
                let mut waiting = Vec::with_capacity(group.len());
                for message in group {
                    let mut headers = HeaderMap::new();
                    headers.insert(async_nats::header::NATS_MESSAGE_ID, message.id.as_str());
                    let subject = self.subject(&message);
                    let sent = context.publish_with_headers(subject, headers, message.json.into()).await;
                    waiting.push(sent.map_err(|error| log::failed(settings, &error, false))?);
                }
                for acknowledgement in waiting {
                    acknowledgement.await.map_err(|error| match error.kind() {
                        PublishErrorKind::StreamNotFound => DeliveryError::Away(format!(
                            "{}: no stream takes the subjects {prefix}.>. Make one: nats stream add HONE --subjects '{prefix}.>'",
                            settings.url,
                            prefix = self.prefix
                        )),
                        _ => log::failed(settings, &error, false),
                    })?;
                }
                Ok(())
            })
            .map_err(|error| {
                // A subject that may not be written to is reported, and not acknowledged.
                let complaint = complaint.lock().unwrap_or_else(PoisonError::into_inner);
                match error {
                    DeliveryError::Away(_) if complaint.to_lowercase().contains("permissions violation") => {
                        DeliveryError::Denied(format!("{}: {complaint}", settings.url))
                    }
                    error => error,
                }
            })
        })
    }
}
