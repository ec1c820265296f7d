//! Names of the network.

use alloc::vec::Vec;

use crate::error::ConditionError;
use crate::fallible::copied;

/// A name such as `example.com`, and all names below it.
#[derive(Debug, PartialEq, Eq)]
pub struct Domain(Vec<u8>);

impl Domain {
    /// The domain that a user has written so. Upper and lower case are alike.
    pub(crate) fn new(text: &str) -> Result<Self, ConditionError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let problem = if name.is_empty() {
            "must not be empty"
        } else if name.contains('*') {
            "must be a name without *, such as example.com: names below it match, too"
        } else if name.starts_with('.') || name.contains("..") {
            "must be a name such as example.com, without a dot at its beginning: names below it match, too"
        } else if name.contains(['/', ':', '@']) {
            "must be a name such as example.com, without a scheme, port or path"
        } else if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            "must be a name as it is sent, in ASCII: xn--bcher-kva.example"
        } else {
            let mut name = copied(name.as_bytes())?;
            name.make_ascii_lowercase();
            return Ok(Self(name));
        };
        Err(ConditionError::Value(problem))
    }

    /// Whether a name is this one or below it. It is in lower case, and has no dot at its end.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let before = name.as_bytes().strip_suffix(&self.0[..]);
        before.is_some_and(|before| matches!(before, [] | [.., b'.']))
    }

    /// Whether it has all names that another one has.
    pub(crate) fn has_all_of(&self, other: &Self) -> bool {
        core::str::from_utf8(&other.0).is_ok_and(|name| self.has(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_itself_and_the_names_below_it() {
        let domain = Domain::new("Example.COM.").unwrap();
        for (name, has) in [
            ("example.com", true),
            ("www.example.com", true),
            ("badexample.com", false),
            ("example.com.evil", false),
            ("com", false),
            ("", false),
        ] {
            assert_eq!(domain.has(name), has, "{name}");
        }
        for bad in [
            "",
            ".",
            "*.example.com",
            ".example.com",
            "a..b",
            "https://a.b",
            "a.b:443",
            "b\u{fc}cher.example",
            "a b",
        ] {
            assert!(matches!(Domain::new(bad), Err(ConditionError::Value(_))), "{bad}");
        }
    }
}
