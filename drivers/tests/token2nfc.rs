//! What is peculiar to the single-profile tokens: which models are written to, what a configuration takes along,
//! and what is never sent twice.

use firmware_fixtures::credential::Hash;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::single_profile::{SingleProfileModel, SingleProfileSpecimen};
use firmware_fixtures::specimen::{Specimen, Stored};
use fobd_drivers::DRIVERS;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{
    Algorithm, FactorConfig, Kind, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, SlotInfo, Token,
    Unattended, UnixTime,
};
use fobd_drivers::transport::{Candidate, Connection, TransportError};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::babble::Babble;
use crate::bench::{Watcher, error, totp};
use crate::tap::{self, Log};

const SLOT: SlotId = SlotId::Index(0);
const AUTHENTICATION: [&str; 2] = ["804B080001", "80CE000010"];

fn open(model: SingleProfileModel) -> (SingleProfileSpecimen, Log, Box<dyn Token>) {
    let specimen = SingleProfileSpecimen::new(model, 42);
    let (log, token) = tap::open("token2nfc", specimen.card());
    log.take();
    (specimen, log, token)
}

/// What a server knows of a slot.
fn held(algorithm: Option<Algorithm>, time_step: Option<u32>) -> SlotInfo {
    SlotInfo {
        slot: SLOT,
        in_use: true,
        kind: Some(Kind::Totp),
        algorithm,
        digits: Some(6),
        time_step,
        touch: None,
    }
}

