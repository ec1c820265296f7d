//! The command line of Hone. A library only so that tests can drive its parts; nobody else is meant to use it.
//!
//! `honeutil read`: [`args`] says what may be asked for, [`command`] acts on it, [`read`] is the loop that takes
//! events from a [`source`] through the engine to the [`output`], until the [`control`] says stop. The [`tally`] sees
//! the same blocks as the output, and [`summary`] and [`progress`] show it.

#![forbid(unsafe_code)]

pub mod archive;
pub mod args;
pub mod blocks;
pub mod command;
mod compress;
pub mod conns;
pub mod control;
mod count;
pub mod feed;
mod file;
mod generate;
mod ip;
pub mod naming;
mod notes;
pub mod output;
mod part;
pub mod peers;
pub mod progress;
pub mod read;
mod recent;
pub mod repair;
pub mod rotation;
pub mod service;
pub mod service_args;
pub mod show;
pub mod source;
pub mod stats;
mod stream;
pub mod summary;
#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
pub mod system;
pub mod tally;
pub mod text;
pub mod top;
mod users;
