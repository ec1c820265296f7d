//! Kafka: a record for each row, with the host as its key and the header `hone-id`. The topic must be there: this program makes none.
//!
//! A record counts as delivered when all replicas that are in step have it. A host's records are in one partition, the one that the
//! Java client would choose for the key, in their order but for those that are delivered twice.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;

use super::log::{self, Message};
use super::request;
use super::{DeliveryError, Destination, Stop};
use crate::batch::{Batch, Format};
use crate::config::{ConfigError, Settings};

/// Records of one request, and their bytes: brokers take 1 MiB, unless they are told otherwise.
const GROUP: (usize, usize) = (1000, 512 << 10);
/// How long the client may wait between its tries of one request, in all: long enough for another leader of a partition. What is
/// refused is then known before [`Settings::timeout`] is over, and is not tried often; the batch is tried again later.
const PATIENCE: Duration = Duration::from_secs(1);
/// The options.
const OPTIONS: [&str; 6] = ["user", "password", "sasl_mechanism", "tls", "client_certificate", "client_key"];
/// How a refusal of the credentials or of the mechanism reads.
const SASL_REFUSALS: [&str; 3] =
    ["SaslAuthenticationFailed", "UnsupportedSaslMechanism", "unsupported sasl mechanism"];

/// The destination.
pub(super) struct Kafka {
    settings: Settings,
    brokers: Vec<String>,
    topic: String,
}

impl Kafka {
    pub(super) fn open(settings: &Settings) -> Result<Self, ConfigError> {
        let wrong = || {
            settings.wrong(
                "url",
                &settings.url,
                "kafka://HOST:PORT/TOPIC, also with several HOST:PORT and commas",
            )
        };
        let (hosts, topic) = log::address(settings).ok_or_else(wrong)?;
        let brokers = hosts.iter().map(|host| (*host).to_owned()).collect();
        let kafka = Self { settings: settings.clone(), brokers, topic: topic.to_owned() };
        kafka.builder()?;
        Ok(kafka)
    }

    /// How to connect. The file of credentials is read again each time.
    fn builder(&self) -> Result<ClientBuilder, ConfigError> {
        let settings = &self.settings;
        let given = log::options(settings, &OPTIONS)?;
        let mut builder =
            ClientBuilder::new(self.brokers.clone()).client_id("hone-ship").backoff_config(BackoffConfig {
                deadline: Some(PATIENCE.min(settings.timeout() / 4)),
                ..BackoffConfig::default()
            });
        if let Some(tls) = log::tls(settings, &given)? {
            builder = builder.tls_config(Arc::new(tls));
        }
        if let Some(user) = given.get("user") {
            let password = given.get("password").cloned().unwrap_or_default();
            let credentials = Credentials::new(user.clone(), password);
            builder = builder.sasl_config(match given.get("sasl_mechanism").map(String::as_str) {
                Some("PLAIN") => SaslConfig::Plain(credentials),
                Some("SCRAM-SHA-256") => SaslConfig::ScramSha256(credentials),
                None | Some("SCRAM-SHA-512") => SaslConfig::ScramSha512(credentials),
                Some(other) => {
                    let allowed = "sasl_mechanism of PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
                    return Err(settings.wrong("options", other, allowed));
                }
            });
        }
        Ok(builder)
    }

    fn failed(&self, error: &Error) -> DeliveryError {
        let is_denied = match error {
            Error::ServerError { protocol_error, .. } => matches!(
                protocol_error,
                ProtocolError::TopicAuthorizationFailed
                    | ProtocolError::ClusterAuthorizationFailed
                    | ProtocolError::SaslAuthenticationFailed
            ),
            // The client tries again until its deadline, and then has no more than the text of what failed.
            Error::Connection(error) => {
                let text = request::chain(error);
                SASL_REFUSALS.iter().any(|refusal| text.contains(refusal))
            }
            _ => false,
        };
        log::failed(&self.settings, error, is_denied)
    }
}

impl Destination for Kafka {
    fn format(&self) -> Format {
        Format::Json
    }

    fn deliver(&mut self, batch: &Batch, stop: &Stop) -> Result<(), DeliveryError> {
        let settings = &self.settings;
        let builder = self.builder().map_err(|error| DeliveryError::Denied(error.to_string()))?;
        let runtime = request::runtime().map_err(|error| log::failed(settings, &error, false))?;
        let (client, partitions) = request::run(&runtime, settings, stop, async {
            let client = builder.build().await.map_err(|error| self.failed(&error))?;
            let topics = client.list_topics().await.map_err(|error| self.failed(&error))?;
            let topic =
                topics.into_iter().find(|topic| topic.name == self.topic && !topic.partitions.is_empty());
            let Some(topic) = topic else {
                return Err(DeliveryError::Away(format!(
                    "{}: there is no such topic. Make it: kafka-topics.sh --create --topic {}",
                    settings.url, self.topic
                )));
            };
            Ok((client, topic.partitions.into_iter().collect::<Vec<_>>()))
        })?;
        let mut open = BTreeMap::new();
        log::groups(batch, GROUP, |group| {
            let mut of_partition = BTreeMap::<i32, Vec<Record>>::new();
            for message in group {
                let partition = partitions[partition(&message.host, partitions.len())];
                of_partition.entry(partition).or_default().push(record(message));
            }
            request::run(&runtime, settings, stop, async {
                for (number, records) in of_partition {
                    let partition = match open.entry(number) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(place) => {
                            let made =
                                client.partition_client(&self.topic, number, UnknownTopicHandling::Error);
                            place.insert(made.await.map_err(|error| self.failed(&error))?)
                        }
                    };
                    partition
                        .produce(records, Compression::Zstd)
                        .await
                        .map_err(|error| self.failed(&error))?;
                }
                Ok(())
            })
        })
    }
}

/// A record. Its time is that of the delivery, which decides how long brokers keep it; the host's clock may be wrong.
fn record(message: Message) -> Record {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Record {
        key: Some(message.host.into_bytes()),
        value: Some(message.json),
        headers: BTreeMap::from([
            ("hone-id".to_owned(), message.id.into_bytes()),
            ("hone-table".to_owned(), message.table.into_bytes()),
        ]),
        timestamp: DateTime::from_timestamp(seconds, now.subsec_nanos()).unwrap_or_default(),
    }
}

/// Which of so many partitions a key belongs to, as the Java client has it: MurmurHash2 of 32 bits, without the sign.
fn partition(key: &str, partitions: usize) -> usize {
    const M: u32 = 0x5bd1_e995;
    let mix = |word: u32| {
        let word = word.wrapping_mul(M);
        (word ^ (word >> 24)).wrapping_mul(M)
    };
    let bytes = key.as_bytes();
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = 0x9747_b28c ^ u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    for word in words {
        hash = hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) as usize % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::partition;

    /// The hashes are those of the tests of Kafka's own `Utils.murmur2`: "21" is -973932308, "foobar" is -790332482, "a-little-bit-long-string"
    /// is -985981536.
    #[test]
    fn a_host_has_the_partition_that_other_clients_choose() {
        for (key, hash) in
            [("21", -973_932_308_i32), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
        {
            let positive = (hash.cast_unsigned() & 0x7fff_ffff) as usize;
            for partitions in [1, 7, 1000] {
                assert_eq!(partition(key, partitions), positive % partitions, "{key}");
            }
        }
    }
}
