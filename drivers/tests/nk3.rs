//! What is peculiar to the Nitrokey 3, on both of its wires: bytes on the wire, the life of a PIN, entries that are
//! somebody else's business, touches, and which driver takes which card.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_fixtures::card::{Face, Human, VirtualCard};
use firmware_fixtures::chip::Chip;
use firmware_fixtures::credential::Hash;
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::nitrokey3::{Entry, EntryKind, Nitrokey3, Nitrokey3Specimen, SecretsFirmware, Wire};
use firmware_fixtures::specimen::{Door, Specimen};
use fobd_drivers::DRIVERS;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{Driver, LockCode, MovingFactor, SlotConfig, Token, Unattended};
use fobd_drivers::transport::{
    Bus, Candidate, CardConnection, CardTransaction, Connection, HidCandidate, HidConnection, Interface,
    TransportError,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bench::{Watcher, calculate, error, hotp, slot, totp};
use crate::suite::{InProcess, Socket};

const BOTH: [Wire; 2] = [Wire::Ccid, Wire::CtapHid];
const SEED: &[u8] = b"12345678901234567890";
const OTHER: &[u8] = b"the old secret 12345";

fn driver() -> &'static dyn Driver {
    *DRIVERS.iter().find(|driver| driver.name() == "nk3").unwrap()
}

/// A Nitrokey plugged in by one of its wires.
struct Desk {
    key: Nitrokey3,
    door: Door,
    bus: Box<dyn Bus>,
    candidate: Candidate,
}

fn desk(firmware: SecretsFirmware, wire: Wire) -> Desk {
    let key = Nitrokey3::new(firmware, [0x0A, 0xAD, 0xBE, 0xEF]);
    let door = Nitrokey3Specimen::new(&key, wire).door();
    let (bus, candidate) = InProcess.plug(&door);
    Desk { key, door, bus, candidate }
}

impl Desk {
    fn open(&self) -> Box<dyn Token> {
        driver().open(&self.candidate, self.bus.open(&self.candidate).unwrap()).unwrap().unwrap()
    }

    fn install(&self, entry: Entry) {
        self.key.with_app(|app| app.install(entry));
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        self.key.with_app(|app| app.entry_mut(name).cloned())
    }

    fn set_pin(&self, pin: &str) {
        self.key.with_app(|app| app.set_pin(Some(pin.as_bytes())));
    }

    fn attempts(&self) -> u8 {
        self.key.with_app(|app| app.pin_mut().as_ref().unwrap().retries)
    }

    fn touches(&self) -> u64 {
        self.door.touch_requests()
    }
}

fn pin(text: &str) -> LockCode {
    LockCode::new(text.as_bytes().to_vec())
}

fn names(token: &mut dyn Token) -> Vec<String> {
    let mut names: Vec<String> = token.slots().unwrap().iter().map(|slot| slot.slot.to_string()).collect();
    names.sort();
    names
}

fn encrypted(name: &str) -> Entry {
    Entry { pin: true, ..Entry::hotp(name, SEED, 0) }
}

// The bytes.

/// What went over a wire, in hexadecimal: command APDUs, or CTAPHID messages without their packets.
type Tape = Arc<Mutex<Vec<String>>>;

struct TappedCard(Box<dyn CardConnection>, Tape);

impl CardConnection for TappedCard {
    fn interface(&self) -> Interface {
        self.0.interface()
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        Ok(Box::new(TappedTransaction(self.0.begin()?, Arc::clone(&self.1))))
    }
}

struct TappedTransaction<'a>(Box<dyn CardTransaction + 'a>, Tape);

impl CardTransaction for TappedTransaction<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.1.lock().unwrap().push(hex(command));
        self.0.transmit(command)
    }
}

struct TappedHid(Box<dyn HidConnection>, Tape);

impl HidConnection for TappedHid {
    fn set_feature(&mut self, report: &[u8]) -> Result<(), TransportError> {
        self.0.set_feature(report)
    }

    fn get_feature(&mut self, length: usize) -> Result<Vec<u8>, TransportError> {
        self.0.get_feature(length)
    }

