//! What is peculiar to the OTP slots of a YubiKey: how many reports a call takes, what each firmware can do, access
//! codes that lie in slots, tasks that are no OATH credential, and two interfaces of one key.

mod codes;
mod faults;
mod tasks;
mod wires;

use firmware_fixtures::specimen::Specimen;
use firmware_fixtures::yubikey::{Model, OtpSpecimen, YubiKey};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{
    Algorithm, FactorConfig, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, SlotInfo, Token,
    Unattended, UnixTime,
};

use crate::suite::cases::conformance;
use crate::suite::{InProcess, Subject};

const ONE: SlotId = SlotId::Index(1);
const TWO: SlotId = SlotId::Index(2);
const SEED: &[u8] = b"12345678901234567890";
const CODE: &[u8; 6] = b"code 1";
const OTHER_CODE: &[u8; 6] = b"code 2";

fn keyboard(model: Model) -> OtpSpecimen {
    YubiKey::new(model, 4242).over_hid().expect("a keyboard")
}

fn applet(model: Model) -> OtpSpecimen {
    YubiKey::new(model, 4242).over_card().expect("an applet")
}

/// Every way to reach a key that knows OATH, each a key of its own.
fn all() -> Vec<OtpSpecimen> {
    let models = Model::ALL.into_iter().filter(|model| model.firmware.version >= [2, 1, 0]);
    let key = |model| YubiKey::new(model, 4242);
    models.flat_map(|model| [key(model).over_hid(), key(model).over_card()]).flatten().collect()
}

