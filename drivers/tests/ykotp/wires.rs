//! What goes on on the wires: touch, other programs, firmware that tells its status late or wrong.

use std::cell::Cell;
use std::time::Duration;

use firmware_fixtures::card::{Human, Waits};
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::hid::Transfer;
use firmware_fixtures::specimen::Stored;
use firmware_fixtures::yubikey::configuration;
use fobd_drivers::token::Attendant;

use super::*;
use crate::suite::Prompts;

fn touchy() -> SlotConfig {
    SlotConfig { touch: true, ..totp() }
}

#[test]
fn a_touch_is_asked_for_once_and_waited_for() {
    for specimen in [keyboard(Model::YUBIKEY_5_4_3), applet(Model::YUBIKEY_4_3_5)] {
        with(&specimen, |subject, token| {
            program(token, &ONE, &touchy());
            subject.door.set_human(Human::TouchesAfter(Duration::from_secs(5)));
            let prompts = Prompts::default();
            let before = subject.door.waited();
            let passcode = token.calculate(&ONE, MovingFactor::TimeStep(1), &prompts).unwrap();
            assert_eq!((passcode.expose(), prompts.count()), ("287082", 1), "{}", specimen.model());
            let waited = subject.door.waited() - before;
            assert!((5..6).contains(&waited.as_secs()), "{waited:?}");
        });
    }
}

#[test]
fn no_finger_is_needed_in_the_field_of_a_reader_and_none_can_be_demanded() {
    let specimen = applet(Model::YUBIKEY_5_4_3_NFC);
    specimen.install("1", &Stored { touch: true, ..Stored::totp(SEED) });
    with(&specimen, |subject, token| {
        assert!(!token.info().capabilities.touch);
        let (exchanges, (_, error)) =
            subject.exchanges(|| failed(token.program(&TWO, &touchy(), &Unattended)));
        assert!(matches!((exchanges, &error), (0, Error::Unsupported { .. })), "{error}");
        let prompts = Prompts::default();
        token.calculate(&ONE, MovingFactor::TimeStep(1), &prompts).unwrap();
        assert_eq!(prompts.count(), 0);
    });
}

/// Somebody who gives up when asked to touch.
#[derive(Default)]
struct Reluctant(Cell<bool>);

impl Attendant for Reluctant {
    fn touch_needed(&self) {
        self.0.set(true);
    }

    fn cancelled(&self) -> bool {
        self.0.get()
    }
}

#[test]
fn a_wait_for_a_touch_is_cancelled_and_the_light_goes_out() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |subject, token| {
        program(token, &ONE, &touchy());
        subject.door.set_human(Human::NeverTouches);
        let failure = token.calculate(&ONE, MovingFactor::TimeStep(1), &Reluctant::default()).unwrap_err();
        assert!(matches!(failure, Error::Cancelled), "{failure}");
        let (exchanges, _) = subject.exchanges(|| token.slots().unwrap());
        assert_eq!(exchanges, 2, "the key waits for nothing any more");
    });
}

/// Somebody who cancels at the n-th question.
struct CancelsAt(Cell<u32>);

impl Attendant for CancelsAt {
    fn touch_needed(&self) {}

    fn cancelled(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left == 0
    }
}

#[test]
fn a_write_is_cancelled_until_its_last_report_and_not_after() {
    let mut finished = 0;
    for question in 0..40 {
        let specimen = keyboard(Model::YUBIKEY_5_4_3);
        with(&specimen, |_, token| {
            match token.program(&ONE, &hotp(0), &CancelsAt(Cell::new(question))) {
                Ok(()) => finished += 1,
                Err(error) => {
                    assert_eq!(error.slot, SlotState::Unchanged, "{question}");
                    assert!(matches!(error.source, Error::Cancelled), "{error}");
                    assert_eq!(specimen.stored(), []);
                }
            }
            program(token, &ONE, &hotp(0));
        });
    }
    assert!((1..39).contains(&finished), "{finished}");
}

#[test]
fn what_another_program_left_behind_is_thrown_away() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |_, token| {
        program(token, &ONE, &touchy());
        let hid = specimen.key().hid().unwrap();
        let send = |report: [u8; 8]| assert_eq!(hid.set_feature(&report, Waits::Virtual), Transfer::Done(()));
        // Half a frame; then a whole one whose answer nobody fetches; then one that waits for a touch.
        send([1, 2, 3, 4, 5, 6, 7, 0x80]);
        assert_eq!(token.slots().unwrap().len(), 2);
        send([0, 0, 0, 0, 0, 0, 0, 0x80]);
        send([0, 0x10, 0x6B, 0x5B, 0, 0, 0, 0x89]);
        assert_eq!(token.slots().unwrap().len(), 2);
        hid.set_human(Human::NeverTouches);
        send([0, 0, 0, 0, 0, 0, 0, 0x80]);
        send([0, 0x30, 0x6B, 0x5B, 0, 0, 0, 0x89]);
        program(token, &ONE, &hotp(0));
        assert_eq!(specimen.read_off("1", 0).as_deref(), Some("755224"));
    });
}

