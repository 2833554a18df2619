//! What every driver must do with every token it knows. Expected passcodes are those of RFC 4226 appendix D and
//! RFC 6238 appendix B.

use std::time::Duration;

use firmware_fixtures::card::Human;
use firmware_fixtures::specimen::Specimen;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::models;
use fobd_drivers::token::{
    Addressing, Algorithm, FactorConfig, Kind, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId,
    Token, Unattended,
};

use super::{
    Prompts, Socket, Subject, config, kinds, other_config, program, refused, secret, slots_for, time_steps,
};

/// Time steps of the six times in RFC 6238 appendix B, and the passcodes there.
const RFC_6238: [(u64, [&str; 3]); 6] = [
    (0x1, ["94287082", "46119246", "90693936"]),
    (0x23523EC, ["07081804", "68084774", "25091201"]),
    (0x23523ED, ["14050471", "67062674", "99943326"]),
    (0x273EF07, ["89005924", "91819424", "93441116"]),
    (0x3F940AA, ["69279037", "90698825", "38618901"]),
    (0x27BC86AA, ["65353130", "77737706", "47863826"]),
];

/// RFC 4226 appendix D, counter 0 to 9.
const RFC_4226: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];

type Case = (&'static str, fn(&Subject<'_>));

/// Runs every case, each on a token of its own.
pub(crate) fn conformance(
    driver: &'static str,
    make: &dyn Fn() -> Box<dyn Specimen>,
    socket: &mut dyn Socket,
) {
    let cases: [Case; 13] = [
        ("tells what it is", tells_what_it_is),
        ("an empty token holds nothing", an_empty_token_holds_nothing),
        ("counts as RFC 4226", counts_as_rfc_4226),
        ("computes every kind, hash, length and time step", computes_everything),
        ("tells what is in its slots", tells_what_is_in_its_slots),
        ("refuses what it cannot do without an exchange", refuses_without_an_exchange),
        ("writing over a slot replaces it", writing_over_a_slot_replaces_it),
        ("an erased slot is empty", an_erased_slot_is_empty),
        ("without its code it changes nothing", without_its_code_it_changes_nothing),
        ("its code can be changed", its_code_can_be_changed),
        ("touch is asked for", touch_is_asked_for),
        ("every slot takes a credential", every_slot_takes_a_credential),
        ("reset empties it", reset_empties_it),
    ];
    for (name, case) in cases {
        let specimen = make();
        println!("{driver}, {}: {name}", specimen.model());
        let subject = Subject::new(driver, &*specimen, socket);
        subject.door.set_human(Human::TouchesAtOnce);
        case(&subject);
    }
}

fn tells_what_it_is(subject: &Subject<'_>) {
    let token = subject.open();
    let info = token.info();
    assert_eq!(info.serial, subject.specimen.serial());
    for (fact, text) in [("maker", &info.maker), ("model", &info.model), ("firmware", &info.firmware)] {
        assert!(!text.is_empty(), "no {fact}");
    }
    let can = &info.capabilities;
    assert!(can.hotp || can.totp, "neither HOTP nor TOTP");
    assert!(!can.algorithms.is_empty() && !can.digits.is_empty() && can.max_secret_bytes > 0);
    if let Addressing::Numbered { hotp, totp } = &can.addressing {
        assert_eq!((can.hotp, can.totp), (!hotp.is_empty(), !totp.is_empty()));
    }
    let place = subject.place.borrow();
    assert_ne!(models::kept_for(&place.1, subject.driver), Some(false), "the table of models disagrees");
}