/// Opens a key; the wire stays plugged in as long as the subject lives.
fn with<T>(specimen: &OtpSpecimen, work: impl FnOnce(&Subject<'_>, &mut dyn Token) -> T) -> T {
    let mut socket = InProcess;
    let subject = Subject::new("ykotp", specimen, &mut socket);
    let mut token = subject.open();
    work(&subject, &mut *token)
}

fn hotp(counter: u64) -> SlotConfig {
    SlotConfig {
        factor: FactorConfig::Hotp { counter },
        algorithm: Algorithm::Sha1,
        digits: 6,
        secret: SecretBytes::new(SEED.to_vec()),
        touch: false,
        label: None,
        now: UnixTime(0),
    }
}

fn totp() -> SlotConfig {
    SlotConfig { factor: FactorConfig::Totp { time_step: 30 }, ..hotp(0) }
}

fn code(bytes: &[u8]) -> LockCode {
    LockCode::new(bytes.to_vec())
}

fn program(token: &mut dyn Token, slot: &SlotId, config: &SlotConfig) {
    token.program(slot, config, &Unattended).unwrap_or_else(|error| panic!("{slot}: {error}"));
}

/// What became of the slot, and why.
fn failed<T>(result: Result<T, fobd_drivers::error::ProgramError>) -> (SlotState, Error) {
    match result {
        Ok(_) => panic!("succeeded"),
        Err(error) => (error.slot, error.source),
    }
}

fn totp_at(token: &mut dyn Token, slot: &SlotId, step: u64) -> Result<String, Error> {
    let passcode = token.calculate(slot, MovingFactor::TimeStep(step), &Unattended)?;
    Ok(passcode.expose().to_owned())
}

#[test]
fn every_key_with_oath_conforms_over_each_of_its_interfaces() {
    for specimen in all() {
        let model = *specimen.key().model();
        let by_card = specimen.model().ends_with("card");
        let make =
            move || -> Box<dyn Specimen> { Box::new(if by_card { applet(model) } else { keyboard(model) }) };
        conformance("ykotp", &make, &mut InProcess);
    }
}

#[test]
fn no_call_takes_more_reports_than_it_needs() {
    with(&keyboard(Model::YUBIKEY_5_4_3), |subject, token| {
        let (exchanges, _) = subject.exchanges(|| subject.open());
        // Two statuses; a status, the first slice taken (busy once), the last; busy, seven slices and the end.
        assert_eq!(exchanges, 2 + (1 + 3 + 1) + (1 + 7 + 1), "open, with device info");
        let mut count = |what: &str, expected: u64, work: &mut dyn FnMut(&mut dyn Token)| {
            let (exchanges, ()) = subject.exchanges(|| work(token));
            assert_eq!(exchanges, expected, "{what}");
        };
        count("slots", 2, &mut |token| drop(token.slots().unwrap()));
        // Slices 0, 2 to 7 and 9.
        count("program HOTP", 1 + 7 * 3 + 1 + 2, &mut |token| program(token, &ONE, &hotp(0)));
        // The key is three slices, the rest of it one, flags and sum two.
        count("program TOTP", 1 + 7 * 3 + 1 + 2, &mut |token| program(token, &TWO, &totp()));
        // The time step is two slices, the padding none; an HMAC and its sum are four.
        count("calculate", 1 + 2 * 3 + 1 + (1 + 4 + 1), &mut |token| {
            totp_at(token, &TWO, 1).unwrap();
        });
        count("erase", 1 + 3 + 1 + 2, &mut |token| token.erase(&ONE, &Unattended).unwrap());
        count("refused at once", 0, &mut |token| {
            assert!(token.program(&ONE, &hotp(1), &Unattended).is_err());
            assert!(matches!(
                token.calculate(&ONE, MovingFactor::OnToken, &Unattended),
                Err(Error::Unsupported { .. })
            ));
        });
    });
}

#[test]
fn no_call_takes_more_commands_than_it_needs() {
    with(&applet(Model::YUBIKEY_5_4_3_NFC), |subject, token| {
        let (exchanges, _) = subject.exchanges(|| subject.open());
        assert_eq!(exchanges, 3, "SELECT; SELECT, DEVICE INFO");
        let mut count = |what: &str, expected: u64, work: &mut dyn FnMut(&mut dyn Token)| {
            let (exchanges, ()) = subject.exchanges(|| work(token));
            assert_eq!(exchanges, expected, "{what}");
        };
        count("slots: SELECT, READ STATUS", 2, &mut |token| drop(token.slots().unwrap()));
        count("program: SELECT, CONFIGURE", 2, &mut |token| program(token, &ONE, &hotp(0)));
        count("program: SELECT, CONFIGURE", 2, &mut |token| program(token, &TWO, &totp()));
        count("calculate: SELECT, CHALLENGE", 2, &mut |token| {
            totp_at(token, &TWO, 1).unwrap();
        });
        count("erase: SELECT, CONFIGURE", 2, &mut |token| token.erase(&ONE, &Unattended).unwrap());
    });
}

#[test]
fn keys_before_oath_open_and_say_that_they_cannot() {
    for model in [Model::YUBIKEY_1_3, Model::YUBIKEY_2_0] {
        let slots = if model == Model::YUBIKEY_1_3 { 1 } else { 2 };
        with(&keyboard(model), |subject, token| {
            let info = token.info().clone();
            assert_eq!((info.serial, info.model), (None, format!("YubiKey {slots}")));
            assert!(!info.capabilities.hotp && !info.capabilities.totp && !info.capabilities.calculate);
            assert_eq!(info.capabilities.max_slots, Some(slots));
            let (exchanges, (state, error)) =
                subject.exchanges(|| failed(token.program(&ONE, &hotp(0), &Unattended)));
            assert_eq!((exchanges, state), (0, SlotState::Unchanged));
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert!(totp_at(token, &ONE, 1).is_err());
            assert_eq!(token.slots().unwrap().len(), usize::from(slots));
        });
    }
}

#[test]
fn hotp_counts_from_a_multiple_of_sixteen_and_only_from_0_before_2_2() {
    for (model, counter, works) in [
        (Model::YUBIKEY_5_4_3, 0xFFFF0, true),
        (Model::YUBIKEY_5_4_3, 0x100000, false),
        (Model::YUBIKEY_5_4_3, 24, false),
        (Model::YUBIKEY_2_1, 16, false),
        (Model::YUBIKEY_2_2, 16, true),
    ] {
        let specimen = keyboard(model);
        with(&specimen, |_, token| {
            assert_eq!(token.program(&TWO, &hotp(counter), &Unattended).is_ok(), works, "{counter}");
            let stored = specimen.stored().into_iter().next();
            assert_eq!(stored.map(|(_, stored)| stored.counter), works.then_some(counter));
        });
    }
}

#[test]
fn a_long_secret_is_hashed_and_one_between_is_refused() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |_, token| {
        let long = SlotConfig { secret: SecretBytes::new(vec![b'x'; 100]), ..totp() };
        program(token, &ONE, &long);
        // HMAC-SHA-1 of step 1 under a hundred x, by Python.
        assert_eq!(totp_at(token, &ONE, 1).unwrap(), "971424");
        for length in [21, 64] {
            let config = SlotConfig { secret: SecretBytes::new(vec![b'x'; length]), ..totp() };
            let (state, error) = failed(token.program(&ONE, &config, &Unattended));
            assert!(matches!((state, &error), (SlotState::Unchanged, Error::Unsupported { .. })), "{error}");
        }
    });
}

