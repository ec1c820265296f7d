//! The configuration file: its keys and the range of each value. Read at the start and again on SIGHUP. This module
//! only reads and checks; it changes nothing.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use hone_api::limits::{HARD_MAX_RING_BYTES, MIN_RING_BYTES};
use hone_client::{LogLevels, protocol};
use hone_engine::{HostIdentity, MAX_HOST_NAME};
use serde::Deserialize;

use crate::recent;

/// The configuration file that is read by default.
pub(crate) const FILE: &str = "/etc/hone/hone.toml";
/// Default ring buffer of a reader, bytes: 131,072 blocks. That is one second of traffic of 1 Gbit/s in packets of
/// 1,000 bytes. See `docs/performance-honed.md`.
const RING_BYTES: u32 = 1 << 20;
const MAX_COMMENT: usize = 4096;

/// The content of the file. Each key may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    socket: PathBuf,
    socket_group: String,
    ring_buffer_size: i64,
    max_readers: i64,
    block_memory: i64,
    sensor_buffer: i64,
    hash_executables: bool,
    host_id: Option<String>,
    comment: String,
    log_level: Level,
    recent: Option<recent::File>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Level {
    Mask(i64),
    Names(String),
    List(Vec<String>),
}

impl Default for File {
    fn default() -> Self {
        Self {
            socket: protocol::SOCKET.into(),
            socket_group: "hone".to_owned(),
            ring_buffer_size: RING_BYTES.into(),
            max_readers: 128,
            block_memory: 512,
            sensor_buffer: 64,
            hash_executables: false,
            host_id: None,
            comment: String::new(),
            log_level: Level::Mask(LogLevels::default().mask().into()),
            recent: None,
        }
    }
}

/// The configuration. Every value is within its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) socket: PathBuf,
    /// The group whose members may read; `None`: only root may.
    pub(crate) socket_group: Option<String>,
    /// Ring buffer of readers that do not request a size, bytes.
    pub(crate) ring_bytes: u32,
    pub(crate) max_readers: u32,
    /// Most bytes of blocks in memory.
    pub(crate) block_bytes: usize,
    /// Size of the ring buffer between kernel and sensor, bytes.
    pub(crate) sensor_bytes: u32,
    /// Whether processes have the hash of their executable.
    pub(crate) hash_executables: bool,
    /// `None`: the machine's own.
    pub(crate) host_id: Option<HostIdentity>,
    pub(crate) comment: String,
    pub(crate) log_levels: LogLevels,
    /// The flight recorder, if there is one.
    pub(crate) recent: Option<recent::Settings>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    // The field is not called source: the message has it already, and would be followed by it once more.
    #[error("cannot read {}: {error}", file.display())]
    Read { file: PathBuf, error: std::io::Error },
    #[error("{}: {text}", file.display())]
    Syntax { file: PathBuf, text: String },
    #[error("{}: {key} = {found}; allowed: {allowed}", file.display())]
    Value { file: PathBuf, key: &'static str, found: String, allowed: String },
}

/// Reads the configuration. The default file may be missing; a file that the user named must exist.
pub(crate) fn read(file: Option<&Path>) -> Result<Config, ConfigError> {
    let (path, asked) = file.map_or((Path::new(FILE), false), |file| (file, true));
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if !asked && error.kind() == std::io::ErrorKind::NotFound => parse(path, ""),
        Err(error) => Err(ConfigError::Read { file: path.to_owned(), error }),
    }
}

pub(crate) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let file: File = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        file: path.to_owned(),
        text: error.to_string().trim_end().to_owned(),
    })?;
    let wrong = |key, found: &dyn Display, allowed: String| ConfigError::Value {
        file: path.to_owned(),
        key,
        found: found.to_string(),
        allowed,
    };
    let within = |key, found: i64, least: u32, most: u32, unit: &str| {
        u32::try_from(found)
            .ok()
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(|| wrong(key, &found, format!("{least} to {most}{unit}")))
    };
    if !file.socket.is_absolute() || file.socket.as_os_str().len() > 100 {
        let allowed = "an absolute path of at most 100 bytes".to_owned();
        return Err(wrong("socket", &file.socket.display(), allowed));
    }
    let sensor_mib = within("sensor_buffer", file.sensor_buffer, 1, 1024, " MiB, a power of two")?;
    if !sensor_mib.is_power_of_two() {
        return Err(wrong("sensor_buffer", &sensor_mib, "1 to 1024 MiB, a power of two".to_owned()));
    }
    if file.comment.len() > MAX_COMMENT || file.comment.contains('\0') {
        let found = format!("{} bytes", file.comment.len());
        return Err(wrong("comment", &found, format!("at most {MAX_COMMENT} bytes of text without NUL")));
    }
    let host_id = match file.host_id {
        None => None,
        // The recording format stores some names and GUIDs alike; a name is recognised by having no control characters.
        Some(text) if text.is_empty() || text.len() > MAX_HOST_NAME || text.chars().any(char::is_control) => {
            let allowed = format!("a GUID, or 1 to {MAX_HOST_NAME} bytes of text without control characters");
            return Err(wrong("host_id", &format!("{text:?}"), allowed));
        }
        Some(text) => {
            Some(guid(&text).map_or_else(|| HostIdentity::Name(text.into_bytes()), HostIdentity::Guid))
        }
    };
    let level = match &file.log_level {
        Level::Mask(mask) => mask.to_string(),
        Level::Names(names) => names.clone(),
        Level::List(names) => names.join(","),
    };
    let log_levels = level.parse().map_err(|error: hone_client::UnknownLevel| {
        wrong("log_level", &format!("{level:?}"), error.to_string())
    })?;
    let recent = file.recent.map(recent::Settings::new).transpose();
    let recent = recent.map_err(|(key, found, allowed)| wrong(key, &found, allowed))?;
    Ok(Config {
        socket: file.socket,
        socket_group: (!file.socket_group.is_empty()).then_some(file.socket_group),
        ring_bytes: within(
            "ring_buffer_size",
            file.ring_buffer_size,
            MIN_RING_BYTES,
            HARD_MAX_RING_BYTES,
            " bytes",
        )?,
        max_readers: within("max_readers", file.max_readers, 1, 1024, "")?,
        block_bytes: (within("block_memory", file.block_memory, 64, 1 << 20, " MiB")? as usize) << 20,
        sensor_bytes: sensor_mib << 20,
        hash_executables: file.hash_executables,
        host_id,
        comment: file.comment,
        log_levels,
        recent,
    })
}

