//! Log levels: as the original's bit mask, or as names.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Which messages the service writes to its log. Errors are always among them.
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
    /// Each request, and what libraries say.
    pub const VERBOSE: u32 = 0x08;
    /// Threads that waited for the lock, and for how long.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "log levels are a mask from 0 to 0x1f, or names separated by commas: error (0x01), warning (0x02), \
     information (0x04), verbose (0x08), lock-status (0x10), all"
)]
pub struct UnknownLevel;

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
        for word in text.split([',', '|', '+']) {
            let word = word.trim().to_ascii_lowercase().replace([' ', '_'], "-");
            mask |= match word.as_str() {
                "all" => Self::ALL,
                word => {
                    LEVELS.iter().find(|(_, name)| *name == word).map(|(bit, _)| *bit).ok_or(UnknownLevel)?
                }
            };
        }
        Self::from_mask(mask)
    }
}

impl Display for LogLevels {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            LEVELS.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_names_say_the_same() {
        let mask = |text: &str| text.parse().map(LogLevels::mask);
        assert_eq!(mask("0x06"), Ok(7), "errors are always shown");
        assert_eq!(mask("warning, information"), Ok(7));
        assert_eq!(mask("31"), mask("all"));
        assert_eq!(mask("Lock Status"), Ok(0x11));
        assert_eq!(mask("0x20"), Err(UnknownLevel));
        assert_eq!(mask("loud"), Err(UnknownLevel));
        assert_eq!(LogLevels::default().to_string(), "error, warning, information");
    }
}