#[test]
fn the_host_decides_how_long_a_passcode_is() {
    let specimen = keyboard(Model::YUBIKEY_5_4_3);
    with(&specimen, |subject, token| {
        program(token, &ONE, &SlotConfig { digits: 8, ..totp() });
        assert_eq!(totp_at(token, &ONE, 1).unwrap(), "94287082");
        let mut later = subject.open();
        assert_eq!(totp_at(&mut *later, &ONE, 1).unwrap(), "287082");
        later.expect_digits(&ONE, 8);
        assert_eq!(totp_at(&mut *later, &ONE, 1).unwrap(), "94287082");
    });
}

#[test]
fn a_time_step_that_ends_with_a_zero_is_no_shorter_for_it() {
    for specimen in [keyboard(Model::NEO_3_4_9), applet(Model::YUBIKEY_5_4_3_NFC)] {
        with(&specimen, |_, token| {
            program(token, &ONE, &totp());
            // RFC 4226 appendix D ends at 9, so this is from the emulation's own HOTP at counter 256.
            program(token, &TWO, &hotp(256));
            let expected = specimen.read_off("2", 0).unwrap();
            assert_eq!(totp_at(token, &ONE, 256).unwrap(), expected);
        });
    }
}

#[test]
fn slots_tell_what_the_key_tells_and_what_is_remembered() {
    with(&keyboard(Model::YUBIKEY_5_4_3), |subject, token| {
        program(token, &ONE, &hotp(0));
        let told = |token: &mut dyn Token| -> Vec<_> {
            let told = |slot: SlotInfo| (slot.in_use, slot.kind.is_some(), slot.digits, slot.touch);
            token.slots().unwrap().into_iter().map(told).collect()
        };
        let empty = (false, false, None, None);
        assert_eq!(told(token), [(true, true, Some(6), Some(true)), empty]);
        assert_eq!(told(&mut *subject.open()), [(true, false, None, Some(true)), empty]);
        // Somebody else writes: what was remembered may not be so any more.
        program(&mut *subject.open(), &ONE, &totp());
        assert_eq!(told(token), [(true, false, Some(6), Some(false)), empty]);
    });
    with(&keyboard(Model::YUBIKEY_2_2), |_, token| {
        program(token, &TWO, &totp());
        let touch: Vec<_> = token.slots().unwrap().iter().map(|slot| (slot.in_use, slot.touch)).collect();
        assert_eq!(touch, [(false, None), (true, None)], "before 3.0 touch is not told");
    });
}

#[test]
fn a_slot_that_is_empty_or_types_answers_no_challenge() {
    for specimen in all().into_iter().filter(|key| key.key().model().firmware.version >= [2, 2, 0]) {
        with(&specimen, |_, token| {
            let failure = totp_at(token, &ONE, 1).unwrap_err();
            assert!(matches!(failure, Error::SlotEmpty { .. }), "{}: {failure}", specimen.model());
            program(token, &ONE, &hotp(0));
            let failure = totp_at(token, &ONE, 1).unwrap_err();
            assert!(matches!(failure, Error::Rejected { command: "CHALLENGE HMAC", .. }), "{failure}");
            assert_eq!(specimen.stored()[0].1.counter, 0);
        });
    }
}
