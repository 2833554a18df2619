//! Emulated cards through their doors, and against bytes that no host should send.

// Helpers of tests may unwrap like the tests themselves.
#![allow(clippy::unwrap_used)]

mod any_bytes;
mod bus;
mod vpcd;
