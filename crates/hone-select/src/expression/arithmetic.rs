//! Comparisons of numbers and of a packet's bytes: `tcp[tcpflags] & tcp-syn != 0`.
//!
//! ```text
//! comparison = value ("=" | "!=" | "<" | ...) value
//! value      = operand { ("+" | "&" | "<<" | ...) operand }
//! operand    = number | "len" | protocol "[" value [ ":" size ] "]" | "-" operand | "(" value ")"
//! ```

use super::names::{named_number, protocol_number};
use super::parse::{Parser, Result, index};
use super::program::{Calculation, Comparison, Instruction, Layer, Step, Test};
use crate::error::OutOfMemory;
use crate::fallible::push;

impl Parser<'_, '_> {
    /// Parses a comparison if one comes next; returns whether. Otherwise consumes nothing.
    pub(super) fn comparison(&mut self) -> Result<bool> {
        let (tokens, depth, steps) = (self.tokens, self.depth, self.steps.len());
        match self.try_comparison() {
            Ok(Some(test)) => {
                push(&mut self.instructions, Instruction::Test(test))?;
                Ok(true)
            }
            Ok(None) => {
                (self.tokens, self.depth) = (tokens, depth);
                self.steps.truncate(steps);
                Ok(false)
            }
            Err(OutOfMemory) => Err(OutOfMemory.into()),
        }
    }

    fn try_comparison(&mut self) -> Attempt<Test> {
        let left = index(self.steps.len());
        let Some(()) = self.value(0)? else { return Ok(None) };
        let comparison = match self.peek() {
            "=" | "==" => Comparison::Equal,
            "!=" => Comparison::Unequal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return Ok(None),
        };
        self.skip(1);
        let right = index(self.steps.len());
        let Some(()) = self.value(0)? else { return Ok(None) };
        Ok(Some(Test::Compare { comparison, left, right, end: index(self.steps.len()) }))
    }

    /// Parses a value with operators that bind at least as strongly as `least`.
    fn value(&mut self, least: u8) -> Attempt<()> {
        if self.deeper().is_err() {
            return Ok(None);
        }
        let Some(()) = self.operand()? else { return Ok(None) };
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
            self.skip(1);
            let Some(()) = self.value(binds + 1)? else { return Ok(None) };
            push(&mut self.steps, Step::Calculation(calculation))?;
        }
        self.depth -= 1;
        Ok(Some(()))
    }

    fn operand(&mut self) -> Attempt<()> {
        if self.take("(") {
            let Some(()) = self.value(0)? else { return Ok(None) };
            return Ok(self.take(")").then_some(()));
        }
        if self.take("-") {
            push(&mut self.steps, Step::Number(0))?;
            if self.deeper().is_err() {
                return Ok(None);
            }
            let Some(()) = self.operand()? else { return Ok(None) };
            self.depth -= 1;
            push(&mut self.steps, Step::Calculation(Calculation::Subtract))?;
            return Ok(Some(()));
        }
        let Some(word) = self.word() else { return Ok(None) };
        if word == "len" {
            push(&mut self.steps, Step::Length)?;
            return Ok(Some(()));
        }
        let layer = match word {
            "ip" => Some(Layer::Ip(4)),
            "ip6" => Some(Layer::Ip(6)),
            _ => protocol_number(word).map(Layer::Transport),
        };
        let Some(layer) = layer else {
            let Some(number) = named_number(word).or_else(|| number(word)) else { return Ok(None) };
            push(&mut self.steps, Step::Number(number))?;
            return Ok(Some(()));
        };
        self.bytes(layer)
    }

    /// The offset and the size behind a protocol, in brackets.
    fn bytes(&mut self, layer: Layer) -> Attempt<()> {
        if !self.take("[") {
            return Ok(None);
        }
        let Some(()) = self.value(0)? else { return Ok(None) };
        let size = match self.take(":") {
            true => self.word().and_then(number).filter(|size| matches!(size, 1 | 2 | 4)),
            false => Some(1),
        };
        let Some(size) = size.and_then(|size| u8::try_from(size).ok()) else { return Ok(None) };
        if !self.take("]") {
            return Ok(None);
        }
        push(&mut self.steps, Step::Bytes(layer, size))?;
        Ok(Some(()))
    }
}

/// `None` if it is not what was looked for.
type Attempt<T> = core::result::Result<Option<T>, OutOfMemory>;

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
