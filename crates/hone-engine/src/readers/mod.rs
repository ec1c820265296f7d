//! The queue manager (`queues`) and its readers: what is queued for each, and how it is read.

pub(crate) mod correction;
pub(crate) mod filter;
pub(crate) mod queues;
pub(crate) mod reader;
pub(crate) mod ring;
pub(crate) mod section;
mod signal;
