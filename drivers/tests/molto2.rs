//! What is peculiar to the Molto2: its customer key, its button, its titles and clocks, and how many exchanges
//! each call takes.

use std::time::Duration;

use firmware_fixtures::card::Human;
use firmware_fixtures::credential::Hash;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::molto2::{Molto2Firmware, Molto2Specimen};
use firmware_fixtures::specimen::{Specimen, Stored};
use fobd_drivers::DRIVERS;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{
    Addressing, Algorithm, FactorConfig, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, SlotInfo,
    Token, Unattended, UnixTime,
};
use fobd_drivers::transport::{Candidate, Connection, TransportError};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::babble::Babble;
use crate::bench::{Watcher, error, totp};
use crate::tap::{self, Log};

const NOW: u32 = 1_700_000_000;

fn specimen() -> Molto2Specimen {
    Molto2Specimen::new(Molto2Firmware::MOLTO2_V2_1, "37806840")
}

fn open(specimen: &Molto2Specimen) -> (Log, Box<dyn Token>) {
    tap::open("molto2", specimen.card())
}

/// Opened, unlocked, and the wire forgotten.
fn unlocked(specimen: &Molto2Specimen) -> (Log, Box<dyn Token>) {
    let (log, mut token) = open(specimen);
    token.unlock(&LockCode::new(specimen.lock_code().unwrap())).unwrap();
    log.take();
    (log, token)
}

fn code(text: &str) -> LockCode {
    LockCode::new(text.as_bytes().to_vec())
}

fn program(token: &mut dyn Token, profile: u8, config: &SlotConfig) {
    token.program(&SlotId::Index(profile), config, &Unattended).unwrap();
}

fn attempts(specimen: &Molto2Specimen) -> u8 {
    specimen.reach(|token| token.attempts_left()).unwrap()
}

