//! What a slot does besides OATH.

use firmware_fixtures::ykotp::config::Function;
use firmware_fixtures::ykotp::slots::Slot;
use fobd_drivers::error::ProgramError;
use fobd_drivers::token::task::{
    ChallengeMethod, Layout, NdefRecord, Pacing, Password, SerialVisibility, Task, Typing,
};

use super::*;

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(bytes.to_vec())
}

fn stored(specimen: &OtpSpecimen, slot: u8) -> Slot {
    specimen.key().flash().open().slot(slot).expect("it is empty").clone()
}

fn configure(token: &mut dyn Token, task: &Task) -> Result<(), ProgramError> {
    token.configure(task, &Unattended)
}

fn typed_hotp(slot: SlotId, identifier: &str) -> Task {
    let typing = Typing::default();
    Task::TypedHotp { slot, config: hotp(0), identifier: identifier.to_owned(), typing }
}

fn password(text: &str) -> Task {
    let password = Password::Text { text: secret(text.as_bytes()), layout: Layout::Us };
    Task::StaticPassword { slot: TWO, password, typing: Typing { enter: false, ..Typing::default() } }
}

#[test]
fn an_identifier_is_typed_before_the_passcode() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |_, token| {
        for (identifier, typed) in [
            ("ubhe11032475", "ubhe11032475755224\n"),
            ("ub991122", "ub991122755224\n"),
            ("cccccccc", "cccccccc755224\n"),
            ("", "755224\n"),
        ] {
            configure(token, &typed_hotp(ONE, identifier)).unwrap();
            assert_eq!(specimen.key().press(1).as_deref(), Some(typed));
        }
        let (state, error) = failed(configure(token, &typed_hotp(ONE, "UBHE")));
        assert!(matches!((state, error), (SlotState::Unchanged, Error::Invalid { field: "identifier", .. })));
    });
}

#[test]
fn a_password_is_typed_as_it_is() {
    for specimen in [keyboard(Model::YUBIKEY_2_0), keyboard(Model::YUBIKEY_5_7_1)] {
        with(&specimen, |_, token| {
            configure(token, &password("Correct Horse, 1 {Battery}!")).unwrap();
            assert_eq!(specimen.key().press(2).as_deref(), Some("Correct Horse, 1 {Battery}!"));
            assert_eq!(stored(&specimen, 2).config.function(), Function::ScanCodes);
        });
    }
}

#[test]
fn a_yubico_otp_credential_lies_in_the_slot() {
    let specimen = keyboard(Model::YUBIKEY_1_3);
    with(&specimen, |_, token| {
        let task = Task::YubicoOtp {
            slot: ONE,
            public_id: vec![1, 2, 3],
            private_id: secret(b"uid456"),
            key: secret(b"sixteen bytes ok"),
            typing: Typing::default(),
        };
        configure(token, &task).unwrap();
        let config = stored(&specimen, 1).config;
        assert_eq!(config.function(), Function::YubicoOtp);
        assert_eq!((&config.fixed[..4], config.fixed_length), (&[1, 2, 3, 0][..], 3));
        assert_eq!((&config.uid, &config.key), (b"uid456", b"sixteen bytes ok"));
        assert_eq!((config.ext, config.tkt, config.cfg), (0, 0x20, 0));
    });
}

#[test]
fn a_key_for_challenges_answers_them() {
    for specimen in [keyboard(Model::YUBIKEY_2_2), applet(Model::NEO_3_4_9), applet(Model::YUBIKEY_5_4_3_NFC)]
    {
        with(&specimen, |subject, token| {
            let key: Vec<u8> = (0x30..0x44).collect();
            let method = ChallengeMethod::HmacSha1 { key: secret(&key), variable_length: true };
            let task = Task::ChallengeResponse { slot: TWO, method, touch: false, typing: Typing::default() };
            configure(token, &task).unwrap();
            let response = token.respond(&TWO, b"Sample #2", &Unattended).unwrap();
            let expected = [
                0x09, 0x22, 0xD3, 0x40, 0x5F, 0xAA, 0x3D, 0x19, 0x4F, 0x82, 0xA4, 0x58, 0x30, 0x73, 0x7D,
                0x5C, 0xC6, 0xC7, 0x5D, 0x24,
            ];
            assert_eq!(response.expose(), expected, "{}", specimen.model());
            let (exchanges, long) = subject.exchanges(|| token.respond(&TWO, &[1; 64], &Unattended));
            assert!(matches!((exchanges, long), (0, Err(Error::Invalid { field: "challenge", .. }))));
        });
    }
}

