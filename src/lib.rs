//! fobd: a hardware OTP token server.
//!
//! ```text
//! cli, http, rpc -> service -> otp, formats, model      (pure)
//!                           -> store   -> otp, model    (types)
//!                           -> devices -> fobd_drivers
//! ```
//! - `otp` and `formats` do no I/O and read no clock: they are handed `now`.
//! - `service` is the only room that sees core, store and devices together.
//! - `store` is the only room that says SQL.

pub mod access;
pub mod app;
pub mod audit;
pub mod cli;
pub mod devices;
mod files;
pub mod formats;
pub mod http;
pub mod metrics;
pub mod model;
pub mod otp;
pub mod rpc;
pub mod service;
pub mod store;
