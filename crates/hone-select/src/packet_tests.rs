//! The words about packets as a row of simple tests, for a place where little can be done: the kernel.
//!
//! A test asks whether some bits of one number of the packet are within bounds, and names the tests that come next, which
//! are later ones. So the row ends, and each test is made at most once. What the tests cannot express is left out of them,
//! so that they accept more than the selection, and never less: whoever uses them asks the selection about what they accept.

use alloc::vec::Vec;
use core::net::IpAddr;

use hone_packet::protocol::{SCTP, TCP, UDP};
use hone_types::Direction;

use crate::condition::{Condition, Value};
use crate::error::OutOfMemory;
use crate::expression::{Calculation, Comparison, End, Expression, Instruction, Layer, Step, Test};
use crate::fallible::push;
use crate::network::Network;
use crate::selection::Selection;
use crate::word::Word;

/// Most tests of a row.
pub const MAX_PACKET_TESTS: usize = 256;

/// The first of the numbers that tests look at. Of an IPv4 address, only the first of its four numbers is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Fact {
    Version = 0,
    Protocol = 1,
    /// 1: in, 2: out.
    Direction = 2,
    /// The packet's length from its IP header on, bytes.
    Length = 3,
    SourcePort = 4,
    DestinationPort = 5,
    /// Byte 13 of the TCP header; only read of TCP.
    TcpFlags = 6,
    /// 1: of TCP, UDP and SCTP.
    HasPorts = 7,
    Source = 8,
    Destination = 12,
}

/// A test of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketTest {
    /// Index of the number: a [`Fact`], or a later part of an address.
    pub fact: u32,
    /// Which of its bits count.
    pub mask: u32,
    /// The masked number must be at least this,
    pub low: u32,
    /// and at most so much more.
    pub span: u32,
    /// Index of the next test if it is so, or [`ACCEPT`](Self::ACCEPT) or [`REJECT`](Self::REJECT).
    pub yes: u16,
    /// The same if it is not.
    pub no: u16,
}

impl PacketTest {
    /// Somebody may want the packet.
    pub const ACCEPT: u16 = 0xFFFF;
    /// Nobody wants it.
    pub const REJECT: u16 = 0xFFFE;
}

/// Why there are no tests: all packets are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTests {
    /// Some reader may want any packet, as far as tests can tell.
    Everything,
    /// They would be more than [`MAX_PACKET_TESTS`].
    TooMany,
    /// There is no memory.
    OutOfMemory,
}

impl From<OutOfMemory> for NoTests {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The tests of packets that at least one of the selections wants.
///
/// # Errors
/// There are none to make.
pub fn packet_tests<'a>(selections: impl Iterator<Item = &'a Selection>) -> Result<Vec<PacketTest>, NoTests> {
    let mut row = Row::default();
    let mut next = None;
    for selection in selections {
        if let Some(start) = next.take() {
            row.place(start)?;
        }
        let rejected = row.label()?;
        let before = row.tests.len();
        row.selection(selection, rejected)?;
        if row.tests.len() == before {
            return Err(NoTests::Everything);
        }
        next = Some(rejected);
    }
    match next {
        Some(end) => row.finish(end),
        None => Err(NoTests::Everything),
    }
}

impl Condition {
    /// Whether [`packet_tests`] can express the condition.
    #[must_use]
    pub fn is_testable(&self) -> bool {
        match &self.value {
            Value::Port(_) | Value::Host(_) | Value::Direction(_) => true,
            Value::Filter(expression) => {
                expression.instructions().iter().all(|instruction| match instruction {
                    Instruction::Test(Test::Compare { comparison, left, right, end }) => {
                        Compared::new(expression, *comparison, *left, *right, *end).is_some()
                    }
                    // The kernel knows no names.
                    Instruction::Test(Test::Domain(_)) => false,
                    // Of other protocols, the kernel's part does not look into the packets.
                    Instruction::Test(Test::Port(.., Some(protocol))) => is_known(*protocol),
                    _ => true,
                })
            }
            Value::Conn(_) | Value::Domain(_) | Value::Pid(_) | Value::Text(_) => false,
        }
    }
}

const fn is_known(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | SCTP)
}

/// Where a test leads: to a place that is known later, or to an end.
#[derive(Clone, Copy)]
enum To {
    Label(usize),
    Accept,
}

