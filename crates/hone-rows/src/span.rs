//! A span of time.

/// A span of time: what is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first nanosecond that belongs to it, since 1970-01-01 UTC.
    pub from: Option<u64>,
    /// The first nanosecond that no longer belongs to it.
    pub to: Option<u64>,
}

impl Span {
    /// Whether an event of this time belongs to it. One without a time belongs only to all of time.
    #[must_use]
    pub fn contains(&self, nanos: Option<u64>) -> bool {
        match nanos {
            Some(nanos) => self.from.is_none_or(|from| from <= nanos) && self.to.is_none_or(|to| nanos < to),
            None => *self == Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_beginning_but_not_its_end() {
        let span = Span { from: Some(5), to: Some(7) };
        assert_eq!([4, 5, 6, 7].map(|nanos| span.contains(Some(nanos))), [false, true, true, false]);
        assert!(!span.contains(None) && Span::default().contains(None));
        assert!(Span { from: Some(5), to: None }.contains(Some(u64::MAX)));
        assert!(Span { from: None, to: Some(7) }.contains(Some(0)));
    }
}
