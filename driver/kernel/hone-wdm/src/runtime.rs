//! Symbols that compiled code refers to without calling them by name in the source.

/// Marks that floating point numbers are used. The linker requires it.
// SAFETY: the name is what the linker looks for; nothing else in a driver defines it.
#[unsafe(no_mangle)]
pub(crate) static _fltused: i32 = 0;

/// Would handle an exception in code that unwinds. `alloc` is compiled with unwind tables that refer to it. The driver
/// does not unwind, so it is never called.
// SAFETY: the name is the compiler's; nothing else in a driver defines it.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn __CxxFrameHandler3() -> ! {
    panic!("an exception in a driver that does not unwind")
}
