//! A honed of the test's own, and honeutil against it.

use std::ops::{Deref, DerefMut};
use std::process::{Command, Output, Stdio};

use crate::recorder::HONEUTIL;

/// A running honed; killed when dropped.
#[derive(Debug)]
pub(crate) struct Service(hone_testing::Service);

impl Service {
    /// Starts one, and returns when it serves.
    pub(crate) fn start() -> Self {
        Self::configured("")
    }

    /// The same, with more in its configuration.
    pub(crate) fn configured(more: &str) -> Self {
        Self(hone_testing::Service::start(&format!("sensor_buffer = 128\n{more}")))
    }

    pub(crate) fn socket(&self) -> String {
        self.0.socket().display().to_string()
    }

    /// Runs a command of honeutil against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(HONEUTIL);
        command.arg(arguments[0]).args(["--socket", &self.socket()]).args(&arguments[1..]);
        command.stdin(Stdio::null()).output().expect("honeutil can be started")
    }

    /// The same, but it must succeed. Returns standard output.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}: {stderr}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Deref for Service {
    type Target = hone_testing::Service;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Service {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
