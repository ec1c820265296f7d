//! The computer.

use windows_sys::Win32::System::SystemInformation::{ComputerNamePhysicalDnsHostname, GetComputerNameExW};

use crate::check;
use crate::text::narrow;

/// The computer's name in the DNS, without its domain; on a cluster's node, the node's (`GetComputerNameExW`). Empty if
/// Windows does not say.
#[must_use]
pub fn name() -> String {
    // A label of the DNS has at most 63 bytes.
    let mut name = [0_u16; 256];
    let mut length = 256;
    // SAFETY: there is room for so many characters.
    let done =
        unsafe { GetComputerNameExW(ComputerNamePhysicalDnsHostname, name.as_mut_ptr(), &raw mut length) };
    check(done).map(|()| narrow(&name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_is_the_computers() {
        let name = super::name();
        // The name for NetBIOS, in capitals and cut off after 15 characters.
        let short = std::env::var("COMPUTERNAME").expect("Windows sets it");
        assert!(!short.is_empty());
        assert!(name.to_uppercase().starts_with(&short.to_uppercase()), "{name}, {short}");
    }
}
