//! All integration tests, in one binary.

// Helpers are no tests in the eyes of clippy, and a test that cannot unwrap has failed.
#![allow(clippy::unwrap_used)]

mod otp_oracle;
mod otp_properties;
mod otp_vectors;
