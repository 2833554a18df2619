//! What is somebody else's business, and what a credential may be.

use firmware_fixtures::credential::Hash;
use firmware_fixtures::nitrokey3::{Entry, EntryKind, SecretsFirmware, Wire};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{LockCode, MovingFactor, SlotConfig, Unattended};

use super::{BOTH, OTHER, SEED, desk, names, pin};
use crate::bench::{calculate, error, hotp, slot, totp};

#[test]
fn other_kinds_of_entries_are_neither_shown_nor_touched() {
    let foreign = |kind| Entry { kind, ..Entry::hotp("a", OTHER, 3) };
    let password =
        Entry { safe: [Some(b"u".to_vec()), Some(b"p".to_vec()), None], ..foreign(EntryKind::Hotp) };
    let kinds = [EntryKind::ReverseHotp, EntryKind::Hmac, EntryKind::None].map(foreign);
    for firmware in SecretsFirmware::ALL {
        for wire in BOTH {
            for with_pin in [false, true] {
                for entry in &kinds {
                    let desk = desk(firmware, wire);
                    desk.set_pin("1234");
                    let entry = Entry { pin: with_pin, ..entry.clone() };
                    desk.install(entry.clone());
                    let mut token = desk.open();
                    token.unlock(&pin("1234")).unwrap();
                    let what = format!("{firmware:?} {wire:?} {entry:?}");
                    assert_eq!(names(&mut *token), Vec::<String>::new(), "{what}");
                    for config in [hotp(0), totp(30), SlotConfig { touch: true, ..hotp(0) }] {
                        let failure = error(token.program(&slot("a"), &config, &Unattended));
                        assert!(matches!(failure.source, Error::Invalid { .. }), "{what}: {failure}");
                        assert_eq!(failure.slot, SlotState::Unchanged, "{what}");
                    }
                    let failure = token.erase(&slot("a"), &Unattended).unwrap_err();
                    assert!(matches!(failure, Error::Invalid { .. }), "{what}: {failure}");
                    let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
                    assert!(matches!(failure, Error::Invalid { .. }), "{what}: {failure}");
                    assert_eq!(desk.entry("a"), Some(entry), "{what}");
                }
            }
            if firmware.properties {
                let desk = desk(firmware, wire);
                desk.install(password.clone());
                let mut token = desk.open();
                assert_eq!(names(&mut *token), ["a"]);
                let failure = error(token.program(&slot("a"), &hotp(0), &Unattended));
                assert!(matches!(failure.source, Error::Invalid { .. }), "{failure}");
                assert!(matches!(token.erase(&slot("a"), &Unattended), Err(Error::Invalid { .. })));
                assert_eq!(desk.entry("a"), Some(password.clone()));
                calculate(&mut *token, "a", MovingFactor::OnToken).unwrap();
            }
        }
    }
}

#[test]
fn the_names_of_challenge_response_slots_are_kept_for_them() {
    let desk = desk(SecretsFirmware::V4_14, Wire::CtapHid);
    let failure = error(desk.open().program(&slot("HmacSlot2"), &hotp(0), &Unattended));
    assert_eq!(failure.to_string(), "slot: the token keeps this name for challenge-response");
}

#[test]
fn a_factor_of_the_wrong_kind_burns_no_counter() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.install(Entry::hotp("h", SEED, 0));
        desk.install(Entry { kind: EntryKind::Totp, ..Entry::hotp("t", SEED, 0) });
        let mut token = desk.open();
        assert!(matches!(calculate(&mut *token, "h", MovingFactor::TimeStep(1)), Err(Error::Invalid { .. })));
        assert!(matches!(calculate(&mut *token, "t", MovingFactor::OnToken), Err(Error::Invalid { .. })));
        assert!(matches!(calculate(&mut *token, "x", MovingFactor::OnToken), Err(Error::SlotEmpty { .. })));
        assert_eq!(desk.entry("h").unwrap().counter, 0);
    }
}

#[test]
fn what_a_credential_may_be_is_what_the_key_can_hold() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        let mut token = desk.open();
        let long = SlotConfig { secret: LockCode::new(vec![b'A'; 65]), ..hotp(u64::from(u32::MAX) - 1) };
        let name = "ü".repeat(63) + "x";
        token.program(&slot(&name), &long, &Unattended).unwrap();
        let entry = desk.entry(&name).unwrap();
        assert_eq!((entry.counter, entry.secret.len(), entry.hash), (u32::MAX - 1, 20, Hash::Sha1));
        assert_eq!(names(&mut *token), std::slice::from_ref(&name));
        calculate(&mut *token, &name, MovingFactor::OnToken).unwrap();
        // The counter is at its end.
        let failure = error(calculate(&mut *token, &name, MovingFactor::OnToken));
        assert!(matches!(failure, Error::Refused { status: 0x6500, .. }), "{failure}");
        let failure = error(token.program(&slot("a"), &hotp(u64::from(u32::MAX)), &Unattended));
        assert_eq!(failure.to_string(), "counter: the token counts from 4294967294 at most");
        desk.install(Entry { name: vec![0xFF, 0x01], ..Entry::hotp("", SEED, 0) });
        token.erase(&slot("0xff01"), &Unattended).unwrap();
        assert_eq!(names(&mut *token), [name]);
    }
}

#[test]
fn a_full_key_says_so_and_takes_what_replaces() {
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware::V4_11] {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            for number in 0..50 {
                desk.install(Entry::hotp(&number.to_string(), OTHER, 0));
            }
            let mut token = desk.open();
            assert_eq!(token.info().capabilities.max_slots, Some(50));
            let failure = error(token.program(&slot("x"), &hotp(0), &Unattended));
            assert!(
                matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Full)),
                "{failure}"
            );
            // Known from the look that this took, and by a token that has not looked yet.
            token.program(&slot("7"), &hotp(0), &Unattended).unwrap();
            desk.open().program(&slot("8"), &hotp(0), &Unattended).unwrap();
            for name in ["7", "8"] {
                assert_eq!(desk.entry(name).unwrap().secret, SEED);
            }
            assert_eq!(token.slots().unwrap().len(), 50);
        }
    }
}

#[test]
fn a_list_of_more_than_3072_bytes_needs_ctaphid() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        for number in 0..50 {
            desk.install(Entry::hotp(&format!("{number:070}"), SEED, 0));
        }
        let listed = desk.open().slots().map(|slots| slots.len());
        match wire {
            Wire::CtapHid => assert_eq!(listed.unwrap(), 50),
            Wire::Ccid => {
                let said = listed.unwrap_err().to_string();
                assert!(said.ends_with("over a smart-card reader: its FIDO interface"), "{said}");
            }
        }
    }
}
