//! Reports about a running service, for people and for programs: its statistics, its memory, and the open connections
//! that are sent to it.

#[cfg(target_os = "linux")]
pub(crate) mod memory_report;
pub mod open_connections;
pub mod statistics_report;
