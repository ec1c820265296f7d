//! Memory descriptors: what maps the memory of packets, and makes it useless when it is stale.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;

/// `MDL_MAPPED_TO_SYSTEM_VA`.
const MAPPED: i16 = 1;
/// What stale memory contains.
pub(crate) const POISON: u8 = 0xDB;

/// `MDL`.
#[repr(C)]
pub(crate) struct Mdl {
    pub(crate) next: *mut Mdl,
    size: i16,
    flags: i16,
    process: *mut c_void,
    pub(crate) mapped: *mut u8,
    start: *mut u8,
    count: u32,
    offset: u32,
}

thread_local! {
    /// The memory that cannot be mapped.
    static REFUSED: Cell<*const u8> = const { Cell::new(std::ptr::null()) };
    /// What was mapped during this thread's indication: the memory and its mapping. A mapping is other memory than what it
    /// maps, so that only who has mapped it can read it.
    static MAPPINGS: RefCell<Vec<(&'static [u8], Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

impl Mdl {
    /// A descriptor of a packet's piece. The network stack has mapped every second one already.
    pub(crate) fn new(index: usize, piece: &mut [u8]) -> Self {
        let is_mapped = index % 2 == 1;
        Self {
            next: null_mut(),
            size: 48,
            flags: if is_mapped { MAPPED } else { 0 },
            process: null_mut(),
            mapped: if is_mapped { piece.as_mut_ptr() } else { null_mut() },
            start: piece.as_mut_ptr(),
            count: u32::try_from(piece.len()).unwrap_or(0),
            offset: 0,
        }
    }
}

/// Makes the next mapping of this memory fail.
pub(crate) fn refuse(piece: Option<&Vec<u8>>) {
    REFUSED.set(piece.map_or(std::ptr::null(), |piece| piece.as_ptr()));
}

/// Ends all mappings of this thread's indication. Who still reads them reads nonsense: the memory is not freed.
pub(crate) fn poison() {
    for (memory, mapping) in MAPPINGS.take() {
        assert!(memory == mapping, "a packet was changed");
        mapping.leak().fill(POISON);
    }
}

/// `MmMapLockedPagesSpecifyCache`, as `MmGetSystemAddressForMdlSafe` calls it: for kernel mode, cached, without a bug check,
/// at no certain address, of normal priority and perhaps not to be executed.
///
/// # Safety
/// `mdl` is a descriptor of this thread's indication.
pub(crate) unsafe extern "system" fn map(
    mdl: *mut Mdl,
    mode: i8,
    cache: u32,
    address: *mut c_void,
    bug_check: u32,
    priority: u32,
) -> *mut u8 {
    const NO_EXECUTE: u32 = 0x4000_0000;
    assert!((mode, cache, bug_check, priority & !NO_EXECUTE) == (0, 1, 0, 16) && address.is_null());
    // SAFETY: the driver passes a descriptor of the packet that it was passed.
    let mdl = unsafe { &mut *mdl };
    assert!(mdl.flags & MAPPED == 0, "it is mapped already");
    if std::ptr::eq(mdl.start, REFUSED.get()) {
        return null_mut();
    }
    // SAFETY: the descriptor was made of this memory, which is there as long as the indication, which `poison` ends.
    let bytes = unsafe { std::slice::from_raw_parts(mdl.start, mdl.count as usize) };
    let mut mapping = bytes.to_vec();
    (mdl.flags, mdl.mapped) = (mdl.flags | MAPPED, mapping.as_mut_ptr());
    MAPPINGS.with_borrow_mut(|mappings| mappings.push((bytes, mapping)));
    mdl.mapped
}
