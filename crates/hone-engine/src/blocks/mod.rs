//! Blocks. Their bytes are made once, stored once and shared by all readers.

pub(crate) mod buffers;
mod encode;
pub(crate) mod slab;
mod store;

pub use encode::BYTE_ORDER;
pub(crate) use encode::{cut, encode, parse_process};
pub(crate) use store::{About, BlockIndex, Role, Store};
