//! The command line of Hone. A library only so that tests can drive its parts; nobody else is meant to use it.
//!
//! [`cli`] has a file for each command: its options, its help, and what it does. What several commands need is in the
//! other modules. `honeutil read` is the longest way: [`record`] takes blocks from a feed to the [`output`], and
//! [`traffic`] counts the same blocks for the summary. [`show`] and [`repair`] read recordings, [`top`] draws a feed,
//! [`service`] has what is said about a running service, and [`platform`] what Linux and Windows do each in its own way.

#![forbid(unsafe_code)]

pub mod cli;
pub mod messages;
pub mod output;
pub mod platform;
pub mod record;
pub mod repair;
pub mod service;
pub mod show;
pub mod text;
pub mod top;
pub mod traffic;
mod users;
