#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod attribution;
mod count;
mod executable_hash;
mod family;
pub mod limits;
mod log_levels;
mod mechanism;
mod process;
pub mod protocol;
mod snap_length;

pub use attribution::{How, Method, NoOwner, words};
pub use count::PerKind;
pub use executable_hash::{ExecutableHash, NoHash};
pub use family::{Direction, Family};
pub use log_levels::{LogLevels, UnknownLevel};
pub use mechanism::Mechanism;
pub use process::{ConnectionId, Nanos, ProcessKey};
pub use snap_length::SnapLength;
