//! Names of Windows accounts, which Linux cannot look up, and whether this host has an account.

pub(crate) use hone_linux::{has_group, has_user};

/// What an account is called.
pub(crate) const fn name(_sid: &str) -> Option<String> {
    None
}

/// What it is called, as far as that is known by now.
pub(crate) const fn name_by_now(_sid: &str) -> Option<String> {
    None
}
