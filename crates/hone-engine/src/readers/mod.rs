//! Readers.
pub(crate) mod correction;
pub(crate) mod filter;
pub(crate) mod queues;
pub(crate) mod reader;
pub(crate) mod ring;
pub(crate) mod section;
pub(crate) mod signal;