#[test]
fn a_key_for_challenges_of_one_length_gives_no_passcodes() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |_, token| {
        let fixed = ChallengeMethod::HmacSha1 { key: secret(SEED), variable_length: false };
        let yubico = ChallengeMethod::YubicoOtp { private_id: secret(&[1; 6]), key: secret(&[2; 16]) };
        for (method, function) in [(fixed, Function::HmacChallenge), (yubico, Function::YubicoChallenge)] {
            let task = Task::ChallengeResponse { slot: ONE, method, touch: true, typing: Typing::default() };
            configure(token, &task).unwrap();
            assert_eq!(stored(&specimen, 1).config.function(), function);
            let failure = totp_at(token, &ONE, 1).unwrap_err();
            assert!(matches!(failure, Error::Rejected { command: "CHALLENGE HMAC", .. }), "{failure}");
        }
    });
}

#[test]
fn typing_is_changed_and_the_secret_stays() {
    for specimen in [keyboard(Model::YUBIKEY_2_4), keyboard(Model::NEO_3_4_9), applet(Model::YUBIKEY_4_3_5)] {
        with(&specimen, |subject, token| {
            program(token, &ONE, &hotp(0));
            specimen.read_off("1", 0);
            let typing = Typing {
                enter: false,
                tab_first: true,
                pacing: Pacing::Ms30,
                serial: SerialVisibility { programs: true, usb: true, button: false },
                ..Typing::default()
            };
            // Also by somebody who did not write the slot.
            configure(&mut *subject.open(), &Task::UpdateTyping { slot: ONE, typing }).unwrap();
            let slot = stored(&specimen, 1);
            let flags = (slot.config.ext, slot.config.tkt, slot.config.cfg, slot.counter);
            assert_eq!(flags, (0x36, 0x41, 0x0C, 1), "{}", specimen.model());
            assert_eq!(specimen.key().flash().open().press(1).map(|keys| keys.len()), Some(7));
        });
    }
}

#[test]
fn a_slot_that_types_nothing_or_allows_no_updates_is_not_updated() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    let update = |slot| Task::UpdateTyping { slot, typing: Typing::default() };
    let rejected = |result: Result<(), ProgramError>| {
        let (state, error) = failed(result);
        assert!(matches!((state, &error), (SlotState::Unchanged, Error::Rejected { .. })), "{error}");
    };
    with(&specimen, |subject, token| {
        assert!(matches!(failed(configure(token, &update(ONE))).1, Error::SlotEmpty { .. }));
        program(token, &ONE, &totp());
        rejected(configure(token, &update(ONE)));
        rejected(configure(&mut *subject.open(), &update(ONE)));
        let typing = Typing { updatable: false, ..Typing::default() };
        let task = Task::TypedHotp { slot: TWO, config: hotp(0), identifier: String::new(), typing };
        configure(token, &task).unwrap();
        rejected(configure(token, &update(TWO)));
        assert_eq!(stored(&specimen, 2).config.ext, 0x14);
    });
}

#[test]
fn swapped_slots_take_what_is_known_of_them_along() {
    for specimen in [keyboard(Model::YUBIKEY_5_4_3), applet(Model::NEO_3_4_9)] {
        with(&specimen, |_, token| {
            assert!(matches!(failed(configure(token, &Task::Swap)).1, Error::SlotEmpty { .. }));
            program(token, &ONE, &SlotConfig { digits: 8, ..totp() });
            configure(token, &Task::Swap).unwrap();
            assert_eq!(totp_at(token, &TWO, 1).unwrap(), "94287082");
            assert!(matches!(totp_at(token, &ONE, 1), Err(Error::SlotEmpty { .. })));
            token.set_lock_code(Some(&code(CODE))).unwrap();
            let (state, error) = failed(configure(token, &Task::Swap));
            assert!(matches!((state, &error), (SlotState::Unchanged, Error::Rejected { .. })), "{error}");
            program(token, &TWO, &hotp(0));
        });
    }
}

