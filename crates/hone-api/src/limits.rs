//! Bounds of everything that comes from outside. An engine may be configured with tighter bounds, but never with wider
//! ones.

pub use hone_types::limits::*;

use crate::{ConnectionRecord, Fixed};

/// Longest input of [`SetSelection`](crate::Operation::SetSelection), bytes: the conditions, and the flag for descendants.
pub const MAX_SELECTION_INPUT: usize = MAX_SELECTION_BYTES + 16;

/// Longest input of any request, bytes: a full list of open connections.
pub const MAX_INPUT_BYTES: usize = 4 + MAX_OPEN_CONNECTIONS * <ConnectionRecord as Fixed>::LENGTH;
