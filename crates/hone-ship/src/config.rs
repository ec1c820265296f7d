//! The configuration file: its keys and the range of each value. This module only reads and checks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hone_client::api::SnapLength;
use hone_client::protocol;
use hone_select::Selection;
use hone_tables::Table;
use serde::Deserialize;

/// The configuration file that is read by default.
pub const FILE: &str = "/etc/hone/ship.toml";
/// How much of each packet is asked for: the headers, with all their options.
const HEADERS: u32 = 128;
/// The same where names are wanted: a packet of an Ethernet.
const WITH_NAMES: u32 = 1600;
/// Most MiB from honed in a batch with a recording. That is in memory while it is delivered.
const MAX_RECORDING: u64 = 128;
/// Largest file of credentials or certificates, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {text}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        text: String,
    },
    /// A value is out of its range.
    #[error("{key} = {found}; allowed: {allowed}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// Others may read or change a file with credentials.
    #[error("{}: {why}. Its owner must be root or the user of hone-ship, and others must have no access: chmod 600 or 640", file.display())]
    Permissions {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What becomes of a spool that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The oldest batches are dropped.
    DropOldest,
    /// What is recorded is dropped until there is room.
    DropNewest,
}

/// A table that can be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableName {
    /// [`Table::Processes`].
    Processes,
    /// [`Table::Connections`].
    Connections,
    /// [`Table::Names`].
    Names,
    /// [`Table::Packets`].
    Packets,
    /// [`Table::Sections`].
    Sections,
}

impl TableName {
    /// The table.
    #[must_use]
    pub const fn table(self) -> Table {
        match self {
            Self::Processes => Table::Processes,
            Self::Connections => Table::Connections,
            Self::Names => Table::Names,
            Self::Packets => Table::Packets,
            Self::Sections => Table::Sections,
        }
    }
}

/// Which recordings are delivered beside the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recordings {
    /// None.
    #[default]
    None,
    /// With the headers of packets, without their contents.
    Headers,
    /// With packets as honed sends them.
    Packets,
}

impl Recordings {
    /// Its word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Headers => "headers",
            Self::Packets => "packets",
        }
    }
}

/// The content of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The socket of honed.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// Which tables are delivered. Processes and connections always are.
    #[serde(default = "default_tables")]
    pub tables: Vec<TableName>,
    /// Which recordings are delivered.
    #[serde(default)]
    pub recordings: Recordings,
    /// Of which packets there are rows, names and recordings.
    #[serde(default, deserialize_with = "crate::selection::read")]
    pub selection: Selection,
    /// How many bytes of each packet honed sends; see [`Self::snap_length`].
    pub snap_length: Option<u32>,
    /// When a batch is complete.
    #[serde(default)]
    pub batch: BatchSettings,
    /// Where batches wait.
    #[serde(default)]
    pub spool: SpoolSettings,
    /// Where they go.
    pub destination: Settings,
    /// What is counted.
    #[serde(default)]
    pub metrics: MetricsSettings,
}

/// `[batch]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSettings {
    /// After so many seconds.
    pub seconds: u64,
    /// After so many MiB from honed.
    pub size: u64,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { seconds: 300, size: 64 }
    }
}

/// `[spool]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolSettings {
    /// Its folder.
    pub folder: PathBuf,
    /// Most MiB of it.
    pub size: u64,
    /// What becomes of it then.
    pub full: WhenFull,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self { folder: "/var/lib/hone-ship".into(), size: 1024, full: WhenFull::DropOldest }
    }
}

/// `[metrics]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// The file with OpenMetrics text. `hone-ship status` reads it.
    pub file: PathBuf,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { file: "/run/hone-ship/metrics.prom".into() }
    }
}

/// `[destination]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address. What comes before the colon is its kind.
    pub url: String,
    /// Options that its client understands, by name.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// A file with more options, which are secret: in the same form.
    pub credentials: Option<PathBuf>,
    /// A file with certificates (PEM) that are trusted besides those of the system.
    pub ca_certificates: Option<PathBuf>,
    /// How long a request may take, seconds.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
}

fn default_socket() -> PathBuf {
    protocol::SOCKET.into()
}

fn default_tables() -> Vec<TableName> {
    vec![TableName::Processes, TableName::Connections, TableName::Sections]
}

