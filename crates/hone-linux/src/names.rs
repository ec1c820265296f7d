//! User and group names, remembered: a look-up can go to a directory server, so each id is asked once.

use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// So many ids of each kind are remembered; a machine with more is asked again.
const MOST: usize = 4096;

/// The number of the user of this host who is called so.
#[must_use]
pub fn user_id(name: &str) -> Option<u32> {
    Some(User::from_name(name).ok()??.uid.as_raw())
}

/// What the user of this host with this number is called.
#[must_use]
pub fn user_name(id: u32) -> Option<String> {
    Some(User::from_uid(Uid::from_raw(id)).ok()??.name)
}

/// The number of the group of this host that is called so.
#[must_use]
pub fn group_id(name: &str) -> Option<u32> {
    Some(Group::from_name(name).ok()??.gid.as_raw())
}

/// Names by id. An id without a name is remembered as such.
#[derive(Debug, Default)]
pub(crate) struct Names {
    users: HashMap<u32, Option<Vec<u8>>>,
    groups: HashMap<u32, Option<Vec<u8>>>,
}

impl Names {
    /// The names of a user and a group, where they have one.
    pub(crate) fn of(&mut self, user: u32, group: u32) -> (Option<&[u8]>, Option<&[u8]>) {
        (
            remember(&mut self.users, user, |id| {
                User::from_uid(Uid::from_raw(id)).ok().flatten().map(|user| user.name)
            }),
            remember(&mut self.groups, group, |id| {
                Group::from_gid(Gid::from_raw(id)).ok().flatten().map(|group| group.name)
            }),
        )
    }
}

fn remember(
    names: &mut HashMap<u32, Option<Vec<u8>>>,
    id: u32,
    ask: impl FnOnce(u32) -> Option<String>,
) -> Option<&[u8]> {
    if names.len() >= MOST && !names.contains_key(&id) {
        names.clear();
    }
    names.entry(id).or_insert_with(|| ask(id).map(String::into_bytes)).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_stranger_has_none() {
        let mut names = Names::default();
        assert_eq!(names.of(0, 0), (Some(&b"root"[..]), Some(&b"root"[..])));
        assert_eq!(names.of(3_999_999_999, 3_999_999_999), (None, None));
    }
}
