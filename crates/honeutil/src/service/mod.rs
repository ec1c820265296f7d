//! What is known of a running service, for people and for programs: its statistics, its memory, the open connections that
//! it is sent.

#[cfg(target_os = "linux")]
pub(crate) mod memory_report;
pub mod open_connections;
pub mod statistics_report;