fn default_timeout() -> u64 {
    60
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or has a value that is not allowed.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::Read { file: file.to_owned(), error })?;
        Self::parse(file, &text)
    }

    /// The configuration with this text.
    ///
    /// # Errors
    /// It has a value that is not allowed. `file` is its name in the message.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            file: file.to_owned(),
            text: error.to_string().trim_end().to_owned(),
        })?;
        within("batch.seconds", config.batch.seconds, 1, 86_400, "seconds")?;
        within("batch.size", config.batch.size, 1, 4096, "MiB")?;
        within("spool.size", config.spool.size, 16, 1 << 20, "MiB")?;
        within("destination.timeout", config.destination.timeout, 1, 3600, "seconds")?;
        if config.spool.size < 4 * config.batch.size {
            return Err(value(
                "spool.size",
                config.spool.size,
                format!("at least 4 times batch.size, {} MiB", 4 * config.batch.size),
            ));
        }
        for (key, path) in [
            ("socket", &config.socket),
            ("spool.folder", &config.spool.folder),
            ("metrics.file", &config.metrics.file),
        ] {
            if !path.is_absolute() {
                return Err(value(key, path.display(), "an absolute path".to_owned()));
            }
        }
        if config.recordings != Recordings::None {
            if matches!(config.destination.scheme(), "nats" | "kafka") {
                return Err(value(
                    "recordings",
                    format_args!("{:?}", config.recordings.word()),
                    "\"none\" where the destination is a log, which takes rows".to_owned(),
                ));
            }
            within("batch.size", config.batch.size, 1, MAX_RECORDING, "MiB with recordings")?;
        }
        if !config.selection.is_everything() && !config.delivers_packets() {
            return Err(value(
                "selection",
                "words",
                "only with \"packets\" or \"names\" in tables, or with recordings: processes and connections are delivered in any case"
                    .to_owned(),
            ));
        }
        if let Some(length) = config.snap_length
            && SnapLength::new(length).is_none()
        {
            return Err(value("snap_length", length, "0 (all of each packet) to 262144 bytes".to_owned()));
        }
        Ok(config)
    }

    /// Whether a table is delivered.
    #[must_use]
    pub fn wants(&self, table: Table) -> bool {
        matches!(table, Table::Processes | Table::Connections)
            || self.tables.iter().any(|name| name.table() == table)
    }

    /// Whether anything is delivered of single packets.
    fn delivers_packets(&self) -> bool {
        self.wants(Table::Packets) || self.wants(Table::Names) || self.recordings != Recordings::None
    }

    /// How many bytes of each packet honed sends; 0: all. Names are further back than headers.
    #[must_use]
    pub fn snap_length(&self) -> SnapLength {
        let default = match self.recordings {
            Recordings::Packets => 0,
            _ if self.wants(Table::Names) => WITH_NAMES,
            _ => HEADERS,
        };
        SnapLength::new(self.snap_length.unwrap_or(default)).unwrap_or_default()
    }
}

impl Settings {
    /// The kind of the address: what comes before the colon.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// How long a request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The error that a key of the destination has a value that is not allowed.
    #[must_use]
    pub fn wrong(&self, key: &str, found: &str, allowed: &str) -> ConfigError {
        value(&format!("destination.{key}"), format_args!("{found:?}"), allowed.to_owned())
    }

    /// The options, with those of the file of credentials. That file is read again each time, so it may be replaced.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it is not what it should be.
    pub fn all_options(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut options = self.options.clone();
        if let Some(path) = &self.credentials {
            let text = secret(path)?;
            let more: BTreeMap<String, String> = toml::from_str(&text).map_err(|error| {
                // The message of the parser shows the line, which may have the secret.
                ConfigError::Syntax { file: path.clone(), text: error.message().to_owned() }
            })?;
            options.extend(more);
        }
        Ok(options)
    }

    /// The certificates that are trusted besides those of the system, as PEM.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn certificates(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        self.ca_certificates.as_deref().map(content).transpose()
    }

    /// The certificate that this program shows, with those that it is signed by, and its key, both as PEM: from the files that the
    /// options name. They are read again each time, so they may be replaced.
    ///
    /// # Errors
    /// One of the two options is missing, a file cannot be read, or others may read the key.
    pub fn client_identity(&self) -> Result<Option<(Vec<u8>, String)>, ConfigError> {
        let options = self.all_options()?;
        let (certificate, key) = match [CLIENT_CERTIFICATE, CLIENT_KEY].map(|name| options.get(name)) {
            [Some(certificate), Some(key)] => (certificate, key),
            [None, None] => return Ok(None),
            [Some(_), None] => return Err(self.wrong("options", CLIENT_CERTIFICATE, "with client_key")),
            [None, Some(_)] => return Err(self.wrong("options", CLIENT_KEY, "with client_certificate")),
        };
        Ok(Some((content(Path::new(certificate))?, secret(Path::new(key))?)))
    }
}

/// The options for a client certificate, of every kind of destination.
pub const CLIENT_CERTIFICATE: &str = "client_certificate";
/// See [`CLIENT_CERTIFICATE`].
pub const CLIENT_KEY: &str = "client_key";

