//! Spraying: one source tries a few passcodes on each of many users, so that no user's own lock ever notices.
//!
//! A source for which 30 users failed within 10 minutes, and fewer than 1 attempt in 10 succeeded, is slowed until
//! that has not been so for 10 minutes. While it is slowed
//! - its attempts take turns, one every 2 s, and are answered late; one whose turn would be more than 10 s away is
//!   turned away, not judged;
//! - its failures do not count on its users and their tokens, so that it cannot lock them all. They count on a second
//!   throttle of the user, which all slowed sources share: while that is locked, the user is locked for them, and
//!   for nobody else. So being slowed buys no more guesses at a user than anybody else has.
//!
//! Users are known by a number that the caller makes, sources by their name; both are forgotten when they have not
//! been heard of for 10 minutes, and the oldest go when there are too many. Times are those of a clock that nobody sets.

use std::collections::HashMap;
use std::time::Duration;

use super::policy::Policy;
use super::throttle::Throttle;
use super::time::Timestamp;

/// Users that must have failed.
pub const FAILED_USERS: usize = 30;
/// Of so many attempts one must succeed, or the failures are those of spraying.
const ATTEMPTS_PER_SUCCESS: u64 = 10;
/// How far back failures and successes matter, how long a source stays slowed, and how long anything is remembered.
pub const WINDOW: Duration = Duration::from_secs(600);
/// From one turn of a slowed source to the next.
pub const TURN: Duration = Duration::from_secs(2);
/// Longest wait for a turn.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Most sources that are remembered, and most users of slowed ones.
const MOST: usize = 4096;
/// The window is counted in parts of this length.
const PART: Duration = Duration::from_secs(60);
const PARTS: usize = 10;

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is judged at once and counts as any other.
    Free,
    /// The source is slowed: it is judged after this wait, and counts on the second throttle of its user.
    Late(Duration),
    /// It is not judged.
    TurnedAway,
}

impl Admission {
    /// Whether the source is slowed.
    #[must_use]
    pub fn is_slowed(self) -> bool {
        self != Self::Free
    }
}

/// A source began to spray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Attempts in the window.
    pub attempts: u64,
    /// Those that were accepted.
    pub accepted: u64,
}

/// All sources and the users of slowed ones.
#[derive(Debug, Default)]
pub struct Spraying {
    sources: HashMap<String, Source>,
    /// The second throttles.
    users: HashMap<u64, (Throttle, Timestamp)>,
}

/// One source.
#[derive(Debug, Default)]
struct Source {
    /// Users that failed, each with its last failure; at most [`FAILED_USERS`].
    failed: Vec<(u64, Timestamp)>,
    /// Number of the part, attempts and successes in it.
    parts: [(i64, u32, u32); PARTS],
    slowed_until: Option<Timestamp>,
    next_turn: Timestamp,
    last: Timestamp,
}

impl Spraying {
    /// Whether and when an attempt of a source on a user is judged. What is admitted late counts as a failure on the
    /// user's second throttle, until it [succeeds](Self::succeeded): of many at once none slips through.
    pub fn admit(&mut self, source: &str, user: u64, now: Timestamp, policy: &Policy) -> Admission {
        let Some(source) = self.sources.get_mut(source).filter(|source| source.is_slowed(now)) else {
            return Admission::Free;
        };
        if self.users.len() >= MOST && !self.users.contains_key(&user) {
            self.users.retain(|_, (throttle, last)| throttle.locked(now).is_some() || is_fresh(*last, now));
            if self.users.len() >= MOST {
                return Admission::TurnedAway;
            }
        }
        let (throttle, last) = self.users.entry(user).or_default();
        let turn = source.next_turn.max(now);
        let wait = turn.since(now).unwrap_or_default();
        if throttle.locked(now).is_some() || wait > PATIENCE {
            return Admission::TurnedAway;
        }
        throttle.fail_for_a_while(now, policy);
        *last = now;
        source.next_turn = turn.saturating_add(TURN);
        Admission::Late(wait)
    }

    /// Counts a failure of a user. Tells if the source is slowed from now on and was not before.
    pub fn failed(&mut self, source: &str, user: u64, now: Timestamp) -> Option<Alarm> {
        let source = self.heard_of(source, now);
        source.count(now, 0);
        source.failed.retain(|(known, at)| *known != user && is_fresh(*at, now));
        if source.failed.len() >= FAILED_USERS {
            source.failed.remove(0);
        }
        source.failed.push((user, now));
        let (attempts, accepted) = source.counts(now);
        if source.failed.len() < FAILED_USERS || accepted * ATTEMPTS_PER_SUCCESS >= attempts {
            return None;
        }
        let was_slowed = source.is_slowed(now);
        source.slowed_until = Some(now.saturating_add(WINDOW));
        (!was_slowed).then_some(Alarm { attempts, accepted })
    }

    /// Counts a success of a user, whose second throttle is cleared.
    pub fn succeeded(&mut self, source: &str, user: u64, now: Timestamp) {
        self.heard_of(source, now).count(now, 1);
        self.users.remove(&user);
    }

    /// How many sources are slowed.
    #[must_use]
    pub fn slowed(&self, now: Timestamp) -> usize {
        self.sources.values().filter(|source| source.is_slowed(now)).count()
    }

    fn heard_of(&mut self, source: &str, now: Timestamp) -> &mut Source {
        if self.sources.len() >= MOST && !self.sources.contains_key(source) {
            self.make_room(now);
        }
        let source = self.sources.entry(source.to_owned()).or_default();
        source.last = now;
        source
    }

    /// Forgets sources that matter no more, and of the others the half that was heard of longest ago, slowed ones last.
    fn make_room(&mut self, now: Timestamp) {
        self.sources.retain(|_, source| source.is_slowed(now) || is_fresh(source.last, now));
        if self.sources.len() < MOST {
            return;
        }
        let mut ages: Vec<_> = self.sources.values().map(|source| source.age(now)).collect();
        ages.sort_unstable();
        let middle = ages.get(ages.len() / 2).copied().unwrap_or_default();
        self.sources.retain(|_, source| source.age(now) > middle);
    }
}

impl Source {
    fn is_slowed(&self, now: Timestamp) -> bool {
        self.slowed_until.is_some_and(|until| now < until)
    }

    /// What goes first is smallest.
    fn age(&self, now: Timestamp) -> (bool, Timestamp) {
        (self.is_slowed(now), self.last)
    }

    fn count(&mut self, now: Timestamp, accepted: u32) {
        let part = part_of(now);
        let Some(slot) = usize::try_from(part.rem_euclid(PARTS as i64)).ok() else { return };
        let Some(counts) = self.parts.get_mut(slot) else { return };
        if counts.0 != part {
            *counts = (part, 0, 0);
        }
        counts.1 = counts.1.saturating_add(1);
        counts.2 = counts.2.saturating_add(accepted);
    }

    /// Attempts and successes of the window.
    fn counts(&self, now: Timestamp) -> (u64, u64) {
        let newest = part_of(now);
        let recent =
            self.parts.iter().filter(|(part, ..)| (newest - PARTS as i64 + 1..=newest).contains(part));
        recent.fold((0, 0), |(all, good), (_, attempts, accepted)| {
            (all + u64::from(*attempts), good + u64::from(*accepted))
        })
    }
}

fn part_of(now: Timestamp) -> i64 {
    now.as_secs().div_euclid(PART.as_secs().cast_signed())
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.since(at).is_some_and(|ago| ago < WINDOW)
}

#[cfg(test)]
mod tests;
