//! Names of Windows' users: recordings have only their security identifiers.

use std::borrow::Cow;

use crate::platform::accounts;

/// How an identifier begins.
const SID: &str = "S-1-";
/// Most characters of one ([MS-DTYP] 2.4.2: 15 sub-authorities).
const MAX_SID: usize = 184;
/// The same on every computer ("Well-known SIDs", learn.microsoft.com); by their English names, so that these can be asked
/// for everywhere.
const WELL_KNOWN: [(&str, &str); 3] =
    [("S-1-5-18", "SYSTEM"), ("S-1-5-19", "LOCAL SERVICE"), ("S-1-5-20", "NETWORK SERVICE")];

fn well_known(sid: &str) -> Option<String> {
    WELL_KNOWN.iter().find(|(known, _)| *known == sid).map(|(_, name)| (*name).to_owned())
}

fn is_sid(user: &str) -> bool {
    user.starts_with(SID) && user.len() <= MAX_SID
}

/// The identifier of a user who is the same on every computer, or who is given by the identifier.
#[cfg(windows)]
pub(crate) fn well_known_identifier(user: &str) -> Option<String> {
    let is_so_called = |(_, name): &&(&str, &str)| name.eq_ignore_ascii_case(user);
    let known = WELL_KNOWN.iter().find(is_so_called).map(|(known, _)| *known);
    known.or_else(|| is_sid(user).then_some(user)).map(str::to_owned)
}

/// The name of a user. On Windows this may ask other computers, and wait.
pub(crate) fn name(sid: &str) -> Option<String> {
    if is_sid(sid) { well_known(sid).or_else(|| accounts::name(sid)) } else { None }
}

/// What to show of a user, a name or an identifier: a name if one is known by now; it never waits.
pub(crate) fn shown(user: &str) -> Cow<'_, str> {
    let name = if is_sid(user) { well_known(user).or_else(|| accounts::name_by_now(user)) } else { None };
    name.map_or(Cow::Borrowed(user), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_that_every_windows_has_are_named_everywhere() {
        assert_eq!(name("S-1-5-18").as_deref(), Some("SYSTEM"));
        assert_eq!(shown("S-1-5-20"), "NETWORK SERVICE");
        assert_eq!(shown("S-1-5-21-1-2-3-1001"), "S-1-5-21-1-2-3-1001");
        assert_eq!(shown("alice"), "alice");
        assert_eq!(name("alice"), None);
    }
}
