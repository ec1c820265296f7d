//! The loaded driver.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::{Probe, StandIn, Wine};

static WINE: OnceLock<Option<Wine>> = OnceLock::new();
static TURN: Mutex<()> = Mutex::new(());

/// The file to which the stand-in writes its own failures and the driver's forbidden calls.
const LOG: &str = "stand-in.log";
const FAILED: &str = "the stand-in has failed, or the driver has made a call that it must not make";
const PORT: &str = "stand-in.port";
const END: &str = "stand-in.end";
const OLD_WINDOWS: &str = "old-windows";
const NO_FILTER_ENGINE: &str = "no-filter-engine";

/// The loaded driver. Unloaded when dropped.
#[derive(Debug)]
pub struct Driver {
    /// The connection over which tests control what happens.
    pub stand_in: StandIn,
    wine: &'static Wine,
    is_loaded: bool,
    _turn: MutexGuard<'static, ()>,
}

/// What the driver has left behind.
#[derive(Debug)]
pub struct Left {
    /// Callouts and notify routines that are still registered, and sessions of the filter engine that are still open.
    pub registered: u64,
    /// Number of frees of memory that was not allocated.
    pub wrong_frees: u64,
    /// Number of allocations and frees for each tag.
    pub tags: BTreeMap<String, (u64, u64)>,
}

impl Left {
    /// Whether the driver has released everything.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.registered == 0
            && self.wrong_frees == 0
            && self.tags.values().all(|(taken, given)| taken == given)
    }
}

/// Loads the driver. Where it cannot be tested, prints the reason and returns `None`.
///
/// # Panics
/// The driver does not load.
#[must_use]
pub fn driver() -> Option<Driver> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wine = WINE.get_or_init(Wine::new).as_ref()?;
    for file in [OLD_WINDOWS, NO_FILTER_ENGINE] {
        let _ = fs::remove_file(wine.folder().join(file));
    }
    Some(Driver {
        stand_in: load(wine, || wine.run("sc", &["start", "hone"])),
        wine,
        is_loaded: true,
        _turn: turn,
    })
}

fn load(wine: &Wine, start: impl FnOnce() -> bool) -> StandIn {
    for file in [LOG, PORT, END] {
        let _ = fs::remove_file(wine.folder().join(file));
    }
    wine.keep_server();
    assert!(start(), "the service starts; {}", log(wine));
    // The stand-in listens before the driver is ready. Until the driver is ready, Wine does not pass a request to stop
    // on to it.
    assert!(wine.is_running(), "the service runs; {}", log(wine));
    StandIn::connect(&await_file(wine, PORT))
}

fn log(wine: &Wine) -> String {
    fs::read_to_string(wine.folder().join(LOG)).unwrap_or_default()
}

