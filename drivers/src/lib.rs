//! Drivers for hardware one-time-password tokens.
//!
//! Three nouns: a [`transport::Bus`] lists and opens what is plugged in, a [`transport::Connection`] moves
//! bytes, a [`token::Token`] speaks one protocol over a connection. Everything here blocks; threads, time
//! limits and users are the caller's business.
//!
//! A driver never names a transport library: `pcsc` is used by `transport/pcsc.rs` and nowhere else.

pub mod error;
pub mod token;
pub mod transport;
