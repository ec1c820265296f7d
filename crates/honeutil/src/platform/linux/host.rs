//! The host: its name, its clock, and this program's share of its processors.

pub use hone_linux::now;

/// What the host is called.
#[must_use]
pub fn name() -> String {
    hone_linux::host().host_name
}

/// Raises the priority of this program: while it waits for a processor, the kernel's ring buffer fills.
pub fn raise_priority() {
    if let Err(error) = hone_linux::raise_priority() {
        tracing::debug!("the priority stays as it is: {error}");
    }
}
