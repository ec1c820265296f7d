//! Faults on purpose: of each kind of call that honeutil makes, one fails, or is slow, and what comes of it is looked at.
//!
//! No run may hang, panic or be killed by a signal, but for the abort of Rust's standard library where it has no memory;
//! what fails says so; files end at a whole block; and what the summary counts is what is in the files. How many calls
//! fail is bounded, so that this takes seconds: `HONE_FAULT_POINTS=all` has each fail, in each way (docs/testing.md).

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod limits;
mod read;
mod run;
mod show;
