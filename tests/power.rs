//! A power cut under load: what the clients were told is what the next start finds on the disk.
//!
//! `kill -9` of the server keeps what the kernel holds in memory. Here the server runs in a user-mode kernel with a disk
//! of its own, and the kernel is killed: of what it had not yet written nothing is left, as after a loss of power. What
//! its clients were told stands on the console, which is outside. Then the kernel is booted again on the same disk, the
//! file system mends itself, and the server must know all that it had told. The same check over a server that never
//! syncs must find what was lost.
//!
//! What this does not show: a disk that loses what is in its own cache. Whatever reaches the image of the disk stays.
//!
//! `make test-kernel` runs this. `SEED=` repeats the random choices, though not the moment at which the cut comes.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// Modules of a test binary have no outside.
#![allow(unreachable_pub)]

mod otp_oracle;

// The other tests use more of these.
#[allow(dead_code)]
#[path = "support/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "support/program.rs"]
mod program;

mod power {
    mod check;
    mod cuts;
    mod guest;
    mod history;
    mod load;
    mod machine;
    mod tokens;
}
