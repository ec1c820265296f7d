//! Which programs a stream reaches: those that read its pipe, those that read what these write to, and so on.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use crate::text::printable;

/// Most programs that are found: `honeutil | gzip | nc` has two.
const MAX_READERS: usize = 16;
/// Most pipes that are followed.
const MAX_PIPES: usize = 64;
/// Characters of a program's name.
pub(super) const NAME_WIDTH: usize = 24;
/// The descriptor of the standard output.
const STDOUT: u32 = 1;
/// Flags of open(2) as proc(5) has them. They have these values on all processors that Hone supports.
const ACCESS: u32 = 0o3;
const WRITE_ONLY: u32 = 0o1;
const READ_WRITE: u32 = 0o2;
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// A device and an inode number.
type File = (u64, u64);

/// A pipe that a process has open.
#[derive(Debug, Clone, Copy)]
struct Descriptor {
    pid: u32,
    number: u32,
    file: File,
    /// As [`ACCESS`] and the others.
    flags: u32,
    /// Whether this is a FIFO, which has a name in a file system.
    is_named: bool,
}

impl Descriptor {
    fn reads(&self) -> bool {
        self.flags & ACCESS != WRITE_ONLY
    }

    fn writes(&self) -> bool {
        matches!(self.flags & ACCESS, WRITE_ONLY | READ_WRITE)
    }

    /// Whether the stream can go on through this. Besides the standard output, that is what the shell has prepared for
    /// this program or what has a name: `tee >(nc HOST PORT)`, `tee FIFO`. It is not
    /// - what this program (`own`) has under the same number: both have it from the shell, such as the standard error;
    /// - a pipe that is closed when a program is started: the process has made it itself, for example for the input of its
    ///   children. A script that reads the stream can have many children that have nothing to do with the stream.
    fn passes_on(&self, own: u32, all: &[Self]) -> bool {
        let is_own = |other: &Self| (other.pid, other.number, other.file) == (own, self.number, self.file);
        let is_prepared = || (self.is_named || self.flags & CLOSE_ON_EXEC == 0) && !all.iter().any(is_own);
        self.writes() && (self.number == STDOUT || is_prepared())
    }
}

/// The programs that read a pipe, those that read what they write to, and so on, by process id; the nearest first. Parents
/// of them are not meant, although a shell has the pipe for a moment, too: it sends nothing.
pub(super) fn find(pipe: &Metadata) -> Vec<(u32, String)> {
    let pipe = (pipe.dev(), pipe.ino());
    let pids = follow(pipe, std::process::id(), &descriptors(pipe));
    let name = |pid: u32| {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        printable(String::from_utf8_lossy(&name).trim_end(), NAME_WIDTH)
    };
    pids.into_iter().map(|pid| (pid, name(pid))).collect()
}

fn follow(pipe: File, own: u32, all: &[Descriptor]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut pipes = vec![pipe];
    let mut next = 0;
    while let Some(pipe) = pipes.get(next).copied() {
        next += 1;
        for reader in all.iter().filter(|one| one.file == pipe && one.pid != own && one.reads()) {
            if found.len() == MAX_READERS {
                return found;
            }
            if found.contains(&reader.pid) {
                continue;
            }
            found.push(reader.pid);
            for written in all.iter().filter(|one| one.pid == reader.pid && one.passes_on(own, all)) {
                if pipes.len() < MAX_PIPES && !pipes.contains(&written.file) {
                    pipes.push(written.file);
                }
            }
        }
    }
    found
}

/// All pipes that processes have open; and `stream`, also if this is no pipe.
fn descriptors(stream: File) -> Vec<Descriptor> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found = Vec::new();
    for pid in pids {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| descriptor(pid, entry.file_name().to_str()?, stream)));
    }
    found
}

fn descriptor(pid: u32, number: &str, stream: File) -> Option<Descriptor> {
    let path = format!("/proc/{pid}/fd/{number}");
    let data = fs::metadata(&path).ok()?;
    let file = (data.dev(), data.ino());
    if !data.file_type().is_fifo() && file != stream {
        return None;
    }
    let flags = flags(&fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?)?;
    let is_named = fs::read_link(path).is_ok_and(|target| target.is_absolute());
    Some(Descriptor { pid, number: number.parse().ok()?, file, flags, is_named })
}

