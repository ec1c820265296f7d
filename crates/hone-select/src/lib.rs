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

mod case;
mod condition;
mod domain;
mod encoding;
mod error;
pub mod expression;
mod fallible;
mod network;
mod packet_tests;
mod selection;
mod text;
mod view;
mod word;

pub use condition::{Condition, Value, base_name};
pub use domain::Domain;
pub use error::{ConditionError, Contradiction, Excerpt, OutOfMemory, ParseError, Problem};
pub use expression::{Expression, ExpressionError, ExpressionProblem};
pub use network::{Network, NetworkError};
pub use packet_tests::{Fact, MAX_PACKET_TESTS, NoTests, PacketTest, packet_tests};
pub use selection::{Mark, Selection};
pub use text::Text;
pub use view::{PacketView, ProcessView};
pub use word::Word;

/// Most conditions of a selection. Each costs a comparison for every packet or every start of a process.
pub const MAX_CONDITIONS: usize = 256;
/// Most bytes of a selection's text form.
pub const MAX_TEXT_BYTES: usize = hone_types::limits::MAX_SELECTION_BYTES;
