//! How many exchanges each call takes, and when a call may be cancelled. Exchanges are what provisioning a
//! thousand tokens costs, so the numbers are exact.

use firmware_fixtures::credential::Credential;
use firmware_fixtures::firmware::Firmware;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{MovingFactor, SecretBytes, SlotConfig, Unattended};

use crate::bench::{Bench, Watcher, calculate, error, hotp, slot, totp};

#[test]
fn no_call_takes_more_exchanges_than_it_needs() {
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    let (exchanges, mut token) = bench.exchanges(|| bench.open());
    assert_eq!(exchanges, 3, "open: SELECT, SELECT management, READ CONFIG");
    let mut count = |what: &str, expected: u64, work: &mut dyn FnMut(&mut dyn fobd_drivers::token::Token)| {
        let (exchanges, ()) = bench.exchanges(|| work(&mut *token));
        assert_eq!(exchanges, expected, "{what}");
    };
    count("slots: SELECT, LIST", 2, &mut |token| drop(token.slots().unwrap()));
    count("program: SELECT, LIST, PUT", 3, &mut |token| {
        token.program(&slot("a"), &totp(30), &Unattended).unwrap();
    });
    count("calculate: SELECT, CALCULATE", 2, &mut |token| {
        calculate(token, "a", MovingFactor::TimeStep(1)).unwrap();
    });
    count("another time step: SELECT, LIST, PUT, DELETE", 4, &mut |token| {
        token.program(&slot("a"), &totp(60), &Unattended).unwrap();
    });
    count("slots: SELECT, LIST, CALCULATE ALL", 3, &mut |token| drop(token.slots().unwrap()));
    count("erase: SELECT, LIST, DELETE", 3, &mut |token| token.erase(&slot("a"), &Unattended).unwrap());
    count("code: SELECT, SET CODE", 2, &mut |token| {
        token.set_lock_code(Some(&SecretBytes::new(b"code".to_vec()))).unwrap();
    });
    count("program: SELECT, VALIDATE, LIST, PUT", 4, &mut |token| {
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
    });
    count("reset: SELECT, RESET", 2, &mut |token| token.reset(&Unattended).unwrap());
}

#[test]
fn a_token_opened_afresh_looks_once_and_remembers() {
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    bench.open().program(&slot("a"), &totp(60), &Unattended).unwrap();
    let mut token = bench.open();
    let counts = [(); 3]
        .map(|()| bench.exchanges(|| calculate(&mut *token, "a", MovingFactor::TimeStep(1)).unwrap()).0);
    assert_eq!(counts, [3, 2, 2]);
}

#[test]
fn a_token_changed_by_another_program_is_looked_at_again() {
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    let mut token = bench.open();
    token.program(&slot("a"), &totp(60), &Unattended).unwrap();
    bench.open().program(&slot("a"), &totp(90), &Unattended).unwrap();
    assert_eq!(calculate(&mut *token, "a", MovingFactor::TimeStep(1)).unwrap(), "287082");
    bench.open().erase(&slot("a"), &Unattended).unwrap();
    assert!(matches!(calculate(&mut *token, "a", MovingFactor::TimeStep(1)), Err(Error::SlotEmpty { .. })));
}

#[test]
fn a_call_is_cancelled_between_exchanges_until_it_has_written() {
    for (question, expected) in [(0, 0), (1, 1), (2, 2)] {
        let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
        let mut token = bench.open();
        let watcher = Watcher::cancelling_at(question);
        let (exchanges, result) = bench.exchanges(|| token.program(&slot("a"), &totp(30), &watcher));
        let failure = error(result);
        assert!(matches!(failure.source, Error::Cancelled), "{failure}");
        assert_eq!((exchanges, failure.slot), (expected, SlotState::Unchanged));
        assert_eq!(bench.card.credentials(), []);
    }
    // PUT and the DELETE that belongs to it are not torn apart.
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    let mut token = bench.open();
    token.program(&slot("a"), &totp(60), &Unattended).unwrap();
    token.program(&slot("a"), &totp(30), &Watcher::cancelling_at(3)).unwrap();
    assert_eq!(bench.card.credentials().len(), 1);
}

