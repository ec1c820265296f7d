//! Log levels: as the original's bit mask, or as names.

use core::fmt::{self, Display, Formatter};
use core::str::FromStr;

/// Which messages the service writes: honed to its log, the Windows driver to the kernel debugger. Errors are always
/// among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogLevels(u32);

/// Each level's bit and name.
const LEVELS: [(u32, &str); 5] = [
    (LogLevels::ERROR, "error"),
    (LogLevels::WARNING, "warning"),
    (LogLevels::INFORMATION, "information"),
    (LogLevels::VERBOSE, "verbose"),
    (LogLevels::LOCK_STATUS, "lock-status"),
];

impl LogLevels {
    /// Something failed.
    pub const ERROR: u32 = 0x01;
    /// Something is weaker than it should be.
    pub const WARNING: u32 = 0x02;
    /// Starts, stops, readers that come and go.
    pub const INFORMATION: u32 = 0x04;
    /// Each request, and what libraries say; in the driver: each connection.
    pub const VERBOSE: u32 = 0x08;
    /// Threads that waited for the lock, and for how long; in the driver: that the lock is taken and released.
    pub const LOCK_STATUS: u32 = 0x10;
    /// All levels.
    pub const ALL: u32 = 0x1F;

    /// The levels of a mask.
    ///
    /// # Errors
    /// It has a bit that is no level.
    pub const fn from_mask(mask: u32) -> Result<Self, UnknownLevel> {
        if mask & !Self::ALL == 0 { Ok(Self(mask | Self::ERROR)) } else { Err(UnknownLevel) }
    }

    /// All levels.
    #[must_use]
    pub const fn all() -> Self {
        Self(Self::ALL)
    }

    /// The mask; bit 0 is always set.
    #[must_use]
    pub const fn mask(self) -> u32 {
        self.0
    }
}

impl Default for LogLevels {
    /// Errors, warnings and information.
    fn default() -> Self {
        Self(Self::ERROR | Self::WARNING | Self::INFORMATION)
    }
}

/// The text is neither a mask nor a list of levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLevel;

impl Display for UnknownLevel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "log levels are a mask from 0 to 0x1f, or names separated by commas: error (0x01), warning (0x02), \
             information (0x04), verbose (0x08), lock-status (0x10), all",
        )
    }
}

impl core::error::Error for UnknownLevel {}

/// Whether a word is this name. Case does not matter, and a space or an underscore stands for the name's `-`.
fn is_name(word: &str, name: &str) -> bool {
    let plain = |byte: u8| if matches!(byte, b' ' | b'_') { b'-' } else { byte.to_ascii_lowercase() };
    word.bytes().map(plain).eq(name.bytes())
}

impl FromStr for LogLevels {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let text = text.trim();
        let number = match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        if let Some(mask) = number {
            return Self::from_mask(mask);
        }
        let mut mask = 0;
        for word in text.split([',', '|', '+']).map(str::trim) {
            let level = LEVELS.iter().find(|(_, name)| is_name(word, name));
            mask |= match level {
                Some((bit, _)) => *bit,
                None if is_name(word, "all") => Self::ALL,
                None => return Err(UnknownLevel),
            };
        }
        Self::from_mask(mask)
    }
}

impl Display for LogLevels {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut shown = LEVELS.iter().filter(|(bit, _)| self.0 & bit != 0);
        // There is always one: errors.
        shown.next().map_or(Ok(()), |(_, name)| f.write_str(name))?;
        shown.try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::string::ToString as _;

    #[test]
    fn masks_and_names_say_the_same() {
        let mask = |text: &str| text.parse().map(LogLevels::mask);
        assert_eq!(mask("0x06"), Ok(7), "errors are always shown");
        assert_eq!(mask("warning, information"), Ok(7));
        assert_eq!(mask("31"), mask("all"));
        assert_eq!(mask("Lock Status"), Ok(0x11));
        assert_eq!(mask("0x20"), Err(UnknownLevel));
        assert_eq!(mask("loud"), Err(UnknownLevel));
        assert_eq!(mask(""), Err(UnknownLevel));
        assert_eq!(LogLevels::default().to_string(), "error, warning, information");
    }
}
