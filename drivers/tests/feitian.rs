//! What is peculiar to Feitian's applet: the exchanges of a real A9-3301, the two other generations, touches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_fixtures::applets::feitian::{FeitianSpecimen, Model};
use firmware_fixtures::card::Human;
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::specimen::Specimen;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::feitian::FeitianDriver;
use fobd_drivers::token::{
    Addressing, Algorithm, Driver, FactorConfig, Kind, LockCode, MovingFactor, SecretBytes, SlotConfig,
    SlotId, SlotInfo, Token, Unattended,
};
use fobd_drivers::transport::{
    Candidate, CardConnection, CardTransaction, Connection, HidCandidate, Interface, TransportError,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::babble::Babble;
use crate::bench::{Watcher, error};
use crate::suite::{InProcess, Subject, config};

const SEED: &[u8] = b"12345678901234567890";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn candidate() -> Candidate {
    let reader = "FT U2F CCID KB [CCID] 00 00".to_owned();
    Candidate::Card { reader, atr: Model::A9.atr.to_vec(), insertion: 1 }
}

/// Commands and the responses to them.
type Steps = Arc<Mutex<VecDeque<(Vec<u8>, Vec<u8>)>>>;

/// Expects these commands and gives these responses, in order.
struct Player(Steps);

impl Player {
    /// Reads lines of `> command` and `< response`. `#` begins a comment.
    fn new(script: &str) -> (Self, Steps) {
        let mut lines = script.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let mut steps = VecDeque::new();
        while let Some(line) = lines.next() {
            let Some(command) = line.strip_prefix('>') else { continue };
            let response = lines.next().and_then(|line| line.strip_prefix('<')).expect("no response");
            steps.push_back((hex(command), hex(response)));
        }
        let steps = Arc::new(Mutex::new(steps));
        (Self(Arc::clone(&steps)), steps)
    }
}

impl CardConnection for Player {
    fn interface(&self) -> Interface {
        Interface::Contact
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        Ok(Box::new(Playing(self)))
    }
}

struct Playing<'a>(&'a mut Player);

impl CardTransaction for Playing<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let (expected, response) = self.0.0.lock().unwrap().pop_front().expect("one command too many");
        let shown = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(shown(command), shown(&expected));
        Ok(response)
    }
}

/// Opens the player, works, and checks that everything was said.
fn play(script: &str, work: impl FnOnce(&mut dyn Token)) {
    let (player, steps) = Player::new(script);
    let mut token =
        FeitianDriver.open(&candidate(), Connection::Card(Box::new(player))).unwrap().expect("no token");
    work(&mut *token);
    assert!(steps.lock().unwrap().is_empty(), "something was left unsaid");
}

fn written(token: &dyn Token, label: &str, factor: FactorConfig, digits: u8) -> SlotConfig {
    SlotConfig {
        factor,
        digits,
        touch: true,
        label: Some(label.to_owned()),
        ..config(&token.info().capabilities, Kind::Hotp)
    }
}

// token: Feitian A9-3301 (FT U2F CCID KB), applet 1.0.2   recorded: by the authors of go-feitian-oath, over CCID
// secrets: of the RFCs. Only the order is ours; the eight bytes of the id were left out of the recording.

#[test]
fn a_real_key_took_what_is_sent_for_hotp_and_was_understood() {
    let script = "
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 0009000033 531601100631323334353637383930313233343536373839305 10f726663343232362d746573742d3030 5c015c 5a0400000000
        < 9000
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 0009000033 531601100631323334353637383930313233343536373839305 10f726663343232362d746573742d3031 5c015c 5a0400000001
        < 9000";
    play(script, |token| {
        assert_eq!((token.info().model.as_str(), token.info().firmware.as_str()), ("A9-3301", "1.0.2"));
        for (label, counter) in [("rfc4226-test-00", 0), ("rfc4226-test-01", 1)] {
            let config = written(token, label, FactorConfig::Hotp { counter }, 6);
            token.program(&SlotId::Index(1), &config, &Unattended).unwrap();
        }
    });
}