#[test]
fn no_call_takes_more_exchanges_than_it_needs() {
    let specimen = specimen();
    let (log, mut token) = open(&specimen);
    assert_eq!(log.take(), ["8041000000", "8041006301"]);
    token.unlock(&code("TOKEN2MOLTO1-KEY")).unwrap();
    let authentication = ["804B080000", "80CE000010"];
    assert_eq!(log.take(), authentication);

    program(&mut *token, 7, &totp(30));
    assert_eq!(log.take(), [&authentication[..], &["84D401071A", "84C5010724"]].concat());
    program(&mut *token, 7, &SlotConfig { label: Some("Acme".to_owned()), ..totp(30) });
    assert_eq!(log.take(), [&authentication[..], &["84D5000714", "84D401071A", "84C5010724"]].concat());

    token.slots().unwrap();
    let expected: Vec<_> = (0..100).map(|profile| format!("804100{profile:02X}01")).collect();
    assert_eq!(log.take(), expected);

    let held = SlotInfo { slot: SlotId::Index(7), ..token.slots().unwrap().remove(7) };
    log.take();
    token.set_clock_of(&held, UnixTime(1)).unwrap();
    assert_eq!(log.take(), [&authentication[..], &["84D401070C"]].concat());
    token.set_clock(UnixTime(2)).unwrap();
    assert_eq!(log.take().len(), 2 + 100);

    token.erase(&SlotId::Index(7), &Unattended).unwrap();
    assert_eq!(log.take(), ["80E6000700"]);
    token.set_lock_code(Some(&code("0123456789abcdef"))).unwrap();
    assert_eq!(log.take(), [&authentication[..], &["84D7000024"]].concat());
    let failure = error(token.calculate(&SlotId::Index(7), MovingFactor::TimeStep(1), &Unattended));
    assert_eq!(
        failure.to_string(),
        "this token cannot do calculate: somebody who reads the passcode off its display"
    );
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn the_generation_is_seen_by_the_number_of_profiles() {
    for (firmware, model, last) in [
        (Molto2Firmware::MOLTO2, "Molto2", 49),
        (Molto2Firmware::MOLTO2_V2, "Molto2v2", 99),
        (Molto2Firmware::MOLTO2_V2_1, "Molto2v2", 99),
    ] {
        let specimen = Molto2Specimen::new(firmware, "37806840");
        let (log, mut token) = open(&specimen);
        let info = token.info();
        assert_eq!((info.maker.as_str(), info.model.as_str()), ("Token2", model));
        assert_eq!(info.serial.as_deref(), Some("37806840"));
        assert_eq!(info.capabilities.max_slots, Some(u16::from(last) + 1));
        let Addressing::Numbered { hotp, totp } = info.capabilities.addressing.clone() else {
            panic!("named")
        };
        assert!(hotp.is_empty());
        assert_eq!(totp, 0..=last);
        assert_eq!(token.slots().unwrap().len(), usize::from(last) + 1);
        log.take();
        let failure = error(token.erase(&SlotId::Index(last + 1), &Unattended));
        assert_eq!(failure.to_string(), format!("slot: the slots of this token are 0 to {last}"));
        assert_eq!(log.take(), [""; 0]);
    }
}

#[test]
fn everything_that_is_written_arrives() {
    let specimen = specimen();
    let (_, mut token) = unlocked(&specimen);
    for (digits, time_step, algorithm, hash) in
        [(4, 30, Algorithm::Sha1, Hash::Sha1), (10, 60, Algorithm::Sha256, Hash::Sha256)]
    {
        let config = SlotConfig {
            factor: FactorConfig::Totp { time_step },
            digits,
            algorithm,
            label: Some("Grüße aus Genf".to_owned()),
            ..totp(30)
        };
        program(&mut *token, 99, &config);
        let profile = specimen.profile(99).unwrap();
        assert_eq!(profile.seed.as_deref(), Some(config.secret.expose()));
        assert_eq!((profile.hash, profile.digits, u32::from(profile.step)), (hash, digits, time_step));
        assert_eq!((profile.title_text().as_str(), profile.clock), ("Grüße aus", Some(NOW)));
        assert_eq!(profile.display_timeout, Some(1), "30 s");
        let told = token.slots().unwrap().remove(99);
        assert_eq!(
            (told.algorithm, told.digits, told.time_step),
            (Some(algorithm), Some(digits), Some(time_step))
        );
    }
    assert_eq!(specimen.read_off("99", 59).map(|passcode| passcode.len()), Some(10));
}

#[test]
fn a_title_outlives_its_seed_and_a_credential_without_label_leaves_it() {
    let specimen = specimen();
    let (_, mut token) = unlocked(&specimen);
    program(&mut *token, 3, &SlotConfig { label: Some("first".to_owned()), ..totp(30) });
    token.erase(&SlotId::Index(3), &Unattended).unwrap();
    program(&mut *token, 3, &totp(30));
    assert_eq!(specimen.profile(3).unwrap().title_text(), "first");
    program(&mut *token, 3, &SlotConfig { label: Some("second".to_owned()), ..totp(30) });
    assert_eq!(specimen.profile(3).unwrap().title_text(), "second");
}

#[test]
fn secrets_of_all_lengths_but_64_arrive() {
    let specimen = specimen();
    let (log, mut token) = unlocked(&specimen);
    let with = |secret: Vec<u8>| SlotConfig { secret: SecretBytes::new(secret), ..totp(30) };
    for length in 1..=63 {
        program(&mut *token, 0, &with(vec![0x80; length]));
        assert_eq!(specimen.profile(0).unwrap().seed.map(|seed| seed.len()), Some(length));
    }
    program(&mut *token, 0, &with(vec![b'A'; 65]));
    // HOTP of counter 0, by Python's hmac.
    assert_eq!(specimen.read_off("0", 0).as_deref(), Some("536468"));
    log.take();
    for (secret, message) in [
        (vec![7; 64], "this token cannot do a secret of 64 bytes: 63 bytes or fewer, or 65 or more"),
        (vec![0; 20], "secret: nothing but zeros; to this token that is no secret"),
    ] {
        let failure = error(token.program(&SlotId::Index(0), &with(secret), &Unattended));
        assert_eq!((failure.slot, failure.to_string().as_str()), (SlotState::Unchanged, message));
    }
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn wrong_keys_are_counted_down_and_the_last_one_is_announced() {
    let specimen = specimen();
    let (log, mut token) = open(&specimen);
    for left in (1..8).rev() {
        let failure = error(token.unlock(&code("0123456789abcdef")));
        assert!(matches!(failure, Error::WrongLockCode { attempts_left: Some(told) } if told == left));
        assert_eq!(attempts(&specimen), left);
    }
    let last = error(token.unlock(&code("0123456789abcdef")));
    let message = "the token has blocked itself after too many wrong access codes: \
                   a factory reset, confirmed on the token, erases it";
    assert_eq!(last.to_string(), message);
    log.take();
    assert_eq!(error(token.unlock(&code("TOKEN2MOLTO1-KEY"))).to_string(), message);
    assert_eq!(log.take(), ["804B080000", "80CE000010"]);
    // The way out is real.
    token.reset(&Unattended).unwrap();
    token.unlock(&code("TOKEN2MOLTO1-KEY")).unwrap();
}

#[test]
fn no_attempt_is_spent_that_nobody_asked_for() {
    let specimen = specimen();
    let (log, mut token) = open(&specimen);
    log.take();
    // Not even with the key that the token has from the factory.
    let failure = error(token.program(&SlotId::Index(0), &totp(30), &Unattended));
    assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Locked)));
    assert!(matches!(error(token.set_clock(UnixTime(1))), Error::Locked));
    assert!(matches!(error(token.set_lock_code(None)), Error::Locked));
    for text in ["", "short", "0123456789abcdef0", "0123456789abcdef0123456789abcdeg"] {
        let failure = error(token.unlock(&code(text)));
        let message = "code: a customer key has 16 characters, or 32 hexadecimal digits";
        assert_eq!(failure.to_string(), message);
    }
    assert_eq!(log.take(), [""; 0]);

    // Somebody else changes the key: one attempt is lost, and no second one.
    token.unlock(&code("TOKEN2MOLTO1-KEY")).unwrap();
    specimen.set_lock_code(Some(b"0123456789abcdef"));
    let failure = error(token.program(&SlotId::Index(0), &totp(30), &Unattended));
    assert!(matches!(failure.source, Error::WrongLockCode { attempts_left: Some(7) }), "{failure}");
    let failure = error(token.program(&SlotId::Index(0), &totp(30), &Unattended));
    assert!(matches!(failure.source, Error::Locked), "{failure}");
    assert_eq!(attempts(&specimen), 7);
    assert_eq!(specimen.stored(), []);
}

