//! A recording: the [`recorder`] takes blocks from a [`feed`] to the [`output`](crate::output) until the [`control`] says
//! stop, and begins the next file when the [`rotation`] says so. [`summary`] is what it says at its end.

pub mod control;
pub mod error;
pub mod feed;
pub mod local;
pub mod losses;
mod packet_limit;
pub mod recorder;
pub mod rotation;
pub mod source;
pub mod summary;
