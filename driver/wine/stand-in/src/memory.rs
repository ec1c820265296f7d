//! The driver's memory: counts every allocation by its tag, and makes chosen ones fail.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt::Write;
use std::sync::Mutex;

use crate::windows::kernel;

#[derive(Default)]
struct Account {
    /// The tag of each block, by its address.
    blocks: BTreeMap<usize, [u8; 4]>,
    /// Number of allocations and frees for each tag.
    tags: BTreeMap<[u8; 4], (u64, u64)>,
    /// Number of frees of memory that was not allocated, or that has another tag.
    wrong: u64,
    /// Number of allocations that succeed before one fails.
    fail_after: Option<u64>,
    failed: u64,
}

static ACCOUNT: Mutex<Option<Account>> = Mutex::new(None);

fn with<R>(work: impl FnOnce(&mut Account) -> R) -> R {
    let mut account = ACCOUNT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    work(account.get_or_insert_default())
}

pub(crate) extern "system" fn allocate(kind: u32, bytes: usize, tag: u32) -> *mut c_void {
    // `NonPagedPool` and `NonPagedPoolNx`. Whatever the driver has may be used under its lock.
    if !matches!(kind, 0 | 512) {
        crate::fail(&format!("memory of pool {kind}, which is paged, is used at DISPATCH_LEVEL"));
    }
    let fails = with(|account| {
        let fails = account.fail_after == Some(0);
        account.fail_after = account.fail_after.and_then(|left| left.checked_sub(1));
        account.failed += u64::from(fails);
        fails
    });
    if fails {
        return std::ptr::null_mut();
    }
    type Function = unsafe extern "system" fn(u32, usize, u32) -> *mut c_void;
    let Some(address) = kernel(c"ExAllocatePoolWithTag") else { return std::ptr::null_mut() };
    // SAFETY: the kernel's function of this name has this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: with the driver's own arguments.
    let memory = unsafe { function(kind, bytes, tag) };
    if !memory.is_null() {
        // The value before is not used.
        // SAFETY: so many bytes have just been allocated.
        unsafe { memory.cast::<u8>().write_bytes(0xA5, bytes) };
        with(|account| {
            account.blocks.insert(memory.addr(), tag.to_le_bytes());
            account.tags.entry(tag.to_le_bytes()).or_default().0 += 1;
        });
    }
    memory
}

pub(crate) extern "system" fn free(memory: *mut c_void, tag: u32) {
    let is_known = with(|account| {
        let known = account.blocks.remove(&memory.addr());
        match known {
            Some(known) if tag == 0 || tag.to_le_bytes() == known => {
                account.tags.entry(known).or_default().1 += 1;
            }
            _ => account.wrong += 1,
        }
        known.is_some()
    });
    type Function = unsafe extern "system" fn(*mut c_void, u32);
    if let (true, Some(address)) = (is_known, kernel(c"ExFreePoolWithTag")) {
        // SAFETY: the kernel's function of this name has this type.
        let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
        // SAFETY: it was allocated, and is freed once.
        unsafe { function(memory, tag) };
    }
}

/// Makes one allocation fail, after this number of successful ones. `None`: none fails.
pub(crate) fn fail_after(allocations: Option<u64>) {
    with(|account| (account.fail_after, account.failed) = (allocations, 0));
}

/// The report: `wrong=N failed=N TAG=allocated/freed ...`
pub(crate) fn report() -> String {
    with(|account| {
        let mut report = format!("wrong={} failed={}", account.wrong, account.failed);
        for (tag, (allocated, freed)) in &account.tags {
            let tag = String::from_utf8_lossy(tag);
            write!(report, " {tag}={allocated}/{freed}").expect("a string takes everything");
        }
        report
    })
}
