//! Who is calling and what they may.

pub mod attempts;
pub mod login;
pub mod password;
pub mod role;
