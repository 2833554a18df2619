//! Tokens with an OATH applet that are no `YubiKey`, or a special one: where they differ, and what that costs.
//! What all tokens do alike is in the suite for every driver.

use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{Algorithm, MovingFactor, SecretBytes, SlotConfig, Unattended};

use crate::bench::{Bench, calculate, error, hotp, slot, totp};

fn bench(firmware: Firmware) -> Bench {
    Bench::in_process(firmware).0
}

fn code() -> SecretBytes {
    SecretBytes::new(b"code".to_vec())
}

fn count(bench: &Bench, what: &str, expected: u64, work: impl FnOnce()) {
    assert_eq!(bench.exchanges(work).0, expected, "{what}");
}

#[test]
fn each_says_who_made_it() {
    for (firmware, maker, model, serial, version, opening) in [
        (Firmware::CANOKEY, "CanoKeys", "CanoKey", Some("00001092"), "6.0.0", 4),
        (Firmware::SOLO_2, "SoloKeys", "Solo 2", Some("50102A11CE004F0BB0BD000000001092"), "2.196.0", 5),
        (Firmware::VIVOKEY, "VivoKey", "Apex OTP", None, "0.1.2", 2),
        (Firmware::YUBIKEY_4_4_5_FIPS, "Yubico", "YubiKey 4 FIPS", Some("4242"), "4.4.5", 3),
        (Firmware::YUBIKEY_5_7_4_FIPS, "Yubico", "YubiKey 5 NFC FIPS", Some("4242"), "5.7.4", 3),
    ] {
        let bench = bench(firmware);
        let (exchanges, token) = bench.exchanges(|| bench.open());
        let info = token.info();
        let told = (info.maker.as_str(), info.model.as_str(), info.serial.as_deref(), info.firmware.as_str());
        assert_eq!((told, exchanges), ((maker, model, serial, version), opening), "{}", firmware.model);
    }
}

#[test]
fn a_canokey_is_emptied_before_it_is_written_again() {
    let bench = bench(Firmware::CANOKEY);
    let mut token = bench.open();
    let mut program = |config: &SlotConfig| token.program(&slot("a"), config, &Unattended).unwrap();
    count(&bench, "new: SELECT, LIST, PUT", 3, || program(&totp(30)));
    count(&bench, "again: SELECT, LIST, DELETE, PUT", 4, || program(&totp(30)));
    count(&bench, "another time step: SELECT, LIST, PUT, DELETE", 4, || program(&totp(60)));
    count(&bench, "another kind: SELECT, LIST, PUT, DELETE", 4, || program(&hotp(1)));
    assert_eq!(bench.card.credentials().len(), 1);
}

#[test]
fn a_canokey_left_between_delete_and_put_is_not_said_to_be_unchanged() {
    // SELECT, LIST, DELETE, PUT.
    for (at, kind, state, left) in [
        (2, FaultKind::UnplugBefore, SlotState::Unknown, 1),
        (2, FaultKind::UnplugAfter, SlotState::Unknown, 0),
        (2, FaultKind::Status(0x6985), SlotState::Unchanged, 1),
        (3, FaultKind::UnplugBefore, SlotState::Unknown, 0),
        // The device says no in the clearest words: the old credential is gone all the same.
        (3, FaultKind::Status(0x6A84), SlotState::Unknown, 0),
        (3, FaultKind::Reset, SlotState::Unknown, 0),
    ] {
        let bench = bench(Firmware::CANOKEY);
        let mut token = bench.open();
        token.program(&slot("a"), &totp(30), &Unattended).unwrap();
        bench.card.plan(Fault { at, kind });
        let failure = error(token.program(&slot("a"), &totp(30), &Unattended));
        let found = (failure.slot, bench.card.credentials().len());
        assert_eq!(found, (state, left), "{kind:?} at {at}: {failure}");
    }
}

