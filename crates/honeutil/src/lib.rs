//! The command line of Hone. It is a library only so that tests can call its parts. It is not an interface for other
//! programs.
//!
//! [`cli`] has a file for each command: its options, its help, and what it does. The other modules contain what several
//! commands share. `honeutil read` uses most of them: [`record`] moves blocks from a feed to the [`output`], and
//! [`traffic`] counts the same blocks for the summary. [`show`] and [`repair`] read recordings, [`top`] draws a feed,
//! [`service`] formats reports about a running service, and [`platform`] has what differs between Linux and Windows.

#![forbid(unsafe_code)]

pub mod cli;
pub mod cut;
pub mod messages;
pub mod output;
pub mod platform;
pub mod record;
pub mod reduce;
pub mod repair;
#[cfg(any(windows, test))]
mod selftest;
pub mod service;
pub mod show;
pub mod text;
pub mod top;
pub mod traffic;
mod users;