    fn write(&mut self, report: &[u8]) -> Result<(), TransportError> {
        let mut tape = self.1.lock().unwrap();
        match report[4] {
            0xF0 => {
                let length = usize::from(u16::from_be_bytes([report[5], report[6]]));
                tape.push(hex(&report[7..7 + length.min(57)]));
            }
            command @ 0x80.. => tape.push(format!("CTAPHID {command:02x}")),
            _ => tape.push("...".to_owned()),
        }
        self.0.write(report)
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        self.0.read(timeout)
    }

    fn pause(&mut self, time: Duration) {
        self.0.pause(time);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tapped(desk: &Desk) -> (Box<dyn Token>, Tape) {
    let tape = Tape::default();
    let connection = match desk.bus.open(&desk.candidate).unwrap() {
        Connection::Card(card) => Connection::Card(Box::new(TappedCard(card, Arc::clone(&tape)))),
        Connection::Hid(hid) => Connection::Hid(Box::new(TappedHid(hid, Arc::clone(&tape)))),
    };
    (driver().open(&desk.candidate, connection).unwrap().unwrap(), tape)
}

#[test]
fn every_call_sends_what_it_needs_and_nothing_else() {
    let seed = hex(SEED);
    let put = format!("000100002371016173161106{seed}78007a0400000000");
    let put_touch = format!("000100002371016173161106{seed}78027a0400000000");
    let (list, delete) = ("00a100000101".to_owned(), "0002000003710161".to_owned());
    let calculate_a = "00a200010d71016174080000000000000000".to_owned();
    let verify = "00b200000680043132333".to_owned() + "4";
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        let (mut token, tape) = tapped(&desk);
        let select = "00a4040007a0000005272101";
        let check = |what: &str, messages: &[&String], selects: bool| {
            let mut expected: Vec<String> = match wire {
                Wire::Ccid => vec![format!("{select}00")],
                Wire::CtapHid if selects => vec![select.to_owned()],
                Wire::CtapHid => vec![],
            };
            for message in messages {
                expected.push(match wire {
                    Wire::Ccid => format!("{message}00"),
                    Wire::CtapHid => (*message).clone(),
                });
            }
            assert_eq!(*tape.lock().unwrap(), expected, "{what}");
            tape.lock().unwrap().clear();
        };
        if wire == Wire::CtapHid {
            assert_eq!(tape.lock().unwrap().remove(0), "CTAPHID 86");
        }
        check("open", &[], true);
        token.slots().unwrap();
        check("slots", &[&list], false);
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        check("program an empty slot", &[&put], false);
        calculate(&mut *token, "a", MovingFactor::OnToken).unwrap();
        check("calculate", &[&calculate_a], false);
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        check("program a slot known to be in use", &[&list, &delete, &put], false);
        let touch = SlotConfig { touch: true, ..hotp(0) };
        token.program(&slot("a"), &touch, &Unattended).unwrap();
        check("program with touch", &[&list, &delete, &put_touch], false);
        token.erase(&slot("a"), &Unattended).unwrap();
        check("erase", &[&list, &delete], false);
        desk.install(Entry::hotp("a", SEED, 0));
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        check("program a slot that turns out to be in use", &[&put, &list, &delete, &put], false);
        token.set_lock_code(Some(&pin("1234"))).unwrap();
        check("set the PIN", &[&"00b4000006800431323334".to_owned()], true);
        token.unlock(&pin("1234")).unwrap();
        check("unlock", &[&verify, &list], true);
        token.set_lock_code(Some(&pin("5678"))).unwrap();
        check("change the PIN", &[&"00b300000c800431323334810435363738".to_owned()], true);
        token.reset(&Unattended).unwrap();
        let reset = match wire {
            Wire::Ccid => vec![format!("{select}00"), "0004dead00".to_owned()],
            Wire::CtapHid => vec!["0004dead".to_owned()],
        };
        assert_eq!(*tape.lock().unwrap(), reset);
    }
}

#[test]
fn a_token_opened_afresh_looks_once_and_remembers() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.install(Entry { kind: EntryKind::Totp, digits: 8, ..Entry::hotp("a", SEED, 0) });
        let (mut token, tape) = tapped(&desk);
        let counts = [(); 3].map(|()| {
            tape.lock().unwrap().clear();
            assert_eq!(calculate(&mut *token, "a", MovingFactor::TimeStep(1)).unwrap(), "94287082");
            tape.lock().unwrap().len()
        });
        let select = usize::from(wire == Wire::Ccid);
        assert_eq!(counts, [select + 2, select + 1, select + 1]);
        assert_eq!(token.slots().unwrap()[0].digits, Some(8));
    }
}

