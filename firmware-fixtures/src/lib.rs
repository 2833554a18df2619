//! Emulated OTP tokens for tests and for trying the server without hardware.
