//! A position in a row of buffers.

/// Reads a row of buffers as if they were one. Skips empty buffers.
pub(crate) struct Cursor<'a, I> {
    front: &'a [u8],
    rest: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Cursor<'a, I> {
    pub(crate) fn new(rest: I) -> Self {
        Self { front: &[], rest }
    }

    /// The next piece: at least one byte and at most `most` bytes; `None` at the end, or if `most` is 0.
    pub(crate) fn piece(&mut self, most: usize) -> Option<&'a [u8]> {
        if most == 0 {
            return None;
        }
        while self.front.is_empty() {
            self.front = self.rest.next()?;
        }
        let (piece, front) = self.front.split_at(self.front.len().min(most));
        self.front = front;
        Some(piece)
    }

    /// The next `N` bytes. If there are fewer, returns how many there were.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], usize> {
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            let Some(piece) = self.piece(N - filled) else { return Err(filled) };
            bytes[filled..][..piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(bytes)
    }
}
