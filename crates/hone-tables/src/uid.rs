//! Ids that are unique over hosts and time. Each is the first 32 hexadecimal digits of a SHA-256 over a text, so that
//! every database can compute it from the columns of a row.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// Bytes of the hash that an id shows.
const BYTES: usize = 16;

/// What a process runs, as the kernel distinguishes it within a boot: the same in every recording, whenever it began and
/// whatever the clock was set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// When the process was forked, nanoseconds since the boot.
    pub born: u64,
    /// How many programs it, and before its fork its ancestors, have executed.
    pub executions: u32,
}

/// The id of a program that a process runs: `process|HOST|BOOT|PID|BORN|EXECUTIONS`.
#[must_use]
pub fn run(host: &str, boot: &str, pid: u32, run: Run) -> Arc<str> {
    let Run { born, executions } = run;
    hash(format_args!("process|{host}|{boot}|{pid}|{born}|{executions}"))
}

/// The id of a program that a process runs, where the boot or the [`Run`] is not recorded: `process|HOST|PID|START`.
///
/// `start`: nanoseconds since 1970-01-01 UTC at which the process began this program, by a fork or an exec. If it is
/// not known, the text has nothing in its place.
#[must_use]
pub fn process(host: &str, pid: u32, start: Option<u64>) -> Arc<str> {
    hash(format_args!("process|{host}|{pid}|{}", Known(start)))
}

/// The id of a connection: `connection|HOST|BOOT|ID`.
///
/// The kernel counts connections anew in each boot. `opened`: for a recording that does not name its boot, the
/// nanoseconds since 1970-01-01 UTC at which the connection was opened, which is used instead.
#[must_use]
pub fn connection(host: &str, boot: Option<&str>, opened: Option<u64>, id: u64) -> Arc<str> {
    match boot {
        Some(boot) => hash(format_args!("connection|{host}|{boot}|{id}")),
        None => hash(format_args!("connection|{host}|{}|{id}", Known(opened))),
    }
}

/// The id of a flow without a connection: `flow|HOST|FIRST|PROTOCOL|LOCAL|REMOTE`.
///
/// `first`: nanoseconds since 1970-01-01 UTC of its first packet. `ends`: the local and the remote address, each with
/// its port if there is one.
#[must_use]
pub fn flow(host: &str, first: Option<u64>, protocol: u8, ends: [&str; 2]) -> Arc<str> {
    hash(format_args!("flow|{host}|{}|{protocol}|{}|{}", Known(first), ends[0], ends[1]))
}

/// A short name for an input, the same whenever it is read: of its first bytes, and of what is selected of it.
#[must_use]
pub fn input(begin: &[u8], selection: &str) -> String {
    let hash = Sha256::new().chain_update(begin).chain_update([0]).chain_update(selection).finalize();
    hex(&hash[..4])
}

/// A number, or nothing.
struct Known(Option<u64>);

impl Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |number| number.fmt(f))
    }
}

fn hash(text: std::fmt::Arguments<'_>) -> Arc<str> {
    hex(&Sha256::digest(text.to_string())[..BYTES]).into()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `printf TEXT | sha256sum`.
    #[test]
    fn ids_are_what_a_database_computes() {
        assert_eq!(&*process("web", 7, Some(12)), "3751fd3e0abdb344bdfe401117f41308");
        assert_eq!(&*process("web", 7, None), "900f9600a60ff8f061c7ef2a84f248e8");
        let once = Run { born: 12, executions: 3 };
        assert_eq!(&*run("web", "b", 7, once), "0111ab65f50e60894621640be6012718");
        assert_eq!(&*connection("web", Some("b"), Some(3), 9), "8ce20132d18062c057e6c81a2d269705");
        assert_eq!(&*connection("web", None, Some(3), 9), "c6c19c114024a51b0c48f1edb8a20983");
        assert_eq!(
            &*flow("web", Some(3), 17, ["10.0.0.1:5", "[::1]:53"]),
            "1a79953c40d52945b516769b0b5449c5"
        );
    }
}
