//! All integration tests, in one binary.

// Helpers are no tests in the eyes of clippy, and a test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// Modules of a test binary have no outside.
#![allow(unreachable_pub)]

mod agents;
mod api;
mod audit;
mod bench_verify;
mod clients;
mod compliance;
mod concurrency;
mod crash;
mod dependencies;
mod durability;
mod events;
mod every_driver;
mod find;
mod formats;
mod guards;
mod identity;
mod jobs;
mod jsonrpc;
mod keyroost;
mod keys;
mod metrics;
mod nitrokey;
mod openapi;
mod openrpc;
mod otp_oracle;
mod otp_properties;
mod otp_slots;
mod otp_vectors;
mod pcscd;
mod policy;
mod review;
mod search;
mod server;
mod solve;
mod store;
mod support;
mod tidy;
mod token_api;
mod verify;
