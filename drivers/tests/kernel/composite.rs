//! A key with a keyboard and a smart card in one USB device, as udevd, libccid and pcscd see it.

use std::thread;
use std::time::Duration;

use firmware_fixtures::card::{Human, OathSpecimen, VirtualCard};
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::specimen::{Door, Specimen, Stored};
use firmware_fixtures::usb::{PluggedIn, UsbDevice};
use fobd_drivers::DRIVERS;
use fobd_drivers::error::Error;
use fobd_drivers::token::{MovingFactor, SlotId, Token, Unattended};
use fobd_drivers::transport::pcsc::PcscBus;
use fobd_drivers::transport::{Bus, Candidate, TransportError, Watch};

use super::guest::{Guest, PULL, Pcscd, at_once, wait};
use super::parrot::keyboard;
use crate::suite::Socket;
use crate::suite::cases::conformance;
use crate::suite::sweep::{Depth, sweep};

/// A YubiKey 5 with OTP and CCID.
const YUBIKEY: (u16, u16) = (0x1050, 0x0405);

/// The card in a key with a keyboard, in a port of the machine.
struct Key {
    watch: Box<dyn Watch>,
    inserted: Option<PluggedIn>,
}

impl Key {
    fn new() -> Self {
        Self { watch: PcscBus.watch().unwrap(), inserted: None }
    }

    fn pull(&mut self) {
        self.inserted = None;
        wait(&mut *self.watch, "the reader going", |now| now.is_empty().then_some(()));
    }
}

impl Socket for Key {
    fn plug(&mut self, door: &Door) -> (Box<dyn Bus>, Candidate) {
        let Door::Card(card) = door else { panic!("not a card") };
        self.pull();
        let key = UsbDevice::of_hid(&keyboard(YUBIKEY.0, YUBIKEY.1)).and_card(card);
        let key = UsbDevice {
            manufacturer: "Yubico".to_owned(),
            product: "YubiKey OTP+CCID".to_owned(),
            serial: None,
            ..key
        };
        self.inserted = Some(key.plug_in().unwrap());
        let candidate = wait(&mut *self.watch, "the reader", |now| now.first().cloned());
        let Candidate::Card { reader, atr, .. } = &candidate else { panic!("{candidate} is no card") };
        assert_eq!((reader.as_str(), atr.as_slice()), ("Yubico YubiKey OTP+CCID 00 00", card.face().atr));
        (Box::new(PcscBus), candidate)
    }
}

fn open(bus: &dyn Bus, candidate: &Candidate) -> Box<dyn Token> {
    let driver = DRIVERS.iter().find(|driver| driver.name() == "ykoath").unwrap();
    driver.open(candidate, bus.open(candidate).unwrap()).unwrap().expect("not taken for a token")
}

#[test]
fn the_card_conforms() {
    let guest = Guest::enter();
    let _pcscd = Pcscd::start(&guest);
    let make =
        || Box::new(OathSpecimen::new(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 4242))) as Box<dyn Specimen>;
    conformance("ykoath", &make, &mut Key::new());
}

#[test]
fn a_fault_of_each_kind_leaves_the_old_or_the_new_or_says_so() {
    let guest = Guest::enter();
    let _pcscd = Pcscd::start(&guest);
    let make =
        || Box::new(OathSpecimen::new(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 4242))) as Box<dyn Specimen>;
    assert!(sweep("ykoath", &make, &mut Key::new(), Depth::Sample) > 5);
}

#[test]
fn a_key_pulled_in_mid_command_is_gone_at_once() {
    let guest = Guest::enter();
    let _pcscd = Pcscd::start(&guest);
    let mut port = Key::new();
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 4242);
    let specimen = OathSpecimen::new(&card);
    specimen.install("a", &Stored { touch: true, ..Stored::hotp(b"12345678901234567890", 0) });
    let slot = SlotId::Name("a".to_owned());
    for round in 0..2 {
        let (bus, candidate) = port.plug(&specimen.door());
        let mut token = open(&*bus, &candidate);
        card.set_human(Human::NeverTouches);
        thread::scope(|scope| {
            let waiting =
                scope.spawn(|| token.calculate(&slot, MovingFactor::OnToken, &Unattended).map(drop));
            assert!(card.wait_for_touch_requests(2 * round + 1, Duration::from_secs(20)));
            port.inserted = None;
            let told = at_once("the pull reaches a command", || waiting.join().unwrap());
            assert!(matches!(told, Err(Error::Transport(TransportError::Gone { .. }))), "{told:?}");
        });
        let told = at_once("the pull reaches the next command", || token.slots().map(drop));
        assert!(matches!(told, Err(Error::Transport(TransportError::Gone { .. }))), "{told:?}");
        let told = at_once("the pull reaches an open", || bus.open(&candidate).map(drop));
        assert!(matches!(told, Err(TransportError::Gone { .. })), "{told:?}");

        // Back in, it works, also when the touch takes longer than libccid waits without being asked to.
        let (bus, candidate) = port.plug(&specimen.door());
        let mut token = open(&*bus, &candidate);
        let patient = PULL * 2;
        card.set_human(Human::TouchesAfter(patient));
        let passcode = token.calculate(&slot, MovingFactor::OnToken, &Unattended).unwrap();
        assert_eq!(passcode.expose(), ["755224", "287082"][round as usize]);
        assert_eq!(specimen.stored()[0].1.counter, round + 1);
    }
}
