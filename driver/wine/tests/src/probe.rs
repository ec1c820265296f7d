//! Controls probes: programs under Wine that read the device.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use hone_api::Operation;

use crate::{Wine, hex, unhex};

/// A probe. Ended when dropped.
#[derive(Debug)]
pub struct Probe {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The device, opened by a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File(usize);

/// An event of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event(pub u64);

/// A named pipe that a probe reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pipe(u64);

/// Windows' error number.
pub type Failed = u32;

impl Probe {
    /// Starts this program as a probe.
    pub(crate) fn start(wine: &Wine, program: &str) -> Self {
        let mut command = wine.command(program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("wine starts");
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, commands, answers }
    }

    fn tell(&mut self, command: &str) -> Result<String, Failed> {
        let commands = self.commands.as_mut().expect("it runs");
        writeln!(commands, "{command}").expect("the probe lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the probe lives");
        let answer = answer.trim_end();
        match answer.split_once(' ').unwrap_or((answer, "")) {
            ("ok", answer) => Ok(answer.to_owned()),
            ("error", number) => Err(number.parse().expect("it is a number")),
            _ => panic!("{command}: {answer:?}"),
        }
    }

    fn number(&mut self, command: &str) -> Result<u64, Failed> {
        self.tell(command).map(|number| number.parse().expect("it is a number"))
    }

    /// Its process id in Wine.
    pub fn pid(&mut self) -> u32 {
        let pid = self.number("pid").expect("it has one");
        u32::try_from(pid).expect("a process id has 32 bits")
    }

    /// Opens the device. Wine reports success before it has asked the driver, whatever the driver answers. So this also
    /// waits for the first request, which is refused if the open was refused.
    ///
    /// # Errors
    /// The driver refuses to open.
    pub fn open(&mut self) -> Result<File, Failed> {
        let number = self.number("open")?;
        let file = File(usize::try_from(number).expect("it is small"));
        match self.control(file, Operation::GetSnapLength, &[]) {
            Ok(_) => Ok(file),
            Err(error) => {
                self.close(file);
                Err(error)
            }
        }
    }

    /// Closes the device.
    pub fn close(&mut self, file: File) {
        self.tell(&format!("close {}", file.0)).expect("it is open");
    }

    /// Reads once.
    ///
    /// # Errors
    /// The read is refused.
    pub fn read_once(&mut self, file: File, bytes: usize) -> Result<Vec<u8>, Failed> {
        self.tell(&format!("read {} {bytes}", file.0)).map(|digits| unhex(&digits))
    }

    /// Reads until a read returns nothing.
    ///
    /// # Panics
    /// A read is refused.
    pub fn read(&mut self, file: File) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.read_once(file, 1 << 20).expect("the device is read");
            if bytes.is_empty() {
                return all;
            }
            all.extend(bytes);
        }
    }

    /// Sends a control request by its code.
    ///
    /// # Errors
    /// The request is refused.
    pub fn control_code(
        &mut self,
        file: File,
        code: u32,
        input: &[u8],
        room: usize,
    ) -> Result<Vec<u8>, Failed> {
        let command = format!("control {} {code:x} {} {room}", file.0, hex(input));
        self.tell(&command).map(|digits| unhex(&digits))
    }

    /// Sends a control request.
    ///
    /// # Errors
    /// The request is refused.
    pub fn control(&mut self, file: File, operation: Operation, input: &[u8]) -> Result<Vec<u8>, Failed> {
        self.control_code(file, operation.control_code().0, input, operation.reply_length())
    }

    /// Sends a command such as `install`. Returns the answer.
    ///
    /// # Errors
    /// The command fails.
    pub fn command(&mut self, command: &str) -> Result<String, Failed> {
        self.tell(command)
    }

    /// Sends the list of open connections to the driver. Returns how many there are.
    ///
    /// # Errors
    /// The request is refused.
    pub fn send_connections(&mut self, file: File) -> Result<u64, Failed> {
        self.number(&format!("send-conns {}", file.0))
    }

    /// The driver's statistics.
    ///
    /// # Panics
    /// The request is refused.
    pub fn statistics(&mut self, file: File) -> hone_api::Statistics {
        let reply = self.control(file, Operation::GetStatistics2, &[]).expect("there is room");
        hone_api::Statistics::parse(&reply).expect("it is sound")
    }

    /// Makes an event object.
    pub fn event(&mut self) -> Event {
        Event(self.number("event").expect("there is memory"))
    }

    /// Makes a named pipe for another program to write.
    ///
    /// # Panics
    /// The pipe cannot be made.
    pub fn make_pipe(&mut self, name: &str) -> Pipe {
        Pipe(self.number(&format!("pipe {name}")).expect("it can be made"))
    }

    /// Opens a named pipe that another program writes.
    ///
    /// # Errors
    /// The pipe does not exist, or cannot be opened.
    pub fn open_pipe(&mut self, name: &str) -> Result<Pipe, Failed> {
        self.number(&format!("pipe-open {name}")).map(Pipe)
    }

    /// Reads this number of bytes from a pipe, or less if its writer closes it. Waits for a writer.
    ///
    /// # Panics
    /// The pipe cannot be read.
    pub fn read_pipe(&mut self, pipe: Pipe, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < bytes {
            let most = (bytes - all.len()).min(1 << 16);
            let digits = self.tell(&format!("pipe-read {} {most}", pipe.0)).expect("it is a pipe");
            if digits == "-" {
                break;
            }
            all.extend(unhex(&digits));
        }
        all
    }

    /// Closes a pipe.
    pub fn close_pipe(&mut self, pipe: Pipe) {
        self.tell(&format!("pipe-close {}", pipe.0)).expect("it is open");
    }

    /// Whether the event is set within a time, in milliseconds.
    pub fn wait(&mut self, event: Event, milliseconds: u32) -> bool {
        self.tell(&format!("wait {} {milliseconds}", event.0)).expect("it is an event") == "set"
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // The probe ends when there are no more commands.
        self.commands = None;
        let _ = self.child.wait();
    }
}