/// The bytes of a GUID in its usual text form, with or without braces.
fn guid(text: &str) -> Option<[u8; 16]> {
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    if groups != [8, 4, 4, 4, 12] || !text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&text.replace('-', ""), 16).ok().map(u128::to_be_bytes)
}

/// The configuration if the file is empty.
#[cfg(test)]
pub(crate) fn defaults() -> Config {
    parse(Path::new("hone.toml"), "").unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Shares;

    fn of(text: &str) -> Result<Config, String> {
        parse(Path::new("hone.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_packaged_file_says_what_holds_without_it() {
        let packaged = include_str!("../../../packaging/hone.toml");
        assert_eq!(of(packaged), of(""));
        // And so do the keys that it only shows.
        let shown: String = packaged
            .lines()
            .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')))
            .map(|line| format!("{line}\n"))
            .collect();
        let with_id = of(&shown).expect("what is shown is allowed");
        assert_eq!(
            Config { host_id: None, comment: String::new(), recent: None, ..with_id },
            of("").expect("defaults are allowed")
        );
    }

    /// What clients can take is bounded; the rest is tables and the programs' maps.
    #[test]
    fn the_unit_has_room_for_the_packaged_configuration() {
        let unit = include_str!("../../../packaging/honed.service");
        let set = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).expect("the unit sets it");
        let config = of("").expect("defaults are allowed");
        let memory = config.block_bytes as u64
            + u64::from(config.sensor_bytes)
            + crate::places::most_bytes(&config)
            + (128 << 20);
        let gib = set("MemoryMax=").strip_suffix('G').and_then(|number| number.parse::<u64>().ok());
        assert!(memory <= gib.expect("a number of GiB") << 30, "{memory} bytes");
        // Each has a thread, and a socket and an eventfd.
        let connections = usize::try_from(Shares::new(&config).connections.all).expect("it is small");
        let number = |key| set(key).parse::<usize>().expect("a number");
        assert!(connections + 2 <= number("TasksMax="));
        assert!(2 * connections + 100 <= number("LimitNOFILE="));
    }

    #[test]
    fn errors_name_file_key_and_range() {
        for (text, expected) in [
            ("ring_buffer_size = 100", "hone.toml: ring_buffer_size = 100; allowed: 1024 to 16777216 bytes"),
            ("max_readers = 0", "hone.toml: max_readers = 0; allowed: 1 to 1024"),
            ("sensor_buffer = 3", "hone.toml: sensor_buffer = 3; allowed: 1 to 1024 MiB, a power of two"),
            ("block_memory = -1", "hone.toml: block_memory = -1; allowed: 64 to 1048576 MiB"),
            (
                "host_id = ''",
                "hone.toml: host_id = \"\"; allowed: a GUID, or 1 to 255 bytes of text without control characters",
            ),
            (
                "[recent]\nlast = '10m'\nfolder = 'x'",
                "hone.toml: recent.folder = x; allowed: an absolute path",
            ),
            ("socket = 'x'", "hone.toml: socket = x; allowed: an absolute path of at most 100 bytes"),
        ] {
            assert_eq!(of(text), Err(expected.to_owned()));
        }
        assert!(of("[recent]\n").unwrap_err().contains("missing field `last`"));
        assert!(of("ring = 1").unwrap_err().contains("unknown field `ring`"));
        assert!(
            of("log_level = 'loud'").unwrap_err().contains("log_level = \"loud\"; allowed: log levels are")
        );
        assert!(of("comment = 3").unwrap_err().contains("comment"));
    }

    #[test]
    fn host_ids() {
        let id = |text: &str| of(&format!("host_id = '{text}'")).expect("it is allowed").host_id;
        let known = id("00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(
            known,
            Some(HostIdentity::Guid([
                0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF
            ]))
        );
        assert_eq!(id("{00112233-4455-6677-8899-AABBCCDDEEFF}"), known);
        assert_eq!(id("web-7"), Some(HostIdentity::Name("web-7".into())));
        assert!(of("host_id = \"web\\u0007\"").is_err_and(|error| error.contains("control characters")));
    }

    #[test]
    fn log_levels_are_a_mask_or_names() {
        let mask = |text: &str| of(&format!("log_level = {text}")).map(|config| config.log_levels.mask());
        assert_eq!(mask("6"), Ok(7));
        assert_eq!(mask("0x1f"), mask("'all'"));
        assert_eq!(mask("['warning', 'verbose']"), Ok(0xB));
    }
}
