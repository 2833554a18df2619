//! Points in time as the core sees them: whole milliseconds since the Unix epoch, negative before it.
//!
//! The core is handed `now` and never reads a clock. [`Clock`] is the seam for those who do: the server implements
//! it over the system clock, and a fixed [`Timestamp`] is a clock too, which is all that most tests need.
//! Arithmetic saturates, so that no stored or configured value can overflow.

use std::time::Duration;

/// A point in time: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The end of time, used for a lock that only an administrator opens.
    pub const MAX: Self = Self(i64::MAX);

    /// The point in time so many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The point in time so many seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time and a span later.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// A span before this time.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// Whether something that was given for that long and ends at this time is good: it has not ended, and it was not
    /// given by a clock that ran ahead and was set back since. A minute of that is no matter.
    #[must_use]
    pub fn ends_after(self, now: Self, given_for: Duration) -> bool {
        let latest = now.saturating_add(given_for).saturating_add(Duration::from_secs(60));
        (now..=latest).contains(&self) && now != self
    }

    /// How long ago `earlier` was, or `None` if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let span = self.0.checked_sub(earlier.0).unwrap_or(if self < earlier { -1 } else { i64::MAX });
        u64::try_from(span).ok().map(Duration::from_millis)
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Tells the time to those who hand it to the core.
pub trait Clock: Send + Sync {
    /// The time now. Who sets the clock moves it, forwards or back.
    fn now(&self) -> Timestamp;

    /// How long the machine has been running, its sleep included: a time that nobody can set. A clock that nobody sets
    /// needs no second one.
    fn since_boot(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().0).unwrap_or(0))
    }

    /// Tells one run of the machine from the next. `None` if that is not known; then two are never the same.
    fn boot_id(&self) -> Option<String> {
        None
    }
}

/// A fixed time is a clock that stands still.
impl Clock for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_on_both_sides_of_the_epoch() {
        assert_eq!(Timestamp::from_millis(1_999).as_secs(), 1);
        assert_eq!(Timestamp::from_millis(-1).as_secs(), -1);
        assert_eq!(Timestamp::from_secs(59).as_millis(), 59_000);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::from_secs(0).saturating_add(Duration::MAX), Timestamp::MAX);
        let first = Timestamp::from_millis(i64::MIN);
        assert_eq!(first.saturating_sub(Duration::from_millis(1)), first);
        assert_eq!(Timestamp::from_secs(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn a_time_ahead_is_not_ago() {
        let now = Timestamp::from_secs(100);
        assert_eq!(now.since(Timestamp::from_secs(40)), Some(Duration::from_secs(60)));
        assert_eq!(now.since(now), Some(Duration::ZERO));
        assert_eq!(now.since(Timestamp::from_secs(101)), None);
        assert_eq!(Timestamp::from_millis(i64::MIN).since(Timestamp::MAX), None);
        assert!(Timestamp::MAX.since(Timestamp::from_millis(i64::MIN)).is_some());
    }

    #[test]
    fn what_a_clock_a_year_ahead_has_given_is_no_good_once_it_is_set_back() {
        let (now, hour) = (Timestamp::from_secs(1_000_000), Duration::from_secs(3600));
        let end = now.saturating_add(hour);
        assert!(end.ends_after(now, hour) && !end.ends_after(end, hour));
        assert!(end.ends_after(now.saturating_sub(Duration::from_secs(60)), hour), "a small correction");
        assert!(!end.ends_after(now.saturating_sub(hour * 8766), hour));
    }

    #[test]
    fn a_fixed_time_is_a_clock() {
        let clock: &dyn Clock = &Timestamp::from_secs(59);
        assert_eq!(clock.now(), Timestamp::from_secs(59));
    }
}