#[test]
fn a_real_key_took_what_is_sent_for_totp_and_computed_the_passcode_of_the_rfc() {
    let script = "
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 0009000033 53160120083132333435363738393031323334353637383930 510f726663363233382d746573742d3031 5c015c 5a0400000000
        < 9000
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 00a200001b 54080000000000000001 510f726663363233382d746573742d3031
        < 5515 08 75a48a19d4cbe100644e8ac1397eea747a2d33ab 9000
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 00170000
        < 5210 21 726663363233382d746573742d3031 9000
        > 00170001
        < 9000
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 00070000
        < 9000";
    play(script, |token| {
        let config = written(token, "rfc6238-test-01", FactorConfig::Totp { time_step: 30 }, 8);
        token.program(&SlotId::Index(1), &config, &Unattended).unwrap();
        let passcode = token.calculate(&SlotId::Index(1), MovingFactor::TimeStep(1), &Unattended).unwrap();
        assert_eq!(passcode.expose(), "94287082");
        let slots = token.slots().unwrap();
        let told = SlotInfo {
            slot: SlotId::Index(1),
            in_use: true,
            kind: Some(Kind::Totp),
            algorithm: Some(Algorithm::Sha1),
            digits: Some(8),
            time_step: Some(30),
            touch: Some(true),
        };
        assert_eq!(slots[0], told);
        assert_eq!((slots.len(), slots[1].in_use), (2, false));
        token.reset(&Unattended).unwrap();
    });
}

#[test]
fn a_real_key_took_what_is_sent_for_sha_256() {
    let script = "
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 00a4040009d1560001328326010100
        < 5903010002 51080000000000000000 9000
        > 000900003f 5322022008 3132333435363738393031323334353637383930313233343536373839303132 510f726663363233382d746573742d3032 5c015c 5a0400000000
        < 9000";
    play(script, |token| {
        let config = SlotConfig {
            algorithm: Algorithm::Sha256,
            secret: SecretBytes::new(b"12345678901234567890123456789012".to_vec()),
            ..written(token, "rfc6238-test-02", FactorConfig::Totp { time_step: 30 }, 8)
        };
        token.program(&SlotId::Index(1), &config, &Unattended).unwrap();
    });
}