#[test]
fn the_sequence_may_go_round() {
    for specimen in [keyboard(Model::YUBIKEY_5_4_3), applet(Model::YUBIKEY_5_4_3_NFC)] {
        with(&specimen, |_, token| {
            program(token, &ONE, &hotp(0));
            specimen.key().flash().open().set_sequence(255);
            program(token, &ONE, &hotp(16));
            assert_eq!(specimen.key().flash().open().status()[3], 1);
        });
    }
}

#[test]
fn a_neo_that_was_written_over_its_card_interface_is_read_anew() {
    let specimen = keyboard(Model::NEO_3_4_9);
    with(&specimen, |_, token| {
        let write = |slot: u8| {
            specimen.key().flash().open().install(slot, configuration(&Stored::totp(SEED)));
        };
        write(1);
        let in_use: Vec<_> = token.slots().unwrap().iter().map(|slot| slot.in_use).collect();
        assert_eq!(in_use, [true, false]);
        write(1);
        program(token, &TWO, &hotp(0));
        write(1);
        token.erase(&ONE, &Unattended).unwrap();
        assert_eq!(specimen.stored().len(), 1);
        // That needs a scan map which no key takes.
        assert_eq!(specimen.key().flash().open().scan_map(), None);
    });
}

#[test]
fn firmware_that_tells_an_old_touch_level_is_understood() {
    let specimen = applet(Model::YUBIKEY_5_2_7_NFC);
    with(&specimen, |subject, token| {
        for counter in [0, 16, 32] {
            program(token, &ONE, &hotp(counter));
            assert_eq!(specimen.stored()[0].1.counter, counter);
        }
        program(token, &TWO, &totp());
        token.erase(&ONE, &Unattended).unwrap();
        token.erase(&TWO, &Unattended).unwrap();
        assert_eq!(specimen.stored(), []);
        program(token, &ONE, &hotp(0));
        specimen.set_lock_code(Some(CODE));
        let (state, error) = failed(subject.open().program(&ONE, &hotp(16), &Unattended));
        assert!(matches!((state, &error), (SlotState::Unchanged, Error::Locked)), "{error}");
    });
}

#[test]
fn a_yubikey_5_on_usb_is_left_to_its_keyboard_interface() {
    let on_usb = Firmware { otp_applet: true, ..Firmware::YUBIKEY_5_4_3 };
    for firmware in [Firmware::YUBIKEY_5_4_3, on_usb] {
        let model = Model { firmware: Firmware { otp_applet: true, ..firmware }, ..Model::YUBIKEY_5_4_3 };
        let specimen = applet(model);
        let mut socket = InProcess;
        let subject = Subject::new("ykotp", &specimen, &mut socket);
        assert!(subject.try_open().unwrap().is_none());
    }
}

#[test]
fn a_key_that_swallows_commands_after_a_use_of_its_card_is_waited_for() {
    for model in [Model::NEO_3_4_9, Model::YUBIKEY_4_3_5, Model::YUBIKEY_5_4_3] {
        let specimen = keyboard(model);
        let key = specimen.key().clone();
        key.set_reclaim_time(Duration::from_secs(3));
        let use_card = || {
            let card = key.card().unwrap();
            card.power_on();
            card.exchange(&[0, 0xA4, 4, 0], Waits::Virtual);
        };
        use_card();
        with(&specimen, |subject, token| {
            assert_eq!(token.info().serial.as_deref(), Some("4242"), "{model:?}");
            program(token, &ONE, &totp());
            use_card();
            program(token, &ONE, &hotp(0));
            use_card();
            program(token, &TWO, &totp());
            use_card();
            assert_eq!(totp_at(token, &TWO, 1).unwrap(), "287082", "{model:?}");
            use_card();
            specimen.set_lock_code(Some(CODE));
            let (_, error) = failed(token.program(&TWO, &hotp(0), &Unattended));
            assert!(matches!(error, Error::Locked), "a refusal is one also then: {error}");
            assert!(subject.door.waited() < Duration::from_secs(30), "{:?}", subject.door.waited());
        });
    }
}

#[test]
fn a_key_that_hides_its_serial_has_none() {
    for specimen in [keyboard(Model::YUBIKEY_2_4), keyboard(Model::NEO_3_4_9), applet(Model::NEO_3_4_9)] {
        specimen.install("1", &Stored::hotp(SEED, 0));
        if let Some(slot) = specimen.key().flash().open().slot_mut(1) {
            slot.config.ext = 0;
        }
        with(&specimen, |_, token| {
            assert_eq!(token.info().serial, None, "{}", specimen.model());
            program(token, &ONE, &hotp(16));
        });
    }
}

#[test]
fn two_interfaces_of_one_key_tell_the_same_serial_and_the_same_slots() {
    let key = YubiKey::new(Model::NEO_3_4_9, 7_050_602);
    let (hid, card) = (key.over_hid().unwrap(), key.over_card().unwrap());
    with(&hid, |_, keyboard| {
        with(&card, |_, applet| {
            assert_eq!(keyboard.info().serial, applet.info().serial);
            assert_eq!(
                (keyboard.info().model.as_str(), applet.info().model.as_str()),
                ("YubiKey NEO", "YubiKey NEO")
            );
            program(keyboard, &ONE, &totp());
            assert_eq!(totp_at(applet, &ONE, 1).unwrap(), "287082");
            program(applet, &TWO, &totp());
            assert_eq!(totp_at(keyboard, &TWO, 1).unwrap(), "287082");
        });
    });
}
