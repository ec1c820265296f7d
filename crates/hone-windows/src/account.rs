//! Accounts: the names of security identifiers, and the identifiers of names.

use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{ConvertSidToStringSidW, ConvertStringSidToSidW};
use windows_sys::Win32::Security::{
    LookupAccountNameW, LookupAccountSidW, PSID, SECURITY_MAX_SID_SIZE, SidTypeAlias, SidTypeGroup,
    SidTypeUnknown, SidTypeUser, SidTypeWellKnownGroup,
};

use crate::check;
use crate::text::{narrow, wide};

/// A security identifier in memory that Windows has allocated. Freed when dropped.
struct Sid(PSID);

impl Sid {
    fn parse(text: &str) -> Option<Self> {
        let text = wide(text).ok()?;
        let mut sid = null_mut();
        // SAFETY: the text ends with NUL, and there is room for a pointer.
        check(unsafe { ConvertStringSidToSidW(text.as_ptr(), &raw mut sid) }).ok()?;
        Some(Self(sid))
    }
}

impl Drop for Sid {
    fn drop(&mut self) {
        // SAFETY: Windows has allocated it so (`ConvertStringSidToSidW`), and it is freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// The name of the account with this identifier (`S-1-5-...`), without its domain, if this computer can find it
/// (`LookupAccountSidW`). The call may ask other computers of the domain and take long.
#[must_use]
pub fn name(sid: &str) -> Option<String> {
    let sid = Sid::parse(sid)?;
    // An account's name has at most 256 characters, a domain's 255 (`LMCONS.H`: UNLEN, and DNS).
    let (mut name, mut domain) = ([0_u16; 257], [0_u16; 257]);
    let (mut name_length, mut domain_length) = (257, 257);
    let mut kind = SidTypeUnknown;
    // SAFETY: the identifier is sound, and there is room for so many characters each.
    let done = unsafe {
        LookupAccountSidW(
            null(),
            sid.0,
            name.as_mut_ptr(),
            &raw mut name_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    check(done).ok()?;
    Some(narrow(&name)).filter(|name| !name.is_empty())
}

/// The identifier of the account that is called so, with its domain (`DOMAIN\\name`) or without, if this computer can find
/// it (`LookupAccountNameW`). The call may ask other computers of the domain and take long.
#[must_use]
pub fn identifier(name: &str) -> Option<String> {
    let name = wide(name).ok()?;
    // Aligned as the numbers within.
    let mut sid = [0_u32; SECURITY_MAX_SID_SIZE.div_ceil(4) as usize];
    let mut domain = [0_u16; 257];
    let (mut sid_bytes, mut domain_length) = (SECURITY_MAX_SID_SIZE, 257);
    let mut kind = SidTypeUnknown;
    // SAFETY: the name ends with NUL, and there is room for so many bytes and characters.
    let done = unsafe {
        LookupAccountNameW(
            null(),
            name.as_ptr(),
            sid.as_mut_ptr().cast(),
            &raw mut sid_bytes,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    check(done).ok()?;
    // Not a domain or a computer: no process runs as one of these.
    if ![SidTypeUser, SidTypeGroup, SidTypeAlias, SidTypeWellKnownGroup].contains(&kind) {
        return None;
    }
    let mut text = null_mut();
    // SAFETY: the identifier is sound, for the call has made it, and there is room for a pointer.
    check(unsafe { ConvertSidToStringSidW(sid.as_mut_ptr().cast(), &raw mut text) }).ok()?;
    let is_end = |at: &usize| {
        // SAFETY: Windows has made a text that ends with NUL, and none came before this place.
        let place = unsafe { text.add(*at) };
        // SAFETY: so there is a character.
        (unsafe { *place }) == 0
    };
    // SAFETY: it has so many characters, the NUL not counted.
    let found = (0..).find(is_end).map(|length| narrow(unsafe { std::slice::from_raw_parts(text, length) }));
    // SAFETY: Windows has allocated it so (`ConvertSidToStringSidW`), and it is freed once.
    unsafe { LocalFree(text.cast()) };
    found
}

#[cfg(test)]
mod tests {
    use super::{identifier, name};

    #[test]
    fn a_name_leads_to_the_identifier_that_has_it() {
        let system = name("S-1-5-18").expect("each computer has it");
        assert_eq!(identifier(&system).as_deref(), Some("S-1-5-18"));
        assert_eq!(identifier(&system.to_lowercase()).as_deref(), Some("S-1-5-18"));
        for unknown in ["no such account", r"no such domain\someone", "a\0b", ""] {
            assert_eq!(identifier(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn accounts_that_every_computer_has_are_known() {
        // Others than this one are named in the system's language.
        assert!(name("S-1-5-18").is_some());
        for unknown in ["S-1-5-21-1-2-3-4", "nobody", "S-1-5-18\0"] {
            assert_eq!(name(unknown), None, "{unknown}");
        }
    }
}
