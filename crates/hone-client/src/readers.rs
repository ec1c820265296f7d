//! Who may read from a service: the words for those who may not.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group};

/// Who may read from a service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readers {
    /// Only root.
    Root,
    /// Root and the members of this group.
    Group(String),
    /// Root and the members of a group that cannot be found out.
    SomeGroup,
}

impl Readers {
    /// Those to whom a service's socket at `path` is open.
    #[must_use]
    pub fn of_socket(path: &Path) -> Self {
        match path.metadata() {
            Err(_) => Self::SomeGroup,
            Ok(socket) if socket.mode() & 0o020 == 0 => Self::Root,
            Ok(socket) => Self::of_group(socket.gid()),
        }
    }

    /// Root and the members of the group with this number.
    #[must_use]
    pub fn of_group(group: u32) -> Self {
        match Group::from_gid(Gid::from_raw(group)) {
            Ok(Some(found)) => Self::Group(found.name),
            // `usermod -aG` takes numbers, too.
            _ => Self::Group(group.to_string()),
        }
    }
}

impl fmt::Display for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => {
                f.write_str("only root may: honed serves no group (`socket_group` in its configuration)")
            }
            Self::Group(name) => write!(
                f,
                "only root and members of the group {name} may (`sudo usermod -aG {name} USER`, then log in again)"
            ),
            Self::SomeGroup => f.write_str(
                "only root and members of its group may (`socket_group` in its configuration, \
                 `sudo usermod -aG GROUP USER`, then log in again)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn the_group_that_owns_the_socket_is_named() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("socket");
        assert_eq!(Readers::of_socket(&socket), Readers::SomeGroup);
        std::fs::write(&socket, "").unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o600);
        assert_eq!(Readers::of_socket(&socket), Readers::Root);
        mode(0o660);
        if chown(&socket, None, Some(1)).is_err() {
            eprintln!("skipped: giving a file to a group needs root");
            return;
        }
        let text = Readers::of_socket(&socket).to_string();
        assert!(text.contains("members of the group daemon") && text.contains("-aG daemon USER"), "{text}");
        // A group without a name is named by its number.
        chown(&socket, None, Some(3_999_999_999)).unwrap();
        assert_eq!(Readers::of_socket(&socket), Readers::Group("3999999999".to_owned()));
    }
}
