//! The hash of a process's executable: option 16 of a process event, 32 bytes; or one byte, why it is not known. Hone's own.

use hone_types::{ExecutableHash, NoHash};

/// The byte in the file.
pub(crate) const fn code(reason: NoHash) -> u8 {
    match reason {
        NoHash::Pending => 1,
        NoHash::Changed => 2,
        NoHash::TooLarge => 3,
        NoHash::Gone => 4,
        NoHash::Unreadable => 5,
        NoHash::Busy => 6,
    }
}

/// What the option in the file means; `None` if only a later version knows it.
pub(crate) fn parse(value: &[u8]) -> Option<ExecutableHash> {
    match value {
        &[byte] => NoHash::ALL.into_iter().find(|&reason| code(reason) == byte).map(Err),
        value => value.try_into().ok().map(Ok),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_read_as_it_was_written() {
        for reason in NoHash::ALL {
            assert_eq!(parse(&[code(reason)]), Some(Err(reason)));
        }
        assert_eq!(parse(&[7; 32]), Some(Ok([7; 32])));
        for unknown in [&[][..], &[0], &[7], &[1, 0], &[7; 31], &[7; 33]] {
            assert_eq!(parse(unknown), None);
        }
    }
}
