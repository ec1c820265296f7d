//! A selection on one line: words as on the command line of `honeutil read`, or an expression. So it is written in
//! Wireshark's toolbar, in the rules of `--save-when`, and in the configuration of honed.

use anyhow::{Context as _, bail};
use hone_select::{Selection, Word};

/// The selection with this text: words as on the command line of `honeutil read`, or a pcap-filter expression.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> anyhow::Result<Selection> {
    let mut selection = Selection::default();
    let text = text.trim();
    if !text.is_empty() && !text.starts_with("--") {
        selection.add(Word::Filter, false, text).with_context(|| format!("filter {text:?}"))?;
        return Ok(selection);
    }
    let mut words = split(text)?.into_iter();
    while let Some(option) = words.next() {
        let (name, joined) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (option.as_str(), None),
        };
        if name == "--children" {
            selection.set_children(true);
            continue;
        }
        let Some((word, is_negated)) = name.strip_prefix("--").and_then(Word::read) else {
            bail!("{name:?} is not a word that selects, such as --name, --not-port or --filter");
        };
        let value = joined.or_else(|| words.next()).with_context(|| format!("{name} needs a value"))?;
        selection
            .add(word, is_negated, &value)
            .map_err(|error| anyhow::anyhow!("{name} {value}: {error}"))?;
    }
    selection.check()?;
    Ok(selection)
}

/// The words of a line; quotes keep spaces.
fn split(text: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    for char in text.chars() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(char);
                current.get_or_insert_default();
            }
            (None, char) if char.is_whitespace() => words.extend(current.take()),
            (_, char) => current.get_or_insert_default().push(char),
        }
    }
    if let Some(quote) = quote {
        bail!("the quote {quote} has no end");
    }
    words.extend(current);
    Ok(words)
}

/// A value as [`parse`] reads it.
#[must_use]
pub(crate) fn quoted(value: &str) -> String {
    if !value.is_empty() && !value.contains(|char: char| char.is_whitespace() || "'\"".contains(char)) {
        return value.to_owned();
    }
    // Each apostrophe is put in quotation marks.
    format!("'{}'", value.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_words_or_a_filter_and_says_what_is_wrong() {
        assert!(parse("").unwrap().is_everything());
        assert!(parse("tcp port 443").unwrap().has_packet_words());
        assert!(parse("--name=curl").unwrap().has_process_words());
        for (text, message) in [
            (
                "--colour red",
                "\"--colour\" is not a word that selects, such as --name, --not-port or --filter",
            ),
            ("--port", "--port needs a value"),
            ("--port x", "--port x: must be a port, 0 to 65535"),
            ("--filter 'port 80", "the quote ' has no end"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }
}