fn an_empty_token_holds_nothing(subject: &Subject<'_>) {
    match subject.open_unlocked().slots() {
        Ok(slots) => assert!(slots.iter().all(|slot| !slot.in_use), "{slots:?}"),
        Err(Error::Unsupported { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(subject.specimen.stored(), []);
}

fn counts_as_rfc_4226(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    if !can.hotp {
        return;
    }
    let slot = &slots_for(&can, Kind::Hotp)[0];
    program(
        &mut *token,
        slot,
        &SlotConfig { digits: 6, algorithm: Algorithm::Sha1, ..config(&can, Kind::Hotp) },
    );
    let first = usize::try_from(can.first_counter).unwrap();
    for expected in &RFC_4226[first..] {
        assert_eq!(subject.passcode(&mut *token, slot, Kind::Hotp, 0), *expected);
    }
    let stored = subject.stored(slot).unwrap();
    assert_eq!((stored.counter, stored.secret.as_slice()), (10, secret(Algorithm::Sha1)));
}

fn computes_everything(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    let algorithms = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];
    for (column, algorithm) in algorithms.into_iter().enumerate().filter(|(_, a)| can.algorithms.contains(a))
    {
        for digits in can.digits.iter().copied().filter(|digits| (6..=8).contains(digits)) {
            for kind in kinds(&can) {
                let steps = if kind == Kind::Totp { time_steps(&can) } else { vec![0] };
                for time_step in steps {
                    one_credential(subject, &mut *token, kind, (column, algorithm), digits, time_step);
                }
            }
        }
    }
}

fn one_credential(
    subject: &Subject<'_>,
    token: &mut dyn Token,
    kind: Kind,
    (column, algorithm): (usize, Algorithm),
    digits: u8,
    time_step: u32,
) {
    let can = token.info().capabilities.clone();
    let slot = &slots_for(&can, kind)[0];
    let secret = secret(algorithm);
    if secret.len() > can.max_secret_bytes {
        return;
    }
    let written = SlotConfig {
        factor: match kind {
            Kind::Hotp => FactorConfig::Hotp { counter: can.first_counter },
            Kind::Totp => FactorConfig::Totp { time_step },
        },
        algorithm,
        digits,
        secret: SecretBytes::new(secret.to_vec()),
        ..config(&can, kind)
    };
    program(token, slot, &written);
    let what = format!("{kind:?} {algorithm:?} {digits} digits, step {time_step}");
    if kind == Kind::Hotp {
        // Step 1 of RFC 6238 is counter 1 of RFC 4226.
        for _ in can.first_counter..1 {
            subject.passcode(token, slot, kind, 0);
        }
        let passcode = subject.passcode(token, slot, kind, 0);
        assert_eq!(passcode, RFC_6238[0].1[column][8 - usize::from(digits)..], "{what}");
        return;
    }
    for (step, row) in RFC_6238 {
        // Some tokens' clocks end with 31 bits.
        if can.clock && step * u64::from(time_step) > i32::MAX as u64 {
            continue;
        }
        let host_decides = subject.stored(slot).unwrap().digits.is_none();
        let passcode = subject.passcode(token, slot, kind, step);
        let length = if host_decides { passcode.len() } else { usize::from(digits) };
        assert_eq!(passcode, row[column][8 - length..], "{what} at {step}");
    }
}

/// The same token opened anew, and closed before: some wires are for one at a time.
fn again(subject: &Subject<'_>, token: Box<dyn Token>) -> Box<dyn Token> {
    drop(token);
    subject.open_unlocked()
}

fn tells_what_is_in_its_slots(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    for kind in kinds(&can) {
        let slot = &slots_for(&can, kind)[0];
        program(&mut *token, slot, &config(&can, kind));
        for afresh in [false, true] {
            if afresh {
                token = again(subject, token);
            }
            let slots = match token.slots() {
                Ok(slots) => slots,
                Err(Error::Unsupported { .. }) => return,
                Err(error) => panic!("{error}"),
            };
            let told = slots.iter().find(|told| told.slot == *slot).expect("not listed");
            assert!(told.in_use, "{told:?}");
            // A token may tell less than it knows, but nothing that is not so.
            let stored = subject.stored(slot).unwrap();
            assert!(told.kind.is_none_or(|told| told == kind), "{told:?}");
            assert!(
                told.digits.is_none_or(|digits| stored.digits.is_none_or(|stored| stored == digits)),
                "{told:?}"
            );
            assert!(told.touch.is_none_or(|touch| touch == stored.touch), "{told:?}");
            assert!(told.time_step.is_none() || told.time_step == stored.time_step, "{told:?}");
        }
    }
}

fn refuses_without_an_exchange(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    let before = subject.specimen.stored();
    for kind in kinds(&can) {
        let slot = &slots_for(&can, kind)[0];
        let good = config(&can, kind);
        let mut bad: Vec<(&str, SlotId, SlotConfig)> = Vec::new();
        for digits in [0, 5, 6, 7, 8, 9, 10, 255].into_iter().filter(|digits| !can.digits.contains(digits)) {
            bad.push(("digits", slot.clone(), SlotConfig { digits, ..good.clone() }));
        }
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
            if !can.algorithms.contains(&algorithm) {
                bad.push(("algorithm", slot.clone(), SlotConfig { algorithm, ..good.clone() }));
            }
        }
        let empty = SecretBytes::new(Vec::new());
        bad.push(("secret", slot.clone(), SlotConfig { secret: empty, ..good.clone() }));
        if !can.touch {
            bad.push(("touch", slot.clone(), SlotConfig { touch: true, ..good.clone() }));
        }
        match kind {
            Kind::Hotp => {
                let factor = FactorConfig::Hotp { counter: u64::MAX };
                bad.push(("counter", slot.clone(), SlotConfig { factor, ..good.clone() }));
                if can.first_counter > 0 {
                    let factor = FactorConfig::Hotp { counter: can.first_counter - 1 };
                    bad.push(("first counter", slot.clone(), SlotConfig { factor, ..good.clone() }));
                }
            }
            Kind::Totp => {
                let steps = [0, 1, 30, 59, 60, 3600].into_iter();
                let known =
                    |step: &u32| *step != 0 && (can.time_steps.is_empty() || can.time_steps.contains(step));
                for time_step in steps.filter(|step| !known(step)) {
                    let factor = FactorConfig::Totp { time_step };
                    bad.push(("time_step", slot.clone(), SlotConfig { factor, ..good.clone() }));
                }
            }
        }
        match &can.addressing {
            Addressing::Named => {
                bad.push(("number", SlotId::Index(1), good.clone()));
                bad.push(("no name", SlotId::Name(String::new()), good.clone()));
                bad.push(("long name", SlotId::Name("x".repeat(300)), good.clone()));
            }
            Addressing::Numbered { hotp, totp } => {
                bad.push(("name", SlotId::Name("bob".to_owned()), good.clone()));
                let range = if kind == Kind::Hotp { hotp } else { totp };
                for index in (0..=255).filter(|index| !range.contains(index)) {
                    bad.push(("no such slot", SlotId::Index(index), good.clone()));
                }
            }
        }
        for (what, slot, config) in bad {
            let (exchanges, result) = subject.exchanges(|| token.program(&slot, &config, &Unattended));
            let failure = refused(result);
            assert_eq!((exchanges, failure.slot), (0, SlotState::Unchanged), "{kind:?} {what}: {failure}");
            let named = matches!(failure.source, Error::Unsupported { .. } | Error::Invalid { .. });
            assert!(named, "{kind:?} {what}: {failure:?}");
        }
    }
    assert_eq!(subject.specimen.stored(), before);
}

fn writing_over_a_slot_replaces_it(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    for kind in kinds(&can) {
        let slots = slots_for(&can, kind);
        for slot in &slots {
            program(&mut *token, slot, &other_config(&can, kind));
        }
        program(&mut *token, &slots[0], &config(&can, kind));
        let expected = config(&can, kind);
        assert_eq!(subject.stored(&slots[0]).unwrap().secret, expected.secret.expose());
        for other in &slots[1..] {
            assert_eq!(subject.stored(other).unwrap().secret, other_config(&can, kind).secret.expose());
        }
        // The same through a token that was opened afterwards.
        token = again(subject, token);
        program(&mut *token, &slots[0], &other_config(&can, kind));
        assert_eq!(subject.stored(&slots[0]).unwrap().secret, other_config(&can, kind).secret.expose());
    }
}

fn an_erased_slot_is_empty(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    for kind in kinds(&can) {
        let slots = slots_for(&can, kind);
        for slot in &slots {
            program(&mut *token, slot, &config(&can, kind));
        }
        let (exchanges, erased) = subject.exchanges(|| token.erase(&slots[0], &Unattended));
        if let Err(Error::Unsupported { .. }) = erased {
            assert_eq!(exchanges, 0);
            return;
        }
        erased.unwrap();
        assert_eq!(subject.stored(&slots[0]), None);
        for other in &slots[1..] {
            assert!(subject.stored(other).is_some(), "{other} is gone too");
        }
        let again = token.erase(&slots[0], &Unattended);
        assert!(matches!(again, Ok(()) | Err(Error::SlotEmpty { .. })), "{again:?}");
    }
}

fn without_its_code_it_changes_nothing(subject: &Subject<'_>) {
    if subject.specimen.lock_code().is_none() {
        let Some(code) = subject.specimen.spare_lock_code() else { return };
        subject.specimen.set_lock_code(Some(&code));
    }
    let mut token = subject.open();
    let can = token.info().capabilities.clone();
    let kind = kinds(&can)[0];
    let slot = &slots_for(&can, kind)[0];
    let failure = refused(token.program(slot, &config(&can, kind), &Unattended));
    assert!(matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Locked)), "{failure}");
    assert_eq!(subject.specimen.stored(), []);

    let code = subject.specimen.lock_code().unwrap();
    let mut wrong = code.clone();
    *wrong.last_mut().unwrap() = if wrong.ends_with(b"1") { b'2' } else { b'1' };
    let failure = token.unlock(&LockCode::new(wrong.clone())).expect_err("took a wrong code");
    assert!(matches!(failure, Error::WrongLockCode { .. }), "{failure}");
    let said = format!("{failure} {failure:?}");
    assert!(!said.contains(&*String::from_utf8_lossy(&wrong)), "{said}");
    let failure = refused(token.program(slot, &config(&can, kind), &Unattended));
    assert!(matches!(failure.source, Error::Locked), "a refused code is kept: {failure}");
    assert_eq!(subject.specimen.stored(), []);

    token.unlock(&LockCode::new(code)).unwrap();
    program(&mut *token, slot, &config(&can, kind));
    assert!(subject.stored(slot).is_some());
    token.forget_code();
    let failure = refused(token.program(slot, &other_config(&can, kind), &Unattended));
    assert!(matches!(failure.source, Error::Locked), "a code is kept that was to be forgotten: {failure}");
    // Nobody else got in by that.
    drop(token);
    let failure = refused(subject.open().program(slot, &config(&can, kind), &Unattended));
    assert!(matches!(failure.source, Error::Locked), "{failure}");
}