/// The content of a file that is no secret.
fn content(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |error| ConfigError::Read { file: path.to_owned(), error };
    let mut text = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// The content of a file that only its owner and its group may read.
fn secret(path: &Path) -> Result<String, ConfigError> {
    let failed = |error| ConfigError::Read { file: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let refused = |why: String| Err(ConfigError::Permissions { file: path.to_owned(), why });
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != own {
        return refused(format!("it belongs to the user {}", metadata.uid()));
    }
    if metadata.mode() & 0o027 != 0 {
        return refused(format!("its mode is {:o}", metadata.mode() & 0o777));
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn within(key: &str, found: u64, least: u64, most: u64, unit: &str) -> Result<(), ConfigError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(value(key, found, format!("{least} to {most} {unit}")))
}

fn value(key: &str, found: impl std::fmt::Display, allowed: String) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), found: found.to_string(), allowed }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn of(text: &str) -> Result<Config, String> {
        let text = format!("{text}\n[destination]\nurl = 'file:///srv/hone'\n");
        Config::parse(Path::new("ship.toml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn packets_and_names_are_delivered_only_if_the_configuration_says_so() {
        let config = of("").unwrap();
        let wanted: Vec<_> = Table::ALL.into_iter().filter(|table| config.wants(*table)).collect();
        assert_eq!(wanted, [Table::Processes, Table::Connections, Table::Sections]);
        assert_eq!(Some(config.snap_length()), SnapLength::new(HEADERS));
        let config = of("tables = ['names']").unwrap();
        assert!(config.wants(Table::Processes) && config.wants(Table::Names));
        assert_eq!(Some(config.snap_length()), SnapLength::new(WITH_NAMES));
    }

    #[test]
    fn recordings_are_delivered_only_if_the_configuration_says_so_and_where_files_are() {
        assert_eq!(of("").unwrap().recordings, Recordings::None);
        let config = of("recordings = 'packets'\n[selection]\nport = 53").unwrap();
        assert_eq!(config.snap_length(), SnapLength::ALL);
        assert_eq!(Some(of("recordings = 'headers'").unwrap().snap_length()), SnapLength::new(HEADERS));
        let log = "recordings = 'headers'\n[destination]\nurl = 'nats://host:4222/hone'";
        let error = Config::parse(Path::new("ship.toml"), log).unwrap_err().to_string();
        assert!(error.contains("recordings = \"headers\"; allowed: \"none\" where"), "{error}");
    }

    #[test]
    fn a_selection_of_what_is_not_delivered_is_refused() {
        let error = of("[selection]\nport = 53").unwrap_err();
        assert!(error.contains("only with \"packets\" or \"names\" in tables"), "{error}");
        let error = of("tables = ['packets']\n[selection]\nport = 'x'").unwrap_err();
        assert!(error.contains("line 2") && error.contains("selection.port = \"x\": "), "{error}");
    }

    #[test]
    fn the_packaged_file_says_what_holds_without_it() {
        let packaged = include_str!("../../../packaging/ship.toml");
        let shown = |config: &Config| {
            let Config { socket, batch, spool, metrics, .. } = config;
            let (snap_length, timeout) = (config.snap_length(), config.destination.timeout);
            let wanted = Table::ALL.map(|table| config.wants(table));
            let packets = (config.recordings, config.selection.is_everything());
            format!(
                "{packets:?} {socket:?} {wanted:?} {batch:?} {spool:?} {metrics:?} {snap_length:?} {timeout}"
            )
        };
        let parse = |text: &str| Config::parse(Path::new("ship.toml"), text).unwrap();
        let uncommented: String = packaged
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let expected = shown(&of("").unwrap());
        assert_eq!(shown(&parse(packaged)), expected);
        assert_eq!(shown(&parse(&uncommented)), expected);
    }

    #[test]
    fn errors_name_key_and_range() {
        for (text, expected) in [
            ("[batch]\nseconds = 0", "batch.seconds = 0; allowed: 1 to 86400 seconds"),
            (
                "recordings = 'headers'\n[batch]\nsize = 200",
                "batch.size = 200; allowed: 1 to 128 MiB with recordings",
            ),
            ("[batch]\nsize = 300", "spool.size = 1024; allowed: at least 4 times batch.size, 1200 MiB"),
            ("socket = 'x'", "socket = x; allowed: an absolute path"),
        ] {
            assert_eq!(of(text).unwrap_err(), expected);
        }
        assert!(of("colour = 1").unwrap_err().contains("unknown field `colour`"));
        assert!(of("tables = ['files']").unwrap_err().contains("unknown variant `files`"));
    }

    #[test]
    fn credentials_that_others_may_read_are_refused_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, "aws_secret_access_key = 'hidden'\n").unwrap();
        let mut config = of("").unwrap();
        config.destination.credentials = Some(path.clone());
        for (mode, is_fine) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)]
        {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match config.destination.all_options() {
                Ok(options) => {
                    assert!(is_fine, "{mode:o}");
                    assert_eq!(options["aws_secret_access_key"], "hidden");
                }
                Err(error) => assert!(!is_fine && error.to_string().contains("chmod 600"), "{error}"),
            }
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "key = hidden\n").unwrap();
        let error = config.destination.all_options().unwrap_err().to_string();
        assert!(error.contains("credentials: ") && !error.contains("hidden"), "{error}");
    }
}
