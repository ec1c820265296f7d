//! A save that is sent to a client: the segments, one after the other, as they are on disk. The client makes a file of them,
//! as its own user. The files stay open until they are sent, so what the recorder removes meanwhile takes room until then:
//! that is bounded by the number of saves and by their time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, UNIX_EPOCH};

use hone_client::Refusal;
use hone_client::protocol::KeptPart;

use super::Recent;
use crate::input::Refused;

/// How long a save may take.
const AT_MOST: Duration = Duration::from_secs(600);
/// The file in which the recorder says what it is to keep.
const LOCK: &str = "lock";
/// Most bytes of that.
const LOCK_BYTES: u64 = 256;
/// What the names of segments end with.
const ENDING: &str = "pcapng";
/// Most segments. A recorder has about ten.
const MOST: usize = 256;

/// What is sent next.
pub(crate) enum Step {
    /// So many bytes of a segment.
    Bytes(usize),
    /// A segment ends here; whether it was the last one.
    End(bool),
}

/// A save on its way to a client.
#[derive(Debug)]
pub(crate) struct Saving {
    /// Oldest first.
    files: VecDeque<File>,
    began: Instant,
    recent: Arc<Recent>,
    of_root: bool,
}

impl Saving {
    /// Begins a save. Returns it with what the client is told of it.
    ///
    /// # Errors
    /// Another one is on its way, or there is nothing.
    pub(crate) fn begin(recent: &Arc<Recent>, of_root: bool) -> Result<(Self, KeptPart), Refused> {
        if recent.saves[usize::from(of_root)].swap(true, Relaxed) {
            let who = if of_root { "root" } else { "members of the group" };
            return Err((
                Refusal::Busy,
                format!("another save for {who} is on its way; try again when it is done"),
            ));
        }
        // From here on, dropping it gives the place back.
        let mut saving =
            Self { files: VecDeque::new(), began: Instant::now(), recent: Arc::clone(recent), of_root };
        let directory = recent.settings.kept();
        let kept = saving.open(&directory);
        let kept =
            kept.map_err(|error| (Refusal::Fault, format!("cannot read {}: {error}", directory.display())))?;
        if saving.files.is_empty() {
            let text = "nothing is kept yet; honed's log says whether the recorder runs";
            return Err((Refusal::Busy, text.to_owned()));
        }
        Ok((saving, kept))
    }

    fn open(&mut self, directory: &Path) -> std::io::Result<KeptPart> {
        let found = match directory.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(KeptPart::default()),
            found => found?,
        };
        // As the recorder has made it: no other user can put anything there.
        let own = rustix::process::geteuid().as_raw();
        if !found.is_dir() || found.uid() != own || found.mode() & 0o022 != 0 {
            return Err(std::io::Error::other("others can change it"));
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory)?.take(MOST) {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != ENDING) {
                continue;
            }
            match File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path) {
                Ok(file) if file.metadata()?.is_file() => files.push((file.metadata()?, path, file)),
                Ok(_) => {}
                // It has become too old.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // By when they were written to last; those of the same moment, by their names.
        files.sort_by_key(|(data, path, _)| (data.modified().ok(), path.clone()));
        let mut kept =
            KeptPart { segments: files.len().try_into().unwrap_or(u32::MAX), ..KeptPart::default() };
        let oldest = files.iter().filter_map(|(data, ..)| data.created().ok()).min();
        kept.began = oldest.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        kept.bytes = files.iter().map(|(data, ..)| data.len()).sum();
        if let Ok(file) = File::open(directory.join(LOCK)) {
            file.take(LOCK_BYTES).read_to_end(&mut kept.asked)?;
        }
        self.files = files.into_iter().map(|(.., file)| file).collect();
        Ok(kept)
    }

    /// Reads what is sent next.
    ///
    /// # Errors
    /// It cannot be read, or the save takes too long.
    pub(crate) fn step(&mut self, buffer: &mut [u8]) -> Result<Step, String> {
        if self.began.elapsed() > AT_MOST {
            return Err(format!("the save took longer than {} minutes", AT_MOST.as_secs() / 60));
        }
        let Some(file) = self.files.front_mut() else { return Ok(Step::End(true)) };
        match file.read(buffer) {
            Ok(0) => {
                self.files.pop_front();
                Ok(Step::End(self.files.is_empty()))
            }
            Ok(count) => Ok(Step::Bytes(count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => self.step(buffer),
            Err(error) => Err(format!("what is kept cannot be read: {error}")),
        }
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        self.recent.saves[usize::from(self.of_root)].store(false, Relaxed);
    }
}
