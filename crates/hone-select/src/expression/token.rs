//! The words and signs of an expression.

use alloc::vec::Vec;

use super::parse::index;
use super::{ExpressionError, ExpressionProblem};
use crate::fallible::push;

/// Most words and signs of one expression. This also limits its nesting.
pub const MAX_TOKENS: usize = 2000;

/// A word or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// Whether it is a keyword, a number, a name or an address; else it is one of the signs below.
    pub(super) is_word: bool,
    /// Which character it begins with, from 1 on.
    pub(super) at: u32,
}

/// Signs of two characters. They are tried before those of one.
const PAIRS: [&str; 8] = ["&&", "||", "!=", ">=", "<=", "==", "<<", ">>"];
const SINGLES: &str = "()[]+-*/%&|^=<>!:";

/// The keyword before a name.
pub(super) const DOMAIN: &str = "domain";

/// Splits the text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut at = 1;
    // A colon is a separator within brackets, and part of an address elsewhere.
    let mut brackets = 0_usize;
    while let Some(first) = rest.chars().next() {
        if tokens.len() == MAX_TOKENS {
            return Err(ExpressionError::TooLong);
        }
        if first.is_ascii_whitespace() {
            rest = &rest[1..];
            at += 1;
            continue;
        }
        // Behind the keyword, and behind a parenthesis behind it, is a name, whatever characters it has.
        let opens = |token: &&Token<'_>| token.text != "(";
        let is_domain = tokens.iter().rev().find(opens).is_some_and(|token: &Token<'_>| token.text == DOMAIN);
        let length = if is_domain { name_length(rest) } else { word_length(rest, brackets == 0) };
        let (length, is_word) = match length {
            0 if PAIRS.iter().any(|pair| rest.starts_with(pair)) => (2, false),
            0 if SINGLES.contains(first) => (1, false),
            0 => return Err(ExpressionError::At(at, ExpressionProblem::Character(first))),
            length => (length, true),
        };
        match first {
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        let (text, after) = rest.split_at(length);
        push(&mut tokens, Token { text, is_word, at })?;
        at = at.saturating_add(index(text.chars().count()));
        rest = after;
    }
    Ok(tokens)
}

/// Length of the name at the beginning; 0 if there is none. Characters that no name has are part of it, so that the error is
/// about the name.
fn name_length(text: &str) -> usize {
    let ends = |char: char| {
        char.is_ascii_whitespace() || matches!(char, '(' | ')' | '&' | '|' | '!' | '=' | '<' | '>')
    };
    text.find(ends).unwrap_or(text.len())
}

/// Whether a word with a hyphen is a name, such as xn--bcher-kva.example. Nothing else with a hyphen has dots and letters.
fn is_name(text: &str) -> bool {
    let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'_');
    let bytes = text.as_bytes();
    let word = bytes.iter().position(ends).and_then(|end| bytes.get(..end)).unwrap_or(bytes);
    word.contains(&b'.') && word.iter().any(u8::is_ascii_alphabetic)
}

/// Length of the word at the beginning; 0 if there is none.
fn word_length(text: &str, colons: bool) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    // pcap-filter escapes names that are also keywords: proto \tcp.
    let mut length = usize::from(at(0) == b'\\' && at(1).is_ascii_alphabetic());
    loop {
        let part = match at(length) {
            b if b.is_ascii_alphanumeric() => true,
            b'_' => true,
            b'.' => length > 0,
            b':' => colons && (length > 0 || at(1) == b':'),
            // tcp-syn, but neither 1000-2000 nor len-4.
            b'-' if length > 0 => {
                at(0).is_ascii_alphabetic() && at(length + 1).is_ascii_alphabetic() || is_name(text)
            }
            _ => false,
        };
        if !part {
            return length;
        }
        length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs() {
        for (text, expected) in [
            ("tcp[tcpflags]&tcp-syn!=0", "tcp [ tcpflags ] & tcp-syn != 0"),
            ("ip6 host fe80::1", "ip6 host fe80::1"),
            ("host ::1", "host ::1"),
            ("net 10.0.0.0/8", "net 10.0.0.0 / 8"),
            ("portrange 1-2", "portrange 1 - 2"),
            ("ip[2:2]>len-4", "ip [ 2 : 2 ] > len - 4"),
            ("(a||!b)&&c", "( a || ! b ) && c"),
            ("proto \\tcp", "proto \\tcp"),
            ("domain web-1&&tcp[0]=1", "domain web-1 && tcp [ 0 ] = 1"),
            ("domain((web-1)or xn--b-1.example)", "domain ( ( web-1 ) or xn--b-1.example )"),
            ("domain 9-to-5.example or len-4>1", "domain 9-to-5.example or len - 4 > 1"),
        ] {
            let found: Vec<_> = tokens(text).unwrap().into_iter().map(|token| token.text).collect();
            assert_eq!(found.join(" "), expected);
        }
        let places: Vec<_> = tokens(" tcp[0]  !=1").unwrap().iter().map(|token| token.at).collect();
        assert_eq!(places, [2, 5, 6, 7, 10, 12]);
        let error = ExpressionError::At(6, ExpressionProblem::Character('é'));
        assert_eq!(tokens("port é"), Err(error));
        assert!(matches!(tokens(&"(".repeat(5000)), Err(ExpressionError::TooLong)));
    }
}
