//! Controls the stand-in over TCP. `stand-in/src/commands.rs` lists the commands.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to the stand-in.
#[derive(Debug)]
pub struct StandIn {
    answers: BufReader<TcpStream>,
}

/// The driver's answer to WFP: the next filter decides.
pub(crate) const CONTINUE: &str = "2006";

impl StandIn {
    pub(crate) fn connect(port: &str) -> Self {
        let port: u16 = port.trim().parse().expect("it is a port");
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the stand-in listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it is a time");
        stream.set_nodelay(true).expect("it is a connection");
        Self { answers: BufReader::new(stream) }
    }

    /// Sends a command and returns the answer.
    ///
    /// # Panics
    /// The command is refused, or the driver's process has died.
    pub fn tell(&mut self, command: &str) -> String {
        self.ask(command).unwrap_or_else(|answer| panic!("{command}: {answer:?}"))
    }

    /// Sends a command that the stand-in refuses, and returns why.
    ///
    /// # Panics
    /// The command is not refused, or the driver's process has died.
    pub fn refused(&mut self, command: &str) -> String {
        self.ask(command).expect_err(command)
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        let stream = self.answers.get_mut();
        stream.write_all(format!("{command}\n").as_bytes()).expect("the driver's process lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the driver's process lives");
        let (is_done, answer) = answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), ""));
        if is_done == "ok" { Ok(answer.to_owned()) } else { Err(answer.to_owned()) }
    }

    /// Sets the clock, nanoseconds since 1970.
    pub fn set_clock(&mut self, nanos: u64) {
        const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
        self.tell(&format!("clock {}", nanos / 100 + UNIX_EPOCH));
    }
}
