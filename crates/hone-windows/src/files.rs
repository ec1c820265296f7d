//! Files: private ones, the identity of files, and what a handle refers to.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, CREATE_NEW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_STANDARD_INFO,
    FILE_TYPE, FILE_TYPE_DISK, FILE_TYPE_PIPE, FileStandardInfo, GetFileInformationByHandle,
    GetFileInformationByHandleEx, GetFileType, GetFinalPathNameByHandleW, MoveFileExW,
};

use crate::check;
use crate::text::{wide, wide_path};

/// Full access for the owner, Administrators and SYSTEM, for no other user, and nothing inherited from the folder
/// (security descriptor definition language: `D:P` is a protected list).
const PRIVATE: &str = "D:P(A;;FA;;;OW)(A;;FA;;;BA)(A;;FA;;;SY)";

/// Longest name of a file, in UTF-16 units, and the NUL that ends it.
const LONGEST_NAME: usize = 1 << 15;

/// A security descriptor in memory that Windows has allocated.
pub(crate) struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// Of what is nobody else's.
    pub(crate) fn private() -> io::Result<Self> {
        Self::parse(PRIVATE)
    }

    /// For a function that makes something; good as long as this lives.
    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).expect("it is small"),
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }

    fn parse(text: &str) -> io::Result<Self> {
        let text = wide(text)?;
        let mut descriptor = null_mut();
        // SAFETY: the text ends with NUL, there is room for a pointer, and the size is not asked for.
        check(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Self(descriptor))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the conversion has allocated it so, and it is used no more.
        unsafe { LocalFree(self.0) };
    }
}

/// Creates a file for writing and reading that only its owner, Administrators and SYSTEM may open (`CreateFileW`). On a
/// file system without access rights (FAT), every user may. Other programs may rename and remove it while it is open,
/// as with the standard library's files.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`]: there is something of that name, be it a link that leads nowhere. Or it can't be created.
pub fn create_new(path: &Path) -> io::Result<File> {
    let descriptor = Descriptor::private()?;
    let attributes = descriptor.attributes();
    let path = wide_path(path)?;
    // SAFETY: the path ends with NUL; it, the attributes and their descriptor live until the call returns.
    let file = unsafe {
        CreateFileW(
            path.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            &raw const attributes,
            CREATE_NEW,
            FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT,
            null_mut(),
        )
    };
    if file == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's.
    Ok(unsafe { File::from_raw_handle(file) })
}

/// The identity of a file: the serial number of its volume, and its number on that volume
/// (`GetFileInformationByHandle`). On ReFS, which has numbers of 128 bits, two files may have the same identity.
///
/// # Errors
/// Windows does not know it, for example of a pipe.
pub fn id(file: &File) -> io::Result<(u64, u64)> {
    let mut information = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the file is open, and there is room for the structure.
    check(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut information) })?;
    let index = u64::from(information.nFileIndexHigh) << 32 | u64::from(information.nFileIndexLow);
    Ok((information.dwVolumeSerialNumber.into(), index))
}

/// How many names an open file has; none, if it is being deleted (`FILE_STANDARD_INFO`).
///
/// # Errors
/// Windows does not know it, for example of a pipe.
pub fn names_left(file: &File) -> io::Result<u64> {
    let mut information = FILE_STANDARD_INFO::default();
    let room = u32::try_from(size_of::<FILE_STANDARD_INFO>()).expect("it is small");
    // SAFETY: the file is open, and there is room for the structure, which has the class's layout.
    check(unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileStandardInfo,
            (&raw mut information).cast(),
            room,
        )
    })?;
    Ok(if information.DeletePending { 0 } else { information.NumberOfLinks.into() })
}

/// The full name that an open file has now (`GetFinalPathNameByHandleW`).
///
/// # Errors
/// It is being deleted, or its file system has no such names.
pub fn name(file: &File) -> io::Result<PathBuf> {
    let mut name = vec![0; LONGEST_NAME];
    let room = u32::try_from(name.len()).expect("it is small");
    // SAFETY: the file is open, and there is room for so many characters.
    let length = unsafe { GetFinalPathNameByHandleW(file.as_raw_handle(), name.as_mut_ptr(), room, 0) };
    match name.get(..length as usize) {
        Some([]) => Err(io::Error::last_os_error()),
        Some(name) => Ok(OsString::from_wide(name).into()),
        None => Err(io::ErrorKind::InvalidFilename.into()),
    }
}

