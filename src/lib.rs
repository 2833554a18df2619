//! fobd: a hardware OTP token server.
