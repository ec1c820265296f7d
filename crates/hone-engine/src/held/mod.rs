//! Held packets.
pub(crate) mod datagram_reads;
pub(crate) mod expired;
pub(crate) mod policy;
pub(crate) mod queue;
