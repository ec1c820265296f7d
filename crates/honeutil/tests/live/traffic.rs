//! `examples/traffic.rs` and other programs that talk, started in a namespace of the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use hone_testing::{Guarded, PATIENCE};

use crate::network::{End, Network};
use crate::recorder::HONEUTIL;

/// The generator, which cargo builds beside the program that is tested; but not for `cargo test --test live` alone.
pub(crate) fn generator() -> PathBuf {
    let path = PathBuf::from(HONEUTIL).with_file_name("examples").join("traffic");
    assert!(
        path.exists(),
        "{} is missing: build it with `cargo build -p honeutil --examples`",
        path.display()
    );
    path
}

/// A running generator.
#[derive(Debug)]
pub(crate) struct Traffic {
    process: Guarded,
    lines: Receiver<String>,
    told: Vec<String>,
}

impl Traffic {
    pub(crate) fn start(network: &Network, end: End, arguments: &str) -> Self {
        Self::spawn(network.command(end, generator()).args(arguments.split(' ')))
    }

    /// Starts a command that becomes the generator.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = Guarded::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdout = process.child().stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        // Ends with the generator and its children, at the end of the pipe.
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { process, lines, told: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Starts a server and waits until it listens. Returns also its endpoint.
    pub(crate) fn server(network: &Network, end: End, arguments: &str) -> (Self, SocketAddr) {
        let mut server = Self::start(network, end, arguments);
        let endpoint = server.wait_for("endpoint");
        let address = endpoint.split('\t').nth(2).and_then(|address| address.parse().ok());
        (server, address.unwrap_or_else(|| panic!("not an endpoint: {endpoint:?}")))
    }

    /// Waits until a line begins with this word, and returns it.
    pub(crate) fn wait_for(&mut self, word: &str) -> String {
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(error) => panic!("{error} while waiting for {word:?} after {:?}", self.told),
            };
            self.told.push(line.clone());
            if line.split('\t').next() == Some(word) {
                return line;
            }
        }
    }

    /// Packets sent and received by the interfaces of its namespace. Unlike its reports, this count does not wait in a
    /// pipe.
    pub(crate) fn packets(&self) -> u64 {
        let path = format!("/proc/{}/net/dev", self.pid());
        let table = std::fs::read_to_string(path).expect("the generator runs");
        let counters = table.lines().filter_map(|line| line.split_once(':')).map(|(_, counters)| {
            let counter = |column| {
                let word: &str = counters.split_whitespace().nth(column).expect("a counter for each column");
                word.parse::<u64>().expect("a counter is a number")
            };
            counter(1) + counter(9)
        });
        counters.sum()
    }

    /// Lets a scenario that waits for a line go on.
    pub(crate) fn go_on(&mut self) {
        let stdin = self.process.child().stdin.as_mut().expect("it is piped");
        stdin.write_all(b"\n").expect("the generator reads its line");
    }

    /// Waits for the end, and returns every line that was reported.
    pub(crate) fn finish(mut self) -> Vec<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.told.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the generator hangs after {:?}", self.told),
            }
        }
        let status = self.process.wait("the generator ends");
        assert!(status.success(), "the generator ended with {status} after {:?}", self.told);
        std::mem::take(&mut self.told)
    }
}

/// Waits until a process listens on a TCP port, without touching it.
pub(crate) fn wait_until_listening(process: &mut Guarded, port: u16) {
    /// `TCP_LISTEN`, as /proc/net/tcp writes it.
    const LISTENING: &str = "0A";
    let pid = process.pid();
    let local = format!(":{port:04X}");
    let listens = |table: &str| {
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|address| address.ends_with(&local)) && words.nth(1) == Some(LISTENING)
        })
    };
    hone_testing::wait_for(format!("process {pid} listens on port {port}"), || {
        if let Some(status) = process.ended() {
            panic!("the server ended with {status}");
        }
        ["tcp", "tcp6"]
            .iter()
            .any(|table| {
                std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).is_ok_and(|table| listens(&table))
            })
            .then_some(())
    });
}
