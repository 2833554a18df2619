//! What is peculiar to Token2's FIDO keys: exchanges, the life of the OTP PIN, the button's slot, the HID tunnel.

use std::collections::VecDeque;
use std::time::Duration;

use firmware_fixtures::applets::pinplus::{Model, PinPlusSpecimen, Record};
use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::card::Human;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::hid::{HidChip, HidFace, Moment, Stall, VirtualHid};
use firmware_fixtures::specimen::Specimen;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::pinplus::PinPlusDriver;
use fobd_drivers::token::{
    Algorithm, Attendant, Driver, FactorConfig, Kind, LockCode, MovingFactor, SlotConfig, SlotId, Token,
    Unattended,
};
use fobd_drivers::transport::{Bus, Candidate, Connection, HidConnection, TransportError};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::babble::Babble;
use crate::bench::{Watcher, error};
use crate::suite::cases::conformance;
use crate::suite::{InProcess, Subject, config};

const SEED: &[u8] = b"12345678901234567890";

/// A key whose tunnel knows the commands of the PIN, which none may.
const PIN_OVER_HID: Model = Model { pin_over_hid: true, ..Model::R3_4 };

fn slot(name: &str) -> SlotId {
    SlotId::Name(name.to_owned())
}

fn code(text: &str) -> LockCode {
    LockCode::new(text.as_bytes().to_vec())
}

fn hotp(token: &dyn Token) -> SlotConfig {
    SlotConfig { digits: 6, ..config(&token.info().capabilities, Kind::Hotp) }
}

fn totp(token: &dyn Token) -> SlotConfig {
    SlotConfig { digits: 6, ..config(&token.info().capabilities, Kind::Totp) }
}

fn calculate(token: &mut dyn Token, name: &str, factor: MovingFactor) -> Result<String, Error> {
    token.calculate(&slot(name), factor, &Unattended).map(|passcode| passcode.expose().to_owned())
}

