//! Names of accounts. Each is looked up once, because Windows may have to ask other computers. Owns the names found so
//! far.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context as _;
use hone_select::{Selection, Word};
use hone_windows::account;

use crate::messages::Messages;
use crate::record::wanted::Wanted;
use crate::users;

/// Most accounts that are looked up. A recording from elsewhere may contain any number.
const MOST: usize = 1024;

/// By identifier; `None`: it has no name, or none yet.
static KNOWN: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());

fn known() -> MutexGuard<'static, BTreeMap<String, Option<String>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn learn(sid: &str) -> Option<String> {
    let name = account::name(sid);
    known().insert(sid.to_owned(), name.clone());
    name
}

/// The account's name. Waits until Windows has found it.
pub(crate) fn name(sid: &str) -> Option<String> {
    let (name, is_full) = {
        let known = known();
        (known.get(sid).cloned(), known.len() >= MOST)
    };
    match name {
        Some(name) => name,
        None if is_full => None,
        None => learn(sid),
    }
}

/// The account's name, if it is already known. Otherwise the lookup begins.
pub(crate) fn name_by_now(sid: &str) -> Option<String> {
    let mut known = known();
    if let Some(name) = known.get(sid) {
        return name.clone();
    }
    if known.len() < MOST {
        known.insert(sid.to_owned(), None);
        let sid = sid.to_owned();
        // Without a thread it stays unknown.
        let _ = thread::Builder::new().name("accounts".to_owned()).spawn(move || learn(&sid));
    }
    None
}

/// The identifier of an account by its name, with its domain or without; an identifier as it is. `None`: this computer does
/// not find it.
pub(crate) fn identifier(name: &str) -> Option<String> {
    users::well_known_identifier(name).or_else(|| account::identifier(name))
}

/// What is wrong with a value that is to be recorded by, if no process of this computer can have it.
pub(crate) fn refusal(word: Word, name: &str) -> Option<String> {
    match word {
        Word::Group | Word::Container | Word::Unit => Some(format!(
            "processes of Windows have no {}; --name, --path and --user select them",
            word.name()
        )),
        Word::User if identifier(name).is_none() => Some(format!(
            "this computer does not find the account {name:?}; allowed are a name, DOMAIN\\NAME and a security \
             identifier (S-1-..)"
        )),
        _ => None,
    }
}

/// What the processes of a user have, whether it is given by name or identifier: `identifier S-1-5-18`. `None`: this computer
/// does not find it, or it is another word.
pub(crate) fn identity(word: Word, name: &str) -> Option<String> {
    let identifier = if word == Word::User { identifier(name) } else { None };
    identifier.map(|identifier| format!("identifier {identifier}"))
}

/// A selection, by its text form, with the identifiers of users in place of their names, which the driver does not know.
pub(crate) fn by_identifiers(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    let selection = Selection::parse(text)?;
    let mut by_identifiers = Selection::default();
    for condition in selection.conditions() {
        let text = condition.text();
        let identifier = match condition.word {
            Word::User => Some(
                identifier(text)
                    .with_context(|| format!("this computer no longer finds the account {text:?}"))?,
            ),
            _ => None,
        };
        by_identifiers.add(condition.word, condition.is_negated, identifier.as_deref().unwrap_or(text))?;
    }
    by_identifiers.set_children(selection.children());
    Ok(Wanted::new(Default::default(), &by_identifiers).selection)
}

/// The same selection for recordings, in which users of Windows have names without a domain: `DOMAIN\\NAME` also selects the
/// account's identifier.
pub(crate) fn for_recordings(selection: &Rc<Selection>) -> Rc<Selection> {
    let with_domain = |text: &str| text.contains('\\') && !text.starts_with('\\');
    let mut all = Selection::default();
    for condition in selection.conditions() {
        if all.add(condition.word, condition.is_negated, condition.text()).is_err() {
            return Rc::clone(selection);
        }
    }
    all.set_children(selection.children());
    for condition in selection.conditions().filter(|condition| condition.word == Word::User) {
        let name = condition.text();
        let identifier = if with_domain(name) { identifier(name) } else { continue };
        let added = identifier.map(|identifier| all.add(Word::User, condition.is_negated, &identifier));
        if !matches!(added, Some(Ok(()))) {
            let _ = writeln!(
                Messages,
                "honeutil: this computer does not find the account {name:?}: a recording of Windows has only its \
                 identifier (--user S-1-..), which `whoami /user` shows"
            );
        }
    }
    Rc::new(all)
}
