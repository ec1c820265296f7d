//! Rows of tables, made of events. [`Maker`] takes the events: `programs` has the processes, `connections` and `flow` the
//! connections. Memory is limited, whatever a recording contains: what there is no room for becomes a row early.

mod connections;
mod flow;
mod maker;
mod names;
mod programs;
mod scope;

pub use self::maker::Maker;

/// How long closed connections and ended processes are kept for their last packets, nanoseconds: a recording has them for
/// ten seconds.
pub(crate) const LINGER: u64 = 15_000_000_000;