#[test]
fn a_key_is_changed_by_text_or_hexadecimal_and_back_to_the_one_of_the_factory() {
    let specimen = specimen();
    let (_, mut token) = unlocked(&specimen);
    token.set_lock_code(Some(&code("30313233343536373839616263646566"))).unwrap();
    assert_eq!(specimen.lock_code().as_deref(), Some(&b"0123456789abcdef"[..]));
    token.set_lock_code(None).unwrap();
    assert_eq!(specimen.lock_code().as_deref(), Some(Molto2Specimen::FACTORY_CODE));
    program(&mut *token, 0, &totp(30));
}

#[test]
fn a_key_that_nobody_confirms_is_not_changed() {
    let specimen = specimen();
    let (_, mut token) = unlocked(&specimen);
    specimen.card().set_human(Human::NeverTouches);
    token.set_lock_code(Some(&code("0123456789abcdef"))).unwrap();
    let failure = error(token.program(&SlotId::Index(0), &totp(30), &Unattended));
    assert!(matches!(failure.source, Error::WrongLockCode { attempts_left: Some(7) }), "{failure}");
    token.unlock(&code("TOKEN2MOLTO1-KEY")).unwrap();
    program(&mut *token, 0, &totp(30));
}

#[test]
fn clocks_are_set_and_nothing_else() {
    let specimen = specimen();
    let (_, mut token) = unlocked(&specimen);
    program(&mut *token, 5, &SlotConfig { digits: 8, ..totp(60) });
    let before = specimen.profile(5).unwrap();
    let held = token.slots().unwrap().remove(5);
    token.set_clock_of(&held, UnixTime(1_800_000_000)).unwrap();
    let clock = Some(1_800_000_000);
    assert_eq!(specimen.profile(5).unwrap(), firmware_fixtures::applets::molto2::Profile { clock, ..before });
    assert_eq!(specimen.profile(6).unwrap().clock, None);
    token.set_clock(UnixTime(1_900_000_000)).unwrap();
    assert!((0..100).all(|profile| specimen.profile(profile).unwrap().clock == Some(1_900_000_000)));
    let failure = error(token.set_clock(UnixTime(1 << 32)));
    assert_eq!(failure.to_string(), "now: the token's clock ends in the year 2106");
}