#[test]
fn both_wires_tell_the_same_key() {
    for firmware in SecretsFirmware::ALL {
        let infos = BOTH.map(|wire| desk(firmware, wire).open().info().clone());
        assert_eq!(infos[0], infos[1]);
        assert_eq!(infos[0].serial.as_deref(), firmware.serial_told.then_some("0aadbeef"));
        let [major, minor, patch] = firmware.version;
        assert_eq!(infos[0].firmware, format!("{major}.{minor}.{patch}"));
    }
}

// The PIN.

#[test]
fn a_pin_is_set_changed_and_asked_for_but_never_removed() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        let mut token = desk.open();
        token.unlock(&pin("any")).unwrap();
        assert_eq!(desk.touches(), 0, "without a PIN nothing is to be proven");
        token.set_lock_code(Some(&pin("1234"))).unwrap();
        // Who set it may change it.
        token.set_lock_code(Some(&pin("5678"))).unwrap();
        assert!(matches!(desk.open().set_lock_code(Some(&pin("0"))), Err(Error::Locked)));
        let before = desk.door.exchanges();
        assert!(matches!(token.set_lock_code(None), Err(Error::Unsupported { .. })));
        for wrong in ["", &"x".repeat(128)] {
            assert!(matches!(token.set_lock_code(Some(&pin(wrong))), Err(Error::Invalid { .. })));
            assert!(matches!(token.unlock(&pin(wrong)), Err(Error::Invalid { .. })));
        }
        assert_eq!(desk.door.exchanges(), before);
        let mut token = desk.open();
        token.unlock(&pin("5678")).unwrap();
        token.set_lock_code(Some(&pin(&"x".repeat(127)))).unwrap();
        token.reset(&Unattended).unwrap();
        assert!(desk.key.with_app(|app| app.pin_mut().is_none()));
    }
}

#[test]
fn each_wrong_pin_says_how_many_are_left_until_none_is_sent() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("right");
        let mut token = desk.open();
        for left in (0..8).rev() {
            let failure = token.unlock(&pin("wrong")).unwrap_err();
            let Error::WrongLockCode { attempts_left } = failure else { panic!("{failure}") };
            assert_eq!((attempts_left, desk.attempts()), (Some(left), left));
        }
        let touches = desk.touches();
        let failure = token.unlock(&pin("right")).unwrap_err();
        assert!(matches!(failure, Error::Blocked { .. }), "{failure}");
        assert_eq!(desk.touches(), touches, "a blocked PIN is not even tried");
        // The entries without PIN work on.
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        token.reset(&Unattended).unwrap();
        token.set_lock_code(Some(&pin("new"))).unwrap();
    }
}

#[test]
fn a_pin_that_another_program_changed_costs_one_attempt() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("old");
        desk.install(encrypted("a"));
        let mut token = desk.open();
        token.unlock(&pin("old")).unwrap();
        desk.set_pin("new");
        let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
        assert!(matches!(failure, Error::WrongLockCode { attempts_left: Some(7) }), "{failure}");
        let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
        assert!(matches!(failure, Error::Locked), "{failure}");
        assert_eq!(desk.attempts(), 7);
        desk.set_pin("newer");
        token.unlock(&pin("newer")).unwrap();
        desk.set_pin("newest");
        let failure = token.set_lock_code(Some(&pin("x"))).unwrap_err();
        assert!(matches!(failure, Error::WrongLockCode { attempts_left: Some(7) }), "{failure}");
    }
}

