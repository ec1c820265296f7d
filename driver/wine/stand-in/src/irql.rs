//! The IRQL of each thread. Wine has none, so it is modelled here: the spin lock raises it, and so do the callers of
//! classify and of the timer's DPC. Everything else runs at PASSIVE_LEVEL. Each call of an import is checked against the
//! highest level that is documented for it (`hone_documented::IMPORTS`).
//!
//! An import's slot points to a thunk, which checks the call and then jumps to the function. It keeps the registers and
//! the stack, so it serves functions with any arguments.

use std::arch::{global_asm, naked_asm};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Mutex, PoisonError, RwLock};

use hone_documented::{Import, Irql, import};

use crate::stack;
use crate::windows::kernel;

thread_local! {
    /// The level at which the thread's caller runs it.
    static CALLED_AT: Cell<Irql> = const { Cell::new(Irql::Passive) };
    /// The spin locks that the thread holds, each with its handle.
    static HELD: RefCell<Vec<(*mut usize, *mut c_void)>> = const { RefCell::new(Vec::new()) };
}

/// The level at which WFP calls classify.
static CLASSIFY: Mutex<Irql> = Mutex::new(Irql::Dispatch);
/// The guarded functions, in the order of their thunks.
static GUARDED: RwLock<Vec<(&'static Import, usize)>> = RwLock::new(Vec::new());
/// The routine of the driver's DPC.
static DPC: Mutex<Option<DeferredRoutine>> = Mutex::new(None);

/// Number of thunks.
const THUNKS: usize = 96;
/// Bytes from one thunk to the next.
const DISTANCE: usize = 16;

// Each thunk calls `enter`, which learns from the return address which thunk it was.
global_asm!(
    ".text",
    ".balign {distance}",
    ".globl hone_stand_in_thunks",
    "hone_stand_in_thunks:",
    ".rept {thunks}",
    "call {enter}",
    ".balign {distance}",
    ".endr",
    distance = const DISTANCE,
    thunks = const THUNKS,
    enter = sym enter,
);

// SAFETY: the symbol is the first thunk above.
unsafe extern "C" {
    #[link_name = "hone_stand_in_thunks"]
    static FIRST_THUNK: u8;
}

/// Checks the call, then jumps to the function with the arguments that were passed.
// SAFETY: only the thunks call it. The four registers with arguments are saved, `check` has its 32 bytes of stack, and
// the stack is aligned: the caller's return address and four registers are 40 bytes. No import takes floating point
// numbers.
#[unsafe(naked)]
unsafe extern "system" fn enter() {
    naked_asm!(
        "pop r10",
        "push rcx",
        "push rdx",
        "push r8",
        "push r9",
        "mov rcx, r10",
        "sub rsp, 40",
        "call {check}",
        "add rsp, 40",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rcx",
        "jmp rax",
        check = sym check,
    )
}

/// Checks a call that came through the thunk with this return address. Returns the function.
extern "system" fn check(after: usize) -> usize {
    let place = (after - (&raw const FIRST_THUNK).addr()) / DISTANCE;
    let (import, function) = GUARDED.read().unwrap_or_else(PoisonError::into_inner)[place];
    if let Err(violation) = import.check(level()) {
        crate::fail(&violation.to_string());
    }
    function
}

/// The function, with a check before each call where its name has a maximum. A function of unknown name is a failure.
pub(crate) fn guard(name: &str, function: *const c_void) -> *const c_void {
    let import = match import(name) {
        Ok(import) if import.maximum == Irql::Any => return function,
        Ok(import) => import,
        Err(violation) => {
            crate::fail(&violation.to_string());
            return function;
        }
    };
    let mut guarded = GUARDED.write().unwrap_or_else(PoisonError::into_inner);
    assert!(guarded.len() < THUNKS, "there are more imports than thunks");
    let thunk = (&raw const FIRST_THUNK).wrapping_add(guarded.len() * DISTANCE);
    guarded.push((import, function.expose_provenance()));
    thunk.cast()
}

/// This thread's level.
fn level() -> Irql {
    if HELD.with_borrow(Vec::is_empty) { CALLED_AT.get() } else { Irql::Dispatch }
}

/// Calls the driver at a level.
pub(crate) fn at<R>(level: Irql, work: impl FnOnce() -> R) -> R {
    let before = CALLED_AT.replace(level);
    let result = stack::measured(level, work);
    if !HELD.with_borrow(Vec::is_empty) {
        crate::fail("the driver returns with a spin lock");
    }
    CALLED_AT.set(before);
    result
}

/// Sets the level at which WFP calls classify from now on: at most DISPATCH_LEVEL.
pub(crate) fn set_classify(level: Irql) {
    *CLASSIFY.lock().unwrap_or_else(PoisonError::into_inner) = level;
}

/// Runs `work` at the level of classify.
pub(crate) fn as_classify<R>(work: impl FnOnce() -> R) -> R {
    let level = *CLASSIFY.lock().unwrap_or_else(PoisonError::into_inner);
    at(level, work)
}

/// `KeAcquireInStackQueuedSpinLock`: raises the level. A thread that waits lets others run: Wine's function does not, so on
/// few processors a waiting thread would keep the processor from the one that holds the lock.
pub(crate) extern "system" fn acquire(lock: *mut usize, handle: *mut c_void) {
    if HELD.with_borrow(|held| held.iter().any(|(other, _)| *other == lock)) {
        return crate::fail("a spin lock is taken by the thread that holds it");
    }
    // SAFETY: the driver's lock, which is 0 if nobody holds it, and which the driver itself does not look at.
    let word = unsafe { AtomicUsize::from_ptr(lock) };
    while word.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
        std::thread::yield_now();
    }
    HELD.with_borrow_mut(|held| held.push((lock, handle)));
}