/// [`id`] of what that name leads to, be it through links.
///
/// # Errors
/// There is nothing, or it can't be looked at.
pub fn id_behind(path: &Path) -> io::Result<(u64, u64)> {
    id(&OpenOptions::new().access_mode(0).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)?)
}

/// [`id`] of what has that name: of a link itself, not of what it leads to.
///
/// # Errors
/// There is nothing, or it can't be looked at.
pub fn id_at(path: &Path) -> io::Result<(u64, u64)> {
    let mut options = OpenOptions::new();
    // No access is needed to ask; without the first flag, no folder is opened.
    options.access_mode(0).custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
    id(&options.open(path)?)
}

/// Renames a file within its volume. Never replaces another file (`MoveFileExW`, no flags).
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`]: there is something of the new name. [`io::ErrorKind::CrossesDevices`]: it is on another
/// volume. Or it can't be renamed.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (wide_path(from)?, wide_path(to)?);
    // SAFETY: both end with NUL.
    check(unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), 0) })
}

/// Whether it is a file on a disk, where one can seek (`GetFileType`).
#[must_use]
pub fn is_regular(handle: impl AsHandle) -> bool {
    kind(handle) == FILE_TYPE_DISK
}

/// Whether it is a pipe or a socket. Windows does not distinguish the two (`GetFileType`).
#[must_use]
pub fn is_pipe(handle: impl AsHandle) -> bool {
    kind(handle) == FILE_TYPE_PIPE
}

fn kind(handle: impl AsHandle) -> FILE_TYPE {
    // SAFETY: it is open.
    unsafe { GetFileType(handle.as_handle().as_raw_handle()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Seek, Write};

    use windows_sys::Win32::Foundation::NO_ERROR;
    use windows_sys::Win32::Security::Authorization::{
        ConvertSecurityDescriptorToStringSecurityDescriptorW, GetSecurityInfo, SE_FILE_OBJECT,
    };
    use windows_sys::Win32::Security::DACL_SECURITY_INFORMATION;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder can be made")
    }

    /// Who may do what with a file, in the security descriptor definition language.
    fn rights(file: &File) -> String {
        let mut descriptor = null_mut();
        let nobody = null_mut();
        // SAFETY: the file is open; only the descriptor is asked for, for which there is room.
        let code = unsafe {
            GetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                nobody,
                nobody,
                null_mut(),
                null_mut(),
                &raw mut descriptor,
            )
        };
        assert_eq!(code, NO_ERROR);
        Descriptor(descriptor).text()
    }

    impl Descriptor {
        fn text(&self) -> String {
            let (mut text, mut length) = (null_mut(), 0);
            // SAFETY: the descriptor is Windows' own, and there is room for a pointer and a length.
            let done = unsafe {
                ConvertSecurityDescriptorToStringSecurityDescriptorW(
                    self.0,
                    SDDL_REVISION_1,
                    DACL_SECURITY_INFORMATION,
                    &raw mut text,
                    &raw mut length,
                )
            };
            check(done).expect("it is sound");
            // SAFETY: so many characters are there; they are never freed, which a test may.
            let text = unsafe { std::slice::from_raw_parts(text, length as usize) };
            crate::text::narrow(text)
        }
    }

    #[test]
    fn a_new_file_is_nobody_elses() {
        let folder = folder();
        let file = create_new(&folder.path().join("own")).expect("it is created");
        let rights = rights(&file);
        for everybody in ["WD", "BU", "AU", "S-1-1-0", "S-1-5-32-545", "S-1-5-11"] {
            assert!(!rights.contains(&format!(";;;{everybody})")), "{rights}");
        }
        assert!(rights.contains(";;;SY)"), "{rights}");
    }

    #[test]
    fn windows_understands_who_may_open_it() {
        assert_eq!(Descriptor::parse(PRIVATE).expect("it is sound").text(), PRIVATE);
    }

    #[test]
    fn a_new_file_is_written_read_and_renamed_while_it_is_open() {
        let folder = folder();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let mut file = create_new(&first).expect("it is created");
        rename_new(&first, &second).expect("there is no second yet");
        file.write_all(b"text").expect("it is written");
        file.rewind().expect("it is a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("it is read");
        assert_eq!(
            (text.as_str(), fs::read(&second).expect("it is there").as_slice()),
            ("text", &b"text"[..])
        );
        assert!(!first.exists());
    }

    #[test]
    fn nothing_is_replaced() {
        let folder = folder();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "one").expect("it is written");
        fs::write(&other, "other").expect("it is written");
        let exists = Err(io::ErrorKind::AlreadyExists);
        assert_eq!(create_new(&one).map(drop).map_err(|error| error.kind()), exists);
        assert_eq!(rename_new(&one, &other).map_err(|error| error.kind()), exists);
        assert_eq!(fs::read_to_string(&one).expect("it is there"), "one");
        assert_eq!(fs::read_to_string(&other).expect("it is there"), "other");
    }

    #[test]
    fn a_path_may_be_long() {
        let folder = folder();
        let long = folder.path().join("f".repeat(150)).join("g".repeat(150));
        fs::create_dir_all(&long).expect("the standard library takes it");
        let (first, second) = (long.join("first"), long.join("second"));
        let (_, index) = id(&create_new(&first).expect("it is created")).expect("it is open");
        rename_new(&first, &second).expect("it is renamed");
        assert_eq!(id_at(&second).expect("it is there").1, index);
    }

    #[test]
    fn a_file_keeps_its_id_and_another_has_another() {
        let folder = folder();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let file = create_new(&one).expect("it is created");
        fs::write(&other, "").expect("it is written");
        let own = id(&file).expect("it is open");
        assert_eq!(id_at(&one).expect("it is there"), own);
        assert_ne!(id_at(&other).expect("it is there"), own);
        assert_ne!(id_at(folder.path()).expect("folders have one"), own);
        rename_new(&one, &folder.path().join("new")).expect("it is renamed");
        assert_eq!(id_at(&folder.path().join("new")).expect("it is there"), own);
        // Of a file that is open and was renamed, Wine knows no volume.
        assert_eq!(id(&file).expect("it is open").1, own.1);
        assert_eq!(id_at(&one).map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_link_is_not_what_it_leads_to() {
        let folder = folder();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "").expect("it is written");
        // Wine says that it has made one.
        if std::os::windows::fs::symlink_file(&file, &link).is_err() || fs::symlink_metadata(&link).is_err() {
            eprintln!("skipped: no link can be made");
            return;
        }
        assert_ne!(id_at(&link).expect("it is there"), id_at(&file).expect("it is there"));
    }

    #[test]
    fn an_open_file_is_found_under_its_new_name_and_nowhere_once_it_is_deleted() {
        let folder = folder();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let file = create_new(&first).expect("it is created");
        let own = id(&file).expect("it is open");
        assert_eq!(
            (names_left(&file).expect("it is open"), id_behind(&first).expect("it is there")),
            (1, own)
        );
        rename_new(&first, &second).expect("there is no second yet");
        assert!(id_behind(&first).is_err());
        let name = name(&file).expect("it has one");
        fs::remove_file(&second).expect("others may remove it");
        if name.file_name() == first.file_name() {
            eprintln!(
                "skipped: Wine does not know that an open file was renamed, nor that another program deletes it"
            );
            return;
        }
        assert_eq!(name.file_name(), second.file_name());
        assert_eq!(names_left(&file).expect("it is open"), 0);
    }

    #[test]
    fn handles_are_told_apart() {
        let file = tempfile::tempfile().expect("it is created");
        let (reader, writer) = io::pipe().expect("there is memory");
        let nothing = File::open("NUL").expect("it is always there");
        assert_eq!((is_regular(&file), is_pipe(&file)), (true, false));
        assert_eq!((is_regular(&reader), is_pipe(&reader)), (false, true));
        assert_eq!((is_regular(&writer), is_pipe(&writer)), (false, true));
        assert_eq!((is_regular(&nothing), is_pipe(&nothing)), (false, false));
    }
}
