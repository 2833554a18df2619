//! The command line.
pub mod init;
pub mod serve;
pub mod system_clock;
