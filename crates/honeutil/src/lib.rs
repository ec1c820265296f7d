//! The command line of Hone. It is a library only so that tests can call its parts. It is not an interface for other
//! programs.
//!
//! [`cli`] has a file for each command: its options, its help, and what it does. The other modules contain what several
//! commands share. `honeutil read` uses most of them: [`record`] moves blocks from a feed to the [`output`], and
//! [`traffic`] counts the same blocks for the summary. [`show`], [`convert`] and [`repair`] read recordings, [`top`] draws a feed,
//! [`tables`] makes rows of tables from them, [`recent`] keeps the newest part of a recording, [`service`] formats reports about a running service, and [`platform`] has what differs between Linux and Windows.

#![forbid(unsafe_code)]

pub mod cli;
pub mod convert;
pub mod cut;
pub mod export;
pub mod extcap;
pub mod messages;
pub mod output;
pub mod platform;
#[cfg(target_os = "linux")]
pub mod recent;
pub mod record;
pub mod reduce;
pub mod repair;
pub mod report;
pub mod selection_line;
#[cfg(any(windows, test))]
mod selftest;
pub mod service;
pub mod show;
pub mod tables;
pub mod text;
pub mod top;
pub mod traffic;
mod users;
