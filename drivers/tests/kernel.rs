//! The transports and drivers on a real kernel: its HID core, its USB core, and with them udevd, libccid and pcscd.
//! Emulated tokens enter by uhid, or as whole USB devices by `vhci_hcd`.
//!
//! `make test-kernel` runs this in the user-mode kernel of scripts/kernel. Anywhere else every test fails.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod specimens;
mod suite;

mod kernel {
    mod access;
    mod composite;
    mod faults;
    mod guest;
    mod hidraw;
    mod nitrocli;
    mod nitrokey;
    mod parrot;
    mod rules;
    mod tokens;
    mod yubikey;
}
