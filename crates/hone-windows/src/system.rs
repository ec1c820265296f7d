//! What kind of Windows this is, and which drivers it loads.

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt as _;
use std::ptr::null_mut;

use windows_sys::Wdk::System::SystemInformation::NtQuerySystemInformation;
use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::Foundation::{NO_ERROR, STATUS_SUCCESS};
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RRF_RT_REG_SZ, RegGetValueW,
};
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOEXW;

use crate::text::wide;

/// `SystemCodeIntegrityInformation` ("NtQuerySystemInformation function").
const CODE_INTEGRITY: i32 = 103;

/// `SYSTEM_CODEINTEGRITY_INFORMATION`.
#[repr(C)]
struct CodeIntegrity {
    length: u32,
    options: u32,
}

/// The version of Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Major, minor and build number.
    pub number: (u32, u32, u32),
    /// Service pack; 0 if there is none.
    pub service_pack: u16,
    /// Whether Windows is a server edition.
    pub is_server: bool,
}

/// The version of Windows, whatever a program's manifest says (`RtlGetVersion`).
#[must_use]
pub fn version() -> Version {
    /// `VER_NT_WORKSTATION`; the others are servers.
    const WORKSTATION: u8 = 1;
    let size = u32::try_from(size_of::<OSVERSIONINFOEXW>()).expect("it is small");
    let mut found = OSVERSIONINFOEXW { dwOSVersionInfoSize: size, ..OSVERSIONINFOEXW::default() };
    // SAFETY: the structure says how large it is; the longer one may be passed ("RtlGetVersion function"). It always
    // succeeds.
    unsafe { RtlGetVersion((&raw mut found).cast()) };
    Version {
        number: (found.dwMajorVersion, found.dwMinorVersion, found.dwBuildNumber),
        service_pack: found.wServicePackMajor,
        is_server: found.wProductType != WORKSTATION,
    }
}

/// The code integrity options (`CODEINTEGRITY_OPTION_*`): 0x01 signatures are checked, 0x02 test-signing mode, 0x80 a
/// kernel debugger, 0x400 HVCI. `None` if Windows does not say.
#[must_use]
pub fn code_integrity() -> Option<u32> {
    let length = u32::try_from(size_of::<CodeIntegrity>()).ok()?;
    let mut found = CodeIntegrity { length, options: 0 };
    // SAFETY: there is room for the structure, which says how large it is.
    let status =
        unsafe { NtQuerySystemInformation(CODE_INTEGRITY, (&raw mut found).cast(), length, null_mut()) };
    (status == STATUS_SUCCESS).then_some(found.options)
}

/// Whether Secure Boot is on. `None` if Windows does not say, as on a computer without UEFI.
#[must_use]
pub fn is_secure_boot() -> Option<bool> {
    number(r"SYSTEM\CurrentControlSet\Control\SecureBoot\State", "UEFISecureBootEnabled")
        .ok()
        .map(|number| number != 0)
}

/// A `REG_DWORD` below `HKEY_LOCAL_MACHINE` (`RegGetValueW`).
///
/// # Errors
/// 2: it is not there. Or Windows refuses.
pub fn number(key: &str, name: &str) -> io::Result<u32> {
    let (key, name) = (wide(key)?, wide(name)?);
    let (mut number, mut length) = (0_u32, 4);
    // SAFETY: both texts end with NUL, and there is room for the number.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_REG_DWORD,
            null_mut(),
            (&raw mut number).cast(),
            &raw mut length,
        )
    };
    if code == NO_ERROR { Ok(number) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}

/// A `REG_SZ` of up to 1023 characters below `HKEY_LOCAL_MACHINE` (`RegGetValueW`).
///
/// # Errors
/// 2: it is not there. 234: it is longer. Or Windows refuses.
pub fn string(key: &str, name: &str) -> io::Result<OsString> {
    let (key, name) = (wide(key)?, wide(name)?);
    let mut text = [0_u16; 1024];
    let mut length = u32::try_from(size_of_val(&text)).expect("it is small");
    // SAFETY: both texts end with NUL, and `length` is the room for the text, bytes.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_REG_SZ,
            null_mut(),
            text.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if code != NO_ERROR {
        return Err(io::Error::from_raw_os_error(code.cast_signed()));
    }
    Ok(OsString::from_wide(text.split(|unit| *unit == 0).next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_registry() {
        let build = version().number.2;
        assert!(version().number >= (6, 1, 7600), "Windows 7 is the oldest");
        // The build is a text there, the major number a number, from Windows 10 on.
        if let Ok(major) =
            number(r"SOFTWARE\Microsoft\Windows NT\CurrentVersion", "CurrentMajorVersionNumber")
        {
            assert_eq!((version().number.0, build > 10_000), (major, major >= 10));
        }
        let missing =
            number(r"SOFTWARE\Microsoft", "there is no such value").map_err(|error| error.raw_os_error());
        assert_eq!(missing, Err(Some(2)));
    }

    #[test]
    fn a_text_of_the_registry_is_whole() {
        let root = string(r"SOFTWARE\Microsoft\Windows NT\CurrentVersion", "SystemRoot").unwrap();
        assert!(root.eq_ignore_ascii_case(std::env::var_os("SystemRoot").unwrap()), "{root:?}");
        let missing =
            string(r"SOFTWARE\Microsoft", "there is no such value").map_err(|error| error.raw_os_error());
        assert_eq!(missing, Err(Some(2)));
    }
}
