//! The queue manager (`queues`) and its readers: how blocks are queued for each reader, and how it reads them.

pub(crate) mod correction;
pub(crate) mod filter;
pub(crate) mod queues;
pub(crate) mod reader;
pub(crate) mod ring;
pub(crate) mod section;
pub(crate) mod selection;
mod signal;
