//! The selection of a capture, from the settings.

use hone_select::{Selection, Word};

use super::arguments::Arguments;
use crate::cli::selection::problem_on_host;
use crate::selection_line::{self, quoted};

/// What the settings and the capture filter select together, as the toolbar shows it.
#[must_use]
pub fn text(arguments: &Arguments) -> String {
    let mut words = Vec::new();
    for (word, is_negated, values) in &arguments.words {
        for value in values_of(*word, values) {
            words.push(format!("--{} {}", word.written(*is_negated), quoted(value)));
        }
    }
    if let Some(filter) = arguments.filter.as_ref().filter(|filter| !filter.trim().is_empty()) {
        words.push(format!("--filter {}", quoted(filter)));
    }
    if arguments.children {
        words.push("--children".to_owned());
    }
    words.join(" ")
}

/// The selection that a text says, as `honeutil read` takes it on this host.
///
/// # Errors
/// What is wrong with it.
pub fn selection(text: &str) -> anyhow::Result<Selection> {
    let selection = selection_line::parse(text)?;
    problem_on_host(&selection).map_or(Ok(selection), |problem| Err(anyhow::anyhow!(problem)))
}

/// The values of a setting: several are separated by commas. A filter is one.
fn values_of(word: Word, values: &str) -> Vec<&str> {
    match word {
        Word::Filter => vec![values],
        _ => values.split(',').map(str::trim).filter(|value| !value.is_empty()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection_line::parse;

    #[test]
    fn settings_become_a_text_that_is_read_again() {
        let arguments = Arguments {
            words: vec![
                (Word::Name, false, "curl, wget".to_owned()),
                (Word::Path, false, "/opt/it's here/".to_owned()),
                (Word::Port, true, "22".to_owned()),
            ],
            filter: Some("tcp and port (80 or 443)".to_owned()),
            children: true,
            ..Arguments::default()
        };
        let text = text(&arguments);
        assert_eq!(
            text,
            "--name curl --name wget --path '/opt/it'\"'\"'s here/' --not-port 22 \
             --filter 'tcp and port (80 or 443)' --children"
        );
        let selection = parse(&text).unwrap();
        let values: Vec<_> = selection.conditions().map(|condition| condition.text().to_owned()).collect();
        assert_eq!(values, ["curl", "wget", "/opt/it's here/", "22", "tcp and port (80 or 443)"]);
        assert!(selection.children());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn users_that_this_host_does_not_have_are_refused() {
        let error = |text: &str| selection(text).unwrap_err().to_string();
        assert!(error("--user no-such-user").contains("this host has no user \"no-such-user\""));
        assert!(error("--user root --not-user 0").contains("both are the user with number 0"));
        assert!(selection("--user root --not-user 1").is_ok());
    }
}
