//! The life of a PIN, and the entries that are encrypted with it.

use std::time::Duration;

use firmware_fixtures::card::Human;
use firmware_fixtures::nitrokey3::{Entry, EntryKind, SecretsFirmware};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{MovingFactor, SlotConfig, Unattended};

use super::{BOTH, OTHER, SEED, desk, encrypted, names, pin};
use crate::bench::{Watcher, calculate, error, hotp, slot, totp};

#[test]
fn a_pin_is_set_changed_and_asked_for_but_never_removed() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        let mut token = desk.open();
        token.unlock(&pin("any")).unwrap();
        assert_eq!(desk.touches(), 0, "without a PIN nothing is to be proven");
        token.set_lock_code(Some(&pin("1234"))).unwrap();
        // Who set it may change it.
        token.set_lock_code(Some(&pin("5678"))).unwrap();
        assert!(matches!(desk.open().set_lock_code(Some(&pin("0"))), Err(Error::Locked)));
        let before = desk.door.exchanges();
        assert!(matches!(token.set_lock_code(None), Err(Error::Unsupported { .. })));
        for wrong in ["", &"x".repeat(128)] {
            assert!(matches!(token.set_lock_code(Some(&pin(wrong))), Err(Error::Invalid { .. })));
            assert!(matches!(token.unlock(&pin(wrong)), Err(Error::Invalid { .. })));
        }
        assert_eq!(desk.door.exchanges(), before);
        let mut token = desk.open();
        token.unlock(&pin("5678")).unwrap();
        token.set_lock_code(Some(&pin(&"x".repeat(127)))).unwrap();
        token.reset(&Unattended).unwrap();
        assert!(desk.key.with_app(|app| app.pin_mut().is_none()));
    }
}

#[test]
fn each_wrong_pin_says_how_many_are_left_until_none_is_sent() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("right");
        let mut token = desk.open();
        for left in (0..8).rev() {
            let failure = token.unlock(&pin("wrong")).unwrap_err();
            let Error::WrongLockCode { attempts_left } = failure else { panic!("{failure}") };
            assert_eq!((attempts_left, desk.attempts()), (Some(left), left));
        }
        let touches = desk.touches();
        let failure = token.unlock(&pin("right")).unwrap_err();
        assert!(matches!(failure, Error::Blocked { .. }), "{failure}");
        assert_eq!(desk.touches(), touches, "a blocked PIN is not even tried");
        // The entries without PIN work on.
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        token.reset(&Unattended).unwrap();
        token.set_lock_code(Some(&pin("new"))).unwrap();
    }
}

#[test]
fn a_pin_that_another_program_changed_costs_one_attempt() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("old");
        desk.install(encrypted("a"));
        let mut token = desk.open();
        token.unlock(&pin("old")).unwrap();
        desk.set_pin("new");
        let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
        assert!(matches!(failure, Error::WrongLockCode { attempts_left: Some(7) }), "{failure}");
        let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
        assert!(matches!(failure, Error::Locked), "{failure}");
        assert_eq!(desk.attempts(), 7);
        desk.set_pin("newer");
        token.unlock(&pin("newer")).unwrap();
        desk.set_pin("newest");
        let failure = token.set_lock_code(Some(&pin("x"))).unwrap_err();
        assert!(matches!(failure, Error::WrongLockCode { attempts_left: Some(7) }), "{failure}");
    }
}

#[test]
fn nobody_there_to_touch_costs_no_attempt() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("right");
        desk.door.set_human(Human::NeverTouches);
        let mut token = desk.open();
        assert!(matches!(token.unlock(&pin("wrong")), Err(Error::TouchTimedOut)));
        assert_eq!(desk.attempts(), 8);
        assert_eq!(desk.door.waited(), Duration::from_secs(15));
        assert!(matches!(token.reset(&Unattended), Err(Error::TouchTimedOut)));
    }
}

#[test]
fn what_is_encrypted_is_there_for_whoever_gives_the_pin() {
    for firmware in SecretsFirmware::ALL {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            desk.set_pin("1234");
            desk.install(encrypted("secret"));
            desk.install(Entry::hotp("plain", SEED, 0));
            let mut token = desk.open();
            assert_eq!(names(&mut *token), ["plain"]);
            assert!(matches!(calculate(&mut *token, "secret", MovingFactor::OnToken), Err(Error::Locked)));
            assert!(matches!(token.erase(&slot("secret"), &Unattended), Err(Error::Locked)));

            token.unlock(&pin("1234")).unwrap();
            let touches = desk.touches();
            assert_eq!(names(&mut *token), ["plain", "secret"]);
            assert_eq!(calculate(&mut *token, "plain", MovingFactor::OnToken).unwrap(), "755224");
            assert_eq!(desk.touches(), touches, "no PIN, no touch");
            for passcode in ["755224", "287082"] {
                assert_eq!(calculate(&mut *token, "secret", MovingFactor::OnToken).unwrap(), passcode);
            }
            assert_eq!(desk.touches(), touches + 2);
            assert_eq!(names(&mut *desk.open()), ["plain"], "nobody else got in by that");

            // Written over, it stays encrypted.
            let config = SlotConfig { touch: true, ..totp(30) };
            token.program(&slot("secret"), &config, &Unattended).unwrap();
            let entry = desk.entry("secret").unwrap();
            assert_eq!((entry.kind, entry.pin, entry.touch), (EntryKind::Totp, true, true));
            let watcher = Watcher::default();
            let passcode = token.calculate(&slot("secret"), MovingFactor::TimeStep(1), &watcher).unwrap();
            // The touch for the PIN is the only one.
            assert_eq!((passcode.expose(), watcher.prompts.get()), ("287082", 1));
            token.erase(&slot("secret"), &Unattended).unwrap();
            assert_eq!(desk.entry("secret"), None);
            assert_eq!(names(&mut *token), ["plain"]);
        }
    }
}

#[test]
fn an_entry_that_cannot_be_seen_is_not_overwritten() {
    for firmware in SecretsFirmware::ALL {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            desk.set_pin("1234");
            desk.install(encrypted("a"));
            let before = desk.entry("a");
            let mut token = desk.open();
            let failure = error(token.program(&slot("a"), &totp(30), &Unattended));
            assert!(
                matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Locked)),
                "{failure}"
            );
            assert_eq!(desk.entry("a"), before);
            // Found at the second look, if it came after the PIN was proven.
            desk.key.with_app(|app| app.set_pin(Some(b"1234")));
            token.unlock(&pin("1234")).unwrap();
            token.program(&slot("a"), &totp(30), &Unattended).unwrap();
            assert!(desk.entry("a").unwrap().pin);
        }
    }
}

#[test]
fn an_encrypted_entry_of_another_program_is_found_when_it_is_in_the_way() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("1234");
        let mut token = desk.open();
        token.unlock(&pin("1234")).unwrap();
        desk.install(Entry { secret: OTHER.to_vec(), ..encrypted("a") });
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        let entry = desk.entry("a").unwrap();
        assert_eq!((entry.secret.as_slice(), entry.pin), (SEED, true));
    }
}
