//! How scripts learn that a recording has begun: on Windows, by the message alone.

/// Nobody is to be told.
#[derive(Debug)]
pub struct Ready;

impl Ready {
    /// Does nothing.
    pub const fn tell(&mut self) {}

    /// Does nothing.
    pub const fn tell_end(&self) {}
}
