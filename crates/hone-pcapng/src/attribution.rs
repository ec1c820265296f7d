//! How a packet's process is known, or why it has none, as one byte: option 259 of a packet, option 6 of a correction.
//! Hone's own; the original sensors do not write it.
//!
//! Values below 128 mean that the packet has a process, values from 128 on that it has none.

use hone_types::{How, Method, NoOwner};

/// The byte in the file. [`NoOwner::HoldExpired`] is written as [`NoOwner::UnknownSocket`].
#[must_use]
pub const fn code(how: How) -> u8 {
    match how {
        Ok(Method::CurrentTask) => 1,
        Ok(Method::LastSender) => 2,
        Ok(Method::LastReceiver) => 3,
        Ok(Method::Creator) => 4,
        Ok(Method::Accepted) => 5,
        Ok(Method::Listener) => 6,
        Ok(Method::Connection) => 7,
        Ok(Method::Listed) => 8,
        Ok(Method::Reader) => 9,
        Ok(Method::Writer) => 10,
        Err(NoOwner::Kernel) => 128,
        Err(NoOwner::NoSocket) => 129,
        Err(NoOwner::TimeWait) => 130,
        Err(NoOwner::Forwarded) => 131,
        Err(NoOwner::Filtered) => 132,
        Err(NoOwner::UnknownSocket | NoOwner::HoldExpired) => 133,
        Err(NoOwner::Shared) => 134,
        Err(NoOwner::HoldFull) => 135,
    }
}

/// What the byte in the file means; `None` if only a later version knows it.
#[must_use]
pub fn from_code(byte: u8) -> Option<How> {
    let mut all = Method::ALL.map(Ok).into_iter().chain(NoOwner::ALL.map(Err));
    // If two reasons are written as the same byte, the first one in the list is read.
    all.find(|&how| code(how) == byte)
}

/// What the value of option 259 says; `None`: it is not one byte long, or the code is not known.
pub(crate) fn from_value(value: &[u8]) -> Option<How> {
    if let &[code] = value { from_code(code) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_as_it_was_written() {
        for how in Method::ALL.map(Ok).into_iter().chain(NoOwner::ALL.map(Err)) {
            let read = if how == Err(NoOwner::HoldExpired) { Err(NoOwner::UnknownSocket) } else { how };
            assert_eq!(from_code(code(how)), Some(read));
            assert_eq!(code(how) < 128, how.is_ok(), "{how:?}");
        }
        let known = (0..=255).filter(|&byte| from_code(byte).is_some());
        assert!(known.eq((1..=10).chain(128..=135)));
    }
}