fn on<T>(specimen: &PinPlusSpecimen, work: impl FnOnce(&Subject<'_>) -> T) -> T {
    let mut socket = InProcess;
    work(&Subject::new("pinplus", specimen, &mut socket))
}

#[test]
fn every_generation_conforms_on_both_wires() {
    for model in Model::ALL {
        conformance("pinplus", &|| Box::new(PinPlusSpecimen::card(model)), &mut InProcess);
        conformance("pinplus", &|| Box::new(PinPlusSpecimen::hid(model)), &mut InProcess);
    }
}

#[test]
fn no_call_takes_more_exchanges_than_it_needs() {
    let specimen = PinPlusSpecimen::card(Model::R3_4);
    on(&specimen, |subject| {
        let (exchanges, mut token) = subject.exchanges(|| subject.open());
        assert_eq!(exchanges, 4, "open: SELECT, READ CONFIG, READ SERIAL, READ OTP PIN FLAG");
        let mut count = |what: &str, expected: u64, work: &mut dyn FnMut(&mut dyn Token)| {
            let (exchanges, ()) = subject.exchanges(|| work(&mut *token));
            assert_eq!(exchanges, expected, "{what}");
        };
        count("slots: SELECT, ENUM CODES, READ CONFIG", 3, &mut |token| drop(token.slots().unwrap()));
        count("program: SELECT, GET ECDH PUBKEY, WRITE SEED", 3, &mut |token| {
            token.program(&slot("a"), &totp(token), &Unattended).unwrap();
        });
        count("calculate: SELECT, ENUM CODES", 2, &mut |token| {
            assert_eq!(calculate(token, "a", MovingFactor::TimeStep(1)).unwrap(), "287082");
        });
        count("erase: SELECT, ENUM CODES, GET ECDH PUBKEY, WRITE SEED", 4, &mut |token| {
            token.erase(&slot("a"), &Unattended).unwrap();
        });
        count("code: SELECT, flag, agreement, SET OTP PIN", 4, &mut |token| {
            token.set_lock_code(Some(&code("1357924"))).unwrap();
        });
        count("program: SELECT, flag, agreement, flag, VERIFY, WRITE SEED, lock", 7, &mut |token| {
            token.program(&slot("a"), &hotp(token), &Unattended).unwrap();
        });
        count("calculate: SELECT, flag, agreement, flag, VERIFY, ENUM CODES, lock", 7, &mut |token| {
            assert_eq!(calculate(token, "a", MovingFactor::OnToken).unwrap(), "755224");
        });
        count("another code: SELECT, flag, agreement, flag, CHANGE OTP PIN", 5, &mut |token| {
            token.set_lock_code(Some(&code("Correct horse"))).unwrap();
        });
        count("reset: SELECT, WRITE SEED, READ CONFIG", 3, &mut |token| token.reset(&Unattended).unwrap());
    });
}

#[test]
fn every_generation_tells_its_serial_its_own_way() {
    for (model, exchanges, name, firmware) in [
        (Model::R2_NFC, 8, "PIN+ USB-A NFC", "R2"),
        (Model::R3_1, 5, "PIN+ Mini USB-C", "R3.1"),
        (Model::R3_2_BIO, 3, "Bio3 Dual PIN+", "R3.2"),
        (Model::R3_3, 3, "PIN+ Dual NFC PIV", "R3.3"),
        (Model::R3_4, 4, "PIN+ Dual Ace PIV", "R3.4"),
    ] {
        on(&PinPlusSpecimen::card(model), |subject| {
            let (taken, token) = subject.exchanges(|| subject.open());
            let info = token.info();
            assert_eq!(info.serial.as_deref(), Some(model.serial));
            assert_eq!((taken, info.model.as_str(), info.firmware.as_str()), (exchanges, name, firmware));
            assert_eq!((info.maker.as_str(), info.capabilities.max_slots), ("Token2", Some(50)));
        });
    }
    // A serial that no list has leaves the model open, and the PIN is asked for.
    let unknown = Model { serial: "00000012345678", ..Model::R3_4 };
    on(&PinPlusSpecimen::card(unknown), |subject| {
        let token = subject.open();
        let info = token.info();
        assert_eq!((info.model.as_str(), info.firmware.as_str()), ("FIDO key with OTP", "FIDO 1.0.0"));
    });
}

#[test]
fn a_wrong_code_costs_an_attempt_and_says_how_many_are_left() {
    for specimen in [PinPlusSpecimen::card(Model::R3_4), PinPlusSpecimen::hid(PIN_OVER_HID)] {
        specimen.with(|key| key.set_pin(Some((b"1357924", 3))));
        on(&specimen, |subject| {
            let left = || specimen.with(|key| key.pin().unwrap().1);
            let mut token = subject.open();
            assert!(token.info().locked);
            let failure = error(token.unlock(&code("1357921")));
            assert_eq!(failure.to_string(), "the token refused the access code: 2 attempts are left");
            assert_eq!(left(), 2);
            assert!(matches!(token.slots(), Err(Error::Locked)));
            assert_eq!(left(), 2, "nothing is tried unasked");
            token.unlock(&code("1357924")).unwrap();
            assert_eq!(left(), 3);
            assert_eq!(token.slots().unwrap(), []);

            for expected in ["the token refused the access code: 2 attempts are left", "1 attempt is left"] {
                let failure = error(token.unlock(&code("1357921"))).to_string();
                assert!(failure.ends_with(expected), "{failure}");
            }
            // Somebody may still spend the last one.
            let failure = error(token.unlock(&code("1357921")));
            let blocked = "the token has blocked itself after too many wrong access codes: \
                           a reset erases every credential and the PIN";
            assert_eq!(failure.to_string(), blocked);
            let (_, failure) = subject.exchanges(|| error(token.unlock(&code("1357924"))));
            assert_eq!(failure.to_string(), blocked, "the right one comes too late");
            token.reset(&Unattended).unwrap();
            assert!(!token.info().locked);
            token.program(&slot("a"), &hotp(&*token), &Unattended).unwrap();
        });
    }
}

#[test]
fn the_last_attempt_is_never_spent_unasked() {
    let specimen = PinPlusSpecimen::card(Model::R3_4);
    specimen.with(|key| key.set_pin(Some((b"1357924", 3))));
    on(&specimen, |subject| {
        let mut token = subject.open_unlocked();
        // Another program changed the code, and somebody left one attempt.
        specimen.with(|key| key.set_pin(Some((b"Correct horse", 2))));
        error(subject.open().unlock(&code("Wrong horse")));
        let failure = error(token.program(&slot("a"), &hotp(&*token), &Unattended));
        assert_eq!(failure.slot, SlotState::Unchanged);
        assert!(matches!(failure.source, Error::WrongLockCode { attempts_left: Some(1) }), "{failure}");
        assert_eq!(specimen.with(|key| key.pin().unwrap().1), 1);
        // The old code is forgotten, so nothing more is tried with it.
        assert!(matches!(token.slots(), Err(Error::Locked)));
        token.unlock(&code("Correct horse")).unwrap();
        token.program(&slot("a"), &hotp(&*token), &Unattended).unwrap();
    });
}

#[test]
fn a_code_changed_by_another_program_is_presented_once_only() {
    let specimen = PinPlusSpecimen::card(Model::R3_4);
    specimen.with(|key| key.set_pin(Some((b"1357924", 9))));
    on(&specimen, |subject| {
        let mut token = subject.open_unlocked();
        specimen.with(|key| key.set_pin(Some((b"Correct horse", 9))));
        assert!(matches!(token.slots(), Err(Error::WrongLockCode { attempts_left: Some(8) })));
        assert!(matches!(token.slots(), Err(Error::Locked)));
        assert_eq!(specimen.with(|key| key.pin().unwrap().1), 8);
        // And one that is gone is not asked for.
        token.unlock(&code("Correct horse")).unwrap();
        specimen.with(|key| key.set_pin(None));
        assert_eq!(token.slots().unwrap(), []);
        token.program(&slot("a"), &hotp(&*token), &Unattended).unwrap();
    });
}

#[test]
fn a_code_is_set_changed_and_removed() {
    for specimen in [PinPlusSpecimen::card(Model::R3_4), PinPlusSpecimen::hid(PIN_OVER_HID)] {
        on(&specimen, |subject| {
            let mut token = subject.open();
            let (exchanges, refused) = subject.exchanges(|| token.set_lock_code(Some(&code("123456"))));
            assert_eq!((exchanges, error(refused).to_string().as_str()), (0, "code: its digits count up"));
            token.set_lock_code(Some(&code("1357924"))).unwrap();
            assert_eq!(specimen.lock_code().as_deref(), Some(&b"1357924"[..]));
            // Who does not know it cannot change it.
            let mut stranger = subject.open();
            assert!(matches!(stranger.set_lock_code(Some(&code("2468013"))), Err(Error::Locked)));
            assert!(matches!(stranger.set_lock_code(None), Err(Error::Locked)));
            token.set_lock_code(Some(&code("pässwörd-1"))).unwrap();
            assert_eq!(specimen.lock_code().as_deref(), Some("pässwörd-1".as_bytes()));
            stranger.unlock(&code("pässwörd-1")).unwrap();
            stranger.set_lock_code(None).unwrap();
            assert_eq!((specimen.lock_code(), stranger.info().locked), (None, false));
            assert_eq!(subject.open().slots().unwrap(), []);
        });
    }
}

#[test]
fn older_firmware_has_no_code_to_set() {
    on(&PinPlusSpecimen::card(Model::R3_3), |subject| {
        let mut token = subject.open();
        let (exchanges, result) = subject.exchanges(|| token.set_lock_code(Some(&code("1357924"))));
        assert_eq!(exchanges, 0);
        assert_eq!(
            error(result).to_string(),
            "this token cannot do an OTP PIN: firmware R3.4, and perhaps its card interface instead of the HID tunnel"
        );
        assert_eq!(subject.exchanges(|| token.unlock(&code("whatever")).unwrap()).0, 0);
    });
}

#[test]
fn a_tunnel_that_knows_no_pin_says_where_to_go() {
    let specimen = PinPlusSpecimen::hid(Model::R3_4);
    specimen.with(|key| key.set_pin(Some((b"1357924", 3))));
    on(&specimen, |subject| {
        let mut token = subject.open();
        assert!(matches!(token.slots(), Err(Error::Locked)));
        let failure = error(token.program(&slot("a"), &hotp(&*token), &Unattended));
        assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Locked)));
        let failure = error(token.unlock(&code("1357924"))).to_string();
        assert!(failure.ends_with("its card interface instead of the HID tunnel"), "{failure}");
        assert_eq!(specimen.with(|key| key.pin().unwrap().1), 3);
    });
}

