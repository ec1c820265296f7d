//! Names of Windows accounts. Linux cannot look them up.

/// What an account is called.
pub(crate) const fn name(_sid: &str) -> Option<String> {
    None
}

/// What it is called, as far as that is known by now.
pub(crate) const fn name_by_now(_sid: &str) -> Option<String> {
    None
}