#[test]
fn no_call_takes_more_exchanges_than_it_needs() {
    let specimen = SingleProfileSpecimen::new(SingleProfileModel::OTPC_P2, 42);
    let (log, mut token) = tap::open("token2nfc", specimen.card());
    assert_eq!(log.take(), ["8041000002"]);
    token.program(&SLOT, &totp(30), &Unattended).unwrap();
    assert_eq!(log.take(), [&AUTHENTICATION[..], &["84D4000017", "84C5010024"]].concat());
    token.erase(&SLOT, &Unattended).unwrap();
    assert_eq!(log.take(), [&["8041000002"], &AUTHENTICATION[..], &["84D4000017"]].concat());
    assert!(matches!(error(token.slots()), Error::Unsupported { .. }));
    assert!(matches!(
        error(token.calculate(&SLOT, MovingFactor::TimeStep(1), &Unattended)),
        Error::Unsupported { .. }
    ));
    assert!(matches!(error(token.reset(&Unattended)), Error::Unsupported { .. }));
    let code = LockCode::new(b"0123456789abcdef".to_vec());
    assert!(matches!(error(token.set_lock_code(Some(&code))), Error::Unsupported { .. }));
    token.unlock(&code).unwrap();
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn every_model_is_told_by_its_serial() {
    for model in SingleProfileModel::ALL {
        let (specimen, _, token) = open(model);
        let info = token.info();
        assert_eq!(info.model.to_lowercase(), model.model);
        assert_eq!(info.serial, specimen.serial());
        assert!(info.capabilities.totp && !info.capabilities.hotp);
    }
}

#[test]
fn an_unknown_model_is_shown_and_never_written_to() {
    let (specimen, log, mut token) = open(SingleProfileModel::UNKNOWN);
    let info = token.info();
    assert_eq!((info.model.as_str(), info.serial.as_deref()), ("unknown model", Some("86596990000042")));
    assert!(!info.capabilities.totp);
    let message = "this token cannot do being written to: a known model; these commands damage others";
    let failure = error(token.program(&SLOT, &totp(30), &Unattended));
    assert_eq!((failure.slot, failure.to_string().as_str()), (SlotState::Unchanged, message));
    for failure in [
        error(token.erase(&SLOT, &Unattended)),
        error(token.set_clock(UnixTime(1))),
        error(token.set_clock_of(&held(Some(Algorithm::Sha1), Some(30)), UnixTime(1))),
    ] {
        assert_eq!(failure.to_string(), message);
    }
    assert_eq!((log.take(), specimen.stored()), (Vec::new(), Vec::new()));
}

#[test]
fn everything_that_is_written_arrives() {
    for model in SingleProfileModel::ALL {
        let (specimen, _, mut token) = open(model);
        let config = SlotConfig {
            factor: FactorConfig::Totp { time_step: 60 },
            algorithm: Algorithm::Sha256,
            ..totp(30)
        };
        token.program(&SLOT, &config, &Unattended).unwrap();
        let written =
            specimen.reach(|token| (token.hash, token.time_step(), token.clock, token.display_timeout));
        assert_eq!(written, Some((Hash::Sha256, 60, 1_700_000_000, 1)), "{model:?}");
        assert_eq!(specimen.stored().len(), 1);
        token.program(&SLOT, &totp(30), &Unattended).unwrap();
        assert_eq!(specimen.stored(), [("0".to_owned(), Stored::totp(b"12345678901234567890"))]);
        assert_eq!(specimen.read_off("0", 59).as_deref(), Some("287082"));
    }
}

#[test]
fn short_secrets_are_filled_up_and_long_ones_hashed() {
    let (specimen, log, mut token) = open(SingleProfileModel::C302);
    // HOTP of counter 0, by Python's hmac.
    for (length, stored, passcode) in
        [(1, 20, "575999"), (13, 20, "265811"), (63, 63, ""), (65, 20, "536468")]
    {
        let config = SlotConfig { secret: SecretBytes::new(vec![b'A'; length]), ..totp(30) };
        token.program(&SLOT, &config, &Unattended).unwrap();
        assert_eq!(specimen.reach(|token| token.seed.as_ref().map(Vec::len)), Some(Some(stored)));
        let read = specimen.read_off("0", 0).unwrap();
        assert!(passcode.is_empty() || read == passcode, "{length} bytes: {read}");
    }
    log.take();
    let config = SlotConfig { secret: SecretBytes::new(vec![7; 64]), ..totp(30) };
    let failure = error(token.program(&SLOT, &config, &Unattended));
    assert!(matches!(failure.source, Error::Unsupported { .. }), "{failure}");
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn a_clock_is_never_set_where_it_takes_the_secret_along() {
    let now = UnixTime(1_800_000_000);
    for model in SingleProfileModel::ALL {
        let (specimen, log, mut token) = open(model);
        token.program(&SLOT, &SlotConfig { algorithm: Algorithm::Sha256, ..totp(60) }, &Unattended).unwrap();
        let before = specimen.stored();
        log.take();
        let results =
            [token.set_clock(now), token.set_clock_of(&held(Some(Algorithm::Sha256), Some(60)), now)];
        for result in results {
            match result {
                Ok(()) => assert!(model.keeps_seed, "{model:?}"),
                Err(failure) => {
                    assert!(!model.keeps_seed, "{model:?}");
                    let message = "this token cannot do set_clock: a model that keeps its secret then; \
                                   this one has to be programmed again";
                    assert_eq!(failure.to_string(), message);
                }
            }
        }
        assert_eq!(specimen.stored(), before, "{model:?}");
        let expected = if model.keeps_seed { (1_800_000_000, 6) } else { (1_700_000_000, 0) };
        assert_eq!((specimen.reach(|token| token.clock).unwrap(), log.take().len()), expected, "{model:?}");
    }
}

#[test]
fn a_clock_is_not_set_without_knowing_what_goes_with_it() {
    let (specimen, log, mut token) = open(SingleProfileModel::C302);
    specimen.install("0", &Stored { time_step: Some(60), ..Stored::totp(b"12345678901234567890") });
    let now = UnixTime(1_800_000_000);
    let failure = error(token.set_clock(now));
    let message = "this token cannot do set_clock: its hash and time step: \
                   they are written with the clock, and it does not tell them";
    assert_eq!(failure.to_string(), message);
    for (held, field) in [
        (held(None, Some(60)), "algorithm"),
        (held(Some(Algorithm::Sha1), None), "time_step"),
        (SlotInfo { slot: SlotId::Index(1), ..held(Some(Algorithm::Sha1), Some(60)) }, "slot"),
    ] {
        let failure = error(token.set_clock_of(&held, now));
        assert!(matches!(failure, Error::Invalid { field: told, .. } if told == field), "{failure}");
    }
    assert_eq!(log.take(), [""; 0]);
    token.set_clock_of(&held(Some(Algorithm::Sha1), Some(60)), now).unwrap();
    assert_eq!(specimen.read_off("0", 119).as_deref(), Some("287082"));
    assert_eq!(specimen.reach(|token| token.clock), Some(1_800_000_000));
}

#[test]
fn erasing_leaves_the_clock_and_is_refused_where_it_cannot_be_done() {
    let (specimen, _, mut token) = open(SingleProfileModel::OTPC_P2);
    token.program(&SLOT, &totp(30), &Unattended).unwrap();
    specimen.reach(|token| token.clock = 1_750_000_000).unwrap();
    token.erase(&SLOT, &Unattended).unwrap();
    assert_eq!((specimen.stored(), specimen.reach(|token| token.clock)), (Vec::new(), Some(1_750_000_000)));

    let (specimen, log, mut token) = open(SingleProfileModel::C302);
    token.program(&SLOT, &totp(30), &Unattended).unwrap();
    log.take();
    let failure = error(token.erase(&SLOT, &Unattended));
    let message = "this token cannot do erase: another secret over this one; nothing else removes it";
    assert_eq!((failure.to_string().as_str(), log.take().len()), (message, 0));
    assert_eq!(specimen.stored().len(), 1);
}

#[test]
fn a_token_that_refused_an_answer_is_given_no_other() {
    let specimen = SingleProfileSpecimen::new(SingleProfileModel::OTPC_P2_BEFORE_2025, 42);
    let spoil = |command: &[u8], mut answer: Vec<u8>| {
        if command[1] == 0x4B {
            answer[0] ^= 1;
        }
        answer
    };
    let (log, mut token) = tap::open_altered("token2nfc", specimen.card(), spoil);
    log.take();
    let message = "ANSWER CHALLENGE refused: 6983 (authentication method blocked)";
    for exchanges in [2, 0, 0] {
        let failure = error(token.program(&SLOT, &totp(30), &Unattended));
        assert_eq!((failure.slot, failure.to_string().as_str()), (SlotState::Unchanged, message));
        assert_eq!(log.take().len(), exchanges);
    }
    assert_eq!(error(token.erase(&SLOT, &Unattended)).to_string(), message);
    assert_eq!(specimen.reach(|token| token.locked), Some(true));
}

#[test]
fn a_challenge_of_another_length_is_not_answered() {
    let specimen = SingleProfileSpecimen::new(SingleProfileModel::OTPC_P2_BEFORE_2025, 42);
    for (cut, bytes) in [(true, 7), (false, 8)] {
        let alter: tap::Alter = if cut {
            |command, mut answer| {
                if command[1] == 0x4B {
                    answer.remove(0);
                }
                answer
            }
        } else {
            |command, mut answer| {
                if command[1] == 0x4B {
                    answer.insert(0, 0);
                }
                answer
            }
        };
        let (log, mut token) = tap::open_altered("token2nfc", specimen.card(), alter);
        log.take();
        let failure = error(token.program(&SLOT, &totp(30), &Unattended));
        let message = format!("GET CHALLENGE: malformed reply: challenge has not 8 bytes at byte {bytes}");
        assert_eq!((failure.to_string(), log.take().len()), (message, 1));
    }
    assert_eq!(specimen.reach(|token| token.locked), Some(false));
}

#[test]
fn a_configuration_that_ends_the_session_is_followed_by_another_answer() {
    let (specimen, log, mut token) = open(SingleProfileModel::OTPC_P2);
    // SET SEED is the fourth exchange: refused as if the token had forgotten its host.
    specimen.card().plan(Fault { at: 3, kind: FaultKind::Status(0x6983) });
    token.program(&SLOT, &totp(30), &Unattended).unwrap();
    let writing = ["84D4000017", "84C5010024"];
    let expected = [&AUTHENTICATION[..], &writing, &AUTHENTICATION, &["84C5010024"]].concat();
    assert_eq!((log.take(), specimen.stored().len()), (expected.iter().map(|&s| s.to_owned()).collect(), 1));
}

#[test]
fn a_card_taken_out_of_the_field_is_gone_and_what_it_holds_is_said() {
    for (at, kind, state, holds) in [
        (0, FaultKind::UnplugBefore, SlotState::Unchanged, Some("old")),
        (1, FaultKind::UnplugAfter, SlotState::Unchanged, Some("old")),
        (2, FaultKind::UnplugBefore, SlotState::Unknown, Some("old")),
        (2, FaultKind::UnplugAfter, SlotState::Unknown, None),
        (3, FaultKind::UnplugBefore, SlotState::Unknown, None),
        (3, FaultKind::UnplugAfter, SlotState::Unknown, Some("new")),
    ] {
        let (specimen, _, mut token) = open(SingleProfileModel::OTPC_P2);
        specimen.install("0", &Stored::totp(b"old"));
        specimen.card().plan(Fault { at, kind });
        let config = SlotConfig { secret: SecretBytes::new(b"new".to_vec()), ..totp(30) };
        let failure = error(token.program(&SLOT, &config, &Unattended));
        assert!(matches!(failure.source, Error::Transport(TransportError::Gone { .. })), "{failure}");
        let stored = specimen.stored().pop().map(|(_, stored)| String::from_utf8(stored.secret).unwrap());
        assert_eq!((failure.slot, stored.as_deref()), (state, holds), "{kind:?} at {at}");
    }
}

#[test]
fn a_call_is_cancelled_until_it_writes() {
    for (question, exchanges) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
        let (specimen, log, mut token) = open(SingleProfileModel::OTPC_P2);
        let failure = error(token.program(&SLOT, &totp(30), &Watcher::cancelling_at(question)));
        assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Cancelled)));
        assert_eq!((log.take().len(), specimen.stored()), (exchanges, Vec::new()));
    }
    let (_, _, mut token) = open(SingleProfileModel::OTPC_P2);
    token.program(&SLOT, &totp(30), &Watcher::cancelling_at(4)).unwrap();
}