/// The row being made. In the tests, `yes` and `no` are labels until it is finished.
#[derive(Default)]
struct Row {
    tests: Vec<PacketTest>,
    /// For each label, the index of its test.
    places: Vec<u16>,
}

impl Row {
    fn label(&mut self) -> Result<usize, NoTests> {
        // A test names two labels at most, and a label without a test is not kept waiting for one.
        if self.places.len() >= usize::from(PacketTest::REJECT) {
            return Err(NoTests::TooMany);
        }
        push(&mut self.places, PacketTest::REJECT)?;
        Ok(self.places.len() - 1)
    }

    /// The next test stands at the label.
    fn place(&mut self, label: usize) -> Result<(), NoTests> {
        let at = u16::try_from(self.tests.len()).map_err(|_| NoTests::TooMany)?;
        if let Some(place) = self.places.get_mut(label) {
            *place = at;
        }
        Ok(())
    }

    fn test(
        &mut self,
        fact: u32,
        mask: u32,
        (low, high): (u32, u32),
        yes: To,
        no: To,
    ) -> Result<(), NoTests> {
        if self.tests.len() == MAX_PACKET_TESTS {
            return Err(NoTests::TooMany);
        }
        let name = |to| match to {
            To::Label(label) => u16::try_from(label).map_err(|_| NoTests::TooMany),
            To::Accept => Ok(PacketTest::ACCEPT),
        };
        let test =
            PacketTest { fact, mask, low, span: high.wrapping_sub(low), yes: name(yes)?, no: name(no)? };
        Ok(push(&mut self.tests, test)?)
    }

    /// The label `end` is where all selections have rejected the packet.
    fn finish(mut self, end: usize) -> Result<Vec<PacketTest>, NoTests> {
        let places = &self.places;
        let index = |name: u16| match name {
            PacketTest::ACCEPT => PacketTest::ACCEPT,
            name if usize::from(name) == end => PacketTest::REJECT,
            name => places.get(usize::from(name)).copied().unwrap_or(PacketTest::ACCEPT),
        };
        for test in &mut self.tests {
            (test.yes, test.no) = (index(test.yes), index(test.no));
        }
        Ok(self.tests)
    }

    /// Tests that lead to `rejected`, which stands behind them, or accept.
    fn selection(&mut self, selection: &Selection, rejected: usize) -> Result<(), NoTests> {
        let of_packets = || selection.conditions().filter(|condition| !condition.word.is_of_process());
        // Each step begins only when it is known that there is one: the last one must accept.
        let wanted = |word: Word| of_packets().filter(move |c| !c.is_negated && c.word == word);
        let is_made =
            |word: &Word| wanted(*word).next().is_some() && wanted(*word).all(Condition::is_testable);
        let unwanted = || of_packets().filter(|c| c.is_negated && c.is_testable());
        let mut left = Word::ALL.iter().filter(|word| is_made(word)).count() + unwanted().count();
        for word in Word::ALL.into_iter().filter(|word| is_made(word)) {
            left -= 1;
            let met = self.after(left)?;
            let mut values = wanted(word).peekable();
            while let Some(condition) = values.next() {
                let no = if values.peek().is_some() { self.label()? } else { rejected };
                self.condition(condition, met, To::Label(no))?;
                if no != rejected {
                    self.place(no)?;
                }
            }
            self.begin(met)?;
        }
        for condition in unwanted() {
            left -= 1;
            let kept = self.after(left)?;
            self.condition(condition, To::Label(rejected), kept)?;
            self.begin(kept)?;
        }
        Ok(())
    }

    /// Where it goes on when `left` steps are left.
    fn after(&mut self, left: usize) -> Result<To, NoTests> {
        Ok(if left == 0 { To::Accept } else { To::Label(self.label()?) })
    }

    fn begin(&mut self, to: To) -> Result<(), NoTests> {
        match to {
            To::Label(label) => self.place(label),
            To::Accept => Ok(()),
        }
    }

    fn condition(&mut self, condition: &Condition, yes: To, no: To) -> Result<(), NoTests> {
        match &condition.value {
            Value::Port(port) => self.port(End::Either, (*port, *port), None, yes, no),
            Value::Host(network) => self.host(End::Either, network, yes, no),
            Value::Direction(direction) => self.direction(*direction, yes, no),
            Value::Filter(expression) => self.expression(expression, yes, no),
            Value::Conn(_) | Value::Domain(_) | Value::Pid(_) | Value::Text(_) => Ok(()),
        }
    }

