//! The verification core: HOTP (RFC 4226) and TOTP (RFC 6238), PINs, drift, throttling and single use.
//!
//! Everything here is pure. A function gets the state, what was typed, the time and the policy, changes the state
//! in memory and returns a verdict; making the change durable before anybody hears the verdict is the caller's
//! part. No I/O, no clock, no configuration, no logging, no randomness, no async.
//!
//! The invariant that all of it serves: a moving factor of a secret is accepted at most once. [`factor`] holds the
//! floor that only rises, [`verify`] and [`resync`] are the only two places that accept, and both spend what they
//! accept in the same call. The one way down is [`factor::FactorState::rewind`], which silences the credential until
//! a resync.
//!
//! Times are [`time::Timestamp`] (milliseconds since the Unix epoch), moving factors are `u64` for both kinds: the
//! counter for HOTP, the number of the time step for TOTP.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod algorithm;
pub mod clock_model;
pub mod credential;
pub mod factor;
pub mod find;
pub mod hotp;
pub mod passcode;
pub mod pin;
pub mod pin_rules;
pub mod policy;
pub mod repeats;
pub mod resend;
pub mod resync;
pub mod secret;
pub mod server_clock;
pub mod solve;
pub mod spraying;
pub mod throttle;
pub mod time;
pub mod totp;
pub mod verify;

mod mac;
mod window;
