//! Whether the server's own clock can be trusted: TOTP is a comparison with it.
//!
//! There are two witnesses. The boot-time clock counts from the start of the machine, sleep included, and nobody can set
//! it: if the wall clock has moved against it by more than a minute since the two were first seen together, somebody set
//! the wall clock. And the database knows a time at which it was written: a clock that is more than five seconds
//! behind that is wrong, whatever it did in between. While the clock is suspect nothing is learned from it, so that it
//! is right again as soon as it agrees with both witnesses; or an admin says that the new time is the right one.
//!
//! The first witness says nothing of the time before the machine started. Until the second one is content the two
//! clocks are not held together: a machine without a battery starts in the past and gets the time later.
//! Times are milliseconds; times since boot are [`Duration`]s.

use std::fmt;
use std::time::Duration;

use super::time::{Clock, Timestamp};

/// How far the wall clock may move against the boot-time clock, in milliseconds.
pub const MOST_MOVED_MS: i64 = 60_000;
/// How far it may be behind the newest time in the database, in milliseconds.
pub const MOST_BEHIND_MS: i64 = 5_000;

/// What both clocks said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: Timestamp,
    /// Time since the machine started.
    pub boot: Duration,
}

impl Reading {
    /// Reads both.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), boot: clock.since_boot() }
    }

    /// What the wall clock would say if it had gone on from here as the boot-time clock did.
    fn wall_at(&self, boot: Duration) -> Timestamp {
        match boot.checked_sub(self.boot) {
            Some(passed) => self.wall.saturating_add(passed),
            None => self.wall.saturating_sub(self.boot.saturating_sub(boot)),
        }
    }
}

/// What is kept of the clocks from one start of the server to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The run of the machine that the anchor is of.
    pub boot_id: Option<String>,
    /// The clocks as they were first seen together.
    pub anchor: Option<Reading>,
    /// The newest time that is known.
    pub newest: Timestamp,
}

/// What the wall clock is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The clocks when they were first seen together; none until the wall clock was right once.
    pub anchor: Option<Reading>,
    /// The newest time that is known.
    pub newest: Timestamp,
}

/// Why the clock is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It was set: it moved against the boot-time clock by so many milliseconds.
    Moved(i64),
    /// It is so many milliseconds behind the newest time in the database.
    Behind(i64),
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = |millis: i64| millis.unsigned_abs() / 1000;
        match *self {
            Self::Moved(by) => {
                let way = if by < 0 { "back" } else { "ahead" };
                write!(f, "it was set {way} by {} s while the machine was running", secs(by))
            }
            Self::Behind(by) => write!(f, "it is {} s behind the newest time in the database", secs(by)),
        }
    }
}

impl Trust {
    /// What an admin vouches for: the clock is right as it is.
    #[must_use]
    pub const fn accepting(reading: Reading) -> Self {
        Self { anchor: Some(reading), newest: reading.wall }
    }

    /// Goes on from what was kept, in the same run of the machine or in a later one, and from the times at which the
    /// newest rows were written.
    #[must_use]
    pub fn resume(
        kept: Option<&Kept>,
        boot_id: Option<&str>,
        written: &[Timestamp],
        reading: Reading,
    ) -> Self {
        let same_run = kept.filter(|kept| boot_id.is_some() && kept.boot_id.as_deref() == boot_id);
        let anchor = same_run.and_then(|kept| kept.anchor);
        // What lies ahead of the better witness was written while the clock was suspect.
        let latest = anchor.map_or(Timestamp::MAX, |anchor| {
            anchor.wall_at(reading.boot).saturating_add(Duration::from_millis(MOST_MOVED_MS.unsigned_abs()))
        });
        let written = written.iter().copied().filter(|at| *at <= latest);
        let newest = written.chain(kept.map(|kept| kept.newest)).max().unwrap_or(reading.wall);
        Self { anchor, newest }
    }

    /// Judges what the clocks say, and learns from it if they are right.
    pub fn check(&mut self, reading: Reading) -> Option<Suspicion> {
        let suspicion = self.judge(reading);
        if suspicion.is_none() {
            self.anchor.get_or_insert(reading);
            self.newest = self.newest.max(reading.wall);
        }
        suspicion
    }

    fn judge(&self, reading: Reading) -> Option<Suspicion> {
        let ahead = |of: Timestamp| reading.wall.as_millis().saturating_sub(of.as_millis());
        let moved = self.anchor.map_or(0, |anchor| ahead(anchor.wall_at(reading.boot)));
        if moved.saturating_abs() > MOST_MOVED_MS {
            return Some(Suspicion::Moved(moved));
        }
        let behind = ahead(self.newest).saturating_neg();
        (behind > MOST_BEHIND_MS).then_some(Suspicion::Behind(behind))
    }
}

/// What a decision knows of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it was checked.
    pub wall: Timestamp,
    /// Whether it was suspect then.
    pub suspect: bool,
}