    fn is(&mut self, fact: Fact, number: u32, yes: To, no: To) -> Result<(), NoTests> {
        self.test(fact as u32, u32::MAX, (number, number), yes, no)
    }

    fn direction(&mut self, direction: Direction, yes: To, no: To) -> Result<(), NoTests> {
        let number = match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        self.is(Fact::Direction, number, yes, no)
    }

    /// Joins the tests of both ends.
    fn ends(
        &mut self,
        end: End,
        yes: To,
        no: To,
        mut test: impl FnMut(&mut Self, bool, To, To) -> Result<(), NoTests>,
    ) -> Result<(), NoTests> {
        match end {
            End::Source => test(self, true, yes, no),
            End::Destination => test(self, false, yes, no),
            End::Either => {
                let other = self.label()?;
                test(self, true, yes, To::Label(other))?;
                self.place(other)?;
                test(self, false, yes, no)
            }
            End::Both => {
                let other = self.label()?;
                test(self, true, To::Label(other), no)?;
                self.place(other)?;
                test(self, false, yes, no)
            }
        }
    }

    fn port(
        &mut self,
        end: End,
        (low, high): (u16, u16),
        protocol: Option<u8>,
        yes: To,
        no: To,
    ) -> Result<(), NoTests> {
        let ports = self.label()?;
        match protocol {
            Some(protocol) => self.is(Fact::Protocol, protocol.into(), To::Label(ports), no)?,
            None => self.is(Fact::HasPorts, 1, To::Label(ports), no)?,
        }
        self.place(ports)?;
        if low > high {
            // No port is within. The packet leaves by a test that none passes.
            return self.is(Fact::HasPorts, 2, yes, no);
        }
        self.ends(end, yes, no, |row, is_source, yes, no| {
            let fact = if is_source { Fact::SourcePort } else { Fact::DestinationPort };
            row.test(fact as u32, u32::MAX, (low.into(), high.into()), yes, no)
        })
    }

