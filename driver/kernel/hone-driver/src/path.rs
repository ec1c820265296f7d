//! Paths of executables as users know them: `C:\folder\a.exe`, `\\server\share\a.exe`. The kernel reports them as names of
//! its object manager, in several forms. Keeps no state, and is used at PASSIVE_LEVEL without the lock, because it looks
//! up symbolic links.
//!
//! | the kernel's name | becomes | source |
//! |---|---|---|
//! | `\??\C:\a.exe`, `\DosDevices\C:\a.exe`, `\GLOBAL??\C:\a.exe` | `C:\a.exe` | "Using Files in a Driver"; "Naming Files, Paths, and Namespaces" |
//! | `\??\UNC\server\share\a.exe`, `\Device\Mup\server\share\a.exe` | `\\server\share\a.exe` | "MUP Changes in Microsoft Windows Vista" |
//! | `\Device\HarddiskVolume3\a.exe` | `C:\a.exe`, if the symbolic link `\GLOBAL??\C:` leads to that device | "Naming Files, Paths, and Namespaces" |
//! | `\Device\LanmanRedirector\..`, `\??\Volume{..}\..`, `\??\GLOBALROOT\..`, `\SystemRoot\..` | the target of the symbolic link at its start, and so on | "MUP Changes in Microsoft Windows Vista"; "Naming a Volume"; "Naming Files, Paths, and Namespaces"; none for the last |
//!
//! Every other path stays as it is, for example one on a volume without a drive letter. `ProcessImageFileNameWin32`
//! would do more, but it asks the mount manager, and a notify routine must not wait for others ("Best practices for
//! implementing process and thread-related callback functions"). Symbolic links are only looked up in memory.

use alloc::vec::Vec;

use hone_engine::{OutOfMemory, fallible};

use crate::kernel::Kernel;
use crate::text;

/// The directories of the object manager in which the drive letters are.
const DOS_DEVICES: [&[u8]; 3] = [br"\??\", br"\GLOBAL??\", br"\DosDevices\"];
/// In those directories: the device of the servers.
const UNC: &[u8] = br"UNC\";
const DEVICE: &[u8] = br"\Device\";
/// The device of the servers itself.
const MUP: &[u8] = br"\Device\Mup\";

const SEPARATOR: u16 = b'\\' as u16;
const COLON: u16 = b':' as u16;
/// Before the name of a redirector, in paths that name one. The server comes after it.
const REDIRECTOR: u16 = b';' as u16;

/// The longest target of a symbolic link that is followed, in UTF-16 units.
const MAX_TARGET: usize = 260;
/// How many links are followed one after the other. Windows has chains of two or three.
const MAX_LINKS: usize = 4;
/// A symbolic link is looked for in so many components at the start of a path: `\Device\Harddisk0\Partition1`.
const MAX_COMPONENTS: usize = 3;

/// The first two characters, `C:` or `\\`, and what follows.
type Named<'a> = ([u8; 2], &'a [u16]);

/// The path in UTF-8, as users know it if that can be found out.
pub(crate) fn user<K: Kernel>(passive: K::Passive, path: &[u16]) -> Result<Vec<u8>, OutOfMemory> {
    let mut followed = Vec::new();
    for _ in 0..=MAX_LINKS {
        let current = if followed.is_empty() { path } else { &followed };
        if let Some((start, rest)) = by_name(current).or_else(|| by_drive::<K>(passive, current)) {
            return text::utf8_after(&start, rest);
        }
        let Some(next) = follow::<K>(passive, current)? else { break };
        followed = next;
    }
    text::utf8(path)
}

/// Of the names that need no lookup.
fn by_name(path: &[u16]) -> Option<Named<'_>> {
    let rest = match DOS_DEVICES.iter().find_map(|start| after(path, start)) {
        Some([letter, COLON, rest @ ..]) => {
            let letter = u8::try_from(*letter).ok().filter(u8::is_ascii_alphabetic)?;
            return Some(([letter, b':'], rest));
        }
        Some(rest) => after(rest, UNC),
        None => after(path, MUP),
    };
    let mut rest = rest?;
    while rest.first() == Some(&REDIRECTOR) {
        let end = rest.iter().position(|&unit| unit == SEPARATOR)?;
        rest = &rest[end + 1..];
    }
    Some(([b'\\'; 2], rest))
}

/// Of a device that has a drive letter. Only letters that all users share count, because every user can make own ones.
fn by_drive<K: Kernel>(passive: K::Passive, path: &[u16]) -> Option<Named<'_>> {
    after(path, DEVICE)?;
    let mut target = [0; MAX_TARGET];
    (b'A'..=b'Z').find_map(|letter| {
        let mut link = br"\GLOBAL??\A:".map(u16::from);
        link[10] = letter.into();
        let length = K::link(passive, &link, &mut target).filter(|&length| length > 0)?;
        let (device, rest) = path.split_at_checked(length)?;
        let is_same = device.iter().zip(&target).all(|(one, other)| lower(*one) == lower(*other));
        (is_same && rest.first() == Some(&SEPARATOR)).then_some(([letter, b':'], rest))
    })
}

/// The path without the symbolic link at its start. `None` if there is none.
fn follow<K: Kernel>(passive: K::Passive, path: &[u16]) -> Result<Option<Vec<u16>>, OutOfMemory> {
    let mut target = [0; MAX_TARGET];
    // A name that does not start at the root is already a user's, or no path at all.
    let starts = path.first() == Some(&SEPARATOR);
    let ends = path.iter().enumerate().skip(1).filter(|(_, unit)| **unit == SEPARATOR).map(|(end, _)| end);
    for end in ends.take(if starts { MAX_COMPONENTS } else { 0 }) {
        if let Some(target) =
            K::link(passive, &path[..end], &mut target).and_then(|length| target.get(..length))
        {
            let mut joined = fallible::vec(target.len() + path.len() - end)?;
            fallible::append(&mut joined, target)?;
            fallible::append(&mut joined, &path[end..])?;
            return Ok(Some(joined));
        }
    }
    Ok(None)
}

/// What follows `start`, which is compared without regard to case, as the object manager does.
fn after<'a>(path: &'a [u16], start: &[u8]) -> Option<&'a [u16]> {
    let (own, rest) = path.split_at_checked(start.len())?;
    own.iter().zip(start).all(|(one, other)| lower(*one) == lower((*other).into())).then_some(rest)
}

fn lower(unit: u16) -> u16 {
    u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_lowercase().into())
}
