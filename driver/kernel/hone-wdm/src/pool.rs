//! Memory from non-paged pool, with tags that show its purpose. Every allocation can fail, and the failure is returned
//! as a value.
//!
//! The collections of `alloc` use [`GlobalAlloc`], which does not know the purpose of an allocation. So the code that
//! holds the driver's lock sets the purpose in advance with [`set_tag`]. Memory that another processor allocates
//! meanwhile without the lock gets the same tag. So the tags show roughly which part uses memory, and exactly whether
//! all of it is freed.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::sys;

/// The pool tag of an allocation, as `poolmon` shows it: four characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// Makes a tag from four characters.
    #[must_use]
    pub const fn new(characters: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(characters))
    }
}

/// `NonPagedPoolNx`, which exists since Windows version 6.2; before, `NonPagedPool`.
const NO_EXECUTE: u32 = 512;
const EXECUTABLE: u32 = 0;
/// The alignment of all pool memory on 64-bit Windows.
const ALIGNMENT: usize = 16;

static KIND: AtomicU32 = AtomicU32::new(NO_EXECUTE);
static TAG: AtomicU32 = AtomicU32::new(u32::from_le_bytes(*b"Hone"));

/// For Windows 7, which has no non-executable pool. Call it before the first allocation.
pub fn use_executable() {
    KIND.store(EXECUTABLE, Relaxed);
}

/// Whether pool memory and mapped memory are non-executable.
pub(crate) fn is_no_execute() -> bool {
    KIND.load(Relaxed) == NO_EXECUTE
}

/// Sets the tag for the next allocations of collections.
pub fn set_tag(tag: Tag) {
    TAG.store(tag.0, Relaxed);
}

fn allocate(bytes: usize, tag: u32) -> *mut c_void {
    // SAFETY: non-paged pool may be allocated up to DISPATCH_LEVEL, which nothing in this driver is above; the size is not
    // 0, the tag not 0.
    unsafe { sys::ExAllocatePoolWithTag(KIND.load(Relaxed), bytes.max(1), tag) }
}

struct Pool;

// SAFETY: what `alloc` gives is a block of its own of at least that size, aligned to 16 bytes, which is checked to be
// enough; null says that there is none. It does not panic.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return ptr::null_mut();
        }
        allocate(layout.size(), TAG.load(Relaxed)).cast()
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: the caller has it from `alloc`, so from the pool. Tag 0: whichever it was allocated under.
        unsafe { sys::ExFreePoolWithTag(memory.cast(), 0) };
    }
}

#[global_allocator]
static POOL: Pool = Pool;

/// Zeroed bytes of pool, aligned to 16 bytes.
#[derive(Debug)]
pub struct Buffer {
    memory: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its memory, which belongs to no thread.
unsafe impl Send for Buffer {}

impl Buffer {
    /// Allocates `length` bytes. `None` if there is no memory.
    #[must_use]
    pub fn new(length: usize, tag: Tag) -> Option<Self> {
        let memory = NonNull::new(allocate(length, tag.0).cast::<u8>())?;
        // SAFETY: it was allocated with this length.
        unsafe { memory.write_bytes(0, length) };
        Some(Self { memory, length })
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are there, all written, and nobody else's.
        unsafe { slice::from_raw_parts(self.memory.as_ptr(), self.length) }
    }

    /// The bytes, writable.
    pub const fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes are there, all written, and nobody else's.
        unsafe { slice::from_raw_parts_mut(self.memory.as_ptr(), self.length) }
    }

    /// The UTF-16 text of `length` bytes at `offset`. `None` if it is not completely inside the buffer or not aligned.
    #[must_use]
    pub fn units(&self, offset: usize, length: usize) -> Option<&[u16]> {
        let bytes = self.bytes().get(offset..offset.checked_add(length)?)?;
        // SAFETY: any two bytes are a valid unit.
        let (before, units, _) = unsafe { bytes.align_to() };
        before.is_empty().then_some(units)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: it was allocated by `new`, and is freed once. Tag 0: whichever it was.
        unsafe { sys::ExFreePoolWithTag(self.memory.as_ptr().cast(), 0) };
    }
}
