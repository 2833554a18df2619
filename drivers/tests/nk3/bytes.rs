//! The bytes of each call, over both wires.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_fixtures::nitrokey3::{Entry, EntryKind, SecretsFirmware, Wire};
use fobd_drivers::token::{MovingFactor, SlotConfig, Token, Unattended};
use fobd_drivers::transport::{
    CardConnection, CardTransaction, Connection, HidConnection, Interface, TransportError,
};

use super::{BOTH, Desk, SEED, desk, driver, pin};
use crate::bench::{calculate, hotp, slot};

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