#[test]
fn another_card_in_the_field_is_left_alone_after_one_exchange() {
    use firmware_fixtures::{card::VirtualCard, chip::Chip};
    let face = SingleProfileModel::OTPC_P2.face();
    let card = VirtualCard::with_chip(Chip::with_applets(face, Vec::new()), "1");
    let (log, opened) = tap::try_open("token2nfc", &card, |_, answer| answer);
    assert!(opened.unwrap().is_none());
    assert_eq!(log.take(), ["8041000002"]);
}

#[test]
fn a_token_that_other_drivers_asked_first_is_still_itself() {
    // The server asks every driver that wants the card, in order.
    let specimen = SingleProfileSpecimen::new(SingleProfileModel::OTPC_P2, 42);
    let candidate = {
        let bus = firmware_fixtures::attach::VirtualBus::new();
        bus.attach(specimen.card());
        bus.candidates().remove(0)
    };
    let wanting: Vec<_> =
        DRIVERS.iter().filter(|driver| driver.matches(&candidate)).map(|driver| driver.name()).collect();
    assert!(wanting.contains(&"ykoath"), "{wanting:?}");
    for driver in wanting {
        let (_, opened) = tap::try_open(driver, specimen.card(), |_, answer| answer);
        assert_eq!(opened.unwrap().is_some(), driver == "token2nfc", "{driver}");
    }
}

