//! Where batches go. A [`Destination`] gets one whole batch after the other, in the order of their numbers, and says when it has
//! it. It gets the same batch again after an error, and also if it had it and this program was killed before it took note of that: so
//! a second delivery of a batch must change nothing, or be recognisable by the batch's id.
//!
//! One thread calls it, and nothing else waits for that. It may wait, but not longer than [`Settings::timeout`], and it ends early when
//! [`Stop`] says so.
//!
//! | address | destination |
//! |---|---|
//! | `file:///folder`, `s3://bucket/folder`, `gs://`, `az://` | `store`: Parquet files in folders by table, host and date |
//! | `nats://host:4222/prefix` | `nats`: a message for each row, into a stream of JetStream |
//! | `kafka://host:9092/topic` | `kafka`: a record for each row |

mod identity;
mod kafka;
mod log;
mod nats;
mod request;
mod store;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{Batch, Format};
use crate::config::{ConfigError, Settings};

/// Whether this program is to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a batch was not delivered. It is kept, and delivered again later.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The destination does not answer, or not in time, or says that it cannot now.
    #[error("{0}")]
    Away(String),
    /// It refuses the credentials, or its certificate is not trusted. That does not pass by itself.
    #[error("{0}")]
    Denied(String),
    /// It has something else under the name of this batch. The batch is delivered under another name.
    #[error("{0}")]
    Conflict(String),
    /// The batch in the spool cannot be read. It is set aside.
    #[error("{0}")]
    Damaged(String),
    /// The program is to end.
    #[error("stopped")]
    Stopped,
}

/// A host's id as a part of a name: what is neither a letter, a digit, nor one of `others` has its number in it, after a `%`.
fn escaped(host: &str, others: &[u8]) -> String {
    host.bytes().fold(String::with_capacity(host.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || others.contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Takes batches.
pub trait Destination: Send {
    /// How the files of batches are to be written.
    fn format(&self) -> Format;

    /// Delivers a batch. When it returns `Ok`, the destination has it, and keeps it.
    ///
    /// # Errors
    /// It does not have all of it.
    fn deliver(&mut self, batch: &Batch, stop: &Stop) -> Result<(), DeliveryError>;
}

/// The destination that the settings name.
///
/// # Errors
/// The address is not one, or a file that the settings name cannot be used.
pub fn open(settings: &Settings) -> Result<Box<dyn Destination>, ConfigError> {
    match settings.scheme() {
        "file" | "s3" | "gs" | "az" => Ok(Box::new(store::Store::open(settings)?)),
        "nats" => Ok(Box::new(nats::Nats::open(settings)?)),
        "kafka" => Ok(Box::new(kafka::Kafka::open(settings)?)),
        scheme => Err(settings.wrong(
            "url",
            scheme,
            "an address that begins with file:, s3:, gs:, az:, nats: or kafka:",
        )),
    }
}
