//! The IRQL of each thread of the fake kernel.

use std::cell::Cell;

use hone_documented::{Irql, import};

thread_local! {
    static LEVEL: Cell<Irql> = const { Cell::new(Irql::Passive) };
}

/// Runs `work` at a level, and goes back to the level before.
pub(crate) fn at<R>(level: Irql, work: impl FnOnce() -> R) -> R {
    let before = LEVEL.get();
    assert!(before <= level, "{level} is below {before}, and a driver only raises its level");
    LEVEL.set(level);
    let result = work();
    LEVEL.set(before);
    result
}

/// Runs what another processor does meanwhile. It has a level of its own.
pub(crate) fn on_another_processor(work: impl FnOnce()) {
    let before = LEVEL.replace(Irql::Passive);
    work();
    LEVEL.set(before);
}

/// Fails if the kernel's function of this name must not be called at this thread's level.
pub(crate) fn calls(function: &str) {
    if let Err(violation) = import(function).and_then(|import| import.check(LEVEL.get())) {
        panic!("{violation}");
    }
}

/// Whether this thread is at PASSIVE_LEVEL.
pub(crate) fn is_passive() -> bool {
    LEVEL.get() == Irql::Passive
}
