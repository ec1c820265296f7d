#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "what a test itself allocates may abort"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod condition;
mod encoding;
mod error;
pub mod expression;
mod fallible;
mod network;
mod selection;
mod text;
mod view;
mod word;

pub use condition::{Condition, Value, base_name};
pub use error::{ConditionError, Contradiction, Excerpt, OutOfMemory, ParseError, Problem};
pub use expression::{Expression, ExpressionError};
pub use network::Network;
pub use selection::{Mark, Selection};
pub use text::Text;
pub use view::{PacketView, ProcessView};
pub use word::Word;

/// Most conditions of a selection. Each costs a comparison for every packet or every start of a process.
pub const MAX_CONDITIONS: usize = 256;
/// Most bytes of a selection's text form.
pub const MAX_TEXT_BYTES: usize = hone_types::limits::MAX_SELECTION_BYTES;
