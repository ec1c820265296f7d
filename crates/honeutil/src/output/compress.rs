//! Compresses one finished file. Either the compressed file is complete, or the original stays.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::output::part_file::{self, Part, with_suffix};
use crate::platform::file::FileId;

/// zstd's default level: text shrinks to a fifth, at some hundred MiB a second.
const LEVEL: i32 = 3;
const CHUNK_BYTES: usize = 1 << 20;
/// The extension of compressed files.
const SUFFIX: &str = ".zst";

/// The name of the compressed file of `path`.
pub(crate) fn compressed_name(path: &Path) -> PathBuf {
    with_suffix(path, SUFFIX)
}

/// The name of the plain file that belongs to an unfinished compressed one.
pub(crate) fn plain_name(part: &str) -> Option<&str> {
    part.strip_suffix(part_file::SUFFIX)?.strip_suffix(SUFFIX)
}

/// Compresses the file, which has this identity, and then removes it. Calls `wanted` from time to time, and stops when
/// it returns false. Returns the compressed file's name and length, or `None` if it stopped. If no compressed file was
/// made, the plain one is unchanged.
pub(crate) fn compress(
    path: &Path,
    id: FileId,
    wanted: &mut dyn FnMut() -> bool,
) -> io::Result<Option<(PathBuf, u64)>> {
    let name = compressed_name(path);
    let plain = File::open(path).map_err(said)?;
    if FileId::of(&plain)? != id {
        return Err(io::Error::other("there is another file of its name now"));
    }
    let part = Part::create(&name)?;
    if !fill(plain, part.file(), wanted)? {
        return Ok(None);
    }
    let length = part.file().metadata()?.len();
    // An existing file of that name is never overwritten.
    part.finish().map_err(said)?;
    if let Err(error) = id.remove_at(path) {
        // The plain file stays, so remove the compressed one: never keep both.
        let _ = fs::remove_file(&name);
        return Err(error);
    }
    Ok(Some((name, length)))
}

/// Writes the compressed file; false if it is no longer wanted.
fn fill(mut plain: File, out: &File, wanted: &mut dyn FnMut() -> bool) -> io::Result<bool> {
    let data = plain.metadata()?;
    let mut encoder = zstd::stream::write::Encoder::new(out, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if !wanted() {
            return Ok(false);
        }
        match plain.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => encoder.write_all(&chunk[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let out = encoder.finish()?;
    out.set_permissions(data.permissions())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        // Only root can give files away. Others own both anyway.
        let _ = fchown(out, Some(data.uid()), Some(data.gid()));
    }
    Ok(true)
}

fn said(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::AlreadyExists => {
            io::Error::new(kind, "there is a compressed file of its name already")
        }
        kind @ io::ErrorKind::NotFound => io::Error::new(kind, "it is no longer there"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(directory: &tempfile::TempDir) -> (PathBuf, FileId) {
        let path = directory.path().join("a.pcapng");
        fs::write(&path, b"0123456789".repeat(1_000_000)).unwrap();
        let id = FileId::of(&File::open(&path).unwrap()).unwrap();
        (path, id)
    }

    fn names(directory: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_compressed_file_takes_the_plain_ones_place() {
        let directory = tempfile::tempdir().unwrap();
        let (path, id) = plain(&directory);
        let (name, length) = compress(&path, id, &mut || true).unwrap().unwrap();
        assert_eq!(names(&directory), ["a.pcapng.zst"]);
        assert_eq!(length, fs::metadata(&name).unwrap().len());
        let data = zstd::stream::decode_all(File::open(&name).unwrap()).unwrap();
        assert_eq!(data, b"0123456789".repeat(1_000_000));
    }

    #[test]
    fn whatever_goes_wrong_the_plain_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (path, id) = plain(&directory);
        assert_eq!(compress(&path, id, &mut || false).unwrap(), None);
        assert_eq!(names(&directory), ["a.pcapng"]);
        let other = FileId::of(&File::create(directory.path().join("other")).unwrap()).unwrap();
        fs::remove_file(directory.path().join("other")).unwrap();
        assert!(compress(&path, other, &mut || true).is_err());
        fs::write(compressed_name(&path), "precious").unwrap();
        assert!(compress(&path, id, &mut || true).unwrap_err().to_string().contains("already"));
        assert_eq!(names(&directory), ["a.pcapng", "a.pcapng.zst"]);
        assert_eq!(fs::read(compressed_name(&path)).unwrap(), b"precious");
    }

    #[test]
    fn what_a_killed_recorder_left_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let (path, id) = plain(&directory);
        fs::write(directory.path().join("a.pcapng.zst.part"), "half").unwrap();
        assert!(compress(&path, id, &mut || true).unwrap().is_some());
        assert_eq!(names(&directory), ["a.pcapng.zst"]);
    }
}
