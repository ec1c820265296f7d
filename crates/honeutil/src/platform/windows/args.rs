//! What the commands may be told on Windows only. Part of [`crate::cli`].

use std::path::PathBuf;

/// Where `read` has its events from: the driver.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {}

/// Where `top` has its events from: the driver.
#[derive(Debug, clap::Args)]
pub struct WayArgs {}

/// Which service to ask: the driver.
#[derive(Debug, clap::Args)]
pub struct ServiceArgs {}

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub struct StartArgs {}

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {}

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {}

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Copy this driver to System32\drivers\hone.sys first
    #[arg(long, value_name = "FILE")]
    pub driver: Option<PathBuf>,

    /// Have the driver start when `honeutil start` asks for it, instead of with the system
    #[arg(long)]
    pub on_demand: bool,
}

/// Arguments of `uninstall`.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}