#[test]
fn a_token_that_guards_deletion_gets_its_key_when_it_asks() {
    let specimen = Molto2Specimen::new(Molto2Firmware::MOLTO2_V2_STRICT, "37806840");
    specimen.install("3", &Stored::totp(b"12345678901234567890"));
    let (log, mut token) = open(&specimen);
    log.take();
    assert!(matches!(error(token.erase(&SlotId::Index(3), &Unattended)), Error::Locked));
    assert_eq!(log.take(), ["80E6000300"]);
    token.unlock(&code("TOKEN2MOLTO1-KEY")).unwrap();
    log.take();
    token.erase(&SlotId::Index(3), &Unattended).unwrap();
    // The token has seen the key in this very session.
    assert_eq!(log.take(), ["80E6000300"]);
    let (log, mut token) = unlocked(&specimen);
    specimen.card().reset();
    let failure = error(token.erase(&SlotId::Index(3), &Unattended));
    assert!(matches!(failure, Error::SlotEmpty { slot } if slot == "3"));
    assert_eq!(log.take(), ["80E6000300", "804B080000", "80CE000010", "80E6000300"]);
}

#[test]
fn a_reset_is_waited_for() {
    for (human, expected) in [
        (Human::TouchesAtOnce, Ok(0)),
        (Human::TouchesAfter(Duration::from_secs(5)), Ok(6)),
        (Human::NeverTouches, Err(60)),
    ] {
        let specimen = specimen();
        specimen.install("42", &Stored::totp(b"12345678901234567890"));
        specimen.set_lock_code(Some(b"0123456789abcdef"));
        specimen.card().set_human(human);
        let (_, mut token) = open(&specimen);
        let watcher = Watcher::default();
        let result = token.reset(&watcher);
        let waited = specimen.card().waited().as_secs();
        assert_eq!(watcher.prompts.get(), 1);
        assert_eq!(specimen.card().touch_requests(), 1);
        match (result, expected) {
            (Ok(()), Ok(seconds)) => {
                assert_eq!((waited, specimen.stored()), (seconds, Vec::new()));
                assert_eq!(specimen.lock_code().as_deref(), Some(Molto2Specimen::FACTORY_CODE));
            }
            (Err(Error::TouchTimedOut), Err(seconds)) => {
                assert_eq!((waited, specimen.stored().len()), (seconds, 1));
                assert_eq!(specimen.lock_code().as_deref(), Some(&b"0123456789abcdef"[..]));
            }
            (result, expected) => panic!("{human:?}: {result:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_title_shows_a_reset_as_well_and_an_empty_token_shows_none() {
    let titled = specimen();
    titled.reach(|token| token.profile_mut(50).unwrap().title[0] = b'x').unwrap();
    titled.card().set_human(Human::TouchesAfter(Duration::from_secs(3)));
    open(&titled).1.reset(&Unattended).unwrap();
    assert_eq!(
        (titled.card().waited().as_secs(), titled.profile(50).unwrap().title_text()),
        (4, String::new())
    );

    // What tokens are sold with may be there again after a reset, so it shows nothing.
    let sold = specimen();
    sold.reach(|token| token.profile_mut(0).unwrap().title[..6].copy_from_slice(b"Token2")).unwrap();
    for token in [sold, specimen()] {
        token.card().set_human(Human::NeverTouches);
        let watcher = Watcher::default();
        open(&token).1.reset(&watcher).unwrap();
        assert_eq!((token.card().waited(), watcher.prompts.get()), (Duration::ZERO, 1));
    }
}

#[test]
fn waiting_for_a_reset_can_be_cancelled() {
    let specimen = specimen();
    specimen.install("0", &Stored::totp(b"12345678901234567890"));
    specimen.card().set_human(Human::NeverTouches);
    let (log, mut token) = open(&specimen);
    log.take();
    // Asked before and in each visit: to find what shows it, to ask for it, and to look three times.
    let failure = error(token.reset(&Watcher::cancelling_at(2 + 2 + 6)));
    assert!(matches!(failure, Error::Cancelled), "{failure}");
    assert_eq!(log.take(), ["8041000001", "8056000000", "8041000001", "8041000001", "8041000001"]);
}

#[test]
fn a_call_is_cancelled_until_it_writes() {
    // Asked before the visit and before each exchange.
    for (question, exchanges) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
        let specimen = specimen();
        let (log, mut token) = unlocked(&specimen);
        let failure = error(token.program(&SlotId::Index(0), &totp(30), &Watcher::cancelling_at(question)));
        assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Cancelled)));
        assert_eq!((log.take().len(), specimen.stored()), (exchanges, Vec::new()));
    }
    let specimen = specimen();
    let (_, mut token) = unlocked(&specimen);
    token.program(&SlotId::Index(0), &totp(30), &Watcher::cancelling_at(4)).unwrap();
}