#[test]
fn the_first_passcode_of_a_canokey_is_the_one_that_was_asked_for() {
    let bench = bench(Firmware::CANOKEY);
    let mut token = bench.open();
    let (exchanges, refused) = bench.exchanges(|| token.program(&slot("a"), &hotp(0), &Unattended));
    assert_eq!(
        (exchanges, error(refused).to_string().as_str()),
        (0, "counter: the first passcode of this token is that of counter 1 or later")
    );
    for (counter, passcode) in [(1, "287082"), (5, "254676")] {
        token.program(&slot("a"), &hotp(counter), &Unattended).unwrap();
        assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), passcode);
    }
    token.program(&slot("a"), &hotp(1 << 32), &Unattended).unwrap();
    assert_eq!(bench.card.credential("a").unwrap().counter, 1 << 32);
    let refused = error(token.program(&slot("a"), &hotp((1 << 32) + 1), &Unattended));
    assert_eq!(refused.to_string(), "counter: the token starts at 4294967296 at most");
}

#[test]
fn a_canokey_takes_four_digits_and_no_key_between_64_and_128_bytes() {
    let bench = bench(Firmware::CANOKEY);
    let mut token = bench.open();
    token.program(&slot("a"), &SlotConfig { digits: 4, ..hotp(1) }, &Unattended).unwrap();
    assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), "7082");
    let long = |length| SlotConfig {
        algorithm: Algorithm::Sha512,
        secret: SecretBytes::new(vec![b'A'; length]),
        ..totp(30)
    };
    let (exchanges, refused) = bench.exchanges(|| token.program(&slot("b"), &long(65), &Unattended));
    assert_eq!((exchanges, error(refused).slot), (0, SlotState::Unchanged));
    token.program(&slot("b"), &long(64), &Unattended).unwrap();
    token.program(&slot("b"), &long(129), &Unattended).unwrap();
}

#[test]
fn a_canokey_is_emptied_credential_by_credential_by_who_has_its_code() {
    let bench = bench(Firmware::CANOKEY);
    for name in ["a", "b", "60/c"] {
        bench.card.install(Credential::totp(name, b"12345678901234567890"));
    }
    let mut token = bench.open();
    token.set_lock_code(Some(&code())).unwrap();
    let mut stranger = bench.open();
    assert!(matches!(stranger.reset(&Unattended), Err(Error::Locked)));
    assert_eq!(bench.card.credentials().len(), 3);
    count(&bench, "SELECT, VALIDATE, LIST, 3 DELETE, SET CODE", 7, || token.reset(&Unattended).unwrap());
    assert_eq!((bench.card.credentials(), bench.card.access_key()), (Vec::new(), None));
    assert_eq!(stranger.slots().unwrap(), []);
}

#[test]
fn a_solo_2_is_unlocked_before_every_command() {
    let bench = bench(Firmware::SOLO_2);
    let mut token = bench.open();
    count(&bench, "SELECT, LIST, PUT", 3, || token.program(&slot("a"), &totp(60), &Unattended).unwrap());
    token.set_lock_code(Some(&code())).unwrap();
    count(&bench, "three times SELECT and VALIDATE, with LIST, PUT, DELETE", 9, || {
        token.program(&slot("a"), &totp(30), &Unattended).unwrap();
    });
    count(&bench, "SELECT, VALIDATE, CALCULATE", 3, || {
        assert_eq!(calculate(&mut *token, "a", MovingFactor::TimeStep(1)).unwrap(), "287082");
    });
    for name in 0..30 {
        bench.card.install(Credential::totp(&format!("{name:030}"), b"12345678901234567890"));
    }
    assert_eq!(token.slots().unwrap().len(), 31, "long answers are fetched with GET RESPONSE");
    let mut stranger = bench.open();
    assert!(matches!(stranger.slots(), Err(Error::Locked)));
    stranger.reset(&Unattended).unwrap();
    assert_eq!(bench.card.credentials(), []);
}

#[test]
fn a_solo_2_is_not_asked_for_what_it_computes_wrongly() {
    let bench = bench(Firmware::SOLO_2);
    let mut token = bench.open();
    for config in [
        hotp(0),
        SlotConfig { touch: true, ..totp(30) },
        SlotConfig { algorithm: Algorithm::Sha512, ..totp(30) },
    ] {
        let (exchanges, refused) = bench.exchanges(|| token.program(&slot("a"), &config, &Unattended));
        assert_eq!(exchanges, 0);
        let refused = error(refused);
        assert!(matches!(refused.source, Error::Unsupported { .. }), "{refused}");
    }
}