#[test]
fn what_the_button_types_has_a_slot_of_its_own() {
    let specimen = PinPlusSpecimen::card(Model::R3_4);
    on(&specimen, |subject| {
        let mut token = subject.open();
        let button = slot("(button)");
        assert!(matches!(token.erase(&button, &Unattended), Err(Error::SlotEmpty { .. })));
        token.program(&button, &hotp(&*token), &Unattended).unwrap();
        assert_eq!(specimen.with(|key| key.press()).as_deref(), Some("755224"));
        assert_eq!(specimen.read_off("(button)", 0).as_deref(), Some("287082"));
        let told: Vec<_> = token.slots().unwrap().iter().map(|told| (told.slot.clone(), told.kind)).collect();
        assert_eq!(told, [(button.clone(), Some(Kind::Hotp))]);
        for bad in [
            totp(&*token),
            SlotConfig { algorithm: Algorithm::Sha256, ..hotp(&*token) },
            SlotConfig { digits: 7, ..hotp(&*token) },
        ] {
            let (exchanges, refused) = subject.exchanges(|| token.program(&button, &bad, &Unattended));
            assert_eq!((exchanges, error(refused).slot), (0, SlotState::Unchanged));
        }
        let (exchanges, refused) =
            subject.exchanges(|| token.calculate(&button, MovingFactor::OnToken, &Unattended));
        assert_eq!(exchanges, 0);
        assert!(matches!(error(refused), Error::Unsupported { .. }));
        // A record of that name is another thing.
        specimen.with(|key| key.install(Record::hotp("", "(button)", SEED, 0)));
        assert_eq!(calculate(&mut *token, ":(button)", MovingFactor::OnToken).unwrap(), "755224");
        token.erase(&button, &Unattended).unwrap();
        assert!(specimen.with(|key| key.button().is_none()));
        // Under a PIN nobody knows how to write it, so it is not tried.
        token.set_lock_code(Some(&code("1357924"))).unwrap();
        let failure = error(token.program(&button, &hotp(&*token), &Unattended));
        assert!(matches!(failure.source, Error::Unsupported { .. }), "{failure}");
        assert_eq!(failure.slot, SlotState::Unchanged);
    });
    on(&PinPlusSpecimen::hid(Model::R3_2_BIO), |subject| {
        let mut token = subject.open();
        let (exchanges, refused) =
            subject.exchanges(|| token.program(&slot("(button)"), &hotp(&*token), &Unattended));
        let failure = error(refused);
        assert_eq!(failure.to_string(), "this token cannot do HOTP typed by the button: a key that types");
        assert_eq!(exchanges, 0);
    });
}