#[test]
fn nobody_there_to_touch_costs_no_attempt() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("right");
        desk.door.set_human(Human::NeverTouches);
        let mut token = desk.open();
        assert!(matches!(token.unlock(&pin("wrong")), Err(Error::TouchTimedOut)));
        assert_eq!(desk.attempts(), 8);
        assert_eq!(desk.door.waited(), Duration::from_secs(15));
        assert!(matches!(token.reset(&Unattended), Err(Error::TouchTimedOut)));
    }
}

#[test]
fn what_is_encrypted_is_there_for_whoever_gives_the_pin() {
    for firmware in SecretsFirmware::ALL {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            desk.set_pin("1234");
            desk.install(encrypted("secret"));
            desk.install(Entry::hotp("plain", SEED, 0));
            let mut token = desk.open();
            assert_eq!(names(&mut *token), ["plain"]);
            assert!(matches!(calculate(&mut *token, "secret", MovingFactor::OnToken), Err(Error::Locked)));
            assert!(matches!(token.erase(&slot("secret"), &Unattended), Err(Error::Locked)));

            token.unlock(&pin("1234")).unwrap();
            let touches = desk.touches();
            assert_eq!(names(&mut *token), ["plain", "secret"]);
            assert_eq!(calculate(&mut *token, "plain", MovingFactor::OnToken).unwrap(), "755224");
            assert_eq!(desk.touches(), touches, "no PIN, no touch");
            for passcode in ["755224", "287082"] {
                assert_eq!(calculate(&mut *token, "secret", MovingFactor::OnToken).unwrap(), passcode);
            }
            assert_eq!(desk.touches(), touches + 2);
            assert_eq!(names(&mut *desk.open()), ["plain"], "nobody else got in by that");

            // Written over, it stays encrypted.
            let config = SlotConfig { touch: true, ..totp(30) };
            token.program(&slot("secret"), &config, &Unattended).unwrap();
            let entry = desk.entry("secret").unwrap();
            assert_eq!((entry.kind, entry.pin, entry.touch), (EntryKind::Totp, true, true));
            let watcher = Watcher::default();
            let passcode = token.calculate(&slot("secret"), MovingFactor::TimeStep(1), &watcher).unwrap();
            // The touch for the PIN is the only one.
            assert_eq!((passcode.expose(), watcher.prompts.get()), ("287082", 1));
            token.erase(&slot("secret"), &Unattended).unwrap();
            assert_eq!(desk.entry("secret"), None);
            assert_eq!(names(&mut *token), ["plain"]);
        }
    }
}

#[test]
fn an_entry_that_cannot_be_seen_is_not_overwritten() {
    for firmware in SecretsFirmware::ALL {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            desk.set_pin("1234");
            desk.install(encrypted("a"));
            let before = desk.entry("a");
            let mut token = desk.open();
            let failure = error(token.program(&slot("a"), &totp(30), &Unattended));
            assert!(
                matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Locked)),
                "{failure}"
            );
            assert_eq!(desk.entry("a"), before);
            // Found at the second look, if it came after the PIN was proven.
            desk.key.with_app(|app| app.set_pin(Some(b"1234")));
            token.unlock(&pin("1234")).unwrap();
            token.program(&slot("a"), &totp(30), &Unattended).unwrap();
            assert!(desk.entry("a").unwrap().pin);
        }
    }
}

#[test]
fn an_encrypted_entry_of_another_program_is_found_when_it_is_in_the_way() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.set_pin("1234");
        let mut token = desk.open();
        token.unlock(&pin("1234")).unwrap();
        desk.install(Entry { secret: OTHER.to_vec(), ..encrypted("a") });
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        let entry = desk.entry("a").unwrap();
        assert_eq!((entry.secret.as_slice(), entry.pin), (SEED, true));
    }
}

// What is somebody else's business.

