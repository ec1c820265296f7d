//! Comparisons of numbers and of a packet's bytes: `tcp[tcpflags] & tcp-syn != 0`.
//!
//! ```text
//! comparison = value ("=" | "!=" | "<" | ...) value
//! value      = operand { ("+" | "&" | "<<" | ...) operand }
//! operand    = number | "len" | protocol "[" value [ ":" size ] "]" | "-" operand | "(" value ")"
//! ```

use super::names::{named_number, protocol_number};
use super::parse::Parser;
use super::{Calculation, Comparison, Layer, Node, Value};

impl Parser<'_, '_> {
    /// Parses a comparison if one comes next. Otherwise consumes nothing.
    pub(super) fn comparison(&mut self) -> Option<Node> {
        let (tokens, depth) = (self.tokens, self.depth);
        let node = self.try_comparison();
        if node.is_none() {
            (self.tokens, self.depth) = (tokens, depth);
        }
        node
    }

    fn try_comparison(&mut self) -> Option<Node> {
        let left = self.value(0)?;
        let comparison = match self.peek() {
            "=" | "==" => Comparison::Equal,
            "!=" => Comparison::Unequal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        };
        self.tokens = &self.tokens[1..];
        Some(Node::Compare(comparison, left, self.value(0)?))
    }

    /// Parses a value with operators that bind at least as strongly as `least`.
    fn value(&mut self, least: u8) -> Option<Value> {
        self.deeper().ok()?;
        let mut left = self.operand()?;
        loop {
            let (calculation, binds) = match self.peek() {
                // They have the same precedence, as in libpcap.
                "|" => (Calculation::Or, 1),
                "^" => (Calculation::Xor, 1),
                "&" => (Calculation::And, 1),
                "<<" => (Calculation::Left, 2),
                ">>" => (Calculation::Right, 2),
                "+" => (Calculation::Add, 3),
                "-" => (Calculation::Subtract, 3),
                "*" => (Calculation::Multiply, 4),
                "/" => (Calculation::Divide, 4),
                "%" => (Calculation::Remainder, 4),
                _ => break,
            };
            if binds < least {
                break;
            }
            self.tokens = &self.tokens[1..];
            let right = self.value(binds + 1)?;
            left = Value::Calculation(calculation, left.into(), right.into());
        }
        self.depth -= 1;
        Some(left)
    }

    fn operand(&mut self) -> Option<Value> {
        if self.take("(") {
            let value = self.value(0)?;
            return self.take(")").then_some(value);
        }
        if self.take("-") {
            let value = self.operand()?;
            return Some(Value::Calculation(Calculation::Subtract, Value::Number(0).into(), value.into()));
        }
        let word = self.word()?;
        if word == "len" {
            return Some(Value::Length);
        }
        if let Some(number) = named_number(word) {
            return Some(Value::Number(number));
        }
        let layer = match word {
            "ip" => Layer::Ip(4),
            "ip6" => Layer::Ip(6),
            _ => match protocol_number(word) {
                Some(protocol) => Layer::Transport(protocol),
                None => return number(word).map(Value::Number),
            },
        };
        if !self.take("[") {
            return None;
        }
        let offset = self.value(0)?;
        let size = match self.take(":") {
            true => self.word().and_then(number).filter(|size| matches!(size, 1 | 2 | 4))?,
            false => 1,
        };
        let size = u8::try_from(size).ok()?;
        self.take("]").then(|| Value::Bytes(layer, offset.into(), size))
    }
}

/// A number: decimal, hexadecimal after 0x, or octal after 0.
pub(super) fn number(word: &str) -> Option<u32> {
    if !word.starts_with(|first: char| first.is_ascii_digit()) {
        None
    } else if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        u32::from_str_radix(digits, 16).ok()
    } else if word.len() > 1 && word.starts_with('0') {
        u32::from_str_radix(word, 8).ok()
    } else {
        word.parse().ok()
    }
}
