//! What is peculiar to the Nitrokey 3, on both of its wires: bytes on the wire, the life of a PIN, entries that are
//! somebody else's business, touches, and which driver takes which card.

mod bytes;
mod pins;
mod slots;
mod sweep;
mod takers;
mod touches;

use firmware_fixtures::nitrokey3::{Entry, Nitrokey3, Nitrokey3Specimen, SecretsFirmware, Wire};
use firmware_fixtures::specimen::{Door, Specimen};
use fobd_drivers::DRIVERS;
use fobd_drivers::token::{Driver, LockCode, Token};
use fobd_drivers::transport::{Bus, Candidate};

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
