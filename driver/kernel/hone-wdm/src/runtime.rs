//! What compiled code expects to find besides what it calls by name.

/// Marks that floating point numbers are used; the linker looks for it.
// SAFETY: the name is what the linker looks for; nothing else in a driver defines it.
#[unsafe(no_mangle)]
pub(crate) static _fltused: i32 = 0;

/// Would handle an exception in code that unwinds. `alloc` is compiled with unwinding tables that name it; the driver does
/// not unwind, so nobody calls it.
// SAFETY: the name is the compiler's; nothing else in a driver defines it.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn __CxxFrameHandler3() -> ! {
    panic!("an exception in a driver that does not unwind")
}