impl Check {
    /// Whether the time of a decision that was asked for then can be trusted: the clock was right, and was not set
    /// between the question and the decision.
    #[must_use]
    pub fn trusts(&self, now: Timestamp) -> bool {
        let passed = now.as_millis().saturating_sub(self.wall.as_millis());
        !self.suspect && (-MOST_BEHIND_MS..=MOST_MOVED_MS).contains(&passed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_767_225_600);

    /// The clocks after so many seconds, with the wall clock moved by so many milliseconds.
    fn after(secs: u64, moved_ms: i64) -> Reading {
        let wall = START.saturating_add(Duration::from_secs(secs)).as_millis() + moved_ms;
        Reading { wall: Timestamp::from_millis(wall), boot: Duration::from_secs(1_000 + secs) }
    }

    fn started() -> Trust {
        let mut trust = Trust::resume(None, None, &[], after(0, 0));
        assert_eq!(trust.check(after(0, 0)), None);
        trust
    }

    fn kept(trust: Trust) -> Kept {
        Kept { boot_id: Some("run 1".to_owned()), anchor: trust.anchor, newest: trust.newest }
    }

    #[test]
    fn a_minute_of_correction_is_fine_and_more_is_not_until_it_is_taken_back() {
        let mut trust = started();
        assert_eq!(trust.check(after(10, 60_000)), None);
        assert_eq!(trust.check(after(100, 60_001)), Some(Suspicion::Moved(60_001)));
        assert_eq!(trust.check(after(200, 0)), None);
        assert_eq!(trust.check(after(9_000, -60_001)), Some(Suspicion::Moved(-60_001)));
    }

    #[test]
    fn many_small_steps_are_one_large_one() {
        let mut trust = started();
        let steps = (1..=4).map(|step| trust.check(after(1_000 * step, 20_000 * step as i64)));
        assert_eq!(steps.collect::<Vec<_>>(), [None, None, None, Some(Suspicion::Moved(80_000))]);
    }

    #[test]
    fn five_seconds_behind_the_newest_time_is_fine_and_more_is_not() {
        let mut trust = started();
        assert_eq!(trust.check(after(100, 0)), None);
        assert_eq!(trust.check(after(100, -5_000)), None);
        assert_eq!(trust.check(after(100, -5_001)), Some(Suspicion::Behind(5_001)));
        assert_eq!(trust.check(after(101, -5_001)), None, "time went on past it");
    }

    #[test]
    fn what_an_admin_accepts_is_the_new_beginning() {
        let mut trust = started();
        assert!(trust.check(after(10, -3_600_000)).is_some());
        trust = Trust::accepting(after(20, -3_600_000));
        assert_eq!(trust.check(after(30, -3_600_000)), None);
        assert_eq!(trust.check(after(40, 0)), Some(Suspicion::Moved(3_600_000)));
    }

    #[test]
    fn a_restart_of_the_server_is_no_way_round() {
        let mut trust = started();
        assert!(trust.check(after(10, 7_200_000)).is_some());
        let again = |written: &[Timestamp], reading| {
            Trust::resume(Some(&kept(trust)), Some("run 1"), written, reading).check(reading)
        };
        assert_eq!(again(&[], after(20, 7_200_000)), Some(Suspicion::Moved(7_200_000)));
        let ahead = [after(15, 7_200_000).wall];
        assert_eq!(again(&ahead, after(30, 0)), None, "rows of the suspect time prove nothing");
    }

    #[test]
    fn after_a_restart_of_the_machine_the_database_is_the_witness() {
        let trust = started();
        let reading = after(50, 0);
        let next = |written: &[Timestamp]| Trust::resume(Some(&kept(trust)), Some("run 2"), written, reading);
        assert_eq!(next(&[after(40, 0).wall]).check(reading), None);
        let mut behind = next(&[after(100, 0).wall]);
        assert_eq!(behind.check(reading), Some(Suspicion::Behind(50_000)));
        assert_eq!(behind.anchor, None, "a clock that is wrong from the start is held against nothing");
        let set_right = after(60, 86_400_000);
        assert_eq!(behind.check(set_right), None);
        assert_eq!(behind.anchor, Some(set_right));
        assert_eq!(
            Trust::resume(Some(&kept(trust)), None, &[], reading).anchor,
            None,
            "two unknown runs differ"
        );
    }

    #[test]
    fn a_clock_that_is_set_between_question_and_decision_is_not_trusted() {
        let check = Check { wall: START, suspect: false };
        let at = |millis| Timestamp::from_millis(START.as_millis() + millis);
        assert!(check.trusts(at(0)) && check.trusts(at(-5_000)) && check.trusts(at(60_000)));
        assert!(!check.trusts(at(-5_001)) && !check.trusts(at(60_001)));
        assert!(!Check { suspect: true, ..check }.trusts(START));
    }

    proptest! {
        /// Whatever the clocks say: nothing that a suspect clock said is learned, and a trusted one is within the
        /// bounds of both witnesses.
        #[test]
        fn trust_is_kept_within_its_bounds(
            readings in prop::collection::vec((0_u64..10_000, -200_000_i64..200_000), 1..40),
        ) {
            let mut trust = started();
            let anchor = trust.anchor;
            for (secs, moved) in readings {
                let before = trust;
                let reading = after(secs, moved);
                match trust.check(reading) {
                    Some(_) => prop_assert_eq!(trust, before),
                    None => {
                        prop_assert!(moved.abs() <= MOST_MOVED_MS);
                        let behind = before.newest.as_millis() - reading.wall.as_millis();
                        prop_assert!(behind <= MOST_BEHIND_MS);
                        prop_assert_eq!(trust.newest, before.newest.max(reading.wall));
                    }
                }
                prop_assert_eq!(trust.anchor, anchor);
            }
        }

        #[test]
        fn no_time_is_too_extreme(wall in any::<i64>(), newest in any::<i64>(), boot in any::<u64>()) {
            let reading = Reading { wall: Timestamp::from_millis(wall), boot: Duration::from_millis(boot) };
            let anchor = Reading { wall: Timestamp::from_millis(newest), boot: Duration::from_millis(boot / 2) };
            let mut trust = Trust { anchor: Some(anchor), newest: Timestamp::from_millis(newest) };
            let suspicion = trust.check(reading);
            prop_assert!(suspicion.is_none_or(|suspicion| !suspicion.to_string().is_empty()));
        }
    }
}
