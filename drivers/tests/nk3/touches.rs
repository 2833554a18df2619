//! Touches: who is told, who is not there, who cancels.

use std::cell::RefCell;
use std::time::Duration;

use firmware_fixtures::card::Human;
use firmware_fixtures::nitrokey3::{Entry, SecretsFirmware, Wire};
use firmware_fixtures::specimen::Door;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{MovingFactor, SlotConfig, Unattended};

use super::{BOTH, OTHER, SEED, desk, names};
use crate::bench::{Watcher, error, hotp, slot};

#[test]
fn who_waits_is_told_before_each_touch() {
    let keepalive = Some(Duration::from_millis(250));
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware { keepalive, ..SecretsFirmware::V4_14 }] {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            desk.door.set_human(Human::TouchesAfter(Duration::from_secs(3)));
            let mut token = desk.open();
            let touch = SlotConfig { touch: true, ..hotp(0) };
            for (config, prompts) in [(&touch, 1), (&touch, 2), (&hotp(0), 1)] {
                let watcher = Watcher::default();
                let before = desk.touches();
                token.program(&slot("a"), config, &watcher).unwrap();
                assert_eq!((watcher.prompts.get(), desk.touches() - before), (prompts, u64::from(prompts)));
            }
            let watcher = Watcher::default();
            token.calculate(&slot("a"), MovingFactor::OnToken, &watcher).unwrap();
            assert_eq!(watcher.prompts.get(), 0);
            token.erase(&slot("a"), &watcher).unwrap();
            token.reset(&watcher).unwrap();
            assert_eq!(watcher.prompts.get(), 2);
        }
    }
}

/// Touches so often, then walks away.
struct Patience {
    door: Door,
    touches: RefCell<u32>,
}

impl fobd_drivers::token::Attendant for Patience {
    fn touch_needed(&self) {
        let left = self.touches.borrow().checked_sub(1);
        self.door.set_human(if left.is_some() { Human::TouchesAtOnce } else { Human::NeverTouches });
        *self.touches.borrow_mut() = left.unwrap_or(0);
    }

    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn a_slot_whose_second_touch_never_comes_is_reported_as_unknown() {
    for wire in BOTH {
        for (touches, state, left) in [(0, SlotState::Unchanged, true), (1, SlotState::Unknown, false)] {
            let desk = desk(SecretsFirmware::V4_14, wire);
            desk.install(Entry::hotp("a", OTHER, 0));
            let mut token = desk.open();
            let patience = Patience { door: desk.door.clone(), touches: RefCell::new(touches) };
            let config = SlotConfig { touch: true, ..hotp(0) };
            let failure = error(token.program(&slot("a"), &config, &patience));
            assert!(matches!(failure.source, Error::TouchTimedOut), "{failure}");
            assert_eq!((failure.slot, desk.entry("a").is_some()), (state, left));
            desk.door.set_human(Human::TouchesAtOnce);
            token.program(&slot("a"), &config, &Unattended).unwrap();
            assert_eq!(desk.entry("a").unwrap().secret, SEED);
        }
    }
}

#[test]
fn whoever_cancels_is_heard_while_ctaphid_waits_for_a_touch() {
    let desk = desk(SecretsFirmware::V4_14, Wire::CtapHid);
    desk.door.set_human(Human::NeverTouches);
    desk.install(Entry { touch: true, ..Entry::hotp("a", OTHER, 0) });
    let mut token = desk.open();
    assert_eq!(names(&mut *token), ["a"]);
    let waited = desk.door.waited();
    let failure = error(token.program(&slot("a"), &hotp(0), &Watcher::cancelling_at(12)));
    assert!(matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Cancelled)), "{failure}");
    let failure = error(token.calculate(&slot("a"), MovingFactor::OnToken, &Watcher::cancelling_at(8)));
    assert!(matches!(failure, Error::Cancelled), "{failure}");
    assert!(desk.door.waited() - waited < Duration::from_secs(3), "{:?}", desk.door.waited() - waited);
    assert_eq!(desk.entry("a"), Some(Entry { touch: true, ..Entry::hotp("a", OTHER, 0) }));
    // The key is free at once.
    desk.door.set_human(Human::TouchesAtOnce);
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
}

#[test]
fn what_was_begun_is_not_torn_apart() {
    for wire in BOTH {
        for question in 0..12 {
            let desk = desk(SecretsFirmware::V4_14, wire);
            desk.install(Entry::hotp("a", OTHER, 0));
            let mut token = desk.open();
            let result = token.program(&slot("a"), &hotp(0), &Watcher::cancelling_at(question));
            let secret = desk.entry("a").expect("lost").secret;
            match result {
                Ok(()) => assert_eq!(secret, SEED),
                Err(failure) => {
                    assert!(matches!(failure.source, Error::Cancelled), "{failure}");
                    assert_eq!((failure.slot, secret.as_slice()), (SlotState::Unchanged, OTHER));
                }
            }
        }
    }
}
