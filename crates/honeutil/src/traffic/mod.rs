//! Who talks to whom, counted from the blocks of a stream.

pub(crate) mod ip;
pub mod peers;
mod recent_packets;
pub mod tally;