#[test]
fn other_kinds_of_entries_are_neither_shown_nor_touched() {
    let foreign = |kind| Entry { kind, ..Entry::hotp("a", OTHER, 3) };
    let password =
        Entry { safe: [Some(b"u".to_vec()), Some(b"p".to_vec()), None], ..foreign(EntryKind::Hotp) };
    let kinds = [EntryKind::ReverseHotp, EntryKind::Hmac, EntryKind::None].map(foreign);
    for firmware in SecretsFirmware::ALL {
        for wire in BOTH {
            for with_pin in [false, true] {
                for entry in &kinds {
                    let desk = desk(firmware, wire);
                    desk.set_pin("1234");
                    let entry = Entry { pin: with_pin, ..entry.clone() };
                    desk.install(entry.clone());
                    let mut token = desk.open();
                    token.unlock(&pin("1234")).unwrap();
                    let what = format!("{firmware:?} {wire:?} {entry:?}");
                    assert_eq!(names(&mut *token), Vec::<String>::new(), "{what}");
                    for config in [hotp(0), totp(30), SlotConfig { touch: true, ..hotp(0) }] {
                        let failure = error(token.program(&slot("a"), &config, &Unattended));
                        assert!(matches!(failure.source, Error::Invalid { .. }), "{what}: {failure}");
                        assert_eq!(failure.slot, SlotState::Unchanged, "{what}");
                    }
                    let failure = token.erase(&slot("a"), &Unattended).unwrap_err();
                    assert!(matches!(failure, Error::Invalid { .. }), "{what}: {failure}");
                    let failure = error(calculate(&mut *token, "a", MovingFactor::OnToken));
                    assert!(matches!(failure, Error::Invalid { .. }), "{what}: {failure}");
                    assert_eq!(desk.entry("a"), Some(entry), "{what}");
                }
            }
            if firmware.properties {
                let desk = desk(firmware, wire);
                desk.install(password.clone());
                let mut token = desk.open();
                assert_eq!(names(&mut *token), ["a"]);
                let failure = error(token.program(&slot("a"), &hotp(0), &Unattended));
                assert!(matches!(failure.source, Error::Invalid { .. }), "{failure}");
                assert!(matches!(token.erase(&slot("a"), &Unattended), Err(Error::Invalid { .. })));
                assert_eq!(desk.entry("a"), Some(password.clone()));
                calculate(&mut *token, "a", MovingFactor::OnToken).unwrap();
            }
        }
    }
}

#[test]
fn the_names_of_challenge_response_slots_are_kept_for_them() {
    let desk = desk(SecretsFirmware::V4_14, Wire::CtapHid);
    let failure = error(desk.open().program(&slot("HmacSlot2"), &hotp(0), &Unattended));
    assert_eq!(failure.to_string(), "slot: the token keeps this name for challenge-response");
}

#[test]
fn a_factor_of_the_wrong_kind_burns_no_counter() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        desk.install(Entry::hotp("h", SEED, 0));
        desk.install(Entry { kind: EntryKind::Totp, ..Entry::hotp("t", SEED, 0) });
        let mut token = desk.open();
        assert!(matches!(calculate(&mut *token, "h", MovingFactor::TimeStep(1)), Err(Error::Invalid { .. })));
        assert!(matches!(calculate(&mut *token, "t", MovingFactor::OnToken), Err(Error::Invalid { .. })));
        assert!(matches!(calculate(&mut *token, "x", MovingFactor::OnToken), Err(Error::SlotEmpty { .. })));
        assert_eq!(desk.entry("h").unwrap().counter, 0);
    }
}

#[test]
fn what_a_credential_may_be_is_what_the_key_can_hold() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        let mut token = desk.open();
        let long = SlotConfig { secret: LockCode::new(vec![b'A'; 65]), ..hotp(u64::from(u32::MAX) - 1) };
        let name = "ü".repeat(63) + "x";
        token.program(&slot(&name), &long, &Unattended).unwrap();
        let entry = desk.entry(&name).unwrap();
        assert_eq!((entry.counter, entry.secret.len(), entry.hash), (u32::MAX - 1, 20, Hash::Sha1));
        assert_eq!(names(&mut *token), std::slice::from_ref(&name));
        calculate(&mut *token, &name, MovingFactor::OnToken).unwrap();
        // The counter is at its end.
        let failure = error(calculate(&mut *token, &name, MovingFactor::OnToken));
        assert!(matches!(failure, Error::Refused { status: 0x6500, .. }), "{failure}");
        let failure = error(token.program(&slot("a"), &hotp(u64::from(u32::MAX)), &Unattended));
        assert_eq!(failure.to_string(), "counter: the token counts from 4294967294 at most");
        desk.install(Entry { name: vec![0xFF, 0x01], ..Entry::hotp("", SEED, 0) });
        token.erase(&slot("0xff01"), &Unattended).unwrap();
        assert_eq!(names(&mut *token), [name]);
    }
}

