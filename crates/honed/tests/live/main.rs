//! Live tests: the real honed, real readers, real traffic on the loopback interface of network namespaces of their own.
//!
//! Each test starts a service of its own ([`hone_testing::Service`]) on a socket in a temporary directory. It sends
//! datagrams that contain their owner ([`traffic`]) and checks what each reader received ([`stream`]). The sensor sees
//! the whole machine. So tests look only at packets with their own tag, and can run at the same time.
//!
//! They need root and a kernel from 6.1. Where something is missing a test says `skipped: ` and why; with
//! `HONE_LIVE=required` in the environment that is a failure.

#![cfg(target_os = "linux")]

// What the tests are made of.
mod raw;
mod stream;
mod traffic;

// The tests.
mod access;
mod client;
mod faults;
mod hostile;
mod life;
mod memory;
mod readers;
mod requests;