#[test]
fn a_reset_empties_the_button_too() {
    for model in [Model::R3_1, Model::R3_4] {
        let specimen = PinPlusSpecimen::card(model);
        on(&specimen, |subject| {
            let mut token = subject.open();
            for name in ["(button)", "Acme:bob"] {
                token.program(&slot(name), &hotp(&*token), &Unattended).unwrap();
            }
            token.reset(&Unattended).unwrap();
            assert_eq!(specimen.stored(), []);
        });
    }
}

#[test]
fn a_reset_without_a_touch_changes_nothing() {
    let specimen = PinPlusSpecimen::card(Model::R3_4);
    specimen.with(|key| key.install(Record::totp("a", "b", SEED)));
    on(&specimen, |subject| {
        subject.door.set_human(Human::NeverTouches);
        let mut token = subject.open();
        let watcher = Watcher::default();
        assert!(matches!(token.reset(&watcher), Err(Error::TouchTimedOut)));
        assert_eq!((watcher.prompts.get(), specimen.stored().len()), (1, 1));
    });
}

#[test]
fn long_lists_come_whole_protected_or_not() {
    for model in [Model::R3_3, Model::R3_4] {
        let specimen = PinPlusSpecimen::card(model);
        let names: Vec<String> =
            (0..50).map(|number| format!("Issuer {number}:{}", "a".repeat(40))).collect();
        for name in &names {
            specimen.install(name, &firmware_fixtures::specimen::Stored::totp(SEED));
        }
        if model.pin {
            specimen.set_lock_code(Some(b"1357924"));
        }
        on(&specimen, |subject| {
            let mut token = subject.open_unlocked();
            let told: Vec<String> = token.slots().unwrap().iter().map(|told| told.slot.to_string()).collect();
            assert_eq!(told, names);
            let failure = error(token.program(&slot("one more"), &hotp(&*token), &Unattended));
            assert!(matches!(failure.source, Error::Full), "{failure}");
            assert_eq!(failure.slot, SlotState::Unchanged);
            token.program(&slot(&names[7]), &hotp(&*token), &Unattended).unwrap();
        });
    }
}