#[test]
fn an_answer_to_the_challenge_is_never_sent_twice() {
    for (at, expected) in [(0, 4 + 1), (1, 2), (2, 3)] {
        let specimen = specimen();
        let (log, mut token) = unlocked(&specimen);
        specimen.card().plan(Fault { at, kind: FaultKind::Reset });
        let result = token.program(&SlotId::Index(0), &totp(30), &Unattended);
        assert_eq!(log.take().len(), expected, "reset at {at}");
        assert_eq!(result.is_ok(), at == 0, "reset at {at}");
        if let Err(failure) = result {
            assert!(matches!(failure.source, Error::Transport(TransportError::Reset)), "{failure}");
        }
    }
}

#[test]
fn a_challenge_of_another_length_is_not_answered() {
    let specimen = specimen();
    let shorten = |command: &[u8], mut answer: Vec<u8>| {
        if command[1] == 0x4B {
            answer.remove(0);
        }
        answer
    };
    let (log, mut token) = tap::open_altered("molto2", specimen.card(), shorten);
    log.take();
    let failure = error(token.unlock(&code("TOKEN2MOLTO1-KEY")));
    assert_eq!(failure.to_string(), "GET CHALLENGE: malformed reply: challenge has not 8 bytes at byte 7");
    assert_eq!((log.take(), attempts(&specimen)), (vec!["804B080000".to_owned()], 8));
}

#[test]
fn what_is_refused_changes_nothing_and_what_may_have_changed_is_unknown() {
    // SET TITLE, SET CONFIG, SET SEED are exchanges 2, 3, 4.
    for (at, kind, expected) in [
        (2, FaultKind::Status(0x6A80), SlotState::Unchanged),
        (2, FaultKind::UnplugAfter, SlotState::Unchanged),
        (3, FaultKind::Status(0x6A80), SlotState::Unchanged),
        (3, FaultKind::Status(0x6F00), SlotState::Unknown),
        (3, FaultKind::UnplugBefore, SlotState::Unknown),
        (4, FaultKind::Status(0x6A80), SlotState::Unknown),
        (4, FaultKind::UnplugAfter, SlotState::Unknown),
    ] {
        let specimen = specimen();
        specimen.install("0", &Stored::totp(b"the old secret 12345"));
        let before = specimen.stored();
        let (_, mut token) = unlocked(&specimen);
        specimen.card().plan(Fault { at, kind });
        let config = SlotConfig { label: Some("new".to_owned()), digits: 8, ..totp(30) };
        let failure = error(token.program(&SlotId::Index(0), &config, &Unattended));
        assert_eq!(failure.slot, expected, "{kind:?} at {at}: {failure}");
        if expected == SlotState::Unchanged {
            assert_eq!(specimen.stored(), before, "{kind:?} at {at}");
        }
    }
}