fn on<T>(specimen: &FeitianSpecimen, work: impl FnOnce(&Subject<'_>) -> T) -> T {
    let mut socket = InProcess;
    work(&Subject::new("feitian", specimen, &mut socket))
}

fn slot(name: &str) -> SlotId {
    SlotId::Name(name.to_owned())
}

fn hotp(token: &dyn Token) -> SlotConfig {
    config(&token.info().capabilities, Kind::Hotp)
}

fn totp(token: &dyn Token, time_step: u32) -> SlotConfig {
    let factor = FactorConfig::Totp { time_step };
    SlotConfig { factor, ..config(&token.info().capabilities, Kind::Totp) }
}

fn calculate(token: &mut dyn Token, slot: &SlotId, factor: MovingFactor) -> Result<String, Error> {
    token.calculate(slot, factor, &Unattended).map(|passcode| passcode.expose().to_owned())
}

#[test]
fn no_call_takes_more_exchanges_than_it_needs() {
    let specimen = FeitianSpecimen::card(Model::A9);
    on(&specimen, |subject| {
        let (exchanges, mut token) = subject.exchanges(|| subject.open());
        assert_eq!(exchanges, 1, "open: SELECT");
        let two = SlotId::Index(2);
        let mut count = |what: &str, expected: u64, work: &mut dyn FnMut(&mut dyn Token)| {
            let (exchanges, ()) = subject.exchanges(|| work(&mut *token));
            assert_eq!(exchanges, expected, "{what}");
        };
        count("slots: SELECT, LIST, LIST", 3, &mut |token| drop(token.slots().unwrap()));
        count("program: SELECT, PUT", 2, &mut |token| {
            token.program(&two, &hotp(token), &Unattended).unwrap();
        });
        count("calculate: SELECT, CALCULATE", 2, &mut |token| {
            assert_eq!(calculate(token, &two, MovingFactor::OnToken).unwrap(), "755224");
        });
        count("erase: SELECT, LIST, DELETE", 3, &mut |token| token.erase(&two, &Unattended).unwrap());
        count("reset: SELECT, RESET", 2, &mut |token| token.reset(&Unattended).unwrap());
    });
    let specimen = FeitianSpecimen::card(Model::EPASS);
    on(&specimen, |subject| {
        let (exchanges, mut token) = subject.exchanges(|| subject.open());
        assert_eq!(exchanges, 2, "open: SELECT, LIST");
        let (exchanges, ()) =
            subject.exchanges(|| token.program(&slot("a"), &hotp(&*token), &Unattended).unwrap());
        assert_eq!(exchanges, 3, "program: SELECT, LIST, PUT");
    });
    let specimen = FeitianSpecimen::hyperfido();
    on(&specimen, |subject| {
        // Reports: a message each way. PUT fits one; what SELECT answers as well.
        let (exchanges, mut token) = subject.exchanges(|| subject.open());
        assert_eq!(exchanges, 4, "open: INIT, SELECT");
        let (exchanges, ()) =
            subject.exchanges(|| token.program(&SlotId::Index(1), &hotp(&*token), &Unattended).unwrap());
        assert_eq!(exchanges, 4, "program: SELECT, PUT");
    });
}

#[test]
fn a_counter_is_written_where_a_client_writes_one() {
    let specimen = FeitianSpecimen::card(Model::A9);
    on(&specimen, |subject| {
        let mut token = subject.open();
        let config = SlotConfig { factor: FactorConfig::Hotp { counter: 5 }, ..hotp(&*token) };
        token.program(&SlotId::Index(1), &config, &Unattended).unwrap();
        assert_eq!(calculate(&mut *token, &SlotId::Index(1), MovingFactor::OnToken).unwrap(), "254676");
    });
    for specimen in [FeitianSpecimen::card(Model::EPASS), FeitianSpecimen::hyperfido()] {
        on(&specimen, |subject| {
            let mut token = subject.open();
            let place = match token.info().capabilities.addressing {
                Addressing::Named => slot("a"),
                Addressing::Numbered { .. } => SlotId::Index(1),
            };
            let config = SlotConfig { factor: FactorConfig::Hotp { counter: 1 }, ..hotp(&*token) };
            let (exchanges, refused) = subject.exchanges(|| token.program(&place, &config, &Unattended));
            assert_eq!(
                (exchanges, error(refused).to_string().as_str()),
                (0, "counter: the token starts at 0")
            );
        });
    }
}

#[test]
fn a_name_is_one_slot_whatever_its_time_step() {
    let specimen = FeitianSpecimen::card(Model::EPASS);
    on(&specimen, |subject| {
        let mut token = subject.open();
        let bob = slot("Acme:bob");
        for (written, stored) in [
            (totp(&*token, 30), "30:Acme_#_bob"),
            (totp(&*token, 60), "60:Acme_#_bob"),
            (hotp(&*token), "Acme_#_bob"),
        ] {
            token.program(&bob, &written, &Unattended).unwrap();
            let names: Vec<String> = specimen.with(|applet| {
                applet.credentials().1.iter().map(|credential| credential.name().into_owned()).collect()
            });
            assert_eq!(names, [stored]);
            assert_eq!(token.slots().unwrap()[0].slot, bob);
        }
        // Another program wrote it once more, with another time step.
        specimen.with(|applet| applet.install(None, Credential::totp("60:Acme_#_bob", SEED)));
        let mut afresh = subject.open();
        let told = afresh.slots().unwrap();
        assert_eq!((told.len(), &told[0].slot, told[0].kind), (1, &bob, None));
        let failure = error(calculate(&mut *afresh, &bob, MovingFactor::OnToken));
        assert_eq!(failure.to_string(), "slot: it holds several credentials; write or erase it");
        afresh.erase(&bob, &Unattended).unwrap();
        assert_eq!(specimen.stored(), []);
    });
}

#[test]
fn names_of_other_programs_keep_apart() {
    let specimen = FeitianSpecimen::card(Model::EPASS);
    let odd = Credential { name: vec![0xFF], ..Credential::hotp("", SEED, 0) };
    for credential in [Credential::totp("plain", SEED), Credential::hotp("30:x", SEED, 0), odd] {
        specimen.with(|applet| applet.install(None, credential));
    }
    on(&specimen, |subject| {
        let mut token = subject.open();
        let told: Vec<_> =
            token.slots().unwrap().iter().map(|told| (told.slot.to_string(), told.time_step)).collect();
        let expected = [("plain", Some(30)), ("0x33303a78", None), ("0xff", None)];
        assert_eq!(told, expected.map(|(name, step)| (name.to_owned(), step)));
        assert_eq!(calculate(&mut *token, &slot("plain"), MovingFactor::TimeStep(1)).unwrap(), "287082");
        assert_eq!(calculate(&mut *token, &slot("0xff"), MovingFactor::OnToken).unwrap(), "755224");
        token.erase(&slot("0x33303a78"), &Unattended).unwrap();
        assert_eq!(token.slots().unwrap().len(), 2);
    });
}

#[test]
fn a_full_key_says_so_and_long_lists_come_whole() {
    let specimen = FeitianSpecimen::card(Model::EPASS);
    let names: Vec<String> = (0..50).map(|number| format!("Issuer {number}:{}", "a".repeat(30))).collect();
    for name in &names {
        specimen.install(name, &firmware_fixtures::specimen::Stored::totp(SEED));
    }
    on(&specimen, |subject| {
        let mut token = subject.open();
        let told: Vec<String> = token.slots().unwrap().iter().map(|told| told.slot.to_string()).collect();
        assert_eq!(told, names);
        let failure = error(token.program(&slot("one more"), &hotp(&*token), &Unattended));
        assert!(matches!(failure.source, Error::Full), "{failure}");
        assert_eq!(failure.slot, SlotState::Unchanged);
    });
}

#[test]
fn a_touch_that_does_not_come_changes_nothing() {
    for specimen in [FeitianSpecimen::card(Model::EPASS), FeitianSpecimen::hyperfido()] {
        on(&specimen, |subject| {
            let mut token = subject.open();
            let place = match token.info().capabilities.addressing {
                Addressing::Named => slot("a"),
                Addressing::Numbered { .. } => SlotId::Index(1),
            };
            token.program(&place, &hotp(&*token), &Unattended).unwrap();
            let before = specimen.stored();
            subject.door.set_human(Human::NeverTouches);
            let watcher = Watcher::default();
            let failure = error(token.program(&place, &hotp(&*token), &watcher));
            assert!(matches!(failure.source, Error::TouchTimedOut), "{failure}");
            assert_eq!((failure.slot, watcher.prompts.get()), (SlotState::Unchanged, 1));
            assert!(matches!(token.erase(&place, &watcher), Err(Error::TouchTimedOut)));
            assert!(matches!(token.reset(&watcher), Err(Error::TouchTimedOut)));
            assert_eq!(specimen.stored(), before);
            subject.door.set_human(Human::TouchesAfter(Duration::from_secs(10)));
            token.reset(&Unattended).unwrap();
            assert_eq!(specimen.stored(), []);
        });
    }
}

#[test]
fn a_hyperfido_types_what_it_was_given() {
    let specimen = FeitianSpecimen::hyperfido();
    on(&specimen, |subject| {
        let mut token = subject.open();
        let one = SlotId::Index(1);
        let can = token.info().capabilities.clone();
        assert!(!can.calculates(Kind::Hotp) && !can.totp);
        assert!(matches!(token.erase(&one, &Unattended), Err(Error::SlotEmpty { .. })));
        assert_eq!(token.slots().unwrap().iter().map(|slot| slot.in_use).collect::<Vec<_>>(), [false]);
        // Shorter secrets are filled up, longer ones do not fit.
        let config = SlotConfig {
            secret: SecretBytes::new(b"1234567890".to_vec()),
            digits: 8,
            label: Some("alice in wonderland".to_owned()),
            ..hotp(&*token)
        };
        token.program(&one, &config, &Unattended).unwrap();
        let name = specimen.with(|applet| applet.credentials().0[0].as_ref().unwrap().name.clone());
        assert_eq!(name, b"aliceinw");
        // By Python's hmac: HOTP of counter 0, 8 digits.
        assert_eq!(specimen.read_off("1", 0).as_deref(), Some("58891490"));
        assert_eq!(token.slots().unwrap().iter().map(|slot| slot.in_use).collect::<Vec<_>>(), [true]);
        for length in [21, 64] {
            let secret = SecretBytes::new(vec![7; length]);
            let failure = error(token.program(&one, &SlotConfig { secret, ..hotp(&*token) }, &Unattended));
            assert_eq!(failure.to_string(), "secret: the token holds 20 bytes");
        }
        let secret = SecretBytes::new(vec![7; 65]);
        token.program(&one, &SlotConfig { secret, ..hotp(&*token) }, &Unattended).unwrap();
        token.erase(&one, &Unattended).unwrap();
        assert_eq!(specimen.stored(), []);
    });
}

#[test]
fn there_is_no_access_code() {
    on(&FeitianSpecimen::card(Model::A9), |subject| {
        let mut token = subject.open();
        let code = LockCode::new(b"1234".to_vec());
        let (exchanges, results) = subject
            .exchanges(|| [token.unlock(&code), token.set_lock_code(Some(&code)), token.set_lock_code(None)]);
        assert_eq!(exchanges, 0);
        for result in results {
            assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
        }
        // One that another program has set is told by a status.
        subject.door.plan(Fault { at: 1, kind: FaultKind::Status(0x6982) });
        assert!(matches!(token.slots(), Err(Error::Locked)));
        assert!(token.info().locked);
    });
}

#[test]
fn a_card_of_another_version_is_asked_where_its_credentials_are() {
    let slots = Model { version: [1, 0, 3], slots: 2, names: 0, ..Model::EPASS };
    let specimen = FeitianSpecimen::card(slots);
    on(&specimen, |subject| {
        subject.door.plan(Fault { at: 1, kind: FaultKind::Status(0x6700) });
        let token = subject.open();
        assert_eq!(token.info().capabilities.max_slots, Some(2));
    });
}

#[test]
fn an_hotp_passcode_that_was_lost_is_not_asked_for_again() {
    let specimen = FeitianSpecimen::card(Model::A9);
    on(&specimen, |subject| {
        let mut token = subject.open();
        let one = SlotId::Index(1);
        token.program(&one, &hotp(&*token), &Unattended).unwrap();
        subject.door.plan(Fault { at: 1, kind: FaultKind::Truncate(1) });
        assert!(matches!(calculate(&mut *token, &one, MovingFactor::OnToken), Err(Error::Transport(_))));
        assert_eq!(subject.stored(&one).unwrap().counter, 1);
        // A reset by another program, before: nothing was done, and it is done once.
        subject.door.plan(Fault { at: 0, kind: FaultKind::Reset });
        assert_eq!(calculate(&mut *token, &one, MovingFactor::OnToken).unwrap(), "287082");
    });
}

#[test]
fn interfaces_of_others_are_not_touched() {
    let hid = |vendor_id, product_id, usage| {
        FeitianDriver.matches(&Candidate::Hid(HidCandidate {
            path: "/dev/hidraw0".to_owned(),
            vendor_id,
            product_id,
            release: 0,
            usage_page: usage,
            usage: 1,
            interface: Some(1),
            serial: None,
            product: String::new(),
            attachment: 1,
        }))
    };
    assert!(hid(0x2CCF, 0x0854, 0xF1D0));
    assert!(hid(0x096E, 0x0854, 0xF1D0));
    assert!(!hid(0x2CCF, 0x0854, 0x0001), "its keyboard");
    assert!(!hid(0x096E, 0x0850, 0xF1D0), "another key of the maker");
    assert!(FeitianDriver.matches(&candidate()));
    let yubikey = "Yubico YubiKey OTP+FIDO+CCID 00 00".to_owned();
    assert!(!FeitianDriver.matches(&Candidate::Card { reader: yubikey, atr: Vec::new(), insertion: 1 }));
}

fn babble() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::sample::select(vec![0x51_u8, 0x52, 0x55, 0x59, 0x76]);
    let object = (tags, vec(any::<u8>(), 0..10))
        .prop_map(|(tag, value)| [&[tag, value.len() as u8], value.as_slice()].concat());
    let listed = Just(hex("52050165766531 520d21 33303a61")).boxed();
    let data =
        prop_oneof![vec(object, 0..4).prop_map(|objects| objects.concat()), listed, vec(any::<u8>(), 0..30)];
    let status =
        prop_oneof![8 => Just(vec![0x90, 0x00]), 1 => Just(vec![0x61, 0x10]), 1 => vec(any::<u8>(), 0..3)];
    (data, status).prop_map(|(data, status)| [data, status].concat())
}

proptest! {
    #[test]
    fn no_card_can_make_it_panic(two_slots: bool, said in vec(babble(), 0..40)) {
        let select = hex(if two_slots { "5903010002 9000" } else { "5903020000 9000" });
        let said: Vec<Vec<u8>> = [select].into_iter().chain(said).collect();
        if let Ok(Some(mut token)) = FeitianDriver.open(&candidate(), Connection::Card(Box::new(Babble::new(said)))) {
            let place = if two_slots { SlotId::Index(1) } else { slot("eve1") };
            let _ = token.slots();
            let _ = token.program(&place, &totp(&*token, 30), &Unattended);
            let _ = calculate(&mut *token, &place, MovingFactor::TimeStep(1));
            let _ = calculate(&mut *token, &place, MovingFactor::OnToken);
            let _ = token.erase(&place, &Unattended);
            let _ = token.reset(&Unattended);
        }
    }
}
