//! Names of Windows accounts, which Linux cannot look up, and the numbers of this host's accounts.

use std::rc::Rc;

use hone_linux::{group_id, user_id};
use hone_select::{Selection, Word};

/// What the processes of a user or group have, whether it is given by name or number: `number 0`. `None`: this host has none
/// that is called so, or it is another word.
pub(crate) fn identity(word: Word, name: &str) -> Option<String> {
    let named: fn(&str) -> Option<u32> = match word {
        Word::User => user_id,
        Word::Group => group_id,
        _ => return None,
    };
    let number: u32 = name.parse().ok().or_else(|| named(name))?;
    Some(format!("number {number}"))
}

/// What is wrong with a value that is to be recorded by, if no process of this host can have it.
pub(crate) fn refusal(word: Word, name: &str) -> Option<String> {
    let can_be = !matches!(word, Word::User | Word::Group)
        || name.starts_with("S-1-")
        || identity(word, name).is_some();
    let what = word.name();
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    (!can_be).then(|| match is_number {
        true => format!(
            "this host has no {what} {name:?}; as a number, it is too large: 4294967295 is the largest"
        ),
        false => format!("this host has no {what} {name:?}; a number is taken as it is"),
    })
}

/// What it is called, as far as that is known by now.
pub(crate) const fn name_by_now(_sid: &str) -> Option<String> {
    None
}

/// The same selection: recordings have the names of users.
pub(crate) fn for_recordings(selection: &Rc<Selection>) -> Rc<Selection> {
    Rc::clone(selection)
}