/// Answers as the token gives them, and nonsense.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let info = Just(b"\0\0\0\x0e86596320000042\0\0\x65\x53\xF1\0".to_vec());
    let data = prop_oneof![info, Just(Vec::new()), vec(any::<u8>(), 8), vec(any::<u8>(), 0..40)];
    let status =
        prop_oneof![8 => Just(vec![0x90, 0x00]), 1 => Just(vec![0x69, 0x83]), 1 => vec(any::<u8>(), 0..3)];
    (data, status).prop_map(|(data, status)| [data, status].concat())
}

proptest! {
    #[test]
    fn no_device_can_make_it_panic(said in vec(said(), 0..40), known in any::<bool>()) {
        let candidate = Candidate::Card { reader: "nfc".to_owned(), atr: Vec::new(), insertion: 1 };
        let driver = DRIVERS.iter().find(|driver| driver.name() == "token2nfc").unwrap();
        let opening = if known { b"\0\0\0\x0e86596320000042\0\0\x65\x53\xF1\0\x90\x00".to_vec() } else { vec![] };
        let connection = Connection::Card(Box::new(Babble::new([&[opening][..], &said].concat())));
        let Ok(Some(mut token)) = driver.open(&candidate, connection) else { return Ok(()) };
        let _ = token.program(&SLOT, &totp(30), &Unattended);
        let _ = token.set_clock(UnixTime(1));
        let _ = token.set_clock_of(&held(Some(Algorithm::Sha1), Some(30)), UnixTime(1));
        let _ = token.erase(&SLOT, &Unattended);
        let _ = token.slots();
    }
}
