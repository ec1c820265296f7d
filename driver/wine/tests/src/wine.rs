//! Wine, with its own prefix.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time that a program under Wine may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long Wine's server runs without a program, in seconds.
const SERVER_STAYS: &str = "-p30";
const SERVERS: [&str; 3] = ["/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver", "/usr/bin/wineserver"];

/// A prefix in which the driver's files are installed.
#[derive(Debug)]
pub struct Wine {
    prefix: PathBuf,
}

impl Wine {
    /// Wine with the files of `HONE_WINE`; the prefix is there, too. If it is not available, prints that on standard
    /// error and returns `None`.
    ///
    /// # Panics
    /// It is not available although `HONE_LIVE` is `required`.
    pub(crate) fn new() -> Option<Self> {
        let skip = |reason: &str| {
            assert!(std::env::var_os("HONE_LIVE").is_none_or(|live| live != "required"), "{reason}");
            eprintln!("skipped: {reason}");
            None
        };
        let Some(files) = std::env::var_os("HONE_WINE").map(PathBuf::from) else {
            return skip("HONE_WINE does not name the driver's files (scripts/test-windows does)");
        };
        let version =
            Command::new("wine").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if version.is_err() {
            return skip("there is no Wine (apt-get install wine wine64)");
        }
        let wine = Self { prefix: files.join("prefix") };
        if !wine.prefix.join("system.reg").exists() {
            std::fs::create_dir_all(&wine.prefix).expect("the folder can be made");
            wine.run("wineboot", &["-i"]);
            // Wine's services must have started and ended once before another service can start.
            wine.server("-w");
        }
        wine.install(&files);
        Some(wine)
    }

    /// The prefix's `C:\hone`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.prefix.join("drive_c/hone")
    }

    fn folder32(&self) -> PathBuf {
        self.prefix.join("drive_c/hone32")
    }

    pub(crate) fn has_probe32(&self) -> bool {
        self.folder32().join("hone-probe.exe").exists()
    }

    fn install(&self, files: &Path) {
        self.keep_server();
        std::fs::create_dir_all(self.folder()).expect("the folder can be made");
        for file in ["hone.sys", "fwpkclnt.sys", "fwpuclnt.dll", "hone-probe.exe", "honeutil.exe"] {
            copy(&files.join(file), &self.folder().join(file));
        }
        let narrow = files.join("hone-probe32.exe");
        if narrow.exists() {
            // In a separate folder: the libraries in the other folder are not for this program.
            std::fs::create_dir_all(self.folder32()).expect("the folder can be made");
            copy(&narrow, &self.folder32().join("hone-probe.exe"));
        }
        let library = "bcryptprimitives.dll";
        copy(&files.join(library), &self.prefix.join("drive_c/windows/system32").join(library));
        self.run("sc", &["stop", "hone"]);
        self.run("sc", &["delete", "hone"]);
        self.create_service();
    }

    /// Makes the driver's service.
    ///
    /// # Panics
    /// The service cannot be made.
    pub(crate) fn create_service(&self) {
        let path = r"\??\C:\hone\hone.sys";
        let made =
            self.run("sc", &["create", "hone", "type=", "kernel", "start=", "demand", "binPath=", path]);
        assert!(made, "the service can be made");
    }

    /// Lets the server run for a while without a program, because the driver lives in one of its services.
    pub(crate) fn keep_server(&self) {
        self.server(SERVER_STAYS);
    }

    /// Ends everything that runs in the prefix.
    pub(crate) fn end_all(&self) {
        self.server("-k");
    }

    /// Whether the service runs. If it is just starting or stopping, waits first.
    pub(crate) fn is_running(&self) -> bool {
        let begin = Instant::now();
        loop {
            match self.state() {
                state if state.contains("PENDING") && begin.elapsed() < PATIENCE => {}
                state => return state.contains("RUNNING"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The service's state according to the service manager.
    fn state(&self) -> String {
        // Not a pipe: services that start meanwhile would keep it open.
        let path = self.prefix.join("state.txt");
        let file = std::fs::File::create(&path).expect("the folder is there");
        wait(self.command("sc").args(["query", "hone"]).stdout(file));
        let text = std::fs::read_to_string(&path).expect("it was written");
        text.lines().filter(|line| line.contains("STATE")).collect()
    }

    /// Starts Wine's server, which serves all programs of the prefix, unless it runs already.
    fn server(&self, argument: &str) {
        let server = SERVERS.iter().find(|server| Path::new(server).exists()).expect("Wine has a server");
        wait(self.quiet(Command::new(server).arg(argument)));
    }

    /// A command with the prefix's environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("wine");
        command.arg(program);
        self.quiet(&mut command);
        command
    }

    fn quiet<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;winemenubuilder.exe=;fwpuclnt=n,b")
            .env_remove("DISPLAY")
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
    }

    /// Runs a program until it ends. Returns whether it succeeded.
    ///
    /// # Panics
    /// It does not start, or does not end in time.
    pub fn run(&self, program: &str, arguments: &[&str]) -> bool {
        wait(self.command(program).args(arguments))
    }
}

/// Runs a command until it ends. Returns whether it succeeded.
fn wait(command: &mut Command) -> bool {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            return status.success();
        }
        if begin.elapsed() > PATIENCE {
            child.kill().expect("it is a child");
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap_or_else(|error| panic!("{} -> {}: {error}", from.display(), to.display()));
}
