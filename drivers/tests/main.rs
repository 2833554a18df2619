//! The drivers against emulated tokens, in process and behind a real pcscd (feature `pcsc`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod conformance;
mod exchanges;
mod faults;
mod makers;
mod onlykey;
#[cfg(feature = "pcsc")]
mod pcscd;
mod specimens;
mod suite;
mod tidy;
