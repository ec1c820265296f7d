//! `honeutil report`: what its page shows in a browser, compared with `honeutil show`. The browser is Chromium without a window.
//! With HONE_PICTURES=DIR, the pictures of docs/pictures are made there.

#![cfg(target_os = "linux")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of JavaScript are whole and small here")]

mod browser;
mod hostile;
mod page;
mod sample;