#[test]
fn a_reset_by_another_program_is_survived() {
    let (bench, bus) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    let mut token = bench.open();
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
    token.set_lock_code(Some(&SecretBytes::new(b"code".to_vec()))).unwrap();
    for passcode in ["755224", "287082", "359152"] {
        bus.reset(&bench.card);
        assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), passcode);
    }
}

#[test]
fn old_firmware_never_overwrites_a_name_that_begins_another() {
    let firmware = Firmware { oath_version: [4, 3, 4], version: [4, 3, 4], ..Firmware::YUBIKEY_4_3_5 };
    let (bench, _) = Bench::in_process(firmware);
    let mut token = bench.open();
    token.program(&slot("bob2"), &hotp(0), &Unattended).unwrap();
    token.program(&slot("bob"), &hotp(0), &Unattended).unwrap();
    let failure = error(token.program(&slot("bob"), &hotp(1), &Unattended));
    assert_eq!(failure.slot, SlotState::Unchanged);
    assert!(matches!(failure.source, Error::Unsupported { .. }), "{failure}");
    assert_eq!(bench.card.credential("bob").unwrap().counter, 0);
    token.program(&slot("bob2"), &hotp(1), &Unattended).unwrap();
}

#[test]
fn firmware_4_2_gets_an_empty_command_after_long_replies() {
    let firmware = Firmware { oath_version: [4, 2, 6], version: [4, 2, 6], ..Firmware::YUBIKEY_4_3_5 };
    let (bench, _) = Bench::in_process(firmware);
    let mut token = bench.open();
    let (exchanges, slots) = bench.exchanges(|| token.slots().unwrap().len());
    assert_eq!((exchanges, slots), (3, 0), "empty command, SELECT, LIST");
    bench.card.install(Credential::totp(&"x".repeat(60), b"12345678901234567890"));
    let (exchanges, slots) = bench.exchanges(|| token.slots().unwrap().len());
    assert_eq!((exchanges, slots), (5, 1), "and one between LIST and CALCULATE ALL");
}

#[test]
fn an_increasing_only_credential_of_another_program_hides_digits_and_touch_only() {
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    let increasing =
        Credential { only_increasing: true, ..Credential::totp("strict", b"12345678901234567890") };
    bench.card.install(Credential { last_challenge: vec![5], ..increasing });
    bench.card.install(Credential::totp("a", b"12345678901234567890"));
    let before = bench.card.credentials();
    let mut token = bench.open();
    let told: Vec<_> = token.slots().unwrap().iter().map(|slot| (slot.digits, slot.touch)).collect();
    assert_eq!(told, [(None, None), (None, None)]);
    assert_eq!(bench.card.credentials(), before);
    // Whether it wants a touch is not known, so somebody is told that it may.
    let watcher = Watcher::default();
    let passcode = bench.open().calculate(&slot("a"), MovingFactor::TimeStep(1), &watcher).unwrap();
    assert_eq!((passcode.expose(), watcher.prompts.get()), ("287082", 1));
}

#[test]
fn a_foreign_card_is_left_alone_after_one_exchange() {
    use firmware_fixtures::{attach::VirtualBus, card::VirtualCard, chip::Chip};
    let card = VirtualCard::with_chip(Chip::with_applets(Firmware::YUBIKEY_5_4_3.face(), Vec::new()), "1");
    let bus = VirtualBus::new();
    bus.attach(&card);
    let firmware = Firmware::YUBIKEY_5_4_3;
    let bench = Bench { candidate: bus.candidates().remove(0), bus: Box::new(bus), card, firmware };
    assert!(bench.try_open().unwrap().is_none());
    assert_eq!(bench.card.exchanges(), 1);
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let config = SlotConfig { secret: SecretBytes::new(b"12345678901234567890".to_vec()), ..hotp(0) };
    let shown = format!("{config:?}");
    assert!(
        shown.contains("[redacted, 20 bytes]") && !shown.contains("1234") && !shown.contains("49"),
        "{shown}"
    );
}
