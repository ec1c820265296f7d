//! Held packets.
pub(crate) mod datagram_reads;
pub(crate) mod expired;
mod policy;
pub(crate) mod queue;
