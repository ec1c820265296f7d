//! How much memory the service has allocated: a counting wrapper around the system's allocator, for the memory report.
//! Also returns free memory to the system.
//!
//! Owns two counters that every thread adds to without a lock.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

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

/// The number of current allocations, and their bytes.
pub(crate) fn allocated() -> (u64, u64) {
    let level = |counter: &AtomicI64| counter.load(Relaxed).max(0).unsigned_abs();
    (level(&ALLOCATOR.allocations), level(&ALLOCATOR.bytes))
}

/// How often to check whether much memory is free.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Free memory that the allocator may keep, bytes, besides an eighth of what is allocated.
const KEEP: u64 = 4 << 20;

/// Makes all threads use one pool of memory. Otherwise glibc makes up to eight pools for each processor, and threads
/// cannot use the free memory of another pool (mallopt(3)). Call it before other threads are started.
pub(crate) fn share_one_pool() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator's; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns free memory to the system if there is much of it. After many readers have left, for example, the allocator
/// keeps free memory that lies below memory in use.
pub(crate) fn give_back() {
    let Some(resident) = resident() else { return };
    let allocated = allocated().1;
    if resident < allocated + allocated / 8 + KEEP {
        return;
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and locks the allocator itself (malloc_trim(3): safe in any thread).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Anonymous memory that is resident, bytes (`RssAnon`, proc_pid_status(5)).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
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