#[test]
fn an_ndef_record_is_written_beside_a_slot_in_use() {
    let record = || NdefRecord::Uri("https://www.example.com/?otp=".to_owned());
    let task = |slot| Task::Ndef { slot, record: record() };
    for (specimen, works) in [
        (keyboard(Model::NEO_3_4_9), true),
        (applet(Model::YUBIKEY_5_4_3_NFC), true),
        (keyboard(Model::YUBIKEY_4_3_5), false),
    ] {
        with(&specimen, |_, token| {
            program(token, &TWO, &hotp(0));
            let result = configure(token, &task(TWO));
            assert_eq!(result.is_ok(), works, "{}", specimen.model());
            let flash = specimen.key().flash().clone();
            let written = flash.open().ndef(2).map(|record| record[..usize::from(record[0]) + 2].to_vec());
            assert_eq!(written.as_deref(), works.then_some(&b"\x12U\x02example.com/?otp="[..]));
            if works {
                assert!(matches!(failed(configure(token, &task(ONE))).1, Error::SlotEmpty { .. }));
                token.set_lock_code(Some(&code(CODE))).unwrap();
                configure(token, &task(TWO)).unwrap();
            }
        });
    }
}

#[test]
fn slot_1_may_keep_others_from_slot_2() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |_, token| {
        let typing = Typing { protect_second: true, ..Typing::default() };
        let task = Task::TypedHotp { slot: ONE, config: hotp(0), identifier: String::new(), typing };
        configure(token, &task).unwrap();
        let (state, error) = failed(token.program(&TWO, &totp(), &Unattended));
        assert_eq!(state, SlotState::Unchanged);
        assert_eq!(
            error.to_string(),
            "CONFIGURE SLOT rejected: slot 1 may protect slot 2, or the key is set up not to be written"
        );
        assert_eq!(specimen.stored().len(), 1);
    });
}

#[test]
fn what_a_firmware_is_too_old_for_costs_no_exchange() {
    let old = Typing { dormant: true, ..Typing::default() };
    let hmac = || ChallengeMethod::HmacSha1 { key: secret(SEED), variable_length: true };
    for (model, task) in [
        (Model::YUBIKEY_1_3, password("c")),
        (Model::YUBIKEY_2_0, typed_hotp(ONE, "")),
        (
            Model::YUBIKEY_2_1,
            Task::ChallengeResponse { slot: ONE, method: hmac(), touch: false, typing: Typing::default() },
        ),
        (Model::YUBIKEY_2_2, Task::Swap),
        (Model::YUBIKEY_2_2, Task::UpdateTyping { slot: ONE, typing: Typing::default() }),
        (
            Model::YUBIKEY_2_2,
            Task::TypedHotp { slot: ONE, config: hotp(0), identifier: String::new(), typing: old },
        ),
        (Model::YUBIKEY_2_4, Task::Ndef { slot: ONE, record: NdefRecord::Uri(String::new()) }),
    ] {
        with(&keyboard(model), |subject, token| {
            let (exchanges, (state, error)) = subject.exchanges(|| failed(configure(token, &task)));
            assert_eq!((exchanges, state), (0, SlotState::Unchanged), "{task:?}");
            assert!(matches!(error, Error::Unsupported { .. }), "{task:?}: {error}");
        });
    }
}

#[test]
fn nothing_secret_is_in_the_debug_output_of_a_task() {
    let shown = format!("{:?} {:?}", password("hush hush"), typed_hotp(ONE, "ubhe"));
    assert!(!shown.contains("hush") && !shown.contains("1234"), "{shown}");
}