#[test]
fn the_longest_names_and_secret_fit() {
    let specimen = PinPlusSpecimen::card(Model::R3_4);
    on(&specimen, |subject| {
        let mut token = subject.open();
        let name = format!("{}:{}", "x".repeat(64), "y".repeat(64));
        let secret = fobd_drivers::token::SecretBytes::new(vec![b'A'; 64]);
        let long = SlotConfig { secret, ..hotp(&*token) };
        token.program(&slot(&name), &long, &Unattended).unwrap();
        // By Python's hmac: HOTP of counter 0.
        assert_eq!(calculate(&mut *token, &name, MovingFactor::OnToken).unwrap(), "467634");
        // Contact readers that know T=0 only take no extended length: refused, and nothing changed.
    });
    on(&PinPlusSpecimen::card(Model::R3_1), |subject| {
        let mut token = subject.open();
        let name = format!("{}:{}", "x".repeat(64), "y".repeat(64));
        let secret = fobd_drivers::token::SecretBytes::new(vec![b'A'; 64]);
        let failure =
            error(token.program(&slot(&name), &SlotConfig { secret, ..hotp(&*token) }, &Unattended));
        assert_eq!(failure.to_string(), "WRITE SEED refused: 6700 (wrong length)");
        assert_eq!(failure.slot, SlotState::Unchanged);
    });
}

#[test]
fn a_record_changed_by_another_program_is_asked_again() {
    let specimen = PinPlusSpecimen::card(Model::R3_4);
    on(&specimen, |subject| {
        let mut token = subject.open();
        token.program(&slot("a:b"), &totp(&*token), &Unattended).unwrap();
        specimen.with(|key| key.install(Record { step: 60, ..Record::totp("a", "b", SEED) }));
        let (exchanges, passcode) =
            subject.exchanges(|| calculate(&mut *token, "a:b", MovingFactor::TimeStep(1)).unwrap());
        assert_eq!((passcode.as_str(), exchanges), ("287082", 3), "SELECT, and ENUM CODES twice");
        specimen.with(|key| key.install(Record::hotp("a", "b", SEED, 0)));
        let failure = error(calculate(&mut *token, "a:b", MovingFactor::TimeStep(1)));
        assert_eq!(failure.to_string(), "factor: another program made another kind of credential of it");
        subject.open().erase(&slot("a:b"), &Unattended).unwrap();
        assert!(matches!(calculate(&mut *token, "a:b", MovingFactor::OnToken), Err(Error::SlotEmpty { .. })));
    });
}

#[test]
fn an_hotp_passcode_that_was_lost_is_not_asked_for_again() {
    for specimen in [PinPlusSpecimen::card(Model::R3_4), PinPlusSpecimen::hid(Model::R3_4)] {
        specimen.with(|key| key.install(Record::hotp("", "a", SEED, 0)));
        on(&specimen, |subject| {
            let mut token = subject.open();
            token.slots().unwrap();
            // The second exchange: after SELECT over a card, the answer behind the tunnel.
            subject.door.plan(Fault { at: 1, kind: FaultKind::Truncate(1) });
            let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
            assert!(matches!(failure, Error::Transport(_)), "{failure}");
            assert_eq!(subject.stored(&slot("a")).unwrap().counter, 1);
            assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), "287082");
        });
    }
}

