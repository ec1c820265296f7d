//! Reads what Windows finds in a file about it: the version resource and the manifest.

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::ptr::{null_mut, without_provenance};

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Storage::FileSystem::{
    GetFileVersionInfoSizeW, GetFileVersionInfoW, VS_FIXEDFILEINFO, VerQueryValueW,
};
use windows_sys::Win32::System::ApplicationInstallationAndServicing::{
    ACTCTXW, ACTIVATION_CONTEXT_RUN_LEVEL_INFORMATION, CreateActCtxW, QueryActCtxW, ReleaseActCtx,
};
use windows_sys::Win32::System::SystemServices::{
    CompatibilityInformationInActivationContext, RunlevelInformationInActivationContext,
};
use windows_sys::Win32::System::WindowsProgramming::ACTCTX_FLAG_RESOURCE_NAME_VALID;

/// A file's version resource.
pub(crate) struct Version(Vec<u32>);

impl Version {
    pub(crate) fn of(path: &str) -> io::Result<Self> {
        let path = wide(path);
        // SAFETY: the path ends with NUL.
        let length = unsafe { GetFileVersionInfoSizeW(path.as_ptr(), null_mut()) };
        let mut bytes = vec![0_u32; (length as usize).div_ceil(size_of::<u32>())];
        // SAFETY: the path ends with NUL, and there is room for that many bytes.
        let is_read = unsafe { GetFileVersionInfoW(path.as_ptr(), 0, length, bytes.as_mut_ptr().cast()) };
        if is_read == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(bytes)) }
    }

    /// Version of the file, version of the product, type and subtype of the file.
    pub(crate) fn numbers(&self) -> io::Result<String> {
        let (fixed, length) = self.value::<VS_FIXEDFILEINFO>("\\")?;
        assert_eq!(length, size_of::<VS_FIXEDFILEINFO>(), "the numbers have their documented length");
        // SAFETY: `self` has it there, whole; its alignment is not told.
        let fixed = unsafe { fixed.read_unaligned() };
        let version = |high: u32, low: u32| {
            let part = |number: u32| format!("{}.{}", number >> 16, number & 0xffff);
            format!("{}.{}", part(high), part(low))
        };
        Ok(format!(
            "{} {} {} {}",
            version(fixed.dwFileVersionMS, fixed.dwFileVersionLS),
            version(fixed.dwProductVersionMS, fixed.dwProductVersionLS),
            fixed.dwFileType,
            fixed.dwFileSubtype
        ))
    }

    /// A text in the first language of the file, found as Explorer finds it.
    pub(crate) fn text(&self, name: &str) -> io::Result<String> {
        let (translation, length) = self.value::<[u16; 2]>(r"\VarFileInfo\Translation")?;
        assert!(length >= size_of::<[u16; 2]>(), "there is a language");
        // SAFETY: `self` has it there, as long as was told; its alignment is not told.
        let [language, page] = unsafe { translation.read_unaligned() };
        let (text, length) =
            self.value::<u16>(&format!(r"\StringFileInfo\{language:04x}{page:04x}\{name}"))?;
        // SAFETY: `self` has so many characters there; the resource lays out texts at multiples of four bytes.
        let text = unsafe { std::slice::from_raw_parts(text, length) };
        Ok(String::from_utf16_lossy(text).trim_end_matches('\0').to_owned())
    }

    /// Offset of a value in `self`, and its length: in bytes, or in characters for a text.
    fn value<T>(&self, name: &str) -> io::Result<(*const T, usize)> {
        let (mut value, mut length) = (null_mut(), 0);
        let name = wide(name);
        // SAFETY: the resource is whole, and the name ends with NUL.
        let is_there =
            unsafe { VerQueryValueW(self.0.as_ptr().cast(), name.as_ptr(), &raw mut value, &raw mut length) };
        if is_there == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((value.cast_const().cast(), length as usize))
    }
}

/// From a program's manifest: its run level (1: as the user who starts it), and the number of Windows versions that it
/// supports.
pub(crate) fn manifest(path: &str) -> io::Result<String> {
    let path = wide(path);
    let wanted = ACTCTXW {
        cbSize: u32::try_from(size_of::<ACTCTXW>()).expect("it is small"),
        dwFlags: ACTCTX_FLAG_RESOURCE_NAME_VALID,
        lpSource: path.as_ptr(),
        // CREATEPROCESS_MANIFEST_RESOURCE_ID: the manifest that Windows uses when the program starts.
        lpResourceName: without_provenance(1),
        ..ACTCTXW::default()
    };
    // SAFETY: the path ends with NUL, and the resource is named by a number.
    let context = unsafe { CreateActCtxW(&raw const wanted) };
    if context == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    let query = |class: i32, room: &mut [u32]| {
        let (buffer, length) = (room.as_mut_ptr().cast(), size_of_val(room));
        let mut filled = 0;
        // SAFETY: the context is not released yet, and the room is as long as is told.
        let is_told = unsafe {
            QueryActCtxW(0, context, null_mut(), class.cast_unsigned(), buffer, length, &raw mut filled)
        };
        if is_told == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // Flags, level, and whether it may access windows of other programs.
    let mut level = [0; size_of::<ACTIVATION_CONTEXT_RUN_LEVEL_INFORMATION>() / size_of::<u32>()];
    // The number of versions, then the versions.
    let mut systems = [0; 64];
    let told = query(RunlevelInformationInActivationContext, &mut level)
        .and_then(|()| query(CompatibilityInformationInActivationContext, &mut systems));
    // SAFETY: nobody else has it.
    unsafe { ReleaseActCtx(context) };
    told.map(|()| format!("{} {}", level[1], systems[0]))
}

fn wide(text: &str) -> Vec<u16> {
    std::ffi::OsStr::new(text).encode_wide().chain([0]).collect()
}