#[test]
fn a_full_key_says_so_and_takes_what_replaces() {
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware::V4_11] {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            for number in 0..50 {
                desk.install(Entry::hotp(&number.to_string(), OTHER, 0));
            }
            let mut token = desk.open();
            assert_eq!(token.info().capabilities.max_slots, Some(50));
            let failure = error(token.program(&slot("x"), &hotp(0), &Unattended));
            assert!(
                matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Full)),
                "{failure}"
            );
            // Known from the look that this took, and by a token that has not looked yet.
            token.program(&slot("7"), &hotp(0), &Unattended).unwrap();
            desk.open().program(&slot("8"), &hotp(0), &Unattended).unwrap();
            for name in ["7", "8"] {
                assert_eq!(desk.entry(name).unwrap().secret, SEED);
            }
            assert_eq!(token.slots().unwrap().len(), 50);
        }
    }
}

#[test]
fn a_list_of_more_than_3072_bytes_needs_ctaphid() {
    for wire in BOTH {
        let desk = desk(SecretsFirmware::V4_14, wire);
        for number in 0..50 {
            desk.install(Entry::hotp(&format!("{number:070}"), SEED, 0));
        }
        let listed = desk.open().slots().map(|slots| slots.len());
        match wire {
            Wire::CtapHid => assert_eq!(listed.unwrap(), 50),
            Wire::Ccid => {
                let said = listed.unwrap_err().to_string();
                assert!(said.ends_with("over a smart-card reader: its FIDO interface"), "{said}");
            }
        }
    }
}

// Touch.

#[test]
fn who_waits_is_told_before_each_touch() {
    let keepalive = Some(Duration::from_millis(250));
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware { keepalive, ..SecretsFirmware::V4_14 }] {
        for wire in BOTH {
            let desk = desk(firmware, wire);
            desk.door.set_human(Human::TouchesAfter(Duration::from_secs(3)));
            let mut token = desk.open();
            let touch = SlotConfig { touch: true, ..hotp(0) };
            for (config, prompts) in [(&touch, 1), (&touch, 2), (&hotp(0), 1)] {
                let watcher = Watcher::default();
                let before = desk.touches();
                token.program(&slot("a"), config, &watcher).unwrap();
                assert_eq!((watcher.prompts.get(), desk.touches() - before), (prompts, u64::from(prompts)));
            }
            let watcher = Watcher::default();
            token.calculate(&slot("a"), MovingFactor::OnToken, &watcher).unwrap();
            assert_eq!(watcher.prompts.get(), 0);
            token.erase(&slot("a"), &watcher).unwrap();
            token.reset(&watcher).unwrap();
            assert_eq!(watcher.prompts.get(), 2);
        }
    }
}

/// Touches so often, then walks away.
struct Patience {
    door: Door,
    touches: RefCell<u32>,
}

