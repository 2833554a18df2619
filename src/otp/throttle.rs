//! Throttling (RFC 4226 §7.3): failures are counted, and from the tenth on each one locks.
//!
//! ```text
//!            fail (1st to 9th)                 fail (10th): lock 1 min
//!           +------+              +---------------------------------------+
//!           |      v              |                                       v
//!  clear -> [ open, n failures ] -+                               [ locked until t ]
//!                ^                                                  |       |  fail: cannot
//!                | clear (a success, or the helpdesk)   now >= t    v       |  happen, nothing
//!                +------------------------------------- [ open, n >= 10 ] <-+  is judged
//!                                                           |     ^
//!                                                           +-----+
//!                                         fail: lock again, twice as long, 1 h at most
//! ```
//!
//! Time alone never clears the count: a lock that ran out leaves one try, and the next failure doubles the lock. One
//! throttle stands for a user, a token or a source; the numbers are in [`super::policy::Policy`]. Where policy says so,
//! users and tokens are locked for good from some failure on, which is a lock until [`Timestamp::MAX`].

use super::policy::Policy;
use super::time::Timestamp;

/// Failures since the last success, and the lock they led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Throttle {
    /// Failures since the last success.
    pub failures: u32,
    /// When the last lock ends or ended.
    pub locked_until: Option<Timestamp>,
}

impl Throttle {
    /// When the lock ends, if it is locked now.
    #[must_use]
    pub fn locked(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.filter(|until| now < *until || *until == Timestamp::MAX)
    }

    /// Shortens a lock that ends later than any lock made now could: the clock ran ahead when it was made, and was set
    /// back since. Without this it would last until the clock gets there again.
    pub fn shorten(&mut self, now: Timestamp, policy: &Policy) {
        if let Some(until) = &mut self.locked_until
            && *until != Timestamp::MAX
        {
            *until = now.saturating_add(policy.longest_lock).min(*until);
        }
    }

    /// Counts one failure and locks if it is one too many.
    pub fn fail(&mut self, now: Timestamp, policy: &Policy) {
        self.fail_for_a_while(now, policy);
        if policy.permanent_lock_after > 0 && self.failures >= policy.permanent_lock_after {
            self.locked_until = Some(Timestamp::MAX);
        }
    }

    /// The same for what nobody could unlock: a client address.
    pub fn fail_for_a_while(&mut self, now: Timestamp, policy: &Policy) {
        self.failures = self.failures.saturating_add(1);
        let Some(doublings) = self.failures.checked_sub(policy.max_failures.max(1)) else { return };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let lock = policy.first_lock.saturating_mul(factor).min(policy.longest_lock);
        self.locked_until = Some(now.saturating_add(lock));
    }

    /// Forgets failures and lock.
    pub const fn clear(&mut self) {
        *self = Self { failures: 0, locked_until: None };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_000_000);

    /// Fails as soon as each lock has run out; the length of the lock after each failure, in seconds.
    fn locks(policy: &Policy, failures: usize) -> Vec<u64> {
        let (mut throttle, mut now) = (Throttle::default(), START);
        (0..failures)
            .map(|_| {
                throttle.fail(now, policy);
                let locked = throttle.locked(now).map_or(Duration::ZERO, |until| until.since(now).unwrap());
                now = now.saturating_add(locked);
                assert_eq!(throttle.locked(now), None);
                locked.as_secs()
            })
            .collect()
    }

    #[test]
    fn the_tenth_failure_locks_for_a_minute_and_each_further_one_doubles_it_up_to_an_hour() {
        let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600];
        assert_eq!(locks(&Policy::default(), expected.len()), expected);
    }

    #[test]
    fn a_lock_ends_on_its_millisecond_and_keeps_the_count() {
        let mut throttle = Throttle { failures: 9, locked_until: None };
        throttle.fail(START, &Policy::default());
        let end = Timestamp::from_secs(1_000_060);
        assert_eq!(throttle.locked(Timestamp::from_millis(end.as_millis() - 1)), Some(end));
        assert_eq!(throttle.locked(end), None);
        assert_eq!(throttle, Throttle { failures: 10, locked_until: Some(end) });
    }

    #[test]
    fn clearing_forgets_the_count_too() {
        let mut throttle = Throttle { failures: 14, locked_until: Some(Timestamp::MAX) };
        throttle.clear();
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn any_count_and_any_duration_can_be_locked() {
        let mut throttle = Throttle { failures: u32::MAX - 1, locked_until: None };
        throttle.fail(START, &Policy::default());
        throttle.fail(START, &Policy::default());
        assert_eq!(throttle.failures, u32::MAX);
        assert_eq!(throttle.locked_until, Some(START.saturating_add(Duration::from_secs(3600))));

        let endless = Policy { first_lock: Duration::MAX, longest_lock: Duration::MAX, ..Policy::default() };
        throttle.fail(START, &endless);
        assert_eq!(throttle.locked_until, Some(Timestamp::MAX));
    }

    #[test]
    fn a_lock_made_by_a_clock_that_was_a_year_ahead_is_shortened_to_the_longest_one() {
        let policy = Policy::default();
        let hour = Duration::from_secs(3600);
        let mut throttle = Throttle { failures: 10, locked_until: Some(START.saturating_add(hour * 8766)) };
        throttle.shorten(START, &policy);
        assert_eq!(throttle.locked(START), Some(START.saturating_add(hour)));
        let later = START.saturating_add(hour / 2);
        throttle.shorten(later, &policy);
        assert_eq!(throttle.locked(later), Some(START.saturating_add(hour)), "it is not put off again");
        let mut forever = Throttle { failures: 10, locked_until: Some(Timestamp::MAX) };
        forever.shorten(START, &policy);
        assert_eq!(forever.locked(START), Some(Timestamp::MAX), "an administrator's lock stays");
    }

    #[test]
    fn a_permanent_lock_lasts_to_the_end_of_time_and_never_hits_a_source() {
        let policy = Policy { permanent_lock_after: 12, ..Policy::default() };
        let (mut throttle, mut source) = (Throttle::default(), Throttle::default());
        for failure in 1..=12 {
            assert_ne!(throttle.locked_until, Some(Timestamp::MAX), "{failure}");
            throttle.fail(START, &policy);
            source.fail_for_a_while(START, &policy);
        }
        assert_eq!(throttle.locked(Timestamp::MAX), Some(Timestamp::MAX));
        assert_eq!(source.locked(Timestamp::from_secs(1_000_240)), None, "its third lock lasts 4 minutes");
        throttle.clear();
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn a_permanent_lock_may_come_before_the_first_one_that_ends() {
        let policy = Policy { permanent_lock_after: 3, ..Policy::default() };
        let mut throttle = Throttle { failures: 2, locked_until: None };
        throttle.fail(START, &policy);
        assert_eq!(throttle.locked(START), Some(Timestamp::MAX));
    }
}