fn await_file(wine: &Wine, name: &str) -> String {
    let begin = Instant::now();
    loop {
        match fs::read_to_string(wine.folder().join(name)) {
            Ok(text) if !text.is_empty() => return text,
            _ => assert!(begin.elapsed() < Duration::from_secs(20), "no {name}; {}", log(wine)),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Driver {
    /// Starts a new probe.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe::start(self.wine, r"C:\hone\hone-probe.exe")
    }

    /// Starts a new 32-bit probe. Where Wine runs no 32-bit programs, prints that on standard error and returns `None`.
    #[must_use]
    pub fn probe32(&self) -> Option<Probe> {
        if !self.wine.has_probe32() {
            eprintln!(
                "skipped: no program of 32 bits (HONE_WINE_I386 of scripts/test-windows says where Wine's part for them is)"
            );
            return None;
        }
        Some(Probe::start(self.wine, r"C:\hone32\hone-probe.exe"))
    }

    /// The Wine prefix, to run Wine's own programs.
    #[must_use]
    pub const fn wine(&self) -> &'static Wine {
        self.wine
    }

    /// Asks the service to stop. Returns whether it stopped.
    pub fn stop(&mut self) -> bool {
        self.wine.run("sc", &["stop", "hone"]);
        self.is_loaded = self.wine.is_running();
        !self.is_loaded
    }

    /// Unloads the driver. Returns what it has left behind.
    ///
    /// # Panics
    /// The driver does not stop.
    pub fn unload(&mut self) -> Left {
        assert!(self.stop(), "the service stops; {}", log(self.wine));
        let text = await_file(self.wine, END);
        let mut left = Left { registered: 0, wrong_frees: 0, tags: BTreeMap::new() };
        for (key, value) in text.split_whitespace().filter_map(|word| word.split_once('=')) {
            let number = |text: &str| text.parse::<u64>().expect("the account is of numbers");
            match (key, value.split_once('/')) {
                ("callouts" | "notify" | "engine", _) => left.registered += number(value),
                ("wrong", _) => left.wrong_frees = number(value),
                (tag, Some((taken, given))) => {
                    left.tags.insert(tag.to_owned(), (number(taken), number(given)));
                }
                _ => {}
            }
        }
        left
    }

    /// What the stand-in has reported: its own failures, and calls of the driver that the documentation does not allow.
    /// It is taken, so that it does not make the test fail.
    #[must_use]
    pub fn take_failures(&self) -> String {
        let failures = log(self.wine);
        let _ = fs::remove_file(self.wine.folder().join(LOG));
        failures
    }

    /// Loads the driver again. If `is_new` is not set, the kernel is like Windows 7: newer functions are missing, so the test
    /// does not set the clock, and there is no room for another routine for images.
    pub fn load(&mut self, is_new: bool) {
        assert!(!self.is_loaded, "it is unloaded");
        assert_eq!(log(self.wine), "", "{FAILED}");
        if !is_new {
            fs::write(self.wine.folder().join(OLD_WINDOWS), "").expect("the folder is there");
        }
        self.stand_in = load(self.wine, || self.wine.run("sc", &["start", "hone"]));
        self.is_loaded = true;
    }

    /// Lets the base filtering engine run or not, when the driver is loaded next.
    ///
    /// # Panics
    /// The file for this cannot be written.
    pub fn run_filter_engine(&self, runs: bool) {
        let path = self.wine.folder().join(NO_FILTER_ENGINE);
        if runs {
            let _ = fs::remove_file(path);
        } else {
            fs::write(path, "").expect("the folder is there");
        }
    }

    /// Like [`Driver::load`], but `start` starts the service and returns whether it succeeded. The driver must have
    /// been unloaded, however it was stopped.
    pub fn load_by(&mut self, start: impl FnOnce() -> bool) {
        assert_eq!(log(self.wine), "", "{FAILED}");
        self.stand_in = load(self.wine, start);
    }

    /// Removes the driver's service. The driver must not be running.
    ///
    /// # Panics
    /// The service cannot be removed.
    pub fn remove(&self) {
        assert!(!self.is_loaded && self.wine.run("sc", &["delete", "hone"]), "the service can be removed");
    }

    /// Makes the service again.
    ///
    /// # Panics
    /// The service cannot be made.
    pub fn create(&self) {
        self.wine.create_service();
    }

    /// Removes the log levels from the registry, if they are there.
    pub fn forget_log_levels(&self) {
        let key = r"HKLM\SYSTEM\CurrentControlSet\Services\hone";
        self.wine.run("reg", &["delete", key, "/v", "LogLevels", "/f"]);
    }

    /// Sets the ring buffer size for readers that open the device from now on. `None` removes the setting.
    ///
    /// # Panics
    /// The registry cannot be written.
    pub fn set_ring_size(&self, bytes: Option<u32>) {
        let key = r"HKLM\SOFTWARE\PNNL\Hone";
        let done = match bytes {
            Some(bytes) => {
                let bytes = bytes.to_string();
                let value = ["/v", "RingBufferSize", "/t", "REG_DWORD", "/d", &bytes, "/f"];
                self.wine.run("reg", &[&["add", key][..], &value].concat())
            }
            None => self.wine.run("reg", &["delete", key, "/f"]),
        };
        assert!(done, "the registry is written");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let log = log(self.wine);
        // Wine can no longer stop a driver that has once refused to stop, or that has failed.
        if self.is_loaded && !self.stop() {
            self.wine.end_all();
        }
        if std::thread::panicking() {
            eprint!("{log}");
        } else {
            assert_eq!(log, "", "{FAILED}");
        }
    }
}
