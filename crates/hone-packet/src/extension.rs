//! IPv6 extension headers (IANA, "IPv6 Extension Header Types"): their numbers and lengths.

const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Whether this number is that of an extension header. All of them are at least 8 bytes long and begin with the number
/// of the next header.
pub(crate) const fn is_one(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
        || is_message(number)
}

/// Whether an extension header of this number may be all that there is: its packet is a message of its own protocol
/// then.
pub(crate) const fn is_message(number: u8) -> bool {
    matches!(number, MOBILITY | HOST_IDENTITY | SHIM6)
}

/// The length in bytes of the extension header of this number, at least 8. `second` is its second byte.
pub(crate) const fn length(number: u8, second: u8) -> usize {
    match number {
        // It has no length field.
        FRAGMENT => 8,
        // RFC 4302, section 2.2: in units of 4 bytes, the first two not counted.
        AUTHENTICATION => 8 + second as usize * 4,
        // RFC 8200, section 4: in units of 8 bytes, the first one not counted.
        _ => 8 + second as usize * 8,
    }
}