#[test]
fn a_time_step_after_the_end_of_time_is_refused() {
    on(&PinPlusSpecimen::card(Model::R3_4), |subject| {
        let mut token = subject.open();
        token.program(&slot("a"), &totp(&*token), &Unattended).unwrap();
        let failure = error(calculate(&mut *token, "a", MovingFactor::TimeStep(u64::MAX)));
        assert_eq!(failure.to_string(), "factor: a time step after the end of time");
        let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
        assert_eq!(failure.to_string(), "factor: a TOTP credential needs the number of the time step");
    });
}

/// Cancels as soon as it is told that a touch is needed.
#[derive(Default)]
struct Impatient(std::cell::Cell<bool>);

impl Attendant for Impatient {
    fn touch_needed(&self) {
        self.0.set(true);
    }

    fn cancelled(&self) -> bool {
        self.0.get()
    }
}

/// Does not care about touches until the third question after the first.
#[derive(Default)]
struct Slow {
    touch: std::cell::Cell<bool>,
    asked: std::cell::Cell<u32>,
}

impl Attendant for Slow {
    fn touch_needed(&self) {
        self.touch.set(true);
    }

    fn cancelled(&self) -> bool {
        self.asked.set(self.asked.get() + u32::from(self.touch.get()));
        self.asked.get() > 5
    }
}

#[test]
fn waiting_for_the_button_can_be_cancelled_behind_the_tunnel() {
    let specimen = PinPlusSpecimen::hid(Model::R3_4);
    specimen.with(|key| key.install(Record { button: true, ..Record::totp("a", "b", SEED) }));
    on(&specimen, |subject| {
        let mut token = subject.open();
        token.slots().unwrap();
        subject.door.set_human(Human::NeverTouches);
        let impatient = Impatient::default();
        let failure = error(token.calculate(&slot("a:b"), MovingFactor::TimeStep(1), &impatient));
        assert!(matches!(failure, Error::Cancelled), "{failure}");
        let waited = subject.door.waited();
        let failure = error(token.calculate(&slot("a:b"), MovingFactor::TimeStep(1), &Slow::default()));
        assert!(matches!(failure, Error::Cancelled), "{failure}");
        let took = subject.door.waited() - waited;
        assert!(took > Duration::ZERO && took < Duration::from_secs(2), "{took:?}");
        // What is left of it disturbs nobody.
        subject.door.set_human(Human::TouchesAfter(Duration::from_secs(2)));
        assert_eq!(calculate(&mut *token, "a:b", MovingFactor::TimeStep(1)).unwrap(), "287082");
    });
}

#[test]
fn a_key_that_waits_unannounced_tells_somebody_once() {
    let specimen = PinPlusSpecimen::hid(Model::R3_4);
    specimen.with(|key| key.install(Record::totp("a", "b", SEED)));
    on(&specimen, |subject| {
        let mut token = subject.open();
        token.slots().unwrap();
        specimen.with(|key| key.install(Record { button: true, ..Record::totp("a", "b", SEED) }));
        subject.door.set_human(Human::TouchesAfter(Duration::from_secs(5)));
        let watcher = Watcher::default();
        let passcode = token.calculate(&slot("a:b"), MovingFactor::TimeStep(1), &watcher).unwrap();
        assert_eq!((passcode.expose(), watcher.prompts.get()), ("287082", 1));
    });
}

/// A FIDO interface without the tunnel: it says nothing to what it does not know.
struct Mute;

impl HidChip for Mute {
    fn output(&mut self, _report: &[u8], _moment: &mut Moment) -> Result<(), Stall> {
        Ok(())
    }

    fn reset(&mut self) {}
}

#[test]
fn a_key_without_the_tunnel_is_left_alone_after_three_seconds() {
    let face = HidFace { model: "mute", ..Model::R3_4.hid().face().clone() };
    let hid = VirtualHid::new(face, Box::new(Mute));
    let bus = VirtualHidBus::new();
    bus.attach(&hid);
    let candidate = bus.candidates().remove(0);
    assert!(PinPlusDriver.matches(&candidate));
    assert!(PinPlusDriver.open(&candidate, bus.open(&candidate).unwrap()).unwrap().is_none());
    assert_eq!((hid.exchanges(), hid.waited()), (1, Duration::from_secs(3)));
}