#[test]
fn the_applet_of_vivokey_is_reset_by_who_has_its_code() {
    let bench = bench(Firmware::VIVOKEY);
    let mut token = bench.open();
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
    token.set_lock_code(Some(&code())).unwrap();
    assert!(matches!(bench.open().reset(&Unattended), Err(Error::Locked)));
    count(&bench, "SELECT, VALIDATE, RESET", 3, || token.reset(&Unattended).unwrap());
    assert_eq!(bench.card.credentials(), []);
}

#[test]
fn a_javacard_finds_nothing_behind_a_put() {
    for firmware in [Firmware::YUBIKEY_NEO_3_4_9, Firmware::VIVOKEY] {
        let bench = bench(firmware);
        let mut token = bench.open();
        // What LIST tells of such names would be taken for a property or a counter.
        for name in ["x".repeat(60), "z".repeat(60), "zx\u{4}".repeat(20)] {
            bench.card.install(Credential::totp(&name, b"12345678901234567890"));
        }
        for length in 1..60 {
            let name = "a".repeat(length);
            for config in [hotp(7), hotp(0), totp(30)] {
                token.program(&slot(&name), &config, &Unattended).unwrap();
                let stored = bench.card.credential(&name).unwrap();
                let counter = if config.factor == hotp(7).factor { 7 } else { 0 };
                assert_eq!((stored.counter, stored.only_increasing), (counter, false), "{length}");
            }
            token.erase(&slot(&name), &Unattended).unwrap();
        }
    }
}

#[test]
fn a_javacard_that_finds_fault_with_a_put_may_have_lost_the_old_credential() {
    for (firmware, status, state) in [
        (Firmware::VIVOKEY, 0x6A80, SlotState::Unknown),
        (Firmware::VIVOKEY, 0x6A84, SlotState::Unchanged),
        (Firmware::YUBIKEY_5_4_3, 0x6A80, SlotState::Unchanged),
    ] {
        let bench = bench(firmware);
        let mut token = bench.open();
        bench.card.plan(Fault { at: 2, kind: FaultKind::Status(status) });
        assert_eq!(error(token.program(&slot("a"), &hotp(0), &Unattended)).slot, state);
    }
}

#[test]
fn an_old_neo_starts_at_counter_0_only() {
    let bench = bench(Firmware { oath_version: [0, 2, 0], ..Firmware::YUBIKEY_NEO_3_4_9 });
    let mut token = bench.open();
    let refused = error(token.program(&slot("a"), &hotp(1), &Unattended));
    assert_eq!(refused.to_string(), "counter: the token starts at 0 at most");
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
}

#[test]
fn a_fips_key_wants_an_access_code_first_and_for_good() {
    let bench = bench(Firmware::YUBIKEY_5_7_4_FIPS);
    let mut token = bench.open();
    let (exchanges, refused) = bench.exchanges(|| token.program(&slot("a"), &hotp(0), &Unattended));
    let refused = error(refused);
    assert_eq!((exchanges, refused.slot), (1, SlotState::Unchanged));
    assert!(matches!(refused.source, Error::Unsupported { .. }), "{refused}");
    token.set_lock_code(Some(&code())).unwrap();
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
    let (exchanges, kept) = bench.exchanges(|| token.set_lock_code(None));
    assert_eq!(exchanges, 0);
    assert!(matches!(kept, Err(Error::Unsupported { .. })));
    token.set_lock_code(Some(&SecretBytes::new(b"next".to_vec()))).unwrap();
    token.reset(&Unattended).unwrap();
    assert_eq!((bench.card.credentials(), bench.card.access_key()), (Vec::new(), None));
}

#[test]
fn a_fips_key_over_nfc_says_what_it_wants() {
    let nfc = Firmware::YUBIKEY_5_4_3_NFC;
    let firmware =
        Firmware { contactless: true, atr: nfc.atr, reader: nfc.reader, ..Firmware::YUBIKEY_5_7_4_FIPS };
    let bench = bench(firmware);
    let mut token = bench.open();
    bench.card.plan(Fault { at: 1, kind: FaultKind::Status(0x6985) });
    let refused = error(token.slots());
    assert!(refused.to_string().contains("a secure channel (SCP)"), "{refused}");
}
