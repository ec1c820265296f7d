//! Names of Windows' users: recordings have only their security identifiers.

use std::borrow::Cow;

#[cfg(windows)]
use hone_rows::accounts::WELL_KNOWN;
use hone_rows::accounts::{is_sid, well_known};

use crate::platform::accounts;

/// The identifier of a user who is the same on every computer, or who is given by the identifier.
#[cfg(windows)]
pub(crate) fn well_known_identifier(user: &str) -> Option<String> {
    let is_so_called = |(_, name): &&(&str, &str)| name.eq_ignore_ascii_case(user);
    let known = WELL_KNOWN.iter().find(is_so_called).map(|(known, _)| *known);
    known.or_else(|| is_sid(user).then_some(user)).map(str::to_owned)
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
        assert_eq!(shown("S-1-5-20"), "NETWORK SERVICE");
        assert_eq!(shown("S-1-5-21-1-2-3-1001"), "S-1-5-21-1-2-3-1001");
        assert_eq!(shown("alice"), "alice");
    }
}
