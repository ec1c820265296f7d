//! The objects that the filtering platform keeps.

use std::fmt::{self, Display, Formatter};
use std::fs;

use windows_sys::Win32::Foundation::{
    FWP_E_ALREADY_EXISTS, FWP_E_CALLOUT_NOT_FOUND, FWP_E_FILTER_NOT_FOUND, FWP_E_IN_USE,
    FWP_E_NO_TXN_IN_PROGRESS, FWP_E_PROVIDER_NOT_FOUND, FWP_E_SUBLAYER_NOT_FOUND, FWP_E_TXN_IN_PROGRESS,
};
use windows_sys::core::GUID;

const FILE: &str = r"C:\hone\filters.txt";
const FAIL_FILE: &str = r"C:\hone\filters.fail";
const ERROR_NO_SYSTEM_RESOURCES: i32 = 1450;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Provider,
    Sublayer,
    Callout,
    Filter,
}

impl Kind {
    const fn not_found(self) -> i32 {
        match self {
            Self::Provider => FWP_E_PROVIDER_NOT_FOUND,
            Self::Sublayer => FWP_E_SUBLAYER_NOT_FOUND,
            Self::Callout => FWP_E_CALLOUT_NOT_FOUND,
            Self::Filter => FWP_E_FILTER_NOT_FOUND,
        }
    }
}

/// An object: kind, key, flags, then keys it refers to with their kind before them, and other words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object(Vec<String>);

struct Key(GUID);

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let GUID { data1, data2, data3, data4 } = self.0;
        write!(f, "{data1:08x}-{data2:04x}-{data3:04x}-{:016x}", u64::from_be_bytes(data4))
    }
}

impl Object {
    pub(crate) fn new(kind: Kind, key: GUID, flags: u32) -> Self {
        Self(vec![format!("{kind:?}"), Key(key).to_string(), format!("{flags:x}")])
    }

    pub(crate) fn refers(&mut self, kind: Kind, key: Option<GUID>) {
        self.0.extend(key.map(|key| format!("{kind:?}={}", Key(key))));
    }

    pub(crate) fn note(&mut self, word: impl Into<Word>) {
        self.0.push(word.into().0);
    }

    fn is(&self, kind: Kind, key: &str) -> bool {
        self.0[0] == format!("{kind:?}") && self.0[1] == key
    }

    fn references(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.0.iter().filter_map(|word| {
            let (kind, key) = word.split_once('=')?;
            let kinds = [Kind::Provider, Kind::Sublayer, Kind::Callout];
            kinds.into_iter().find(|known| format!("{known:?}") == kind).map(|kind| (kind, key))
        })
    }
}

pub(crate) struct Word(String);

impl From<GUID> for Word {
    fn from(key: GUID) -> Self {
        Self(Key(key).to_string())
    }
}

impl From<String> for Word {
    fn from(word: String) -> Self {
        Self(word)
    }
}

/// The objects as one session sees them.
pub(crate) struct Store {
    objects: Vec<Object>,
    is_changing: bool,
}

impl Store {
    /// The objects that are committed.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let objects = text.lines().map(|line| Object(line.split(' ').map(str::to_owned).collect()));
        Self { objects: objects.collect(), is_changing: false }
    }

    pub(crate) fn begin(&mut self) -> Result<(), i32> {
        if self.is_changing {
            return Err(FWP_E_TXN_IN_PROGRESS);
        }
        self.is_changing = true;
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Result<(), i32> {
        self.end()?;
        let lines: String = self.objects.iter().map(|object| object.0.join(" ") + "\n").collect();
        fs::write(FILE, lines).map_err(|_| ERROR_NO_SYSTEM_RESOURCES)
    }

    pub(crate) fn abort(&mut self) -> Result<(), i32> {
        self.end()?;
        *self = Self::read();
        Ok(())
    }

    fn end(&mut self) -> Result<(), i32> {
        if self.is_changing {
            self.is_changing = false
        } else {
            return Err(FWP_E_NO_TXN_IN_PROGRESS);
        }
        Ok(())
    }

    fn find(&self, kind: Kind, key: &str) -> Option<usize> {
        self.objects.iter().position(|object| object.is(kind, key))
    }

    pub(crate) fn add(&mut self, object: Object) -> Result<(), i32> {
        assert!(self.is_changing, "changes are made in transactions");
        if self.objects.iter().any(|known| known.0[..2] == object.0[..2]) {
            return Err(FWP_E_ALREADY_EXISTS);
        }
        if let Some((kind, _)) = object.references().find(|(kind, key)| self.find(*kind, key).is_none()) {
            return Err(kind.not_found());
        }
        let filters = || self.objects.iter().filter(|object| object.0[0] == "Filter").count();
        let most = fs::read_to_string(FAIL_FILE).ok().and_then(|text| text.trim().parse().ok());
        if object.0[0] == "Filter" && most == Some(filters()) {
            return Err(ERROR_NO_SYSTEM_RESOURCES);
        }
        self.objects.push(object);
        Ok(())
    }

    /// The last word of an object.
    pub(crate) fn look_up(&self, kind: Kind, key: GUID) -> Result<&str, i32> {
        let place = self.find(kind, &Key(key).to_string()).ok_or(kind.not_found())?;
        Ok(self.objects[place].0.last().map_or("", String::as_str))
    }

    pub(crate) fn delete(&mut self, kind: Kind, key: GUID) -> Result<(), i32> {
        assert!(self.is_changing, "changes are made in transactions");
        let key = Key(key).to_string();
        let place = self.find(kind, &key).ok_or(kind.not_found())?;
        let is_used =
            self.objects.iter().any(|object| object.references().any(|used| used == (kind, key.as_str())));
        if is_used {
            return Err(FWP_E_IN_USE);
        }
        self.objects.remove(place);
        Ok(())
    }
}