fn its_code_can_be_changed(subject: &Subject<'_>) {
    let Some(new) = subject.specimen.spare_lock_code() else { return };
    let old = subject.specimen.lock_code();
    let mut token = subject.open_unlocked();
    token.set_lock_code(Some(&LockCode::new(new.clone()))).unwrap();
    assert_eq!(subject.specimen.lock_code().as_ref(), Some(&new));
    // Who set it goes on working.
    let can = token.info().capabilities.clone();
    let kind = kinds(&can)[0];
    let slot = &slots_for(&can, kind)[0];
    program(&mut *token, slot, &config(&can, kind));
    drop(token);
    let mut token = subject.open();
    if let Some(old) = old {
        let failure = token.unlock(&LockCode::new(old)).expect_err("took the old code");
        assert!(matches!(failure, Error::WrongLockCode { .. }), "{failure}");
    }
    token.unlock(&LockCode::new(new)).unwrap();
    program(&mut *token, slot, &other_config(&can, kind));
}

fn touch_is_asked_for(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    if !can.touch {
        return;
    }
    for kind in kinds(&can) {
        let slot = &slots_for(&can, kind)[0];
        subject.door.set_human(Human::TouchesAtOnce);
        program(&mut *token, slot, &SlotConfig { touch: true, ..config(&can, kind) });
        assert!(subject.stored(slot).unwrap().touch);
        let factor = match kind {
            Kind::Hotp => MovingFactor::OnToken,
            Kind::Totp => MovingFactor::TimeStep(1),
        };
        let prompts = Prompts::default();
        match token.calculate(slot, factor, &prompts) {
            Ok(_) => assert_eq!(prompts.count(), 1, "{kind:?}"),
            Err(Error::Unsupported { .. }) => continue,
            Err(error) => panic!("{kind:?}: {error}"),
        }
        subject.door.set_touch_timeout(Duration::from_millis(500));
        subject.door.set_human(Human::NeverTouches);
        let counter = subject.stored(slot).unwrap().counter;
        let prompts = Prompts::default();
        let failure = token.calculate(slot, factor, &prompts).expect_err("computed without a touch");
        assert!(matches!(failure, Error::TouchTimedOut), "{kind:?}: {failure}");
        assert_eq!((prompts.count(), subject.stored(slot).unwrap().counter), (1, counter));
    }
}

