//! Parses the words of an expression.
//!
//! ```text
//! expression  = term { ("and" | "or") term }
//! term        = "not" term | "(" expression ")" | condition
//! condition   = { protocol | "src" | "dst" | type } value | protocol | comparison | ...
//! ```
//!
//! Comparisons are in [`super::arithmetic`].

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use hone_packet::protocol::{ICMP, ICMPV6 as ICMP6, SCTP, TCP, UDP};
use hone_types::Direction;

use super::arithmetic::{NUMBER, number};
use super::names::{LINK_LAYER, protocol_number};
use super::program::{Comparison, End, Instruction, Operands, Step, Test};
use super::token::{DOMAIN, Token, tokens};
use super::{Expression, ExpressionError, ExpressionProblem};
use crate::domain::Domain;
use crate::error::{ConditionError, Excerpt};
use crate::fallible::push;
use crate::network::{Network, NetworkError};

pub(super) type Result<T> = core::result::Result<T, ExpressionError>;

/// Most levels of nesting of an expression.
pub(super) const MAX_DEPTH: usize = 100;

/// What encloses a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Not,
    Parenthesis,
    /// The term comes behind `and` or `or`, whose jump is the instruction at this index.
    Jump {
        when: bool,
        at: usize,
    },
}

/// What [`Parser::condition`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Condition,
    /// Keywords and an opening parenthesis, with an expression behind it: `port (80 or 443)`.
    Parenthesis,
}

/// The keywords before a value.
#[derive(Debug, Clone, Copy, Default)]
struct Qualifiers<'a> {
    protocol: Option<&'a str>,
    /// Which character they begin with.
    at: u32,
    end: Option<End>,
    kind: Option<&'a str>,
}

impl Qualifiers<'_> {
    fn any(&self) -> bool {
        self.protocol.is_some() || self.end.is_some() || self.kind.is_some()
    }

    /// The error that their protocol is not for this.
    fn combination(&self, with: &'static str) -> ExpressionError {
        let what = Excerpt::of(self.protocol.unwrap_or_default());
        ExpressionError::At(self.at, ExpressionProblem::Combination { what, with })
    }
}

pub(super) fn parse(text: &str) -> Result<Expression> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        end: index(text.chars().count()).saturating_add(1),
        last: Qualifiers::default(),
        depth: 0,
        instructions: Vec::new(),
        steps: Vec::new(),
        domains: Vec::new(),
    };
    parser.expression()?;
    match parser.tokens {
        [] => {
            let operands = Operands { steps: parser.steps, domains: parser.domains };
            Ok(Expression { instructions: parser.instructions, operands })
        }
        _ => Err(parser.expected("and, or, or the end")),
    }
}

/// The index that the next of so many elements has. [`MAX_TOKENS`](super::MAX_TOKENS) keeps it small.
pub(super) fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(super) struct Parser<'t, 'a> {
    pub(super) tokens: &'t [Token<'a>],
    /// Which character the end is.
    end: u32,
    /// The keywords of the last value, for a next value without any.
    last: Qualifiers<'a>,
    pub(super) depth: usize,
    pub(super) instructions: Vec<Instruction>,
    pub(super) steps: Vec<Step>,
    domains: Vec<Domain>,
}

