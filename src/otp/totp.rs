//! TOTP (RFC 6238): time as a moving factor. The number of the step is T = (now - T0) / X with T0 the Unix epoch
//! and X the time step in seconds; times before the epoch fall into step 0.

use std::num::NonZeroU32;

use super::time::Timestamp;

/// Length of a time step in seconds (X in RFC 6238), at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeStep(NonZeroU32);

/// A time step cannot be 0 seconds long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time step is at least 1 second long")]
pub struct EmptyTimeStep;

impl TimeStep {
    /// 30 seconds, the default of RFC 6238 §4.1.
    pub const SECONDS_30: Self = Self(NonZeroU32::MIN.saturating_add(29));
    /// 60 seconds, usual on tokens with a display.
    pub const SECONDS_60: Self = Self(NonZeroU32::MIN.saturating_add(59));

    /// Checks that it is not 0.
    ///
    /// # Errors
    /// [`EmptyTimeStep`] if it is.
    pub const fn from_secs(seconds: u32) -> Result<Self, EmptyTimeStep> {
        match NonZeroU32::new(seconds) {
            Some(seconds) => Ok(Self(seconds)),
            None => Err(EmptyTimeStep),
        }
    }

    /// Seconds.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        self.0.get()
    }

    /// The number of the step that a time lies in.
    #[must_use]
    pub fn step_at(self, time: Timestamp) -> u64 {
        u64::try_from(time.as_secs()).unwrap_or(0) / u64::from(self.as_secs())
    }
}

impl Default for TimeStep {
    fn default() -> Self {
        Self::SECONDS_30
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_begins_on_its_first_millisecond() {
        let step_at = |millis| TimeStep::SECONDS_30.step_at(Timestamp::from_millis(millis));
        assert_eq!([step_at(0), step_at(29_999), step_at(30_000), step_at(59_999)], [0, 0, 1, 1]);
        assert_eq!(TimeStep::SECONDS_60.step_at(Timestamp::from_secs(20_000_000_000)), 333_333_333);
    }

    #[test]
    fn times_before_the_epoch_are_in_step_zero() {
        assert_eq!(TimeStep::SECONDS_30.step_at(Timestamp::from_millis(-1)), 0);
        assert_eq!(TimeStep::SECONDS_30.step_at(Timestamp::from_millis(i64::MIN)), 0);
    }

    #[test]
    fn a_step_has_at_least_one_second() {
        assert_eq!(TimeStep::from_secs(0), Err(EmptyTimeStep));
        assert_eq!(TimeStep::from_secs(1).unwrap().as_secs(), 1);
        assert_eq!(TimeStep::from_secs(30).unwrap(), TimeStep::default());
    }
}
