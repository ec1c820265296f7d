//! Requests of a destination: each runs to its end here, as the rest of the program knows no async code.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{DeliveryError, Stop};
use crate::config::Settings;

/// How often a request looks whether the program is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A runtime without a thread of its own.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs a request to its end, unless the program is to end or it takes too long.
pub(super) fn run<T>(
    runtime: &Runtime,
    settings: &Settings,
    stop: &Stop,
    request: impl Future<Output = Result<T, DeliveryError>>,
) -> Result<T, DeliveryError> {
    runtime.block_on(async {
        let stopped = async {
            while !stop.is_set() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            biased;
            answer = tokio::time::timeout(settings.timeout(), request) => answer.unwrap_or_else(|_| {
                Err(DeliveryError::Away(format!("{} has not answered for {} s", settings.url, settings.timeout)))
            }),
            () = stopped => Err(DeliveryError::Stopped),
        }
    })
}

/// Whether an error is that one side does not accept the other's certificate, or that they do not agree on TLS.
pub(super) fn is_of_tls(error: &str) -> bool {
    error.contains("certificate") || error.contains("fatal alert")
}

/// An error and its causes, each once, on one line: the answers of some stores have several.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
