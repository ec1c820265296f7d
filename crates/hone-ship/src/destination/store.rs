//! A directory, or an object store: Parquet files in folders by table, host and date, and a manifest for each batch.
//!
//! ```text
//! connections/host=HOST/date=2026-07-31/BATCH-0.parquet
//! recordings/host=HOST/date=2026-07-31/BATCH-1.pcapng.zst
//! _manifests/host=HOST/date=2026-07-31/BATCH.json     written last: all files of the batch are there
//! ```
//!
//! An object is visible when it is whole. Its name is unique and its content never changes, so it is written only if it is not
//! there; if it is, it is compared. Names that begin with `_` are passed over by programs that read tables.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Certificate, ClientConfigKey, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, RetryConfig,
};
use tokio::runtime::Runtime;

use super::identity::Identified;
use super::request::{self, chain, run as run_request};
use super::{DeliveryError, Destination, Stop, escaped};
use crate::batch::{Batch, Format};
use crate::config::{CLIENT_CERTIFICATE, CLIENT_KEY, ConfigError, Settings};

/// Tries of one request, before the batch waits for its next turn.
const RETRIES: usize = 2;
/// What this program calls itself.
pub(super) const AGENT: &str = concat!("hone-ship/", env!("CARGO_PKG_VERSION"));

/// The destination.
pub(super) struct Store {
    settings: Settings,
    /// Requests run in it, one after the other. It has no thread of its own.
    runtime: Runtime,
    client: Client,
    /// Whether the client must be made anew: the credentials may have been replaced.
    is_stale: bool,
}

/// What is spoken to, and where in it the tables are.
struct Client {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where it is, if it is a directory.
    folder: Option<PathBuf>,
}

impl Store {
    pub(super) fn open(settings: &Settings) -> Result<Self, ConfigError> {
        // Another library of this process may have set one; they are all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime =
            request::runtime().map_err(|error| settings.wrong("url", &settings.url, &error.to_string()))?;
        let client = Client::open(settings)?;
        Ok(Self { settings: settings.clone(), runtime, client, is_stale: false })
    }