/// The flags of a descriptor, in octal digits (proc(5)).
fn flags(fdinfo: &str) -> Option<u32> {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use hone_testing::wait_for;

    use super::*;

    #[test]
    fn the_stream_is_followed_through_what_the_shell_prepared_and_fifos_but_not_into_children_of_a_script() {
        const OWN: u32 = 10;
        let pipe =
            |pid, number, inode, flags| Descriptor { pid, number, file: (1, inode), flags, is_named: false };
        let fifo =
            |pid, number, inode, flags| Descriptor { is_named: true, ..pipe(pid, number, inode, flags) };
        let all = [
            pipe(OWN, 1, 100, WRITE_ONLY),
            pipe(OWN, 2, 200, WRITE_ONLY),
            // Reads the stream, and writes to the standard output, to `>(…)` and to a FIFO.
            pipe(20, 0, 100, 0),
            pipe(20, 1, 101, WRITE_ONLY),
            pipe(20, 2, 200, WRITE_ONLY),
            pipe(20, 63, 102, WRITE_ONLY),
            fifo(20, 5, 103, WRITE_ONLY | CLOSE_ON_EXEC),
            pipe(20, 6, 104, WRITE_ONLY | CLOSE_ON_EXEC),
            pipe(20, 7, 105, 0),
            // These read that; the one behind the FIFO has it open for both.
            pipe(21, 0, 101, 0),
            pipe(22, 0, 102, 0),
            fifo(23, 3, 103, READ_WRITE),
            // A second program behind the one at `>(…)`.
            pipe(22, 1, 106, WRITE_ONLY),
            pipe(24, 0, 106, 0),
            // What reads messages, a child that a script feeds, the other reader of what this program reads, and the writers.
            pipe(30, 0, 200, 0),
            pipe(31, 0, 104, 0),
            pipe(32, 0, 105, 0),
            pipe(33, 1, 102, WRITE_ONLY),
        ];
        assert_eq!(follow((1, 100), OWN, &all), [20, 21, 22, 23, 24]);
        // What both have from the shell, and the program has opened again: `tee /dev/fd/2`.
        let mut all = all.to_vec();
        all.push(pipe(20, 8, 200, WRITE_ONLY));
        assert!(follow((1, 100), OWN, &all).contains(&30));
    }

    #[test]
    fn a_long_row_of_programs_is_followed_only_so_far() {
        let mut all = Vec::new();
        for pid in 1..=100 {
            let one =
                |number, inode, flags| Descriptor { pid, number, file: (1, inode), flags, is_named: false };
            all.extend([one(0, u64::from(pid), 0), one(1, u64::from(pid) + 1, WRITE_ONLY)]);
        }
        assert_eq!(follow((1, 1), 1000, &all).len(), MAX_READERS);
    }

    #[test]
    fn the_reader_of_a_pipe_and_all_that_it_writes_to() {
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let (reader, writer) = std::io::pipe().unwrap();
        let mut second = Command::new("cat");
        let mut second = second.arg(&fifo).stdout(Stdio::null()).spawn().unwrap();
        // Descriptor 3 is prepared by the shell, as in `tee >(cat)`.
        let script = r#"exec tee "$0" /dev/fd/3 3>&1 >/dev/null"#;
        let mut first = Command::new("sh");
        let first = first.args(["-c", script]).arg(&fifo).stdin(reader).stdout(Stdio::piped());
        let mut first = first.spawn().unwrap();
        let between = first.stdout.take().unwrap();
        let mut third = Command::new("cat").stdin(between).stdout(Stdio::null()).spawn().unwrap();
        let mut expected = [first.id(), second.id(), third.id()];
        expected.sort_unstable();
        let file = fs::File::from(std::os::fd::OwnedFd::from(writer));
        wait_for("all three are found", || {
            let mut pids: Vec<u32> = find(&file.metadata().unwrap()).iter().map(|(pid, _)| *pid).collect();
            pids.sort_unstable();
            (pids == expected).then_some(())
        });
        drop(file);
        for child in [&mut first, &mut second, &mut third] {
            child.wait().unwrap();
        }
    }
}
