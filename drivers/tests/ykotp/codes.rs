//! The life of an access code: 6 bytes in one slot.

use super::*;

/// The code in a slot, if there is one.
fn stored_code(specimen: &OtpSpecimen, slot: u8) -> Option<[u8; 6]> {
    let flash = specimen.key().flash().open();
    flash.slot(slot).map(|slot| slot.config.code).filter(|code| *code != [0; 6])
}

fn is_wrong_code<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::WrongLockCode { attempts_left: None }))
}

#[test]
fn a_code_opens_its_slot_and_stays_until_it_is_changed() {
    for specimen in all().into_iter().filter(|key| {
        let version = key.key().model().firmware.version;
        version >= [2, 3, 0] && !([4, 3, 2]..[4, 3, 6]).contains(&version)
    }) {
        let what = specimen.model();
        with(&specimen, |subject, token| {
            program(token, &ONE, &hotp(0));
            token.set_lock_code(Some(&code(CODE))).unwrap();
            assert_eq!((stored_code(&specimen, 1), stored_code(&specimen, 2)), (Some(*CODE), None), "{what}");
            // Who set it goes on, the code stays.
            program(token, &ONE, &hotp(16));
            assert_eq!((stored_code(&specimen, 1), specimen.stored()[0].1.counter), (Some(*CODE), 16));

            let mut stranger = subject.open();
            let before = specimen.stored();
            let (state, error) = failed(stranger.program(&ONE, &hotp(0), &Unattended));
            assert!(matches!((state, &error), (SlotState::Unchanged, Error::Locked)), "{what}: {error}");
            assert!(matches!(stranger.erase(&ONE, &Unattended), Err(Error::Locked)), "{what}");
            stranger.unlock(&code(OTHER_CODE)).unwrap();
            assert!(is_wrong_code(stranger.erase(&ONE, &Unattended)), "{what}");
            // It is forgotten at once, and never tried again by itself.
            assert!(matches!(stranger.erase(&ONE, &Unattended), Err(Error::Locked)), "{what}");
            assert_eq!(specimen.stored(), before, "{what}");

            stranger.unlock(&code(CODE)).unwrap();
            program(&mut *stranger, &ONE, &hotp(32));
            stranger.set_lock_code(Some(&code(b"aBcDeF012345"))).unwrap();
            assert_eq!(stored_code(&specimen, 1), Some([0xAB, 0xCD, 0xEF, 0x01, 0x23, 0x45]), "{what}");
            stranger.set_lock_code(None).unwrap();
            assert_eq!(stored_code(&specimen, 1), None, "{what}");
            program(&mut *subject.open(), &ONE, &hotp(0));
        });
    }
}

#[test]
fn an_update_of_the_code_leaves_everything_else() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |_, token| {
        program(token, &ONE, &SlotConfig { digits: 8, ..hotp(16) });
        program(token, &TWO, &SlotConfig { touch: true, ..totp() });
        specimen.read_off("1", 0);
        let before: Vec<_> =
            [1, 2].map(|slot| specimen.key().flash().open().slot(slot).unwrap().clone()).into();
        token.set_lock_code(Some(&code(CODE))).unwrap();
        for (slot, mut before) in (1..).zip(before) {
            before.config.code = *CODE;
            assert_eq!(specimen.key().flash().open().slot(slot), Some(&before));
        }
        token.reset(&Unattended).unwrap();
        assert_eq!(specimen.stored(), []);
    });
}

#[test]
fn a_slot_written_by_somebody_else_is_not_updated_blindly() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |subject, token| {
        let unsupported = |result: Result<(), Error>| matches!(result, Err(Error::Unsupported { .. }));
        assert!(unsupported(token.set_lock_code(Some(&code(CODE)))), "both slots are empty");
        program(&mut *subject.open(), &TWO, &totp());
        assert!(unsupported(token.set_lock_code(Some(&code(CODE)))));
        program(token, &ONE, &hotp(0));
        token.set_lock_code(Some(&code(CODE))).unwrap();
        assert_eq!((stored_code(&specimen, 1), stored_code(&specimen, 2)), (Some(*CODE), None));
        program(&mut *subject.open(), &TWO, &hotp(0));
        assert!(unsupported(token.set_lock_code(None)), "written since");
    });
}

#[test]
fn firmware_4_3_2_to_4_3_5_says_how_to_change_a_code() {
    for (specimen, updates) in [
        (keyboard(Model::YUBIKEY_4_3_5), false),
        (applet(Model::YUBIKEY_4_3_5), false),
        (keyboard(Model::YUBIKEY_2_2), false),
        (keyboard(Model::YUBIKEY_4_4_5), true),
    ] {
        with(&specimen, |subject, token| {
            program(token, &ONE, &hotp(0));
            let (exchanges, result) = subject.exchanges(|| token.set_lock_code(Some(&code(CODE))));
            assert_eq!(result.is_ok(), updates, "{}", specimen.model());
            if !updates {
                assert!(matches!((exchanges, result), (0, Err(Error::Unsupported { .. }))));
                // The way out that the error names.
                token.erase(&ONE, &Unattended).unwrap();
                token.unlock(&code(CODE)).unwrap();
                program(token, &ONE, &hotp(0));
            }
            assert_eq!(stored_code(&specimen, 1), Some(*CODE));
        });
    }
}

#[test]
fn a_code_for_an_empty_slot_is_set_and_not_presented() {
    for specimen in all() {
        with(&specimen, |_, token| {
            token.unlock(&code(CODE)).unwrap();
            program(token, &TWO, &hotp(0));
            assert_eq!(stored_code(&specimen, 2), Some(*CODE), "{}", specimen.model());
        });
    }
}

#[test]
fn what_is_no_code_is_refused_without_a_look_at_the_key() {
    with(&keyboard(Model::YUBIKEY_5_4_3), |subject, token| {
        for wrong in [&b""[..], b"12345", b"000000000000", &[0; 6], b"0102030405zz"] {
            let (exchanges, results) =
                subject.exchanges(|| [token.unlock(&code(wrong)), token.set_lock_code(Some(&code(wrong)))]);
            assert_eq!(exchanges, 0);
            for result in results {
                let failure = result.unwrap_err();
                assert!(matches!(failure, Error::Invalid { field: "code", .. }), "{failure}");
            }
        }
    });
}

#[test]
fn a_code_refused_over_the_card_is_told_alike_with_and_without_a_status_word() {
    use firmware_fixtures::fault::{Fault, FaultKind};
    let specimen = applet(Model::NEO_3_4_9);
    with(&specimen, |subject, token| {
        program(token, &ONE, &hotp(0));
        // A clone says 6982 where keys say nothing.
        subject.door.plan(Fault { at: 1, kind: FaultKind::Status(0x6982) });
        assert!(matches!(token.erase(&ONE, &Unattended), Err(Error::Locked)));
        token.unlock(&code(CODE)).unwrap();
        subject.door.plan(Fault { at: 1, kind: FaultKind::Status(0x6982) });
        assert!(is_wrong_code(token.erase(&ONE, &Unattended)));
    });
}
