//! Whole packets through [`hone_names::Names`], as a recording has them.

mod common;
mod quic;
mod streams;
mod tls;