/// `KeReleaseInStackQueuedSpinLock`: restores the level.
pub(crate) extern "system" fn release(handle: *mut c_void) {
    // The handle also has the level that is restored, so only the last lock may be released.
    let Some((lock, _)) = HELD.with_borrow_mut(|held| held.pop_if(|(_, last)| *last == handle)) else {
        return crate::fail("a spin lock is released that this thread has not taken last");
    };
    // SAFETY: as when it was taken.
    unsafe { AtomicUsize::from_ptr(lock) }.store(0, Release);
}

type DeferredRoutine = unsafe extern "system" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void);

type InitializeDpc = unsafe extern "system" fn(*mut c_void, DeferredRoutine, *mut c_void);

/// `KeInitializeDpc`: lets Wine call [`run_dpc`], which calls the driver's routine. The driver has one DPC.
pub(crate) extern "system" fn initialize_dpc(
    dpc: *mut c_void,
    routine: DeferredRoutine,
    context: *mut c_void,
) {
    *DPC.lock().unwrap_or_else(PoisonError::into_inner) = Some(routine);
    let address = kernel(c"KeInitializeDpc").expect("Wine's kernel has it");
    // SAFETY: the kernel's function of this name has this type.
    let initialize: InitializeDpc = unsafe { std::mem::transmute(address) };
    // SAFETY: with the driver's own arguments, and a routine of the same type.
    unsafe { initialize(dpc, run_dpc, context) };
}

/// Runs the driver's DPC at its level.
// SAFETY: Wine alone calls it, with what the driver's routine expects.
unsafe extern "system" fn run_dpc(
    dpc: *mut c_void,
    context: *mut c_void,
    one: *mut c_void,
    two: *mut c_void,
) {
    let routine = *DPC.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(routine) = routine else { return };
    // SAFETY: the driver is loaded as long as its timer runs, and the arguments are its own.
    at(Irql::Dispatch, || unsafe { routine(dpc, context, one, two) });
}

/// Calls an import at a level that is too high, as the driver would, to see that this is noticed.
pub(crate) fn call_too_high() -> Result<(), &'static str> {
    const NAME: &str = "KeFlushQueuedDpcs";
    type Function = unsafe extern "system" fn();
    let place = {
        let guarded = GUARDED.read().unwrap_or_else(PoisonError::into_inner);
        guarded.iter().position(|(import, _)| import.name == NAME).ok_or("it is not guarded")?
    };
    let thunk = (&raw const FIRST_THUNK).wrapping_add(place * DISTANCE);
    // SAFETY: the thunk leads to the kernel's function of this name, which takes nothing and returns nothing.
    let function = unsafe { std::mem::transmute::<*const u8, Function>(thunk) };
    // SAFETY: under Wine, it may be called at any time.
    at(Irql::Dispatch, || unsafe { function() });
    Ok(())
}