#[test]
fn interfaces_of_others_are_not_touched() {
    let hid = |vendor_id, product_id, usage_page| {
        let face =
            HidFace { vendor_id, product_id, usage: (usage_page, 1), ..Model::R3_4.hid().face().clone() };
        let bus = VirtualHidBus::new();
        bus.attach(&VirtualHid::new(face, Box::new(Mute)));
        PinPlusDriver.matches(&bus.candidates()[0])
    };
    assert!(hid(0x349E, 0x0026, 0xF1D0));
    assert!(hid(0x349E, 0x0203, 0xF1D0));
    assert!(!hid(0x349E, 0x0026, 0x0001), "its keyboard");
    assert!(!hid(0x349E, 0x0300, 0xF1D0), "a Molto2");
    assert!(!hid(0x1050, 0x0407, 0xF1D0), "a YubiKey");
}

/// A HID interface that says anything at all.
struct BabblingHid(VecDeque<Vec<u8>>);

impl BabblingHid {
    fn next(&mut self) -> Result<Vec<u8>, TransportError> {
        self.0.pop_front().ok_or(TransportError::Gone { detail: "said everything".to_owned() })
    }
}

impl HidConnection for BabblingHid {
    fn set_feature(&mut self, _report: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn get_feature(&mut self, _length: usize) -> Result<Vec<u8>, TransportError> {
        self.next()
    }

    fn write(&mut self, _report: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        // Nothing waits before a command is sent.
        if timeout.is_zero() { Ok(None) } else { self.next().map(Some) }
    }

    fn pause(&mut self, _time: Duration) {}
}

/// Answers as the key might give them, and nonsense.
fn babble() -> impl Strategy<Value = Vec<u8>> {
    let record = (
        0_u8..0x83,
        prop::sample::select(vec![0xC1_u8, 0xC2, 0xC3]),
        vec(0_u8..9, 4),
        vec(any::<u8>(), 0..12),
    )
        .prop_map(|(kind, hash, numbers, rest)| [&[kind, hash][..], &numbers, &rest].concat());
    let flag = vec(any::<u8>(), 4..42);
    let point = Just((0..64_u8).collect::<Vec<u8>>());
    let data = prop_oneof![Just(Vec::new()), record, flag, point, vec(any::<u8>(), 0..220)];
    let status =
        prop_oneof![8 => Just(vec![0x90, 0x00]), 1 => Just(vec![0x61, 0x10]), 1 => vec(any::<u8>(), 0..3)];
    (data, status).prop_map(|(data, status)| [data, status].concat())
}

fn reports() -> impl Strategy<Value = Vec<u8>> {
    let framed =
        (prop::sample::select(vec![0_u8, 0x20, 0x21, 0xC0, 1]), babble()).prop_map(|(flags, answer)| {
            let answer: Vec<u8> = answer.into_iter().take(61).collect();
            let mut report = vec![0x21, flags, answer.len() as u8];
            report.extend(answer);
            report.resize(64, 0);
            report
        });
    prop_oneof![4 => framed, 1 => vec(any::<u8>(), 0..66)]
}

fn use_it(connection: Connection) {
    let candidate = Candidate::Card { reader: "Babble 00 00".to_owned(), atr: Vec::new(), insertion: 1 };
    let Ok(Some(mut token)) = PinPlusDriver.open(&candidate, connection) else { return };
    let written = SlotConfig { factor: FactorConfig::Totp { time_step: 30 }, ..hotp(&*token) };
    let _ = token.slots();
    let _ = token.program(&slot("a:b"), &written, &Unattended);
    let _ = token.unlock(&code("1357924"));
    let _ = calculate(&mut *token, "a:b", MovingFactor::TimeStep(1));
    let _ = token.set_lock_code(Some(&code("Correct horse")));
    let _ = token.erase(&slot("a:b"), &Unattended);
    let _ = token.reset(&Unattended);
}

proptest! {
    #[test]
    fn no_key_can_make_it_panic(
        answers in vec(babble(), 0..40),
        reports in vec(reports(), 0..40),
    ) {
        use_it(Connection::Card(Box::new(Babble::new(answers))));
        use_it(Connection::Hid(Box::new(BabblingHid(reports.into()))));
    }
}
