//! One finished file into one compressed file, all or nothing.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::system::file::{FileId, create_new, rename_new};

/// zstd's own default: a fifth of its size for text, at some hundred MiB a second.
const LEVEL: i32 = 3;
const CHUNK_BYTES: usize = 1 << 20;

/// What the compressed file of `path` is called.
pub(crate) fn compressed_name(path: &Path) -> PathBuf {
    with_suffix(path, ".zst")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Compresses the file, which has this identity, and removes it then. Gives up when `wanted`, asked now and then, says
/// no; the result is then `None`, else the compressed file's name and length. Whenever there is no compressed file,
/// the plain one is as it was.
pub(crate) fn compress(
    path: &Path,
    id: FileId,
    wanted: &mut dyn FnMut() -> bool,
) -> io::Result<Option<(PathBuf, u64)>> {
    let name = compressed_name(path);
    let part = with_suffix(&name, ".part");
    let plain = File::open(path)?;
    if FileId::of(&plain)? != id {
        return Err(io::Error::other("there is another file of its name now"));
    }
    let out = create_new(&part)?;
    let result = fill(plain, out, wanted).and_then(|length| match length {
        // Never over a file of that name.
        Some(length) => rename_new(&part, &name).map_err(said).map(|()| Some((name.clone(), length))),
        None => Ok(None),
    });
    if !matches!(result, Ok(Some(_))) {
        let _ = fs::remove_file(&part);
    } else if id.is_at(path) {
        fs::remove_file(path)?;
    }
    result
}

/// Writes the compressed file and has it reach the disk; its length, or `None` if it is no longer wanted.
fn fill(mut plain: File, out: File, wanted: &mut dyn FnMut() -> bool) -> io::Result<Option<u64>> {
    let data = plain.metadata()?;
    let mut encoder = zstd::stream::write::Encoder::new(out, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if !wanted() {
            return Ok(None);
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
    out.sync_all()?;
    out.metadata().map(|data| Some(data.len()))
}

fn said(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::AlreadyExists => {
            io::Error::new(kind, "there is a compressed file of its name already")
        }
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
}
