//! Facts: what the generators report about their own actions. All of them append to one file, one fact per line.
//!
//! ```text
//! address   SCENARIO ADDRESS                       packets from or to it belong to the scenario
//! sent      SCENARIO TAG PROCESS                   the process gave the message to the kernel, which took it
//! read      SCENARIO TAG PROCESS                   the process took the message out; once for each socket that got it
//! holds     SCENARIO PROTOCOL LOCAL REMOTE PROCESS TIME   from then on it held the socket (0: all the time)
//! leaves    SCENARIO PROTOCOL LOCAL REMOTE PROCESS TIME   it let go of the socket, while others held it
//! nobody    SCENARIO DIRECTION PROTOCOL LOCAL REMOTE TIME REASON[,REASON]   there is no process, from then on
//! single    SCENARIO DIRECTION PROTOCOL LOCAL REMOTE      such packets have no counterpart in the other direction
//! dropped   SCENARIO TAG                             the kernel made a packet of the message and dropped it at once
//! overlap   SCENARIO                                 several processes read from one socket at once
//! closed    SCENARIO                                 each connection of it is closed before the recording ends
//! forwarded SCENARIO                               each packet is also seen once where it is forwarded
//! large     SCENARIO BYTES                         in each direction there is a packet longer than that
//! named     SCENARIO DIRECTION TAG ARGUMENT        the sender, or the reader, ran a program with this argument
//! skipped   SCENARIO REASON                        the kernel or the machine can't do it
//! failed    SCENARIO REASON                        the generators failed, so there is no truth
//! ```
//!
//! If several processes read parts of a message, the owner is the process that read its first byte. Peeking does not
//! count as reading: the message stays in the socket, and another process may get the socket and read the message
//! later.
//!
//! Times are nanoseconds since 1970. `*` as an end means any; an end with an unspecified address means any address.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::packet::{Direction, Protocol};
use crate::tag::Tag;

/// The two ends of a socket, or of several sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) protocol: Protocol,
    /// `None` means any address.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
}

impl Flow {
    pub(crate) fn between(protocol: Protocol, local: SocketAddr, remote: SocketAddr) -> Self {
        Self { protocol, local: Some(local), remote: Some(remote) }
    }

    /// All packets to or from this end.
    pub(crate) fn at(protocol: Protocol, local: SocketAddr) -> Self {
        Self { protocol, local: Some(local), remote: None }
    }

    pub(crate) fn any(protocol: Protocol) -> Self {
        Self { protocol, local: None, remote: None }
    }
}

/// Why a packet has no process. The numbers are those of packet option 259.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reason(pub(crate) u8);

impl Reason {
    pub(crate) const KERNEL: Self = Self(128);
    pub(crate) const CLOSED: Self = Self(129);
    pub(crate) const TIME_WAIT: Self = Self(130);
    pub(crate) const FORWARDED: Self = Self(131);
    pub(crate) const FIREWALL: Self = Self(132);
    pub(crate) const SHARED: Self = Self(134);
    pub(crate) const NO_ROOM: Self = Self(135);

    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            0 => "no reason given",
            1 => "current task",
            2 => "last sender",
            3 => "last receiver",
            4 => "creator",
            5 => "accepted",
            6 => "listener",
            7 => "connection table",
            8 => "open-connection list",
            9 => "reader",
            10 => "writer",
            128 => "kernel",
            129 => "no socket",
            130 => "TIME_WAIT",
            131 => "forwarded",
            132 => "firewall",
            133 => "unknown socket",
            134 => "shared, unread",
            135 => "no room to wait",
            _ => "?",
        }
    }
}

/// One thing that happened. The module's documentation lists the forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Address(IpAddr),
    Sent(Tag, u32),
    Read(Tag, u32),
    Holds(Flow, u32, u64),
    Leaves(Flow, u32, u64),
    Nobody(Direction, Flow, u64, Vec<Reason>),
    Single(Direction, Flow),
    /// A packet of this message must be recorded, although the message was not sent.
    Dropped(Tag),
    /// It may be impossible to know which process got which datagram. But no datagram may be attributed to a process
    /// that got a different one.
    Overlap,
    Closed,
    Forwarded,
    Large(usize),
    Named(Direction, Tag, String),
    Skipped(String),
    Failed(String),
}

/// The current time, nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The file in which a scenario's facts are reported. Forked processes share it; each line is appended in one write.
#[derive(Debug)]
pub(crate) struct Told {
    file: File,
    scenario: String,
}

impl Told {
    /// Opens the file of facts, for facts of one scenario.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(path: &Path, scenario: &str) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write the facts to {}", path.display()))?;
        Ok(Self { file, scenario: scenario.to_owned() })
    }

    /// Reports one fact.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn tell(&self, fact: &Fact) -> Result<()> {
        self.tell_all(std::slice::from_ref(fact))
    }

    /// Reports several facts in one write.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn tell_all(&self, facts: &[Fact]) -> Result<()> {
        let lines: String = facts.iter().map(|fact| Line(&self.scenario, fact).to_string()).collect();
        (&self.file).write_all(lines.as_bytes()).context("cannot write the facts")
    }
}