impl<'a> Parser<'_, 'a> {
    pub(super) fn peek(&self) -> &'a str {
        self.tokens.first().map_or("", |token| token.text)
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.peek() == text && !text.is_empty();
        if found {
            self.skip(1);
        }
        found
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.tokens = self.tokens.get(count..).unwrap_or_default();
    }

    pub(super) fn word(&mut self) -> Option<&'a str> {
        let word = self.tokens.first().filter(|token| token.is_word)?;
        self.skip(1);
        Some(word.text)
    }

    /// Which character the next word or sign begins with.
    fn at(&self) -> u32 {
        self.tokens.first().map_or(self.end, |token| token.at)
    }

    pub(super) fn expected(&self, expected: &'static str) -> ExpressionError {
        let found = self.tokens.first().map(|token| Excerpt::of(token.text));
        ExpressionError::At(self.at(), ExpressionProblem::Expected { expected, found })
    }

    pub(super) fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(self.expected("an expression that is nested less deep"))
        } else {
            Ok(())
        }
    }

    /// Does not recurse, however deep the expression is nested: the stack of a kernel is small.
    fn expression(&mut self) -> Result<()> {
        let mut open = Vec::new();
        loop {
            self.deeper()?;
            let outer = if self.take("not") || self.take("!") {
                Some(Open::Not)
            } else if self.comparison()? {
                None
            } else if self.take("(") || self.condition()? == Found::Parenthesis {
                Some(Open::Parenthesis)
            } else {
                None
            };
            if let Some(outer) = outer {
                push(&mut open, outer)?;
            } else if self.end_of_term(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Closes what the end of a term closes; returns whether this is the whole expression. Otherwise another term follows.
    fn end_of_term(&mut self, open: &mut Vec<Open>) -> Result<bool> {
        loop {
            self.depth -= 1;
            if open.pop_if(|outer| *outer == Open::Not).is_some() {
                self.add(Instruction::Not)?;
                continue;
            }
            if let Some(Open::Jump { when, at }) = open.pop_if(|outer| matches!(outer, Open::Jump { .. })) {
                let to = index(self.instructions.len());
                if let Some(instruction) = self.instructions.get_mut(at) {
                    *instruction = Instruction::Jump { when, to };
                }
            }
            // What decides the result already goes on behind the next term.
            let when = if self.take("and") || self.take("&&") {
                false
            } else if self.take("or") || self.take("||") {
                true
            } else if open.pop().is_none() {
                return Ok(true);
            } else if self.take(")") {
                continue;
            } else {
                return Err(self.expected("and, or, or )"));
            };
            let at = self.instructions.len();
            self.add(Instruction::Jump { when, to: 0 })?;
            push(open, Open::Jump { when, at })?;
            return Ok(false);
        }
    }

    fn add(&mut self, instruction: Instruction) -> Result<()> {
        Ok(push(&mut self.instructions, instruction)?)
    }

    fn test(&mut self, test: Test) -> Result<()> {
        self.add(Instruction::Test(test))
    }

    /// Both tests.
    fn both(&mut self, first: Test, second: Test) -> Result<()> {
        self.test(first)?;
        let to = index(self.instructions.len() + 2);
        self.add(Instruction::Jump { when: false, to })?;
        self.test(second)
    }

    fn condition(&mut self) -> Result<Found> {
        let word = self.peek();
        if LINK_LAYER.contains(&word) {
            return Err(ExpressionError::At(self.at(), ExpressionProblem::LinkLayer(Excerpt::of(word))));
        }
        match word {
            "less" | "greater" => {
                self.word();
                let number = self.number()?;
                let comparison =
                    if word == "less" { Comparison::LessOrEqual } else { Comparison::GreaterOrEqual };
                let left = index(self.steps.len());
                push(&mut self.steps, Step::Length)?;
                push(&mut self.steps, Step::Number(number))?;
                self.test(Test::Compare { comparison, left, right: left + 1, end: left + 2 })?;
                return Ok(Found::Condition);
            }
            "inbound" | "outbound" => {
                self.word();
                let inbound = word == "inbound";
                self.test(Test::Way(if inbound { Direction::Inbound } else { Direction::Outbound }))?;
                return Ok(Found::Condition);
            }
            _ => {}
        }
        let qualifiers = self.qualifiers();
        if let word @ ("multicast" | "broadcast") = self.peek() {
            self.word();
            self.of_version(qualifiers, if word == "multicast" { Test::Multicast } else { Test::Broadcast })?;
            return Ok(Found::Condition);
        }
        // A protocol that stands for itself.
        if let Qualifiers { protocol: Some(protocol), end: None, kind: None, .. } = qualifiers
            && !self.value_follows()
        {
            self.protocol_itself(protocol)?;
            return Ok(Found::Condition);
        }
        if qualifiers.any() {
            self.last = qualifiers;
            // port (80 or 443)
            if self.take("(") {
                return Ok(Found::Parenthesis);
            }
        }
        self.value_of(self.last)?;
        Ok(Found::Condition)
    }

    /// `tcp src port` and its like; all may be missing.
    fn qualifiers(&mut self) -> Qualifiers<'a> {
        let mut qualifiers = Qualifiers { at: self.at(), ..Qualifiers::default() };
        let word = self.peek();
        if matches!(word, "ip" | "ip6") || protocol_number(word).is_some() {
            qualifiers.protocol = self.word();
        }
        if matches!(self.peek(), "src" | "dst") {
            let source = self.word() == Some("src");
            let other = if source { "dst" } else { "src" };
            let joined = match self.tokens {
                [Token { text: join @ ("or" | "and"), .. }, next, ..] if next.text == other => Some(*join),
                _ => None,
            };
            if joined.is_some() {
                self.skip(2);
            }
            qualifiers.end = Some(match (joined, source) {
                (Some("or"), _) => End::Either,
                (Some(_), _) => End::Both,
                (None, true) => End::Source,
                (None, false) => End::Destination,
            });
        }
        if matches!(self.peek(), "host" | "net" | "port" | "portrange" | "proto" | DOMAIN) {
            qualifiers.kind = self.word();
        }
        qualifiers
    }

    /// Whether the next word can be a value.
    fn value_follows(&self) -> bool {
        match self.tokens.first() {
            Some(token) if token.is_word => !matches!(token.text, "and" | "or" | "not"),
            Some(sign) => sign.text == "(",
            None => false,
        }
    }

    fn value_of(&mut self, qualifiers: Qualifiers<'a>) -> Result<()> {
        let end = qualifiers.end.unwrap_or(End::Either);
        let combination = |with| qualifiers.combination(with);
        match qualifiers.kind.unwrap_or("host") {
            kind @ ("port" | "portrange") => {
                let low = self.port()?;
                let high = if kind == "port" {
                    low
                } else if self.take("-") {
                    self.port()?
                } else {
                    return Err(self.expected("- and the last port of the range"));
                };
                let protocol = match qualifiers.protocol {
                    None => None,
                    Some("tcp") => Some(TCP),
                    Some("udp") => Some(UDP),
                    Some("sctp") => Some(SCTP),
                    Some(_) => return Err(combination("port")),
                };
                self.test(Test::Port(end, low.min(high), low.max(high), protocol))
            }
            "proto" => {
                let protocol = self.protocol()?;
                if qualifiers.end.is_some() {
                    return Err(combination("src and dst of a protocol"));
                }
                self.of_version(qualifiers, Test::Protocol(protocol))
            }
            DOMAIN => {
                let domain = self.domain()?;
                if qualifiers.end.is_some() {
                    let what = Excerpt::of("src and dst");
                    let problem = ExpressionProblem::Combination { what, with: DOMAIN };
                    return Err(ExpressionError::At(qualifiers.at, problem));
                }
                let test = Test::Domain(index(self.domains.len()));
                push(&mut self.domains, domain)?;
                self.of_version(qualifiers, test)
            }
            kind => {
                let network = if kind == "net" { self.network()? } else { self.host()? };
                if !matches!(qualifiers.protocol, None | Some("ip" | "ip6")) {
                    return Err(combination(if kind == "net" { "net" } else { "host" }));
                }
                self.of_version(qualifiers, Test::Host(end, network))
            }
        }
    }

    fn port(&mut self) -> Result<u16> {
        let error = self.expected("a port by its number, 0 to 65535");
        u16::try_from(self.number().map_err(|_| error)?).map_err(|_| error)
    }

    fn protocol(&mut self) -> Result<u8> {
        let error = self.expected("a protocol, by name or 0 to 255");
        let name = self.peek().trim_start_matches('\\');
        if let Some(number) = protocol_number(name) {
            self.word();
            return Ok(number);
        }
        u8::try_from(self.number().map_err(|_| error)?).map_err(|_| error)
    }

    fn host(&mut self) -> Result<Network> {
        let error = self.expected("an IPv4 or IPv6 address (names are not looked up)");
        let network = self.word().and_then(|word| {
            let address: IpAddr = word.parse().ok()?;
            Network::new(address, if address.is_ipv4() { 32 } else { 128 })
        });
        network.filter(|_| self.peek() != "/").ok_or(error)
    }

    fn domain(&mut self) -> Result<Domain> {
        let (at, error) = (self.at(), self.expected("a name such as example.com"));
        let is_name = |word: &&str| !matches!(*word, "and" | "or" | "not");
        Domain::new(self.word().filter(is_name).ok_or(error)?).map_err(|error| match error {
            ConditionError::Value(must) => ExpressionError::At(at, ExpressionProblem::Domain(must)),
            _ => ExpressionError::OutOfMemory,
        })
    }

    /// `10.0.0.0/8`, `10.0.0.0 mask 255.0.0.0`, `192.168`, `2001:db8::/32`.
    fn network(&mut self) -> Result<Network> {
        let error = self.expected("a network such as 10.0.0.0/8 or 2001:db8::/32");
        let at = self.at();
        let found = self.word().ok_or(error)?;
        let (address, implied) = match found.parse::<IpAddr>() {
            Ok(address) => (address, if address.is_ipv4() { 32 } else { 128 }),
            Err(_) => short_network(found).ok_or(error)?,
        };
        let bits = if self.take("/") {
            u8::try_from(self.number()?).map_err(|_| error)?
        } else if self.take("mask") {
            let mask: Ipv4Addr = self.word().and_then(|word| word.parse().ok()).ok_or(error)?;
            let bits = mask.to_bits().leading_ones();
            if address.is_ipv6() || mask.to_bits().count_ones() != bits {
                return Err(error);
            }
            u8::try_from(bits).map_err(|_| error)?
        } else {
            implied
        };
        Network::strict(address, bits).map_err(|problem| match problem {
            NetworkError::NoNetwork => error,
            problem => ExpressionError::At(at, ExpressionProblem::Network(problem)),
        })
    }

    fn number(&mut self) -> Result<u32> {
        let error = self.expected(NUMBER);
        self.word().and_then(number).ok_or(error)
    }

    fn protocol_itself(&mut self, name: &str) -> Result<()> {
        match name {
            "ip" => self.test(Test::Version(4)),
            "ip6" => self.test(Test::Version(6)),
            _ => {
                let protocol = protocol_number(name).unwrap_or(0);
                let test = Test::Protocol(protocol);
                // Each of them belongs to one version of IP. In the other version, its number means something else.
                match protocol {
                    ICMP => self.both(Test::Version(4), test),
                    ICMP6 => self.both(Test::Version(6), test),
                    _ => self.test(test),
                }
            }
        }
    }

    /// The test for one version of IP, if `ip` or `ip6` says so.
    fn of_version(&mut self, qualifiers: Qualifiers<'_>, test: Test) -> Result<()> {
        match qualifiers.protocol {
            None => self.test(test),
            Some("ip") => self.both(Test::Version(4), test),
            Some("ip6") => self.both(Test::Version(6), test),
            Some(_) => {
                let kinds = ["host", "net", "port", "portrange", "proto", DOMAIN];
                let with = kinds.into_iter().find(|kind| qualifiers.kind == Some(kind)).unwrap_or("this");
                Err(qualifiers.combination(with))
            }
        }
    }
}

/// A network by the bytes that its addresses have in common: `10`, `192.168`.
fn short_network(word: &str) -> Option<(IpAddr, u8)> {
    let (mut address, mut bits) = ([0; 4], 0);
    for part in word.split('.') {
        *address.get_mut(usize::from(bits / 8))? = part.parse().ok()?;
        bits += 8;
    }
    Some((Ipv4Addr::from(address).into(), bits))
}
