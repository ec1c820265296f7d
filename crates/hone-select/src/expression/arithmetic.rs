//! Comparisons of numbers and of a packet's bytes: `tcp[tcpflags] & tcp-syn != 0`.
//!
//! ```text
//! comparison = value ("=" | "!=" | "<" | ...) value
//! value      = operand { ("+" | "&" | "<<" | ...) operand }
//! operand    = number | "len" | protocol "[" value [ ":" size ] "]" | "-" operand | "(" value ")"
//! ```

use alloc::vec::Vec;

use super::ExpressionError;
use super::names::{named_number, protocol_number};
use super::parse::{Parser, Result, index};
use super::program::{Calculation, Comparison, Instruction, Layer, Step, Test};
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
            Err(error) => Err(error),
        }
    }

    fn try_comparison(&mut self) -> Attempt<Test> {
        let left = index(self.steps.len());
        let Some(()) = self.value()? else { return Ok(None) };
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
        let Some(()) = self.value()? else { return Ok(None) };
        Ok(Some(Test::Compare { comparison, left, right, end: index(self.steps.len()) }))
    }

    /// Parses a value. Does not recurse, however deep it is nested.
    fn value(&mut self) -> Attempt<()> {
        let mut open = Vec::new();
        if self.deeper().is_err() {
            return Ok(None);
        }
        loop {
            match self.operand()? {
                None => return Ok(None),
                Some(Operand::Whole) => {}
                Some(Operand::Within(outer)) => {
                    let Some(()) = self.enter(&mut open, outer)? else { return Ok(None) };
                    continue;
                }
            }
            match self.end_of_operand(&mut open)? {
                None => return Ok(None),
                Some(true) => return Ok(Some(())),
                Some(false) => {}
            }
        }
    }

    fn enter(&mut self, open: &mut Vec<Open>, outer: Open) -> Attempt<()> {
        if self.deeper().is_err() {
            return Ok(None);
        }
        push(open, outer)?;
        Ok(Some(()))
    }

    /// Closes what the end of an operand closes; returns whether this is the whole value. Otherwise another operand
    /// follows.
    fn end_of_operand(&mut self, open: &mut Vec<Open>) -> Attempt<bool> {
        loop {
            let operator = self.operator();
            let least = operator.map_or(0, |(_, binds)| binds);
            // What binds at least as strongly is computed first, a sign before all else.
            while let Some(Open::Calculation(calculation, _)) =
                open.pop_if(|outer| matches!(outer, Open::Calculation(_, binds) if *binds >= least))
            {
                self.depth -= 1;
                push(&mut self.steps, Step::Calculation(calculation))?;
            }
            if let Some((calculation, binds)) = operator {
                self.skip(1);
                let entered = self.enter(open, Open::Calculation(calculation, binds))?;
                return Ok(entered.map(|()| false));
            }
            self.depth -= 1;
            match open.pop() {
                None => return Ok(Some(true)),
                Some(Open::Offset(layer)) => {
                    self.size(layer)?;
                }
                Some(_) if self.take(")") => {}
                Some(_) => return Ok(None),
            }
        }
    }

    /// The operator that comes next, and how strongly it binds.
    fn operator(&self) -> Option<(Calculation, u8)> {
        Some(match self.peek() {
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
            _ => return None,
        })
    }

    fn operand(&mut self) -> Attempt<Operand> {
        if self.take("(") {
            return Ok(Some(Operand::Within(Open::Parenthesis)));
        }
        if self.take("-") {
            push(&mut self.steps, Step::Number(0))?;
            return Ok(Some(Operand::Within(Open::Calculation(Calculation::Subtract, SIGN))));
        }
        let wrong = self.expected(NUMBER);
        let Some(word) = self.word() else { return Ok(None) };
        if word == "len" {
            push(&mut self.steps, Step::Length)?;
            return Ok(Some(Operand::Whole));
        }
        let layer = match word {
            "ip" => Some(Layer::Ip(4)),
            "ip6" => Some(Layer::Ip(6)),
            _ => protocol_number(word).map(Layer::Transport),
        };
        let Some(layer) = layer else {
            let Some(number) = named_number(word).or_else(|| number(word)) else {
                return if is_wrong_number(word) { Err(wrong) } else { Ok(None) };
            };
            push(&mut self.steps, Step::Number(number))?;
            return Ok(Some(Operand::Whole));
        };
        Ok(self.take("[").then_some(Operand::Within(Open::Offset(layer))))
    }

    /// The size behind an offset, and the bracket behind it.
    fn size(&mut self, layer: Layer) -> Result<()> {
        let mut size = 1;
        let mut wanted = "an operator, : with a size, or ]";
        if self.take(":") {
            let wrong = self.expected("1, 2 or 4: the size in bytes");
            let found = self.word().and_then(number).filter(|size| matches!(size, 1 | 2 | 4));
            size = found.and_then(|size| u8::try_from(size).ok()).ok_or(wrong)?;
            wanted = "]";
        }
        if !self.take("]") {
            return Err(self.expected(wanted));
        }
        Ok(push(&mut self.steps, Step::Bytes(layer, size))?)
    }
}

/// What encloses an operand.
enum Open {
    Parenthesis,
    /// The brackets of bytes of this header.
    Offset(Layer),
    /// The operand is the right one of an operator that binds so strongly.
    Calculation(Calculation, u8),
}

/// What [`Parser::operand`] has found.
enum Operand {
    /// All of it.
    Whole,
    /// Its beginning, with a value or another operand behind it.
    Within(Open),
}

/// A sign binds more strongly than every operator.
const SIGN: u8 = 5;

/// `None` if it is not what was looked for, but may be something else. An error if it can be nothing else.
type Attempt<T> = core::result::Result<Option<T>, ExpressionError>;

/// What a number must be: see [`number`].
pub(super) const NUMBER: &str = "a number, 0 to 4294967295 (0x begins a hexadecimal one, 0 an octal one)";

/// Whether it can only be meant as a number, and is none that is allowed. A network, such as 10, is one, but an address is none.
fn is_wrong_number(word: &str) -> bool {
    number(word).is_none()
        && word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
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