/// A fact with its scenario, in the form of a line.
pub(crate) struct Line<'a>(pub(crate) &'a str, pub(crate) &'a Fact);

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: Option<SocketAddr>| end.map_or_else(|| "*".to_owned(), |end| end.to_string());
        write!(f, "{} {} {}", self.protocol, end(self.local), end(self.remote))
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0;
        match self.1 {
            Fact::Address(address) => writeln!(f, "address {name} {address}"),
            Fact::Sent(tag, process) => writeln!(f, "sent {name} {} {process}", tag.word()),
            Fact::Read(tag, process) => writeln!(f, "read {name} {} {process}", tag.word()),
            Fact::Holds(flow, process, time) => writeln!(f, "holds {name} {flow} {process} {time}"),
            Fact::Leaves(flow, process, time) => writeln!(f, "leaves {name} {flow} {process} {time}"),
            Fact::Nobody(direction, flow, time, reasons) => {
                let reasons: Vec<String> = reasons.iter().map(|reason| reason.0.to_string()).collect();
                writeln!(f, "nobody {name} {direction} {flow} {time} {}", reasons.join(","))
            }
            Fact::Single(direction, flow) => writeln!(f, "single {name} {direction} {flow}"),
            Fact::Dropped(tag) => writeln!(f, "dropped {name} {}", tag.word()),
            Fact::Overlap => writeln!(f, "overlap {name}"),
            Fact::Closed => writeln!(f, "closed {name}"),
            Fact::Forwarded => writeln!(f, "forwarded {name}"),
            Fact::Large(bytes) => writeln!(f, "large {name} {bytes}"),
            Fact::Named(direction, tag, argument) => {
                writeln!(f, "named {name} {direction} {} {argument}", tag.word())
            }
            Fact::Skipped(reason) => writeln!(f, "skipped {name} {}", one_line(reason)),
            Fact::Failed(reason) => writeln!(f, "failed {name} {}", one_line(reason)),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads every line of a file of facts, each with its scenario.
///
/// # Errors
/// The file cannot be read, or a line is not a fact.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Fact)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            parse(line).with_context(|| format!("{}, line {}: {line:?}", path.display(), number + 1))
        })
        .collect()
}

/// Parses a line into its scenario and its fact.
///
/// # Errors
/// The line is not a fact.
pub(crate) fn parse(line: &str) -> Result<(String, Fact)> {
    let mut words = Words(line.split(' '));
    let kind = words.next()?;
    let scenario = words.next()?.to_owned();
    let fact = match kind {
        "address" => Fact::Address(words.get()?),
        "sent" => Fact::Sent(words.get()?, words.get()?),
        "read" => Fact::Read(words.get()?, words.get()?),
        "holds" => Fact::Holds(words.flow()?, words.get()?, words.get()?),
        "leaves" => Fact::Leaves(words.flow()?, words.get()?, words.get()?),
        "nobody" => {
            let (direction, flow, time) = (words.get()?, words.flow()?, words.get()?);
            let reasons: Result<Vec<_>, _> = words.next()?.split(',').map(str::parse).collect();
            Fact::Nobody(direction, flow, time, reasons?.into_iter().map(Reason).collect())
        }
        "single" => Fact::Single(words.get()?, words.flow()?),
        "dropped" => Fact::Dropped(words.get()?),
        "overlap" => Fact::Overlap,
        "closed" => Fact::Closed,
        "forwarded" => Fact::Forwarded,
        "large" => Fact::Large(words.get()?),
        "named" => Fact::Named(words.get()?, words.get()?, words.rest()),
        "skipped" => Fact::Skipped(words.rest()),
        "failed" => Fact::Failed(words.rest()),
        _ => bail!("there is no fact {kind:?}"),
    };
    Ok((scenario, fact))
}

struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str> {
        self.0.next().context("the line ends too early")
    }

    fn get<T: FromStr>(&mut self) -> Result<T>
    where
        T::Err: fmt::Display,
    {
        let word = self.next()?;
        word.parse().map_err(|error| anyhow::anyhow!("{word:?}: {error}"))
    }

    fn end(&mut self) -> Result<Option<SocketAddr>> {
        let word = self.next()?;
        if word == "*" { Ok(None) } else { Ok(Some(word.parse().with_context(|| format!("{word:?}"))?)) }
    }

    fn flow(&mut self) -> Result<Flow> {
        Ok(Flow { protocol: self.get()?, local: self.end()?, remote: self.end()? })
    }

    fn rest(&mut self) -> String {
        self.0.by_ref().collect::<Vec<_>>().join(" ")
    }
}
