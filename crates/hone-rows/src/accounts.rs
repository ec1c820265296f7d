//! Names of Windows' users: recordings have only their security identifiers. Some are the same on every computer; for the
//! others, a program on Windows may set what looks them up.

use std::sync::OnceLock;

/// How an identifier begins.
const SID: &str = "S-1-";
/// Most characters of one ([MS-DTYP] 2.4.2: 15 sub-authorities).
const MAX_SID: usize = 184;
/// The same on every computer ("Well-known SIDs", learn.microsoft.com); by their English names, so that these can be asked
/// for everywhere.
pub const WELL_KNOWN: [(&str, &str); 3] =
    [("S-1-5-18", "SYSTEM"), ("S-1-5-19", "LOCAL SERVICE"), ("S-1-5-20", "NETWORK SERVICE")];

/// The name of a user who is the same on every computer.
#[must_use]
pub fn well_known(sid: &str) -> Option<String> {
    WELL_KNOWN.iter().find(|(known, _)| *known == sid).map(|(_, name)| (*name).to_owned())
}

/// Whether this is a security identifier, not a name.
#[must_use]
pub fn is_sid(user: &str) -> bool {
    user.starts_with(SID) && user.len() <= MAX_SID
}

/// Looks up the name of a security identifier.
static LOOK_UP: OnceLock<fn(&str) -> Option<String>> = OnceLock::new();

/// Sets what looks up names from here on. Only the first call counts.
pub fn set_look_up(look_up: fn(&str) -> Option<String>) {
    let _ = LOOK_UP.set(look_up);
}

/// The name of a user.
pub(crate) fn name(sid: &str) -> Option<String> {
    if !is_sid(sid) {
        return None;
    }
    well_known(sid).or_else(|| LOOK_UP.get().and_then(|look_up| look_up(sid)))
}
