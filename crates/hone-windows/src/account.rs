//! Accounts: the names of security identifiers.

use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::ConvertStringSidToSidW;
use windows_sys::Win32::Security::{LookupAccountSidW, PSID, SidTypeUnknown};

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

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn accounts_that_every_computer_has_are_known() {
        // Others than this one are named in the system's language.
        assert!(name("S-1-5-18").is_some());
        for unknown in ["S-1-5-21-1-2-3-4", "nobody", "S-1-5-18\0"] {
            assert_eq!(name(unknown), None, "{unknown}");
        }
    }
}
