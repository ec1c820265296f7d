//! Requests with arbitrary bytes. `testing/fuzz/` runs them without end; this test runs a fixed number, the same on
//! each run.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

#[allow(unreachable_pub, reason = "it is a module of another crate")]
#[path = "../../../../testing/hone-fuzz/src/bounded.rs"]
mod bounded;
mod common;

use std::path::Path;

#[test]
fn driver_requests() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../testing/fuzz");
    let target = common::hostile::driver_requests;
    bounded::run("driver_requests", target, &common::hostile::seeds(), 10_000, &kept);
}