    /// Writes an object that does not exist yet, or makes sure that it is the same.
    fn put(&self, name: &str, content: PutPayload, stop: &Stop) -> Result<(), DeliveryError> {
        let path = Path::parse(format!("{}/{name}", self.client.prefix))
            .map_err(|error| DeliveryError::Damaged(format!("{name}: {error}")))?;
        self.client.remove_begun(name);
        let store = &*self.client.store;
        let run = |mode: PutMode| {
            let request = store.put_opts(&path, content.clone(), PutOptions::from(mode));
            run_request(&self.runtime, &self.settings, stop, async { Ok(request.await) })
        };
        let refused = match run(PutMode::Create)? {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // Servers without conditions, and file systems without links.
        let has_conditions = !matches!(refused, Error::NotImplemented { .. } | Error::NotSupported { .. });
        if has_conditions && !matches!(refused, Error::AlreadyExists { .. } | Error::Precondition { .. }) {
            return Err(self.failed(&refused));
        }
        let url = &self.settings.url;
        match self.is_same(&path, &content, stop)? {
            Some(true) => Ok(()),
            Some(false) => Err(DeliveryError::Conflict(format!("{url} has something else as {path}"))),
            None if has_conditions => {
                Err(DeliveryError::Away(format!("{url}: {path} was there, and is gone")))
            }
            None => run(PutMode::Overwrite)?.map(drop).map_err(|error| self.failed(&error)),
        }
    }

    /// Whether an object has this content; `None`: there is no such object.
    fn is_same(&self, path: &Path, content: &PutPayload, stop: &Stop) -> Result<Option<bool>, DeliveryError> {
        let store = &*self.client.store;
        let request = async {
            if store.head(path).await?.size != content.content_length() as u64 {
                return Ok(None);
            }
            store.get(path).await?.bytes().await.map(Some)
        };
        let found = run_request(&self.runtime, &self.settings, stop, async { Ok(request.await) })?;
        match found {
            Ok(found) => Ok(Some(found.is_some_and(|found| content.iter().flatten().eq(found.iter())))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &Error) -> DeliveryError {
        let text = format!("{}: {}", self.settings.url, chain(error));
        let is_denied = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
            || request::is_of_tls(&text);
        if is_denied { DeliveryError::Denied(text) } else { DeliveryError::Away(text) }
    }
}

impl Destination for Store {
    fn format(&self) -> Format {
        Format::Parquet
    }

    fn deliver(&mut self, batch: &Batch, stop: &Stop) -> Result<(), DeliveryError> {
        if std::mem::take(&mut self.is_stale) {
            self.client = Client::open(&self.settings).map_err(|error| {
                self.is_stale = true;
                DeliveryError::Denied(error.to_string())
            })?;
        }
        let delivered = self.deliver_all(batch, stop);
        self.is_stale = matches!(delivered, Err(DeliveryError::Denied(_)));
        delivered
    }
}

impl Store {
    fn deliver_all(&self, batch: &Batch, stop: &Stop) -> Result<(), DeliveryError> {
        let description = &batch.description;
        let mut names = Vec::new();
        for (number, file) in description.files.iter().enumerate() {
            let content = batch.content(file).map_err(|error| {
                DeliveryError::Damaged(format!("{}: {error}", batch.path(file).display()))
            })?;
            let folder = folder(&file.table, &file.host, file.date.as_deref());
            let name = format!("{folder}/{}-{number}.{}", description.id, file.extension());
            self.put(&name, content.into(), stop)?;
            names.push(name);
        }
        let manifest = serde_json::json!({
            "batch": description.id,
            "number": description.number,
            "host": description.host,
            "from_ns": description.from,
            "to_ns": description.to,
            "schema_version": description.schema_version,
            "files": description.files.iter().zip(&names).map(|(file, name)| serde_json::json!({
                "name": name, "table": file.table, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256,
            })).collect::<Vec<_>>(),
        });
        let date = description.to.map(|nanos| hone_tables::day::text(hone_tables::day::of(nanos)));
        let name =
            format!("{}/{}.json", folder("_manifests", &description.host, date.as_deref()), description.id);
        self.put(&name, format!("{manifest:#}\n").into(), stop)
    }
}

impl Client {
    fn open(settings: &Settings) -> Result<Self, ConfigError> {
        let wrong =
            |error: &Error| settings.wrong("url", &settings.url, &format!("an address: {}", chain(error)));
        let url = settings.url.clone();
        if settings.scheme() == "file" {
            let folder = url.strip_prefix("file://").filter(|folder| folder.starts_with('/'));
            let folder =
                folder.ok_or_else(|| settings.wrong("url", &url, "file:///, and an absolute path"))?;
            // It is made by the first delivery, and so belongs to whoever delivers.
            let prefix = Path::parse(folder.trim_matches('/'))
                .map_err(|error| settings.wrong("url", &url, &error.to_string()))?;
            let store = Arc::new(LocalFileSystem::new().with_fsync(true));
            return Ok(Self { store, prefix, folder: Some(folder.into()) });
        }
        let mut client = ClientOptions::new().with_timeout(settings.timeout());
        client = client.with_config(ClientConfigKey::UserAgent, AGENT);
        if let Some(pem) = settings.certificates()? {
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| {
                settings.wrong("ca_certificates", &format!("{:?}", settings.ca_certificates), &chain(&error))
            })?;
            for certificate in certificates {
                client = client.with_root_certificate(certificate);
            }
        }
        let retry =
            RetryConfig { max_retries: RETRIES, retry_timeout: settings.timeout(), ..RetryConfig::default() };
        let mut options = settings.all_options()?;
        options.retain(|key, _| ![CLIENT_CERTIFICATE, CLIENT_KEY].contains(&key.as_str()));
        // The three builders have the same methods, and no common trait.
        macro_rules! build {
            ($builder:ty) => {{
                let mut builder =
                    <$builder>::new().with_url(&url).with_client_options(client).with_retry(retry);
                for (key, value) in &options {
                    let known = key.parse().map_err(|_| {
                        settings.wrong("options", key, "an option of this kind of object store")
                    })?;
                    builder = builder.with_config(known, value);
                }
                if let Some(identified) = Identified::of(settings)? {
                    builder = builder.with_http_connector(identified);
                }
                Arc::new(builder.build().map_err(|error| wrong(&error))?)
            }};
        }
        let store: Arc<dyn ObjectStore> = match settings.scheme() {
            "s3" => build!(AmazonS3Builder),
            "gs" => build!(GoogleCloudStorageBuilder),
            _ => build!(MicrosoftAzureBuilder),
        };
        // The address is of a bucket; what follows is a folder in it.
        let folder =
            url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, folder)| folder);
        let prefix = Path::parse(folder.trim_matches('/'))
            .map_err(|error| settings.wrong("url", &url, &error.to_string()))?;
        Ok(Self { store, prefix, folder: None })
    }

    /// Removes what a program that was killed has left of a file in a directory: until it is whole, its name ends with `#1`.
    fn remove_begun(&self, name: &str) {
        let Some(folder) = &self.folder else { return };
        let begun = |number: u32| std::fs::remove_file(folder.join(format!("{name}#{number}")));
        (1..).take_while(|number| begun(*number).is_ok()).for_each(drop);
    }
}

/// The folder of a partition, as Hive writes it.
fn folder(table: &str, host: &str, date: Option<&str>) -> String {
    let date = date.unwrap_or("__HIVE_DEFAULT_PARTITION__");
    format!("{table}/host={}/date={date}", escaped(host, b"-_."))
}
