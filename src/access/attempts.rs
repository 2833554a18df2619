//! Failed logins of operators, per name and per address, in memory: the same lock as for passcodes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::otp::policy::Policy;
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;

/// Names and addresses remembered. Beyond, those that are not locked are forgotten.
const MOST: usize = 10_000;
/// Forgotten after this time without a failure.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a failure is counted on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The name that was given, known or not.
    Name(String),
    /// The client's address.
    Address(std::net::IpAddr),
}

/// The counts.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<Who, (Throttle, Timestamp)>>);

impl Attempts {
    /// Whether any of them has to wait.
    pub fn is_locked(&self, who: &[Who], now: Timestamp, policy: &Policy) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_locked = |who: &Who| {
            counts.get_mut(who).is_some_and(|(throttle, _)| {
                throttle.shorten(now, policy);
                throttle.locked(now).is_some()
            })
        };
        who.iter().any(is_locked)
    }

    /// Counts a failure on each.
    pub fn failed(&self, who: &[Who], now: Timestamp, policy: &Policy) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST {
            counts.retain(|_, (throttle, at)| {
                throttle.locked(now).is_some() || now < at.saturating_add(FORGOTTEN_AFTER)
            });
            if counts.len() >= MOST {
                counts.retain(|_, (throttle, _)| throttle.locked(now).is_some());
            }
        }
        for who in who {
            let (throttle, at) = counts.entry(who.clone()).or_insert_with(|| (Throttle::default(), now));
            throttle.fail(now, policy);
            *at = now;
        }
    }

    /// A success clears the count.
    pub fn succeeded(&self, who: &[Who]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for who in who {
            counts.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_a_clock_that_ran_ahead_ends_within_the_hour() {
        let attempts = Attempts::default();
        let (policy, who) = (Policy::default(), [Who::Name("admin".to_owned())]);
        let now = Timestamp::from_secs(1_000);
        let ahead = now.saturating_add(Duration::from_secs(365 * 86_400));
        (0..10).for_each(|_| attempts.failed(&who, ahead, &policy));
        assert!(attempts.is_locked(&who, now, &policy));
        assert!(!attempts.is_locked(&who, now.saturating_add(Duration::from_secs(3600)), &policy));
    }

    #[test]
    fn a_name_is_locked_after_ten_failures_and_free_after_a_minute() {
        let attempts = Attempts::default();
        let (policy, who) = (Policy::default(), [Who::Name("admin".to_owned())]);
        let start = Timestamp::from_secs(1_000);
        for _ in 0..10 {
            assert!(!attempts.is_locked(&who, start, &policy));
            attempts.failed(&who, start, &policy);
        }
        assert!(attempts.is_locked(&who, start, &policy));
        assert!(!attempts.is_locked(&[Who::Name("other".to_owned())], start, &policy));
        assert!(!attempts.is_locked(&who, start.saturating_add(Duration::from_secs(60)), &policy));
    }
}
