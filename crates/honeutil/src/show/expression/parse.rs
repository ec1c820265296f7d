//! Parses the words of an expression.
//!
//! ```text
//! expression  = term { ("and" | "or") term }
//! term        = "not" term | "(" expression ")" | condition
//! condition   = { protocol | "src" | "dst" | type } value | protocol | comparison | ...
//! ```
//!
//! Comparisons are in [`super::arithmetic`].

use std::net::{IpAddr, Ipv4Addr};

use super::arithmetic::number;
use super::names::{LINK_LAYER, protocol_number};
use super::token::{Token, tokens};
use super::{Comparison, Direction, End, ExpressionError, ICMP, ICMP6, Network, Node, SCTP, TCP, UDP, Value};

type Result<T> = std::result::Result<T, ExpressionError>;

/// Most levels of nesting of an expression.
const MAX_DEPTH: usize = 100;
/// The keywords before a value.
#[derive(Debug, Clone, Copy, Default)]
struct Qualifiers<'a> {
    protocol: Option<&'a str>,
    end: Option<End>,
    kind: Option<&'a str>,
}

impl Qualifiers<'_> {
    fn any(&self) -> bool {
        self.protocol.is_some() || self.end.is_some() || self.kind.is_some()
    }
}

pub(super) fn parse(text: &str) -> Result<Node> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, last: Qualifiers::default(), depth: 0 };
    let node = parser.expression()?;
    match parser.tokens {
        [] => Ok(node),
        _ => Err(parser.expected("and, or, or the end")),
    }
}

pub(super) struct Parser<'t, 'a> {
    pub(super) tokens: &'t [Token<'a>],
    /// The keywords of the last value, for a next value without any.
    last: Qualifiers<'a>,
    pub(super) depth: usize,
}

