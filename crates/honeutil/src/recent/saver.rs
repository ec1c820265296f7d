//! Saves while the recording goes on: on request, and when a rule is met.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Instant;

use super::Directory;
use super::join::{JoinError, Saved, Segments};
use super::report::{self, Cause};
use super::rules::{Noted, Rule, Watch};
use super::schedule::{Pace, Schedule};
use crate::cut::{CutError, FileError};
use crate::messages::{Messages, print};
use crate::output::archive::Newest;
use crate::output::{Paths, Target, file_names};
use crate::platform::host;
use crate::text::{counted, duration, shown_path};

/// How many names are tried if they are taken.
const MAX_NUMBER: u32 = 9999;

/// Who is told of saves.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// No messages but errors.
    pub is_quiet: bool,
    /// A line of JSON on standard output for each.
    pub by_json: bool,
}

/// When it is saved, besides requests.
#[derive(Debug)]
pub struct When {
    /// When one of these is met.
    pub rules: Vec<Rule>,
    /// How long after that, and how often.
    pub pace: Pace,
    /// Rules save only while there are fewer files than this.
    pub most_files: NonZeroU32,
    /// At the end of the recording, whatever happened. Else what is kept stays.
    pub at_end: bool,
}

/// All files that a saver has saved.
#[derive(Debug, Default)]
pub struct Saves {
    /// Their paths.
    pub(crate) paths: Paths,
    /// Their total size.
    pub(crate) bytes: u64,
    /// The names of the first and of the last one, fit to be shown.
    shown: (String, String),
}

impl Saves {
    fn add(&mut self, saved: &Saved) {
        self.paths.add(&saved.path);
        self.bytes += saved.bytes;
        self.shown.1 = shown_path(&saved.path);
        if self.paths.count == 1 {
            self.shown.0.clone_from(&self.shown.1);
        }
    }

    /// Whether nothing was saved.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.count == 0
    }
}

impl std::fmt::Display for Saves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.paths.count, &self.shown) {
            (1, (only, _)) => f.write_str(only),
            (count, (first, last)) => write!(f, "{}, {first} to {last}", counted(count, "file")),
        }
    }
}

/// Joins the segments into files, one after the other, in a thread.
#[derive(Debug)]
pub struct Saver {
    directory: Directory,
    /// What the files are called.
    target: Target,
    host: String,
    rules: Vec<Rule>,
    watch: Option<Watch>,
    schedule: Schedule,
    most_files: NonZeroU32,
    at_end: bool,
    saving: Option<(JoinHandle<Result<Saved, JoinError>>, Cause)>,
    saves: Saves,
    /// Whether a file could not be saved.
    failed: bool,
    told: Told,
}

impl Saver {
    /// Saves what is in `directory` under the names that `target` and `host` give, on request and as `when` says.
    #[must_use]
    pub fn new(directory: Directory, target: Target, host: &str, when: When, told: Told) -> Self {
        let When { rules, pace, most_files, at_end } = when;
        let host = host.to_owned();
        let schedule = Schedule::new(pace);
        Self {
            directory,
            target,
            host,
            rules,
            watch: None,
            schedule,
            most_files,
            at_end,
            saving: None,
            saves: Saves::default(),
            failed: false,
            told,
        }
    }

    /// How much is kept.
    #[must_use]
    pub fn limits(&self) -> Newest {
        self.directory.limits()
    }

    /// Watches for the rules from now on.
    pub fn watch(&mut self, now: u64) {
        if !self.rules.is_empty() {
            self.watch = Some(Watch::new(std::mem::take(&mut self.rules), now));
        }
    }

    /// Looks at blocks that are recorded.
    pub fn note(&mut self, blocks: &[u8]) {
        if let Some(watch) = &mut self.watch {
            let noted = watch.note(blocks);
            self.met(noted);
        }
    }

    fn met(&mut self, noted: Noted) {
        if let Some((met, wait)) = self.schedule.note(noted, Instant::now())
            && !self.told.is_quiet
        {
            let _ = writeln!(Messages, "{met}: saving in {}", duration(wait));
        }
    }

    /// What is to be saved now, if anything: `is_asked`, or a rule is due. Looks for what no block says.
    pub fn due(&mut self, is_asked: bool) -> Option<Cause> {
        if let Some(watch) = &mut self.watch {
            let noted = watch.look(host::now());
            self.met(noted);
        }
        match self.schedule.take_due(Instant::now()) {
            Some(asked) => Some(Cause::Rule(asked)),
            None => is_asked.then_some(Cause::Asked),
        }
    }

    /// Whether a save is under way. Reports one that is done.
    pub fn is_busy(&mut self) -> bool {
        if self.saving.as_ref().is_some_and(|(thread, _)| !thread.is_finished()) {
            return true;
        }
        self.wait();
        false
    }