impl fobd_drivers::token::Attendant for Patience {
    fn touch_needed(&self) {
        let left = self.touches.borrow().checked_sub(1);
        self.door.set_human(if left.is_some() { Human::TouchesAtOnce } else { Human::NeverTouches });
        *self.touches.borrow_mut() = left.unwrap_or(0);
    }

    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn a_slot_whose_second_touch_never_comes_is_reported_as_unknown() {
    for wire in BOTH {
        for (touches, state, left) in [(0, SlotState::Unchanged, true), (1, SlotState::Unknown, false)] {
            let desk = desk(SecretsFirmware::V4_14, wire);
            desk.install(Entry::hotp("a", OTHER, 0));
            let mut token = desk.open();
            let patience = Patience { door: desk.door.clone(), touches: RefCell::new(touches) };
            let config = SlotConfig { touch: true, ..hotp(0) };
            let failure = error(token.program(&slot("a"), &config, &patience));
            assert!(matches!(failure.source, Error::TouchTimedOut), "{failure}");
            assert_eq!((failure.slot, desk.entry("a").is_some()), (state, left));
            desk.door.set_human(Human::TouchesAtOnce);
            token.program(&slot("a"), &config, &Unattended).unwrap();
            assert_eq!(desk.entry("a").unwrap().secret, SEED);
        }
    }
}

#[test]
fn whoever_cancels_is_heard_while_ctaphid_waits_for_a_touch() {
    let desk = desk(SecretsFirmware::V4_14, Wire::CtapHid);
    desk.door.set_human(Human::NeverTouches);
    desk.install(Entry { touch: true, ..Entry::hotp("a", OTHER, 0) });
    let mut token = desk.open();
    assert_eq!(names(&mut *token), ["a"]);
    let waited = desk.door.waited();
    let failure = error(token.program(&slot("a"), &hotp(0), &Watcher::cancelling_at(12)));
    assert!(matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Cancelled)), "{failure}");
    let failure = error(token.calculate(&slot("a"), MovingFactor::OnToken, &Watcher::cancelling_at(8)));
    assert!(matches!(failure, Error::Cancelled), "{failure}");
    assert!(desk.door.waited() - waited < Duration::from_secs(3), "{:?}", desk.door.waited() - waited);
    assert_eq!(desk.entry("a"), Some(Entry { touch: true, ..Entry::hotp("a", OTHER, 0) }));
    // The key is free at once.
    desk.door.set_human(Human::TouchesAtOnce);
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
}

#[test]
fn what_was_begun_is_not_torn_apart() {
    for wire in BOTH {
        for question in 0..12 {
            let desk = desk(SecretsFirmware::V4_14, wire);
            desk.install(Entry::hotp("a", OTHER, 0));
            let mut token = desk.open();
            let result = token.program(&slot("a"), &hotp(0), &Watcher::cancelling_at(question));
            let secret = desk.entry("a").expect("lost").secret;
            match result {
                Ok(()) => assert_eq!(secret, SEED),
                Err(failure) => {
                    assert!(matches!(failure.source, Error::Cancelled), "{failure}");
                    assert_eq!((failure.slot, secret.as_slice()), (SlotState::Unchanged, OTHER));
                }
            }
        }
    }
}

// Which driver takes what.

/// The same card in a reader that makes up the answer to reset.
const MADE_UP: Face = Face {
    model: "made up",
    atr: &[0x3B, 0x80, 0x80, 0x01, 0x01],
    reader: "ACS ACR122U PICC Interface",
    contactless: true,
    chunk: 254,
    extended_length: false,
};

/// Which drivers take a card for theirs, of those that would ask it.
fn takers(card: &VirtualCard) -> Vec<&'static str> {
    let mut takers = Vec::new();
    for driver in DRIVERS {
        let (bus, candidate) = InProcess.plug(&Door::Card(card.clone()));
        if driver.matches(&candidate)
            && let Some(_token) = driver.open(&candidate, bus.open(&candidate).unwrap()).unwrap()
        {
            takers.push(driver.name());
        }
    }
    takers
}

#[test]
fn each_card_has_one_driver_even_in_a_reader_that_hides_it() {
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware::V4_11] {
        for with_pin in [false, true] {
            let key = Nitrokey3::new(firmware, [1, 2, 3, 4]);
            key.with_app(|app| app.set_pin(with_pin.then_some(b"1234")));
            assert_eq!(takers(&key.card()), ["nk3"], "{firmware:?}");
            assert_eq!(takers(&key.card_with(MADE_UP)), ["nk3"], "{firmware:?}");
        }
    }
    assert_eq!(takers(&Nitrokey3::new(SecretsFirmware::V4_10, [1, 2, 3, 4]).card()), ["nk3"]);
    for firmware in Firmware::ALL {
        assert_eq!(takers(&VirtualCard::new(firmware, 1)), ["ykoath"], "{firmware:?}");
        let applets = || vec![Box::new(firmware_fixtures::applets::ykoath::YkOath::new(firmware, 1)) as _];
        let hidden = VirtualCard::with_chip(Chip::with_applets(MADE_UP, applets()), "1");
        assert_eq!(takers(&hidden), ["ykoath"], "{firmware:?}");
    }
}