impl<'a> Parser<'_, 'a> {
    pub(super) fn peek(&self) -> &'a str {
        self.tokens.first().map_or("", |token| token.text())
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.peek() == text && !text.is_empty();
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    pub(super) fn word(&mut self) -> Option<&'a str> {
        let Some(Token::Word(word)) = self.tokens.first() else { return None };
        self.tokens = &self.tokens[1..];
        Some(word)
    }

    fn expected(&self, expected: &'static str) -> ExpressionError {
        let found = match self.peek() {
            "" => "the end".to_owned(),
            text => format!("{text:?}"),
        };
        ExpressionError::Expected { expected, found }
    }

    pub(super) fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(self.expected("an expression that is nested less deep"))
        } else {
            Ok(())
        }
    }

    fn expression(&mut self) -> Result<Node> {
        let mut node = self.term()?;
        loop {
            node = if self.take("and") || self.take("&&") {
                Node::And(node.into(), self.term()?.into())
            } else if self.take("or") || self.take("||") {
                Node::Or(node.into(), self.term()?.into())
            } else {
                return Ok(node);
            };
        }
    }

    fn term(&mut self) -> Result<Node> {
        self.deeper()?;
        let node = if self.take("not") || self.take("!") {
            Node::Not(self.term()?.into())
        } else if let Some(comparison) = self.comparison() {
            comparison
        } else if self.take("(") {
            self.rest_of_parentheses()?
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn rest_of_parentheses(&mut self) -> Result<Node> {
        let node = self.expression()?;
        if self.take(")") { Ok(node) } else { Err(self.expected("and, or, or )")) }
    }

    fn condition(&mut self) -> Result<Node> {
        let word = self.peek();
        if LINK_LAYER.contains(&word) {
            return Err(ExpressionError::LinkLayer(word.to_owned()));
        }
        match word {
            "less" | "greater" => {
                self.word();
                let number = self.number()?;
                let comparison =
                    if word == "less" { Comparison::LessOrEqual } else { Comparison::GreaterOrEqual };
                return Ok(Node::Compare(comparison, Value::Length, Value::Number(number)));
            }
            "inbound" | "outbound" => {
                self.word();
                return Ok(Node::Way(if word == "inbound" {
                    Direction::Inbound
                } else {
                    Direction::Outbound
                }));
            }
            _ => {}
        }
        let qualifiers = self.qualifiers();
        if let word @ ("multicast" | "broadcast") = self.peek() {
            self.word();
            return of_version(
                qualifiers,
                if word == "multicast" { Node::Multicast } else { Node::Broadcast },
            );
        }
        // A protocol that stands for itself.
        if let Qualifiers { protocol: Some(protocol), end: None, kind: None } = qualifiers
            && !self.value_follows()
        {
            return Ok(protocol_node(protocol));
        }
        if qualifiers.any() {
            self.last = qualifiers;
            // port (80 or 443)
            if self.take("(") {
                return self.rest_of_parentheses();
            }
        }
        self.value_of(self.last)
    }

    /// `tcp src port` and its like; all may be missing.
    fn qualifiers(&mut self) -> Qualifiers<'a> {
        let mut qualifiers = Qualifiers::default();
        let word = self.peek();
        if matches!(word, "ip" | "ip6") || protocol_number(word).is_some() {
            qualifiers.protocol = self.word();
        }
        if matches!(self.peek(), "src" | "dst") {
            let source = self.word() == Some("src");
            let other = if source { "dst" } else { "src" };
            let joined = match self.tokens {
                [Token::Word(join @ ("or" | "and")), Token::Word(next), ..] if *next == other => Some(*join),
                _ => None,
            };
            if joined.is_some() {
                self.tokens = &self.tokens[2..];
            }
            qualifiers.end = Some(match (joined, source) {
                (Some("or"), _) => End::Either,
                (Some(_), _) => End::Both,
                (None, true) => End::Source,
                (None, false) => End::Destination,
            });
        }
        if matches!(self.peek(), "host" | "net" | "port" | "portrange" | "proto") {
            qualifiers.kind = self.word();
        }
        qualifiers
    }

    /// Whether the next word can be a value.
    fn value_follows(&self) -> bool {
        match self.tokens.first() {
            Some(Token::Word(word)) => !matches!(*word, "and" | "or" | "not"),
            Some(Token::Sign(sign)) => *sign == "(",
            None => false,
        }
    }

    fn value_of(&mut self, qualifiers: Qualifiers<'a>) -> Result<Node> {
        let end = qualifiers.end.unwrap_or(End::Either);
        let combination = |with: &str| ExpressionError::Combination {
            what: qualifiers.protocol.unwrap_or_default().to_owned(),
            with: with.to_owned(),
        };
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
                let ports = |protocol| Node::Port(end, low.min(high), low.max(high), protocol);
                match qualifiers.protocol {
                    None => Ok(ports(None)),
                    Some("tcp") => Ok(ports(Some(TCP))),
                    Some("udp") => Ok(ports(Some(UDP))),
                    Some("sctp") => Ok(ports(Some(SCTP))),
                    Some(_) => Err(combination("port")),
                }
            }
            "proto" => {
                let protocol = self.protocol()?;
                if qualifiers.end.is_some() {
                    return Err(combination("src and dst of a protocol"));
                }
                of_version(qualifiers, Node::Protocol(protocol))
            }
            kind => {
                let network = if kind == "net" { self.network()? } else { self.host()? };
                if !matches!(qualifiers.protocol, None | Some("ip" | "ip6")) {
                    return Err(combination(kind));
                }
                of_version(qualifiers, Node::Host(end, network))
            }
        }
    }

    fn port(&mut self) -> Result<u16> {
        let error = self.expected("a port by its number, 0 to 65535");
        u16::try_from(self.number().map_err(|_| error.clone())?).map_err(|_| error)
    }

    fn protocol(&mut self) -> Result<u8> {
        let error = self.expected("a protocol, by name or 0 to 255");
        let name = self.peek().trim_start_matches('\\');
        if let Some(number) = protocol_number(name) {
            self.word();
            return Ok(number);
        }
        u8::try_from(self.number().map_err(|_| error.clone())?).map_err(|_| error)
    }

    fn host(&mut self) -> Result<Network> {
        let error = self.expected("an IPv4 or IPv6 address (names are not looked up)");
        let network = self.word().and_then(|word| {
            let address: IpAddr = word.parse().ok()?;
            Network::new(address, if address.is_ipv4() { 32 } else { 128 })
        });
        network.filter(|_| self.peek() != "/").ok_or(error)
    }

    /// `10.0.0.0/8`, `10.0.0.0 mask 255.0.0.0`, `192.168`, `2001:db8::/32`.
    fn network(&mut self) -> Result<Network> {
        let error = self.expected("a network such as 10.0.0.0/8 or 2001:db8::/32");
        let found = self.word().ok_or_else(|| error.clone())?;
        let (address, implied) = match found.parse::<IpAddr>() {
            Ok(address) => (address, if address.is_ipv4() { 32 } else { 128 }),
            Err(_) => short_network(found).ok_or_else(|| error.clone())?,
        };
        let bits = if self.take("/") {
            u8::try_from(self.number()?).map_err(|_| error.clone())?
        } else if self.take("mask") {
            let mask: Ipv4Addr =
                self.word().and_then(|word| word.parse().ok()).ok_or_else(|| error.clone())?;
            let bits = mask.to_bits().leading_ones();
            if address.is_ipv6() || mask.to_bits().count_ones() != bits {
                return Err(error);
            }
            u8::try_from(bits).map_err(|_| error.clone())?
        } else {
            implied
        };
        Network::new(address, bits).ok_or(error)
    }

    fn number(&mut self) -> Result<u32> {
        let error = self.expected("a number");
        self.word().and_then(number).ok_or(error)
    }
}

/// A network by the bytes that its addresses have in common: `10`, `192.168`.
fn short_network(word: &str) -> Option<(IpAddr, u8)> {
    let parts: Vec<u8> = word.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let mut address = [0; 4];
    address.get_mut(..parts.len())?.copy_from_slice(&parts);
    Some((Ipv4Addr::from(address).into(), u8::try_from(parts.len() * 8).ok()?))
}

fn protocol_node(name: &str) -> Node {
    match name {
        "ip" => Node::Version(4),
        "ip6" => Node::Version(6),
        _ => {
            let protocol = protocol_number(name).unwrap_or(0);
            let node = Node::Protocol(protocol);
            // Each of them belongs to one version of IP. In the other version, its number means something else.
            match protocol {
                ICMP => Node::And(Node::Version(4).into(), node.into()),
                ICMP6 => Node::And(Node::Version(6).into(), node.into()),
                _ => node,
            }
        }
    }
}

/// The condition for one version of IP, if `ip` or `ip6` says so.
fn of_version(qualifiers: Qualifiers<'_>, node: Node) -> Result<Node> {
    let version = match qualifiers.protocol {
        None => return Ok(node),
        Some("ip") => 4,
        Some("ip6") => 6,
        Some(other) => {
            let with = qualifiers.kind.unwrap_or("this").to_owned();
            return Err(ExpressionError::Combination { what: other.to_owned(), with });
        }
    };
    Ok(Node::And(Node::Version(version).into(), node.into()))
}
