//! The toolbar of a capture in Wireshark's window. tshark has none, so nothing depends on it.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hone_select::Selection;

use super::control::{Command, Message};
use super::selecting;
use super::sentences::{LOG, SELECT};
use crate::messages::Messages;
use crate::platform;
use crate::record::companion::Companion;
use crate::record::error::RecordError;
use crate::record::feed::Feed;
use crate::record::wanted::Wanted;
use crate::text::{counted, printable_lines};

/// Adds to a selection what is never recorded.
pub(super) type Exclude = Box<dyn Fn(&mut Selection) -> anyhow::Result<()>>;

/// How often the status bar says what was dropped.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What this program says in the window. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Window(Arc<Mutex<Option<Box<dyn Write + Send>>>>);

impl Window {
    /// The window that reads this pipe, if there is one.
    pub(super) fn open(pipe: Option<&Path>) -> Self {
        let file = pipe.and_then(platform::open_control).map(|file| Box::new(file) as Box<dyn Write + Send>);
        Self(Arc::new(Mutex::new(file)))
    }

    fn is_open(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Says something. A window that has closed, or does not read, hears nothing more.
    pub(super) fn say(&self, control: u8, command: Command, text: &str) {
        let mut pipe = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = Message { control, command, text: text.to_owned() }.bytes();
        if pipe.as_mut().is_some_and(|pipe| pipe.write_all(&message).is_err()) {
            *pipe = None;
        }
    }

    /// A line of the log.
    pub(super) fn log(&self, line: &str) {
        self.say(LOG, Command::Add, &format!("{}\n", line.trim_end()));
    }
}

/// The log as a place for messages: the window's, or standard error where there is no window.
impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_open() {
            return Messages.write(bytes);
        }
        self.log(&printable_lines(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Changes the selection as the toolbar says, and says what is lost.
pub(super) struct Toolbar {
    window: Window,
    said: Receiver<Message>,
    wanted: Wanted,
    /// The selection that the field shows.
    text: String,
    exclude: Exclude,
    /// Whether the window has sent the values of the last capture, which are not this one's: its settings count.
    is_initialized: bool,
    told: Instant,
    dropped: u64,
}

impl Toolbar {
    /// The toolbar that writes to this pipe.
    pub(super) fn open(
        pipe: Option<&Path>,
        window: &Window,
        wanted: &Wanted,
        text: String,
        exclude: Exclude,
    ) -> Self {
        let (sender, said) = mpsc::channel();
        if let Some(pipe) = pipe.map(Path::to_owned) {
            // It ends with the program: nothing ends a read of a pipe whose writer goes on.
            thread::spawn(move || listen(&pipe, &sender));
        }
        let (window, wanted) = (window.clone(), wanted.clone());
        Self { window, said, wanted, text, exclude, is_initialized: false, told: Instant::now(), dropped: 0 }
    }

    /// What a selection is in a feed.
    fn text_form(&self, text: &str) -> anyhow::Result<Vec<u8>> {
        let mut selection = selecting::selection(text)?;
        (self.exclude)(&mut selection)?;
        Ok(Wanted::new(self.wanted.snap_length, &selection).selection)
    }

    fn select(&mut self, text: &str, feed: &mut dyn Feed) {
        if text.trim() == self.text {
            return;
        }
        let set = self.text_form(text).and_then(|form| Ok(feed.set_selection(&form)?));
        match set {
            Ok(()) => {
                self.text = text.trim().to_owned();
                let what = if self.text.is_empty() { "everything" } else { &self.text };
                self.window.say(SELECT, Command::StatusBar, &format!("Hone selects {what}"));
                self.window.log(&format!("From now on, Hone selects {what}"));
            }
            Err(error) => {
                let message = format!("The selection stays as it was: {error:#}");
                self.window.say(SELECT, Command::Warning, &message);
                self.window.log(&message);
            }
        }
    }
}

/// Passes on what the window says.
fn listen(pipe: &Path, to: &Sender<Message>) {
    let Ok(mut pipe) = std::fs::File::open(pipe) else { return };
    while let Ok(Some(message)) = Message::read(&mut pipe) {
        if to.send(message).is_err() {
            return;
        }
    }
}

impl Companion for Toolbar {
    fn begun(&mut self) {
        self.window.log("Hone records");
    }

    fn note(&mut self, _blocks: &[u8]) {}

    fn is_over(&mut self) -> bool {
        false
    }

    fn steer(&mut self, feed: &mut dyn Feed) -> Result<(), RecordError> {
        while let Ok(message) = self.said.try_recv() {
            match message.command {
                Command::Initialized => {
                    self.is_initialized = true;
                    self.window.say(SELECT, Command::Set, &self.text);
                }
                Command::Set if message.control == SELECT && self.is_initialized => {
                    self.select(&message.text, feed);
                }
                _ => {}
            }
        }
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let dropped = feed.dropped_packets();
            if dropped != self.dropped {
                self.dropped = dropped;
                let message = format!("Hone has dropped {}", counted(dropped, "packet"));
                self.window.say(SELECT, Command::StatusBar, &message);
                self.window.log(&message);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hone_engine::{Nanos, Read};

    use super::*;
    use crate::record::feed::Fetched;
    use crate::record::losses::Losses;

    /// A feed that only remembers what it is to select.
    #[derive(Default)]
    struct Selecting(Vec<Vec<u8>>);

    impl Feed for Selecting {
        fn catch_up_time(&self) -> Duration {
            Duration::ZERO
        }

        fn fetch(&mut self, _wait: Duration, _most: usize) -> Result<Fetched, RecordError> {
            Ok(Fetched { all: true, latest: 0 })
        }

        fn read(&mut self, _buffer: &mut [u8]) -> Result<Read, RecordError> {
            Ok(Read::Empty)
        }

        fn end_section(&mut self) -> Result<(), RecordError> {
            Ok(())
        }

        fn holds_back(&mut self) -> bool {
            false
        }

        fn set_selection(&mut self, text: &[u8]) -> Result<(), RecordError> {
            self.0.push(text.to_vec());
            Ok(())
        }

        fn now(&self) -> Nanos {
            0
        }

        fn losses(&mut self) -> Losses {
            Losses::default()
        }

        fn dropped_packets(&mut self) -> u64 {
            7
        }
    }

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_toolbar_changes_the_selection_and_keeps_it_when_the_new_one_is_wrong() {
        let (sender, said) = mpsc::channel();
        let told = Said::default();
        let mut toolbar = Toolbar {
            window: Window(Arc::new(Mutex::new(Some(Box::new(told.clone()))))),
            said,
            wanted: Wanted::default(),
            text: "--name curl".to_owned(),
            exclude: Box::new(|selection| Ok(selection.add(hone_select::Word::Pid, true, "42")?)),
            is_initialized: false,
            told: Instant::now() - 2 * TELL_EVERY,
            dropped: 0,
        };
        let mut feed = Selecting::default();
        let mut hear = |toolbar: &mut Toolbar, control, command, text: &str| {
            sender.send(Message { control, command, text: text.to_owned() }).unwrap();
            toolbar.steer(&mut feed).unwrap();
            let mut told = told.0.lock().unwrap();
            let mut rest = told.as_slice();
            let mut messages = Vec::new();
            while let Some(message) = Message::read(&mut rest).unwrap() {
                messages.push((message.control, message.command, message.text));
            }
            told.clear();
            messages
        };
        let dropped = "Hone has dropped 7 packets".to_owned();
        assert_eq!(
            hear(&mut toolbar, SELECT, Command::Set, "--name old"),
            [(SELECT, Command::StatusBar, dropped.clone()), (LOG, Command::Add, dropped + "\n")],
            "the value of the last capture is not taken"
        );
        assert_eq!(
            hear(&mut toolbar, SELECT, Command::Initialized, ""),
            [(SELECT, Command::Set, "--name curl".to_owned())]
        );
        assert_eq!(
            hear(&mut toolbar, SELECT, Command::Set, "port 80"),
            [
                (SELECT, Command::StatusBar, "Hone selects port 80".to_owned()),
                (LOG, Command::Add, "From now on, Hone selects port 80\n".to_owned()),
            ]
        );
        let wrong = hear(&mut toolbar, SELECT, Command::Set, "--port x");
        let message = "The selection stays as it was: --port x: must be a port, 0 to 65535".to_owned();
        assert_eq!(wrong[0], (SELECT, Command::Warning, message));
        assert_eq!(hear(&mut toolbar, LOG, Command::Set, ""), [], "the window opens its log by itself");
        let [selected] = feed.0.as_slice() else { panic!("{:?}", feed.0) };
        let text = String::from_utf8_lossy(selected);
        assert!(text.contains("--filter\0port 80") && text.contains("--not-pid\x0042"), "{text:?}");
    }
}