    fn host(&mut self, end: End, network: &Network, yes: To, no: To) -> Result<(), NoTests> {
        let (version, words, most) = match network.address() {
            IpAddr::V4(address) => (4, [address.to_bits(), 0, 0, 0], 32),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let word = |at: u32| u32::try_from(bits >> (96 - 32 * at) & 0xFFFF_FFFF).unwrap_or(0);
                (6, [word(0), word(1), word(2), word(3)], 128)
            }
        };
        let bits = u32::from(network.bits()).min(most);
        if bits == 0 {
            return self.is(Fact::Version, version, yes, no);
        }
        let addresses = self.label()?;
        self.is(Fact::Version, version, To::Label(addresses), no)?;
        self.place(addresses)?;
        self.ends(end, yes, no, |row, is_source, yes, no| {
            let first = if is_source { Fact::Source } else { Fact::Destination } as u32;
            let parts = bits.div_ceil(32);
            for (part, word) in (0..parts).zip(words) {
                let mask = u32::MAX << (32 * (part + 1)).saturating_sub(bits);
                let masked = (word & mask, word & mask);
                if part + 1 == parts {
                    row.test(first + part, mask, masked, yes, no)?;
                } else {
                    let next = row.label()?;
                    row.test(first + part, mask, masked, To::Label(next), no)?;
                    row.place(next)?;
                }
            }
            Ok(())
        })
    }

    fn expression(&mut self, expression: &Expression, yes: To, no: To) -> Result<(), NoTests> {
        let instructions = expression.instructions();
        // Each test of the expression begins at a label of its own.
        let first = self.places.len();
        for _ in instructions {
            self.label()?;
        }
        let after = |at: usize, result: bool| {
            let (mut at, mut result) = (at, result);
            loop {
                match instructions.get(at) {
                    None => return if result { yes } else { no },
                    Some(Instruction::Test(_)) => return To::Label(first + at),
                    Some(Instruction::Not) => (at, result) = (at + 1, !result),
                    Some(Instruction::Jump { when, to }) => {
                        let to = usize::try_from(*to).unwrap_or(usize::MAX);
                        at = if result == *when { to.max(at + 1) } else { at + 1 };
                    }
                }
            }
        };
        for (at, instruction) in instructions.iter().enumerate() {
            let Instruction::Test(test) = instruction else { continue };
            self.place(first + at)?;
            self.expression_test(expression, test, after(at + 1, true), after(at + 1, false))?;
        }
        Ok(())
    }

    fn expression_test(
        &mut self,
        expression: &Expression,
        test: &Test,
        yes: To,
        no: To,
    ) -> Result<(), NoTests> {
        match *test {
            Test::Version(version) => self.is(Fact::Version, version.into(), yes, no),
            Test::Protocol(protocol) => self.is(Fact::Protocol, protocol.into(), yes, no),
            Test::Host(end, network) => self.host(end, &network, yes, no),
            Test::Port(end, low, high, protocol) => self.port(end, (low, high), protocol, yes, no),
            Test::Multicast => {
                let (v6, addresses) = (self.label()?, self.label()?);
                // 224.0.0.0/4 (RFC 5771), ff00::/8 (RFC 4291, section 2.7).
                self.is(Fact::Version, 6, To::Label(v6), To::Label(addresses))?;
                self.place(v6)?;
                self.test(Fact::Destination as u32, 0xFF00_0000, (0xFF00_0000, 0xFF00_0000), yes, no)?;
                self.place(addresses)?;
                self.test(Fact::Destination as u32, 0xF000_0000, (0xE000_0000, 0xE000_0000), yes, no)
            }
            Test::Broadcast => {
                let v4 = self.label()?;
                self.is(Fact::Version, 4, To::Label(v4), no)?;
                self.place(v4)?;
                self.is(Fact::Destination, u32::MAX, yes, no)
            }
            Test::Way(direction) => self.direction(direction, yes, no),
            // `is_testable` has found that there is none.
            Test::Domain(_) => Err(NoTests::Everything),
            Test::Compare { comparison, left, right, end } => {
                // `is_testable` has found that it can be made.
                let Some(compared) = Compared::new(expression, comparison, left, right, end) else {
                    return Err(NoTests::Everything);
                };
                self.compared(&compared, yes, no)
            }
        }
    }

    fn compared(&mut self, compared: &Compared, yes: To, no: To) -> Result<(), NoTests> {
        if compared.fact == Fact::TcpFlags {
            let flags = self.label()?;
            self.is(Fact::Protocol, TCP.into(), To::Label(flags), no)?;
            self.place(flags)?;
        }
        let number = compared.number;
        // Bounds between which it is so or, if turned around, between which it is not; `None`: nowhere.
        let (bounds, is_turned) = match compared.comparison {
            Comparison::Equal => (Some((number, number)), false),
            Comparison::Unequal => (Some((number, number)), true),
            Comparison::LessOrEqual => (Some((0, number)), false),
            Comparison::Greater => (Some((0, number)), true),
            Comparison::Less => (number.checked_sub(1).map(|most| (0, most)), false),
            Comparison::GreaterOrEqual => (number.checked_sub(1).map(|most| (0, most)), true),
        };
        let (yes, no) = if is_turned { (no, yes) } else { (yes, no) };
        match bounds {
            Some(bounds) => self.test(compared.fact as u32, compared.mask, bounds, yes, no),
            None => self.is(Fact::HasPorts, 2, yes, no),
        }
    }
}

/// A comparison that a test can make.
struct Compared {
    fact: Fact,
    mask: u32,
    comparison: Comparison,
    number: u32,
}

impl Compared {
    fn new(expression: &Expression, comparison: Comparison, left: u32, right: u32, end: u32) -> Option<Self> {
        let index = |at: u32| usize::try_from(at).ok();
        let steps = expression.steps();
        let (left, right) = (steps.get(index(left)?..index(right)?)?, steps.get(index(right)?..index(end)?)?);
        let number = constant(right)?;
        let (fact, rest) = match left {
            [Step::Length, rest @ ..] => (Fact::Length, rest),
            // The flags (RFC 9293, section 3.1).
            [Step::Number(13), Step::Bytes(Layer::Transport(TCP), 1), rest @ ..] => (Fact::TcpFlags, rest),
            _ => return None,
        };
        let mask = match rest {
            [] => u32::MAX,
            [mask @ .., Step::Calculation(Calculation::And)] => constant(mask)?,
            _ => return None,
        };
        Some(Self { fact, mask, comparison, number })
    }
}

/// The value of steps that are the same for every packet: numbers and the bits of several.
fn constant(steps: &[Step]) -> Option<u32> {
    match steps {
        [Step::Number(number)] => Some(*number),
        [before @ .., Step::Number(number), Step::Calculation(Calculation::Or)] => {
            Some(constant(before)? | number)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
