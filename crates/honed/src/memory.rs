//! How much memory the service has allocated: a count around the system's allocator, for the memory report.
//!
//! Owns two counters that every thread adds to without a lock.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting { allocations: AtomicI64::new(0), bytes: AtomicI64::new(0) };

struct Counting {
    allocations: AtomicI64,
    bytes: AtomicI64,
}

impl Counting {
    fn add(&self, allocations: i64, bytes: usize, sign: i64) {
        self.allocations.fetch_add(allocations, Relaxed);
        // No allocation is longer than isize::MAX.
        self.bytes.fetch_add(bytes as i64 * sign, Relaxed);
    }
}

/// How many allocations there are now, and their bytes.
pub(crate) fn allocated() -> (u64, u64) {
    let level = |counter: &AtomicI64| counter.load(Relaxed).max(0).unsigned_abs();
    (level(&ALLOCATOR.allocations), level(&ALLOCATOR.bytes))
}

// SAFETY: every call goes to the system's allocator with the caller's own arguments; the counters do not touch memory
// that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            self.add(1, layout.size(), 1);
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            self.add(1, layout.size(), 1);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.add(-1, layout.size(), -1);
        // SAFETY: `memory` came from the system's allocator, through `alloc`, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `memory` came from the system's allocator, through `alloc`, with this layout.
        let moved = unsafe { System.realloc(memory, layout, size) };
        if !moved.is_null() {
            self.add(0, layout.size(), -1);
            self.add(0, size, 1);
        }
        moved
    }
}