    /// Saves all segments but `current`, the one that is being written.
    pub fn begin(&mut self, current: Option<&Path>, cause: Cause) {
        self.wait();
        let name = self.name();
        // Whoever can meet a rule again and again must not fill the disk.
        let is_by_rule = matches!(cause, Cause::Rule(_));
        let files = if is_by_rule { self.files() } else { 0 };
        if files >= u64::from(self.most_files.get()) {
            let directory = shown_path(&self.target_directory());
            let why = format!(
                "{} of this recorder are in {directory} (--save-files): remove or move some of them{cause}",
                counted(files, "file")
            );
            return self.report(Err(why), &cause);
        }
        let to_keep = if is_by_rule { self.limits().bytes } else { 0 };
        let opened = Segments::open(self.directory.path(), current)
            .and_then(|opened| opened.check_room(&name, to_keep).map(|()| opened));
        let begun = opened.map(|opened| {
            std::thread::Builder::new().name("save".to_owned()).spawn(move || save(&opened, &name))
        });
        match begun {
            Ok(Ok(thread)) => self.saving = Some((thread, cause)),
            Ok(Err(error)) => self.report(Err(format!("there is no thread: {error}")), &cause),
            Err(error) => self.report(Err(error.to_string()), &cause),
        }
    }

    /// Saves all, and removes the segments, unless they are to stay. Returns all that was saved since the
    /// beginning, and whether everything that was to be saved was.
    pub fn finish(mut self) -> (Saves, bool) {
        self.wait();
        let cause = match self.schedule.take() {
            Some(asked) => Cause::Rule(asked),
            None if self.at_end => Cause::End,
            None => return (self.saves, !self.failed),
        };
        let opened = Segments::open(self.directory.path(), None);
        match opened.and_then(|opened| save(&opened, &self.name())) {
            Ok(saved) => {
                self.report(Ok(&saved), &cause);
                if !saved.is_whole {
                    let kept = shown_path(self.directory.path());
                    self.failed(&format!("a warning names what is missing. It stays in {kept}"));
                } else if self.at_end
                    && let Err(error) = self.directory.remove()
                {
                    tracing::info!("what else is in the directory of the newest part stays: {error}");
                }
            }
            Err(error) => {
                let kept = shown_path(self.directory.path());
                let why = format!("{error}. It is in {kept}: `honeutil save --from {kept} FILE`");
                self.report(Err(why), &cause);
            }
        }
        (self.saves, !self.failed)
    }

    fn wait(&mut self) {
        if let Some((thread, cause)) = self.saving.take() {
            match thread.join() {
                Ok(Ok(saved)) => self.report(Ok(&saved), &cause),
                Ok(Err(error)) => self.report(Err(error.to_string()), &cause),
                Err(_) => self.report(Err("it ended in the middle; please report this".to_owned()), &cause),
            }
        }
    }

    fn report(&mut self, saved: Result<&Saved, String>, cause: &Cause) {
        if self.told.by_json {
            // Who reads it is gone, or the disk is full: the file is saved all the same.
            let _ = print(&report::json(saved.as_ref().copied().map_err(String::as_str), cause));
        }
        match saved {
            Ok(saved) => {
                self.saves.add(saved);
                if !self.told.is_quiet {
                    let _ = writeln!(Messages, "{saved}{cause}");
                }
            }
            Err(why) => self.failed(&why),
        }
    }

    fn failed(&mut self, why: &str) {
        self.failed = true;
        let _ = writeln!(Messages, "honeutil: cannot save the newest part: {why}");
    }

    /// How many files are there that have names as saved ones have.
    fn files(&self) -> u64 {
        let is_saved = |name: &str| match &self.target {
            Target::File(path) => file_names::is_numbered(path, name),
            Target::Directory(_) | Target::Stdout => file_names::is_by_time(&self.host, name),
        };
        let entries = std::fs::read_dir(self.target_directory()).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_str().is_some_and(is_saved)).count() as u64
    }

    fn target_directory(&self) -> PathBuf {
        let directory = match &self.target {
            Target::File(path) => path.parent().unwrap_or(Path::new("")),
            Target::Directory(directory) => directory,
            Target::Stdout => Path::new(""),
        };
        if directory.as_os_str().is_empty() { ".".into() } else { directory.to_owned() }
    }

    fn name(&self) -> PathBuf {
        match &self.target {
            Target::File(path) => path.clone(),
            Target::Directory(directory) => directory.join(file_names::by_time(&self.host, host::now())),
            Target::Stdout => file_names::by_time(&self.host, host::now()).into(),
        }
    }
}

/// Joins into a file of this name, or with a number if that is taken.
fn save(segments: &Segments, name: &Path) -> Result<Saved, JoinError> {
    let mut number = 0;
    loop {
        match segments.join(&file_names::numbered(name, number)) {
            Err(JoinError::Cut(CutError::File(FileError::Exists { .. }))) if number < MAX_NUMBER => {
                number += 1
            }
            joined => return joined,
        }
    }
}
