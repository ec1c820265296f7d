//! How a sensor follows sockets.

use crate::attribution::in_words;

in_words! {
    /// How the sensor learns which process uses a socket.
    pub enum Mechanism, 3 {
        /// Linux: programs at the beginning of kernel functions (fentry), and tracepoints.
        Trampolines = "trampolines",
        /// Linux from 6.3: tracepoints only.
        Tracepoints = "tracepoints",
        /// Windows: callouts of the Windows Filtering Platform.
        Callouts = "callouts",
    }
}
