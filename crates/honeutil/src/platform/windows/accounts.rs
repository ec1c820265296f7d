//! Names of accounts. Each is looked up once, because Windows may have to ask other computers. Owns the names found so
//! far.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use hone_windows::account;

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

/// Whether a user of this host is called so. Windows may have to ask other computers, so it is believed.
pub(crate) const fn has_user(_name: &str) -> bool {
    true
}

/// Whether a group of this host is called so. Processes of Windows have no group.
pub(crate) const fn has_group(_name: &str) -> bool {
    true
}
