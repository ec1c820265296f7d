//! Access rights of the device: only administrators and the system may open it.

/// `FILE_ALL_ACCESS`, with generic rights already mapped.
const FILE_ALL_ACCESS: u32 = 0x001F_01FF;

/// The device's security descriptor, self-relative ([MS-DTYP], section 2.4.6): a protected list that allows `SYSTEM`
/// and `BUILTIN\Administrators` all access. In SDDL: `D:P(A;;FA;;;SY)(A;;FA;;;BA)`.
///
/// ```text
///  0  revision 1, 0, control: SE_DACL_PRESENT | SE_DACL_PROTECTED | SE_SELF_RELATIVE
///  4  owner, group, system list: none (0); list at 20
/// 20  list: revision 2, 0, 52 bytes, 2 entries, 0
/// 28  entry: allowed, no flags, 20 bytes, mask, S-1-5-18
/// 48  entry: allowed, no flags, 24 bytes, mask, S-1-5-32-544
/// ```
#[repr(C, align(4))]
#[derive(Debug)]
pub struct Descriptor(pub [u8; 72]);

/// The descriptor that the device is created with.
pub const DESCRIPTOR: Descriptor = {
    let mask = FILE_ALL_ACCESS.to_le_bytes();
    let mut bytes = [0; 72];
    let head: [u8; 8] = [1, 0, 0x04, 0x90, 0, 0, 0, 0];
    let list: [u8; 8] = [2, 0, 52, 0, 2, 0, 0, 0];
    let system: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let administrators: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    copy(&mut bytes, 0, &head);
    copy(&mut bytes, 16, &[20, 0, 0, 0]);
    copy(&mut bytes, 20, &list);
    copy(&mut bytes, 28, &[0, 0, 20, 0]);
    copy(&mut bytes, 32, &mask);
    copy(&mut bytes, 36, &system);
    copy(&mut bytes, 48, &[0, 0, 24, 0]);
    copy(&mut bytes, 52, &mask);
    copy(&mut bytes, 56, &administrators);
    Descriptor(bytes)
};

const fn copy(to: &mut [u8], at: usize, from: &[u8]) {
    let mut index = 0;
    while index < from.len() {
        to[at + index] = from[index];
        index += 1;
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_fill_the_list_and_the_list_the_descriptor() {
        let bytes = &DESCRIPTOR.0;
        let half = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        assert_eq!(half(2), 0x9004, "present, protected, self-relative");
        let (list, mut entry) = (half(16), 28);
        assert_eq!((list, list + half(list + 2)), (20, bytes.len()));
        let mut sids = Vec::new();
        for _ in 0..half(list + 4) {
            assert_eq!(bytes[entry..entry + 2], [0, 0], "access allowed, not inherited");
            let end = entry + half(entry + 2);
            sids.push(&bytes[entry + 8..end]);
            assert_eq!(sids[sids.len() - 1].len(), 8 + 4 * usize::from(bytes[entry + 9]));
            entry = end;
        }
        assert_eq!(entry, bytes.len());
        assert_eq!(sids[0][8..], 18_u32.to_le_bytes());
        assert_eq!(sids[1][8..], [32_u32.to_le_bytes(), 544_u32.to_le_bytes()].concat());
    }
}
