//! Drivers for hardware one-time-password tokens.
//!
//! Three nouns: a [`transport::Bus`] lists and opens what is plugged in, a [`transport::Connection`] moves
//! bytes, a [`token::Token`] speaks one protocol over a connection. Everything here blocks; threads, time
//! limits and users are the caller's business.
//!
//! A driver never names a transport library: `pcsc` is used by `transport/pcsc.rs` and nowhere else.

#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod ctaphid;
pub mod error;
pub mod feitian;
pub mod iso7816;
pub mod models;
pub mod molto2;
pub mod nk3;
pub mod nkpro;
pub mod onlykey;
pub mod pinplus;
pub mod slim;
pub mod token;
mod token2_wire;
pub mod token2nfc;
pub mod transport;
pub mod ykoath;
pub mod ykotp;
mod yubikey;

/// Every driver, in the order in which they are asked about a candidate.
pub static DRIVERS: &[&dyn token::Driver] = &[
    &ykoath::YkoathDriver,
    &nk3::Nk3Driver,
    &pinplus::PinPlusDriver,
    &feitian::FeitianDriver,
    &onlykey::OnlyKeyDriver,
    &molto2::Molto2Driver,
    &ykotp::YkotpDriver,
    &token2nfc::Token2NfcDriver,
    &slim::SlimDriver,
    &nkpro::NitrokeyProDriver,
];
