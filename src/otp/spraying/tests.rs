use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const HERE: &str = "192.0.2.7";

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(5_000).saturating_add(Duration::from_secs(secs))
}

fn admit(spraying: &mut Spraying, user: u64, now: Timestamp) -> Admission {
    spraying.admit(HERE, user, now, &Policy::default())
}

/// A source that is slowed at that time.
fn sprayed(now: Timestamp) -> Spraying {
    let mut spraying = Spraying::default();
    let alarms: Vec<_> = (0..30).filter_map(|user| spraying.failed(HERE, user, now)).collect();
    assert_eq!(alarms, [Alarm { attempts: 30, accepted: 0 }]);
    spraying
}

#[test]
fn thirty_users_must_fail_and_within_ten_minutes() {
    let mut spraying = Spraying::default();
    assert!((0..29).all(|user| spraying.failed(HERE, user, at(0)).is_none()));
    assert!((0..100).all(|_| spraying.failed(HERE, 7, at(1)).is_none()), "the same user again");
    assert_eq!(spraying.failed(HERE, 29, at(600)), None, "the first have been forgotten");
    assert_eq!(admit(&mut spraying, 1, at(600)), Admission::Free);

    let mut slow = Spraying::default();
    assert!((0..1000).all(|user| slow.failed(HERE, user, at(user * 21)).is_none()), "one in 21 s");
}

#[test]
fn one_success_in_ten_attempts_is_no_spraying() {
    let mut gateway = Spraying::default();
    let mut alarms = 0;
    for user in 0..300 {
        if user % 10 == 0 {
            gateway.succeeded(HERE, 1_000 + user, at(user));
        } else {
            alarms += usize::from(gateway.failed(HERE, user, at(user)).is_some());
        }
    }
    assert_eq!((alarms, gateway.slowed(at(300))), (0, 0));
}

#[test]
fn a_slowed_source_takes_turns_and_is_turned_away_when_too_many_wait() {
    let mut spraying = sprayed(at(0));
    let admitted: Vec<_> = (100..108).map(|user| admit(&mut spraying, user, at(1))).collect();
    let late = |secs| Admission::Late(Duration::from_secs(secs));
    let away = Admission::TurnedAway;
    assert_eq!(admitted, [late(0), late(2), late(4), late(6), late(8), late(10), away, away]);
    assert_eq!(admit(&mut spraying, 108, at(4)), late(9), "time passes");
    assert_eq!(spraying.admit("192.0.2.8", 1, at(4), &Policy::default()), Admission::Free, "another source");
}

#[test]
fn slowness_ends_ten_minutes_after_the_last_spraying() {
    let mut spraying = sprayed(at(0));
    assert!(admit(&mut spraying, 1, at(599)).is_slowed());
    assert_eq!(admit(&mut spraying, 1, at(600)), Admission::Free);
    for user in 0..30 {
        let alarm = spraying.failed(HERE, user, at(700));
        assert_eq!(alarm.is_some(), user == 29, "it is told again, once");
    }
}

#[test]
fn a_slowed_source_has_ten_guesses_at_a_user_and_then_the_locks_of_any_other() {
    let mut spraying = sprayed(at(0));
    let (mut guesses, mut now) = (0, at(0));
    for user in 30.. {
        // Keeps it slowed.
        spraying.failed(HERE, user, now);
        guesses += usize::from(admit(&mut spraying, 7, now) != Admission::TurnedAway);
        now = now.saturating_add(TURN);
        if now >= at(3_600) {
            break;
        }
    }
    // 10, and one after each of the locks of 1, 2, 4, 8 and 16 minutes.
    assert_eq!(guesses, 15);
}

#[test]
fn the_second_throttle_is_shared_by_slowed_sources_and_cleared_by_success() {
    let mut spraying = sprayed(at(0));
    for user in 0..30 {
        spraying.failed("198.51.100.1", user, at(0));
    }
    for guess in 0..10 {
        let source = if guess % 2 == 0 { HERE } else { "198.51.100.1" };
        assert_ne!(spraying.admit(source, 7, at(guess * 4), &Policy::default()), Admission::TurnedAway);
    }
    for source in [HERE, "198.51.100.1"] {
        assert_eq!(spraying.admit(source, 7, at(40), &Policy::default()), Admission::TurnedAway);
    }
    spraying.succeeded("203.0.113.1", 7, at(41));
    assert_ne!(admit(&mut spraying, 7, at(41)), Admission::TurnedAway);
}

#[test]
fn memory_is_bounded_and_slowed_sources_are_forgotten_last() {
    let mut spraying = sprayed(at(0));
    for source in 0..20_000_u64 {
        spraying.failed(&format!("source {source}"), 1, at(1 + source / 1_000));
        assert!(spraying.sources.len() <= MOST);
    }
    assert_eq!(spraying.slowed(at(30)), 1);
    for user in 0..20_000 {
        let turn = at(30).saturating_add(TURN * u32::try_from(user % 200).unwrap());
        admit(&mut spraying, user, turn);
        assert!(spraying.users.len() <= MOST);
    }
}

proptest! {
    /// Against a slow model that remembers every attempt: who is slowed, and when.
    #[test]
    fn a_source_is_slowed_exactly_when_the_rule_says_so(
        attempts in prop::collection::vec((0_u64..45, prop::bool::weighted(0.08), 0_u64..12), 1..400),
    ) {
        let mut spraying = Spraying::default();
        let mut history: Vec<(u64, u64, bool)> = Vec::new();
        let (mut secs, mut slowed_until) = (0, 0);
        for (user, succeeds, pause) in attempts {
            secs += pause;
            let was_slowed = secs < slowed_until;
            let admission = spraying.admit(HERE, user, at(secs), &Policy::default());
            prop_assert_eq!(admission.is_slowed(), was_slowed);
            history.push((secs, user, succeeds));
            if succeeds {
                spraying.succeeded(HERE, user, at(secs));
                continue;
            }
            let alarm = spraying.failed(HERE, user, at(secs));
            let users: BTreeSet<u64> = history
                .iter()
                .filter(|(then, _, good)| !good && secs - then < 600)
                .map(|(_, user, _)| *user)
                .collect();
            // Attempts and successes are counted by whole minutes, this one and the nine before it.
            let minute = |secs: u64| (5_000 + secs) / 60;
            let recent = history.iter().filter(|(then, ..)| minute(secs) - minute(*then) < 10);
            let (all, good) = recent.fold((0, 0), |(all, good), (_, _, ok)| (all + 1, good + usize::from(*ok)));
            if users.len() >= 30 && good * 10 < all {
                slowed_until = secs + 600;
            }
            prop_assert_eq!(alarm.is_some(), !was_slowed && secs < slowed_until);
        }
    }
}
