//! Tables.
mod connection;
pub(crate) mod open_list;
mod process;
pub(crate) mod table;
pub(crate) mod timeline;
