//! How honed drops privileges: first the means to gain new ones, then, once the sensor runs, all that it has.
//!
//! Loading and attaching BPF programs needs capabilities. Later the ring buffer is read from memory, and the counters
//! and the snap length through open descriptors, which needs none. Capabilities belong to a thread. So each thread that
//! exists before must drop its own; later threads inherit an empty set. Only the sensor's thread that hashes executables, if there
//! is one, keeps the two that it needs (`hone-linux/src/hashing/worker.rs`).

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// For the whole process; call it before any other thread is started. Programs that it executes gain no privileges, and
/// its new files are not open to other users.
pub(crate) fn confine() -> std::io::Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    Ok(set_no_new_privs(true)?)
}

/// Drops all capabilities of the calling thread.
pub(crate) fn drop_all() -> std::io::Result<()> {
    // This needs CAP_SETPCAP, so it comes first. Without that capability, nothing could be gained from the bounding set
    // anyway.
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}
