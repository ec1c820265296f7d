//! Live tests: `honeutil read` records real traffic, and every packet's process is compared with the truth.
//!
//! Each test makes its own pair of network namespaces ([`network`]), starts a recording ([`recorder`]), and runs
//! programs that report their own traffic ([`traffic`], `examples/traffic.rs`). Then it compares ([`truth`]) the
//! recording ([`recording`]) with these reports. Recordings see the whole machine. So tests look only at packets of
//! their own subnet, and can run at the same time. Every file is also read by tshark, capinfos and tcpdump ([`tools`]).
//!
//! They need root, a kernel from 6.1 and a few programs. Where something is missing a test says `skipped: ` and why;
//! with `HONE_LIVE=required` in the environment that is a failure.

#![cfg(target_os = "linux")]

// What the tests are made of.
mod guard;
mod network;
mod packet;
mod recorder;
mod recording;
mod service;
mod tools;
mod traffic;
mod truth;

// The tests.
mod attribution;
mod comparison;
mod containers;
mod corrections;
mod faults;
mod files;
mod hashes;
mod honed;
mod honed_recent;
mod left_out;
mod names;
mod once;
mod opening;
mod order;
mod over_ssh;
mod own_traffic;
mod programs;
mod quic;
mod ready;
mod recent;
mod report;
mod run;
mod save_when;
mod selection;
mod taken;
mod terminal;
mod top;
mod window;
mod wireshark;
mod wireshark_fields;