#[test]
fn older_apps_are_refused_and_keys_without_one_left_alone() {
    for version in [[4, 9, 0], [0x34, 0x34, 0x34]] {
        for wire in BOTH {
            let desk = desk(SecretsFirmware { version, ..SecretsFirmware::V4_10 }, wire);
            let opened = driver().open(&desk.candidate, desk.bus.open(&desk.candidate).unwrap());
            let failure = opened.err().expect("opened");
            assert!(matches!(failure, Error::Unsupported { .. }), "{failure}");
        }
    }
    let empty = VirtualCard::with_chip(Chip::with_applets(MADE_UP, Vec::new()), "1");
    assert_eq!(takers(&empty), Vec::<&str>::new());
}

// Nonsense.

/// A HID device that says anything at all, in packets of the channel that it gave.
struct Babble {
    said: std::collections::VecDeque<Vec<u8>>,
    nonce: Option<[u8; 8]>,
}

impl HidConnection for Babble {
    fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        Ok(Vec::new())
    }

    fn write(&mut self, report: &[u8]) -> Result<(), TransportError> {
        if report[..5] == [0xFF, 0xFF, 0xFF, 0xFF, 0x86] {
            self.nonce = report[7..15].try_into().ok();
        }
        Ok(())
    }

    fn read(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        if let Some(nonce) = self.nonce.take() {
            let mut packet = [&[0xFF; 4][..], &[0x86, 0, 17], &nonce, &[0, 0, 0, 1, 2, 1, 8, 0, 5]].concat();
            packet.resize(64, 0);
            return Ok(Some(packet));
        }
        match self.said.pop_front() {
            Some(said) => {
                let mut packet = [&[0, 0, 0, 1, 0xF0, 0][..], &[said.len() as u8], &said].concat();
                packet.resize(64, 0);
                Ok(Some(packet))
            }
            None => Err(TransportError::Gone { detail: "said everything".to_owned() }),
        }
    }

    fn pause(&mut self, _: Duration) {}
}

fn babble() -> impl Strategy<Value = Vec<u8>> {
    let object = (0x70_u8..0x90, vec(any::<u8>(), 0..10))
        .prop_map(|(tag, value)| [&[tag, value.len() as u8], value.as_slice()].concat());
    let select = Just(vec![0x79, 3, 4, 14, 0, 0x82, 1, 8, 0x8F, 4, 1, 2, 3, 4]);
    let data =
        prop_oneof![vec(object, 0..4).prop_map(|objects| objects.concat()), select, vec(any::<u8>(), 0..30)];
    let status =
        prop_oneof![8 => Just(vec![0x90, 0x00]), 1 => Just(vec![0x61, 0x10]), 1 => vec(any::<u8>(), 0..3)];
    (status, data).prop_map(|(status, data)| [status, data].concat())
}

proptest! {
    #[test]
    fn no_device_can_make_it_panic(said in vec(babble(), 0..40)) {
        let candidate = Candidate::Hid(HidCandidate {
            path: "/dev/hidraw0".to_owned(),
            vendor_id: 0x20A0,
            product_id: 0x42B2,
            release: 0x0108,
            usage_page: 0xF1D0,
            usage: 1,
            interface: None,
            serial: None,
            product: String::new(),
            attachment: 1,
        });
        prop_assert!(driver().matches(&candidate));
        let babble = Babble { said: said.into(), nonce: None };
        if let Ok(Some(mut token)) = driver().open(&candidate, Connection::Hid(Box::new(babble))) {
            let _ = token.slots();
            let _ = token.program(&slot("a"), &totp(30), &Unattended);
            let _ = token.unlock(&pin("1234"));
            let _ = calculate(&mut *token, "a", MovingFactor::TimeStep(1));
            let _ = calculate(&mut *token, "b", MovingFactor::OnToken);
            let _ = token.set_lock_code(Some(&pin("1234")));
            let _ = token.program(&slot("a"), &hotp(0), &Unattended);
            let _ = token.erase(&slot("a"), &Unattended);
            let _ = token.reset(&Unattended);
        }
    }
}
