//! Which packets a recording wants, and how much of each.

use hone_engine::SnapLength;
use hone_select::{Condition, NoTests, Selection, packet_tests};

/// What is asked of a feed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// How many bytes of each packet.
    pub snap_length: SnapLength,
    /// Which packets: the text form of a [`Selection`]; empty: all.
    pub selection: Vec<u8>,
    /// Whether packets that are seen as they are sent and as they are received have the same packet id both times.
    pub packet_ids: bool,
}

impl Wanted {
    /// So many bytes of the packets that the selection admits.
    #[must_use]
    pub fn new(snap_length: SnapLength, selection: &Selection) -> Self {
        let mut text = Vec::new();
        // There is memory, or the program ends: this is no service.
        selection.to_text(&mut text).unwrap_or_else(|error| panic!("{error}"));
        Self { snap_length, selection: text, packet_ids: false }
    }

    /// Where the selection is applied, for whoever wants to know; `None`: there is none.
    #[must_use]
    #[cfg_attr(windows, allow(dead_code, reason = "the driver applies all of it"))]
    pub fn where_applied(&self) -> Option<String> {
        let selection =
            Selection::parse(&self.selection).ok().filter(|selection| !selection.is_everything())?;
        let tests = packet_tests(std::iter::once(&selection));
        let is_too_large = matches!(tests, Err(NoTests::TooMany));
        let in_kernel = |condition: &Condition| {
            condition.word.is_of_process() || condition.is_testable() && !is_too_large
        };
        let words = |of_kernel: bool| {
            let mut words: Vec<String> = Vec::new();
            for condition in selection.conditions().filter(|condition| in_kernel(condition) == of_kernel) {
                let word = format!("--{}", condition.word.written(condition.is_negated));
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            words.join(", ")
        };
        let why = if is_too_large { " (they are too large for the kernel)" } else { "" };
        Some(match (words(true), words(false)) {
            (words, rest) if rest.is_empty() => {
                format!("the kernel applies the whole selection, unless another reader wants more: {words}")
            }
            (words, rest) if words.is_empty() => {
                format!("the kernel hands over all packets; applied to them: {rest}{why}")
            }
            (words, rest) => format!(
                "the kernel applies, unless another reader wants more: {words}; applied to what it hands over: {rest}{why}"
            ),
        })
    }
}
