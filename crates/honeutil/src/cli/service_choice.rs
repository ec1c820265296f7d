//! Which service a command means: options that several commands have. On Windows there is one driver, and no choice.

#[cfg(target_os = "linux")]
use std::path::PathBuf;

/// Where `read` and `top` get their packets from.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct ServiceChoice {
    /// Record through the honed that listens on PATH [default: /run/hone/hone.sock, if honed runs]
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Record in this process, also if honed runs
    #[cfg(target_os = "linux")]
    #[arg(long, conflicts_with = "socket")]
    pub local: bool,
}

/// The running service that a command asks.
#[derive(Debug, clap::Args)]
pub struct ServiceAddress {
    /// The honed that listens on PATH [default: /run/hone/hone.sock]
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// The service, running or not, that a command starts, stops or looks for.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServiceInstance {
    /// The honed that listens on PATH, which systemd does not manage [default: as the configuration says]
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// The honed with this configuration, which systemd does not manage [default: /etc/hone/hone.toml]
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