#[test]
fn only_readers_of_that_name_are_asked() {
    let driver = DRIVERS.iter().find(|driver| driver.name() == "molto2").unwrap();
    for (reader, expected) in [
        ("TOKEN2 Molto2 [CCID Interface] 00 00", true),
        ("Token2 PIN+R3 00 00", false),
        ("TOKEN2 FIDO2 Security Key 00 00", false),
        ("TOKEN2 MFA NFC Reader 00 00", false),
    ] {
        let candidate =
            Candidate::Card { reader: reader.to_owned(), atr: vec![0x3B, 0x80, 0x01, 0x81], insertion: 1 };
        assert_eq!(driver.matches(&candidate), expected, "{reader}");
        // A SELECT for somebody else's applet resets a Molto2.
        let others: Vec<_> = DRIVERS.iter().filter(|other| other.matches(&candidate)).collect();
        assert!(!expected || others.len() == 1, "{reader}");
    }
}

#[test]
fn whatever_else_answers_in_such_a_reader_is_left_alone() {
    for answer in [&[0x6D, 0x00][..], &[0x90, 0x00], &[0, 0, 0, 2, b'1', 0x90, 0x00]] {
        let connection = Connection::Card(Box::new(Babble::new(vec![answer.to_vec()])));
        let driver = DRIVERS.iter().find(|driver| driver.name() == "molto2").unwrap();
        let candidate = Candidate::Card { reader: "Molto2".to_owned(), atr: Vec::new(), insertion: 1 };
        assert!(driver.open(&candidate, connection).unwrap().is_none(), "{answer:02X?}");
    }
}

/// Answers as the token gives them, and nonsense.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let info = Just(b"\0\0\0\x0837806840\0\0\x65\x53\xF1\0".to_vec());
    let profile = (any::<[u8; 16]>(), any::<[u8; 12]>())
        .prop_map(|(title, rest)| [&[0x95, 0x1F, 0x70, 0x1D, 0x20][..], &title, &rest].concat());
    let data = prop_oneof![info, profile, Just(Vec::new()), vec(any::<u8>(), 8), vec(any::<u8>(), 0..40)];
    let status =
        prop_oneof![8 => Just(vec![0x90, 0x00]), 1 => Just(vec![0x90, 0x60]), 1 => vec(any::<u8>(), 0..3)];
    (data, status).prop_map(|(data, status)| [data, status].concat())
}

proptest! {
    #[test]
    fn no_device_can_make_it_panic(said in vec(said(), 0..60)) {
        let candidate = Candidate::Card { reader: "Molto2".to_owned(), atr: Vec::new(), insertion: 1 };
        let driver = DRIVERS.iter().find(|driver| driver.name() == "molto2").unwrap();
        let opening = [b"\0\0\0\x0837806840\0\0\x65\x53\xF1\0\x90\x00".to_vec(), vec![0x6A, 0x86]];
        let connection = Connection::Card(Box::new(Babble::new([&opening[..], &said].concat())));
        let Ok(Some(mut token)) = driver.open(&candidate, connection) else { return Ok(()) };
        let slot = SlotId::Index(3);
        let _ = token.unlock(&code("TOKEN2MOLTO1-KEY"));
        let _ = token.program(&slot, &totp(30), &Unattended);
        let _ = token.set_lock_code(Some(&code("0123456789abcdef")));
        let _ = token.erase(&slot, &Unattended);
        let _ = token.set_clock(UnixTime(1));
        let _ = token.slots();
        let _ = token.reset(&Unattended);
    }
}
