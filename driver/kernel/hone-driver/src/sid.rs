//! Security identifiers in their text form. Keeps no state.

use alloc::vec::Vec;

use hone_engine::{OutOfMemory, fallible};

use crate::text::formatted;

/// The identifier as text, `S-1-5-...` ([MS-DTYP], section 2.4.2.1). `None` if the bytes are not an identifier.
///
/// ```text
/// 0  revision (1)
/// 1  count
/// 2  authority, 6 bytes, big-endian
/// 8  count times 4 bytes, little-endian
/// ```
pub(crate) fn text(sid: &[u8]) -> Result<Option<Vec<u8>>, OutOfMemory> {
    let Some(([1, count, authority @ ..], rest)) = sid.split_first_chunk::<8>() else { return Ok(None) };
    if rest.len() != usize::from(*count) * 4 {
        return Ok(None);
    }
    let authority = authority.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    // Authorities above 32 bits are written in hexadecimal.
    let mut text = match u32::try_from(authority) {
        Ok(authority) => formatted(format_args!("S-1-{authority}"))?,
        Err(_) => formatted(format_args!("S-1-{authority:#x}"))?,
    };
    for part in rest.chunks_exact(4) {
        let part = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
        fallible::append(&mut text, &formatted(format_args!("-{part}"))?)?;
    }
    Ok(Some(text))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]
mod tests {
    use super::*;

    fn of(sid: &[u8]) -> Option<String> {
        text(sid).expect("there is memory").map(|text| String::from_utf8(text).expect("it is UTF-8"))
    }

    #[test]
    fn well_known_identifiers() {
        assert_eq!(of(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]).as_deref(), Some("S-1-5-18"));
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
        assert_eq!(of(&administrators).as_deref(), Some("S-1-5-32-544"));
        assert_eq!(of(&[1, 0, 0, 0, 0, 0, 0, 0]).as_deref(), Some("S-1-0"));
        assert_eq!(
            of(&[1, 1, 0, 1, 0, 0, 0, 0, 255, 255, 255, 255]).as_deref(),
            Some("S-1-0x100000000-4294967295")
        );
    }

    #[test]
    fn what_is_no_identifier_has_no_text() {
        let sid = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        for length in 0..sid.len() {
            assert_eq!(of(&sid[..length]), None);
        }
        assert_eq!(of(&[2, 0, 0, 0, 0, 0, 0, 0]), None, "of another revision");
    }
}
