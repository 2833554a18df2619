//! The drivers against emulated tokens, in process and behind a real pcscd (feature `pcsc`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod babble;
mod bench;
mod conformance;
mod ctaphid;
mod exchanges;
mod faults;
mod feitian;
mod makers;
mod molto2;
mod nk3;
mod nkpro;
mod onlykey;
#[cfg(feature = "pcsc")]
mod pcscd;
mod pinplus;
mod slim;
mod specimens;
mod suite;
mod tap;
mod tidy;
mod token2nfc;
mod trace;
mod ykotp;
