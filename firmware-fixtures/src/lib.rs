//! Emulated OTP tokens for tests and for trying the server without hardware.
//!
//! A [`card::VirtualCard`] is the whole device: applets, flash that survives unplugging, a human who may touch
//! it, and faults that strike at a chosen exchange. Two doors lead to it: [`attach::VirtualBus`] in process,
//! and [`vpcd::VpcdCard`] behind a real pcscd, which [`pcscd::PrivatePcscd`] starts.
//!
//! Everything here reads the protocol documents with its own code. Only [`attach`] imports the driver crate,
//! and there only the transport traits: two independent readings are the point.

pub mod apdu;
pub mod applets;
pub mod attach;
pub mod card;
pub mod chip;
pub mod credential;
pub mod ctaphid;
pub mod fault;
pub mod firmware;
pub mod hid;
pub mod molto2;
pub mod nitrokey3;
pub mod nitrokey_pro;
pub mod onlykey;
pub mod pcscd;
pub mod single_profile;
pub mod slim;
pub mod specimen;
pub mod status;
pub mod uhid;
pub mod usb;
pub mod vpcd;
pub mod ykotp;
pub mod yubikey;

mod entropy;
mod otp;
mod tlv;
