//! Declarations: the kernel's structures (`nt`, `wfp`, `fwpm`, `ndis`) and functions, with the kernel's own names.
#![allow(
    non_camel_case_types,
    non_snake_case,
    missing_docs,
    reason = "the kernel's names, documented on learn.microsoft.com under them"
)]

mod functions;
mod fwpm;
mod ndis;
mod nt;
mod wfp;

pub use functions::*;
pub use fwpm::*;
pub use ndis::*;
pub use nt::*;
pub use wfp::*;
