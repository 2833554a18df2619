//! fobd: a hardware OTP token server.

pub mod otp;
