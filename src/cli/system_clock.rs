//! The time of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::otp::time::{Clock, Timestamp};

/// Reads the system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A clock before 1970 is wrong in any case.
            Err(_) => 0,
        };
        Timestamp::from_millis(millis)
    }
}
