//! Which packets a recording wants, and how much of each.

use hone_engine::SnapLength;
use hone_select::Selection;

/// What is asked of a feed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// How many bytes of each packet.
    pub snap_length: SnapLength,
    /// Which packets: the text form of a [`Selection`]; empty: all.
    pub selection: Vec<u8>,
}

impl Wanted {
    /// So many bytes of the packets that the selection admits.
    #[must_use]
    pub fn new(snap_length: SnapLength, selection: &Selection) -> Self {
        let mut text = Vec::new();
        // There is memory, or the program ends: this is no service.
        selection.to_text(&mut text).unwrap_or_else(|error| panic!("{error}"));
        Self { snap_length, selection: text }
    }
}
