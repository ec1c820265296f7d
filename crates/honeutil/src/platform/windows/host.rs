//! The host: its name, its clock, and this program's share of its processors.

use std::time::SystemTime;

use hone_engine::Nanos;

pub use hone_windows::host::name;

/// The time, as blocks have it: nanoseconds since 1970-01-01 UTC.
#[must_use]
pub fn now() -> Nanos {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Raises no priority: a recorder on Windows has the usual one.
pub const fn raise_priority() {}
