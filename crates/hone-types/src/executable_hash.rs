//! The hash of the program that a process runs, and why it may be missing.

use crate::attribution::in_words;

in_words! {
    /// Why the hash of a process's executable is not known.
    pub enum NoHash, 6 {
        /// It is being calculated. A later event has it.
        Pending = "pending",
        /// The file is not the one that was executed any more, or it changed while it was read.
        Changed = "file changed",
        /// The file is larger than what is hashed.
        TooLarge = "file too large",
        /// The process has ended, and the file is not found.
        Gone = "file gone",
        /// The file cannot be read: no permission, an error, or a file system that can keep a reader waiting.
        Unreadable = "file not readable",
        /// Too many files were waiting to be hashed.
        Busy = "no time to hash",
    }
}

/// The SHA-256 of the file that a process executes, or why it is not known.
pub type ExecutableHash = Result<[u8; 32], NoHash>;
