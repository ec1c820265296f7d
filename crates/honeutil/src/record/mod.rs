//! A recording. The [`recorder`] moves blocks from a [`feed`] to the [`output`](crate::output) until the [`control`]
//! stops it. It begins the next file when the [`rotation`] requires it. At the end it prints the [`summary`].

pub mod companion;
pub mod control;
pub mod error;
pub mod feed;
mod late;
pub mod local;
pub mod losses;
mod once;
mod packet_limit;
pub mod recorder;
pub mod rotation;
pub mod source;
pub mod summary;
pub mod summary_json;
pub mod wanted;
