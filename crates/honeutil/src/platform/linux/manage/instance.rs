//! Which honed a command is about, and where its files are.

use std::path::{Path, PathBuf};

use hone_client::{Connection, ReaderError, protocol};
use serde::Deserialize;

use super::systemd;
use crate::cli::service_choice::ServiceInstance;
use crate::platform::linux::service;
use crate::record::control::Control;

/// The path of honed's configuration, by default.
pub(super) const CONFIG: &str = "/etc/hone/hone.toml";

/// One honed, running or not.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) socket: PathBuf,
    /// What the command line specifies about it.
    pub(super) asked: ServiceInstance,
}

/// The only key of the configuration that matters here. honed itself checks all keys.
#[derive(Debug, Deserialize)]
struct Config {
    socket: Option<PathBuf>,
}

impl Instance {
    pub(super) fn of(asked: &ServiceInstance) -> anyhow::Result<Self> {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        let asked = ServiceInstance { socket: absolute(&asked.socket)?, config: absolute(&asked.config)? };
        let socket = asked.socket.clone().unwrap_or_else(|| {
            // If the configuration cannot be read, honed reports that when it starts.
            std::fs::read_to_string(asked.config.as_deref().unwrap_or(Path::new(CONFIG)))
                .ok()
                .and_then(|text| toml::from_str::<Config>(&text).ok()?.socket)
                .unwrap_or_else(|| protocol::SOCKET.into())
        });
        Ok(Self { socket, asked })
    }

    /// Connects to it.
    pub(super) fn connect(&self) -> Result<Connection, ReaderError> {
        service::connect(Some(&self.socket), &Control::new())
    }

    /// Whether systemd manages it.
    pub(super) fn is_of_systemd(&self) -> bool {
        self.asked.socket.is_none() && self.asked.config.is_none() && systemd::knows_unit()
    }

    /// Where `honeutil start` writes the process id: beside the socket.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.socket.with_extension("pid")
    }

    /// The files that honed and `honeutil start` leave beside the socket.
    pub(super) fn left_behind(&self) -> [PathBuf; 3] {
        let mut lock = self.socket.clone().into_os_string();
        lock.push(".lock");
        [self.socket.clone(), lock.into(), self.pid_file()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_where_honed_listens() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let file = directory.path().join("hone.toml");
        std::fs::write(&file, "socket = '/run/x/y.sock'\nmax_readers = 3\n").expect("it is ours");
        let asked = ServiceInstance { socket: None, config: Some(file) };
        let instance = Instance::of(&asked).expect("paths are fine");
        assert_eq!(instance.socket, Path::new("/run/x/y.sock"));
        assert_eq!(instance.pid_file(), Path::new("/run/x/y.pid"));
        assert_eq!(instance.left_behind()[1], Path::new("/run/x/y.sock.lock"));
        assert!(!instance.is_of_systemd());
    }

    #[test]
    fn the_command_line_says_more_than_the_configuration() {
        let asked = ServiceInstance { socket: Some("/a".into()), config: Some("/nowhere".into()) };
        assert_eq!(Instance::of(&asked).expect("paths are fine").socket, Path::new("/a"));
    }
}
