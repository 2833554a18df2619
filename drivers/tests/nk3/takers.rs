//! Which driver takes which card, and what nonsense does.

use std::time::Duration;

use firmware_fixtures::card::{Face, VirtualCard};
use firmware_fixtures::chip::Chip;
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::nitrokey3::{Nitrokey3, SecretsFirmware};
use firmware_fixtures::specimen::Door;
use fobd_drivers::DRIVERS;
use fobd_drivers::error::Error;
use fobd_drivers::token::{MovingFactor, Unattended};
use fobd_drivers::transport::{Candidate, Connection, HidCandidate, HidConnection, TransportError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{BOTH, desk, driver, pin};
use crate::bench::{calculate, hotp, slot, totp};
use crate::suite::{InProcess, Socket};

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
        // A key with OTP slots besides is a token of that driver as well.
        let expected = if firmware.otp_applet { &["ykoath", "ykotp"][..] } else { &["ykoath"] };
        assert_eq!(takers(&VirtualCard::new(firmware, 1)), expected, "{firmware:?}");
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
