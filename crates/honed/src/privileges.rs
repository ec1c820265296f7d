//! What honed gives up: first the means to gain privileges, then, once the sensor runs, all it has.
//!
//! Loading and attaching take capabilities. Afterwards the ring buffer is read from memory, the counters and the snap
//! length through descriptors that are open, for which the kernel asks for none. Capabilities belong to a thread, so
//! each thread that was there before drops its own; later threads inherit what is left, which is nothing.

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// For the whole process, before any other thread is started: nothing that is executed gains privileges, and no file is
/// open to others.
pub(crate) fn confine() -> std::io::Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    Ok(set_no_new_privs(true)?)
}

/// Drops all capabilities of the calling thread.
pub(crate) fn drop_all() -> std::io::Result<()> {
    // Takes CAP_SETPCAP, so it comes first; without it, nothing could be gained from the set anyhow.
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}
