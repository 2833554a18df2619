//! fobd: a hardware OTP token server.

pub mod devices;
pub mod otp;