fn every_slot_takes_a_credential(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    let Addressing::Numbered { hotp, totp } = can.addressing.clone() else { return };
    for (kind, range) in [(Kind::Hotp, hotp), (Kind::Totp, totp)] {
        // The first, the last and some between: a hundred slots over a slow wire take long.
        let numbers: Vec<u8> = range.collect();
        let some = numbers.iter().step_by(numbers.len() / 8 + 1).chain(numbers.last());
        for number in some {
            let slot = SlotId::Index(*number);
            program(&mut *token, &slot, &config(&can, kind));
            assert_eq!(subject.stored(&slot).unwrap().secret, config(&can, kind).secret.expose(), "{slot}");
        }
    }
}

fn reset_empties_it(subject: &Subject<'_>) {
    let mut token = subject.open_unlocked();
    let can = token.info().capabilities.clone();
    let kind = kinds(&can)[0];
    let slot = &slots_for(&can, kind)[0];
    program(&mut *token, slot, &config(&can, kind));
    let (exchanges, reset) = subject.exchanges(|| token.reset(&Unattended));
    match reset {
        Ok(()) => assert_eq!(subject.specimen.stored(), []),
        Err(Error::Unsupported { .. }) => assert_eq!((exchanges, subject.stored(slot).is_some()), (0, true)),
        Err(error) => panic!("{error}"),
    }
    program(&mut *again(subject, token), slot, &config(&can, kind));
}
