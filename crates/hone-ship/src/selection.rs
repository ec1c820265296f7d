//! `[selection]` of the configuration: of which packets anything is delivered but what connections add up.

use std::collections::BTreeMap;
use std::fmt;

use hone_select::{Selection, Word};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The flag for descendants.
const CHILDREN: &str = "children";

/// What is written behind a word.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, a whole number, or a list of these; for children, true or false"
)]
enum Values {
    One(Value),
    Several(Vec<Value>),
}

/// A value.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a whole number")]
enum Value {
    Flag(bool),
    Number(i64),
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Reads the words. Together, they are a selection that can match something.
pub(crate) fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Selection, D::Error> {
    let words = BTreeMap::<String, Values>::deserialize(source)?;
    selection(words).map_err(D::Error::custom)
}

fn selection(words: BTreeMap<String, Values>) -> Result<Selection, String> {
    let mut selection = Selection::default();
    for (key, value) in words {
        if key == CHILDREN {
            let Values::One(Value::Flag(children)) = value else {
                return Err(format!("selection.{CHILDREN}: allowed: true or false"));
            };
            selection.set_children(children);
            continue;
        }
        let (word, is_negated) = Word::read(&key).ok_or_else(|| unknown(&key))?;
        let values = match value {
            Values::Several(values) => values,
            Values::One(value) => vec![value],
        };
        for value in values {
            let text = match &value {
                Value::Text(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Flag(_) => {
                    return Err(format!("selection.{key} = {value}; allowed: texts and whole numbers"));
                }
            };
            let refused = |why: &dyn fmt::Display| format!("selection.{key} = {value}: {why}");
            selection.add(word, is_negated, &text).map_err(|error| refused(&error))?;
            if selection.needs_names() {
                return Err(refused(
                    &"names are found in what was recorded, and cannot select what is delivered",
                ));
            }
        }
    }
    selection.check().map_err(|error| format!("selection: {error}"))?;
    Ok(selection)
}

fn unknown(key: &str) -> String {
    let of_recordings = |word: &Word| *word != Word::Domain;
    let known: Vec<_> = Word::ALL.into_iter().filter(of_recordings).map(Word::name).collect();
    format!(
        "selection.{key} is no word that selects. There are {}, each also with not- before it, and {CHILDREN}",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Selection, String> {
        let source = toml::Deserializer::parse(text).map_err(|error| error.message().to_owned())?;
        read(source).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn words_are_those_of_the_command_line() {
        let selection =
            of("port = [53, '443']\nnot-name = 'sshd'\nfilter = 'tcp'\npid = 7\nchildren = true").unwrap();
        let mut text = Vec::new();
        selection.to_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap().replace('\0', " ");
        assert_eq!(text, "--not-name sshd --pid 7 --filter tcp --port 53 --port 443 --children ");
        assert!(of("").unwrap().is_everything());
    }

    #[test]
    fn an_error_says_which_word_and_where_in_it() {
        for (text, expected) in [
            ("colour = 1", "selection.colour is no word that selects. There are pid, name,"),
            ("port = 70000", "selection.port = 70000: "),
            ("port = [53, true]", "selection.port = true; allowed: texts"),
            ("port = 1.5", "expected a text, a whole number, or a list"),
            ("filter = 'tcp prot 80'", "character 5"),
            ("domain = 'example.com'", "selection.domain = \"example.com\": names are found"),
            ("filter = 'domain example.com'", "names are found"),
            ("name = 'a'\nnot-name = 'a'", "selection: --name"),
            ("children = true", "selection: --children"),
            ("children = 1", "selection.children: allowed: true or false"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
