//! A whole YubiKey: a keyboard interface and a card interface of one device, with one serial and one set of OTP
//! slots.
//!
//! [`YubiKey`] is a handle; clones mean the same key. Its two interfaces are plugged in by whoever holds it:
//! [`YubiKey::hid`] into a HID bus, [`YubiKey::card`] into a reader. Each door of it is a [`Specimen`] of its own.

use std::time::Duration;

use crate::card::VirtualCard;
use crate::chip::Chip;
use crate::credential::{Hash, Kind};
use crate::firmware::{DeviceConfig, Firmware};
use crate::hid::VirtualHid;
use crate::specimen::{Door, Specimen, Stored};
use crate::ykotp::Flash;
use crate::ykotp::config::{Config, Function, cfg, ext, tkt};
use crate::ykotp::hid::{OtpChip, face};
use crate::ykotp::slots::OtpSlots;

/// A YubiKey as it is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Firmware, and what its card interface looks like if it has one.
    pub firmware: Firmware,
    /// USB product id and iProduct of a key with a keyboard interface.
    pub usb: Option<(u16, &'static str)>,
    /// Whether it has a card interface.
    pub card: bool,
}

/// A key without card interface: only version and name count.
const fn standard(model: &'static str, version: [u8; 3]) -> Firmware {
    let neo = Firmware::YUBIKEY_NEO_3_4_9;
    Firmware { model, version, otp_applet: false, otp_mode: None, ..neo }
}

impl Model {
    /// YubiKey 1: one slot, Yubico OTP and passwords.
    pub const YUBIKEY_1_3: Self = Self {
        firmware: standard("yubikey-1.3.0", [1, 3, 0]),
        usb: Some((0x0010, "Yubico Yubikey")),
        card: false,
    };
    /// YubiKey 2 before OATH.
    pub const YUBIKEY_2_0: Self =
        Self { firmware: standard("yubikey-2.0.2", [2, 0, 2]), ..Self::YUBIKEY_2_4 };
    /// YubiKey 2 with OATH-HOTP, counted from 0.
    pub const YUBIKEY_2_1: Self =
        Self { firmware: standard("yubikey-2.1.2", [2, 1, 2]), ..Self::YUBIKEY_2_4 };
    /// YubiKey 2 with challenge-response, without updates.
    pub const YUBIKEY_2_2: Self =
        Self { firmware: standard("yubikey-2.2.3", [2, 2, 3]), ..Self::YUBIKEY_2_4 };
    /// YubiKey 2, the last.
    pub const YUBIKEY_2_4: Self = Self {
        firmware: standard("yubikey-2.4.2", [2, 4, 2]),
        usb: Some((0x0010, "Yubico Yubikey II")),
        card: false,
    };
    /// YubiKey NEO.
    pub const NEO_3_4_9: Self = Self {
        firmware: Firmware::YUBIKEY_NEO_3_4_9,
        usb: Some((0x0111, "Yubikey NEO OTP+CCID")),
        card: true,
    };
    /// YubiKey 4.
    pub const YUBIKEY_4_3_5: Self =
        Self { firmware: Firmware::YUBIKEY_4_3_5, usb: Some((0x0407, "Yubikey 4 OTP+U2F+CCID")), card: true };
    /// YubiKey 4 FIPS.
    pub const YUBIKEY_4_4_5: Self = Self { firmware: Firmware::YUBIKEY_4_4_5_FIPS, ..Self::YUBIKEY_4_3_5 };
    /// YubiKey 5 that tells an old touch level over the card interface.
    pub const YUBIKEY_5_2_7: Self = Self {
        firmware: Firmware {
            model: "yubikey-5.2.7",
            version: [5, 2, 7],
            oath_version: [5, 2, 7],
            rename: false,
            ..Firmware::YUBIKEY_5_4_3
        },
        ..Self::YUBIKEY_5_4_3
    };
    /// YubiKey 5.
    pub const YUBIKEY_5_4_3: Self =
        Self { firmware: Firmware::YUBIKEY_5_4_3, usb: Some((0x0407, "YubiKey OTP+FIDO+CCID")), card: true };
    /// YubiKey 5 with two pages of device info.
    pub const YUBIKEY_5_7_1: Self = Self { firmware: Firmware::YUBIKEY_5_7_1, ..Self::YUBIKEY_5_4_3 };
    /// A YubiKey 5 whose card interface is switched off.
    pub const YUBIKEY_5_4_3_OTP: Self = Self {
        firmware: Firmware {
            model: "yubikey-5.4.3-otp",
            config: Some(DeviceConfig {
                usb: 0x0001,
                nfc: Some(0x033B),
                form_factor: Some(1),
                second_page: false,
            }),
            ..Firmware::YUBIKEY_5_4_3
        },
        usb: Some((0x0401, "YubiKey OTP")),
        card: false,
    };
    /// The YubiKey 5.2.7 on an NFC reader.
    pub const YUBIKEY_5_2_7_NFC: Self = Self {
        firmware: Firmware {
            model: "yubikey-5.2.7-nfc",
            version: [5, 2, 7],
            oath_version: [5, 2, 7],
            rename: false,
            ..Firmware::YUBIKEY_5_4_3_NFC
        },
        ..Self::YUBIKEY_5_4_3_NFC
    };
    /// The YubiKey 5.4.3 on an NFC reader.
    pub const YUBIKEY_5_4_3_NFC: Self = Self { firmware: Firmware::YUBIKEY_5_4_3_NFC, usb: None, card: true };

    /// Every key there is.
    pub const ALL: [Self; 13] = [
        Self::YUBIKEY_1_3,
        Self::YUBIKEY_2_0,
        Self::YUBIKEY_2_1,
        Self::YUBIKEY_2_2,
        Self::YUBIKEY_2_4,
        Self::NEO_3_4_9,
        Self::YUBIKEY_4_3_5,
        Self::YUBIKEY_4_4_5,
        Self::YUBIKEY_5_2_7,
        Self::YUBIKEY_5_4_3,
        Self::YUBIKEY_5_7_1,
        Self::YUBIKEY_5_2_7_NFC,
        Self::YUBIKEY_5_4_3_NFC,
    ];
}

/// A handle to an emulated YubiKey.
#[derive(Clone)]
pub struct YubiKey {
    model: Model,
    serial: u32,
    flash: Flash,
    hid: Option<VirtualHid>,
    card: Option<VirtualCard>,
}

impl YubiKey {
    /// A key as it leaves the factory, but with both slots empty.
    #[must_use]
    pub fn new(model: Model, serial: u32) -> Self {
        let firmware = model.firmware;
        let flash = Flash::new(OtpSlots::new(firmware, serial));
        let hid = model.usb.map(|(product_id, product)| {
            let chip = OtpChip::new(flash.clone());
            VirtualHid::new(face(&firmware, product_id, product), Box::new(chip))
        });
        let card = model.card.then(|| {
            let chip = Chip::with_otp(firmware, serial, flash.clone());
            VirtualCard::with_chip(chip, &serial.to_string())
        });
        Self { model, serial, flash, hid, card }
    }

    /// What it is.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The serial printed on it.
    #[must_use]
    pub fn serial(&self) -> String {
        self.serial.to_string()
    }

    /// Its keyboard interface; `None` if it is held against a reader or has none.
    #[must_use]
    pub fn hid(&self) -> Option<&VirtualHid> {
        self.hid.as_ref()
    }

    /// Its card interface, if it has one.
    #[must_use]
    pub fn card(&self) -> Option<&VirtualCard> {
        self.card.as_ref()
    }

    /// The slots, past any protocol.
    #[must_use]
    pub fn flash(&self) -> &Flash {
        &self.flash
    }

    /// After a use of the card interface the keyboard interface swallows commands for so long. Real keys do that for
    /// about 3 s; here nothing is swallowed unless this is called.
    pub fn set_reclaim_time(&self, time: Duration) {
        if let (Some(hid), Some(card)) = (&self.hid, &self.card) {
            hid.with_chip(|chip: &mut OtpChip| chip.reclaim_after(card, time));
        }
    }

    /// A human presses the button for a slot, 1 or 2: the keys go to the host over the keyboard interface, and what
    /// they type on a US keyboard is returned. `None` if the slot types nothing.
    pub fn press(&self, slot: u8) -> Option<String> {
        self.hid.as_ref()?.with_chip(|chip: &mut OtpChip| chip.press(slot)).flatten()
    }

    /// The key seen over its keyboard interface.
    #[must_use]
    pub fn over_hid(&self) -> Option<OtpSpecimen> {
        let hid = self.hid.clone()?;
        Some(OtpSpecimen { key: self.clone(), door: Door::Hid(hid) })
    }

    /// The key seen over its card interface, if the OTP applet is there.
    #[must_use]
    pub fn over_card(&self) -> Option<OtpSpecimen> {
        let card = self.card.clone().filter(|_| self.model.firmware.otp_applet)?;
        Some(OtpSpecimen { key: self.clone(), door: Door::Card(card) })
    }
}

impl std::fmt::Debug for YubiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "YubiKey({} {})", self.model.firmware.model, self.serial)
    }
}

/// One interface of a key as a [`Specimen`] of the driver for OTP slots.
#[derive(Clone, Debug)]
pub struct OtpSpecimen {
    key: YubiKey,
    door: Door,
}

impl OtpSpecimen {
    /// The whole key.
    #[must_use]
    pub fn key(&self) -> &YubiKey {
        &self.key
    }
}

/// The configuration that another program would write for a credential.
#[must_use]
pub fn configuration(stored: &Stored) -> Config {
    let mut key = [0; 20];
    let length = stored.secret.len().min(key.len());
    key[..length].copy_from_slice(&stored.secret[..length]);
    let (first, last) = key.split_at(16);
    let mut config = Config {
        fixed: [0; 16],
        uid: [0; 6],
        key: [0; 16],
        code: [0; 6],
        fixed_length: 0,
        ext: ext::SERIAL_API_VISIBLE | ext::ALLOW_UPDATE,
        tkt: tkt::OATH_OR_CHALLENGE,
        cfg: 0,
    };
    config.key.copy_from_slice(first);
    config.uid[..4].copy_from_slice(last);
    match stored.kind {
        Kind::Hotp => {
            config.tkt |= tkt::APPEND_CR;
            config.cfg = if stored.digits == Some(8) { cfg::SHORT_OR_HOTP8 } else { 0 };
        }
        Kind::Totp => {
            let touch = if stored.touch { cfg::CHAL_BTN_TRIG } else { 0 };
            config.cfg = cfg::CHAL_HMAC | cfg::HMAC_LT64 | touch;
        }
    }
    config
}

impl Specimen for OtpSpecimen {
    fn model(&self) -> String {
        let wire = match self.door {
            Door::Card(_) => "card",
            Door::Hid(_) => "HID",
        };
        format!("{} over {wire}", self.key.model.firmware.model)
    }

    fn door(&self) -> Door {
        self.door.clone()
    }

    fn serial(&self) -> Option<String> {
        // The serial can be asked for since 2.2.
        self.key.flash.open().generation().challenges.then(|| self.key.serial())
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        let flash = self.key.flash.open();
        let stored = |number: u8| {
            let slot = flash.slot(number)?;
            let config = &slot.config;
            let plain = Stored::hotp(&config.hmac_key(), slot.counter);
            let touch = config.wants_touch();
            let stored = match config.function() {
                Function::Hotp => Stored { digits: Some(config.hotp_digits()), touch, ..plain },
                Function::HmacChallenge => {
                    Stored { kind: Kind::Totp, hash: Hash::Sha1, digits: None, touch, counter: 0, ..plain }
                }
                _ => return None,
            };
            Some((number.to_string(), stored))
        };
        [1, 2].into_iter().filter_map(stored).collect()
    }

    fn install(&self, slot: &str, stored: &Stored) {
        let Ok(number) = slot.parse() else { return };
        let mut flash = self.key.flash.open();
        flash.install(number, configuration(stored));
        if let Some(slot) = flash.slot_mut(number) {
            slot.counter = stored.counter;
        }
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        let number = slot.parse().ok()?;
        let mut flash = self.key.flash.open();
        let config = flash.slot(number)?.config.clone();
        match config.function() {
            Function::Hotp => flash.read_hotp(number),
            // The host decides on 6 digits and 30 s.
            Function::HmacChallenge => Some(config.hotp(now / 30)),
            _ => None,
        }
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        let flash = self.key.flash.open();
        let codes = [1, 2].into_iter().filter_map(|number| flash.slot(number)).map(|slot| slot.config.code);
        codes.into_iter().find(|code| *code != [0; 6]).map(Vec::from)
    }

    fn set_lock_code(&self, code: Option<&[u8]>) {
        let code = code.and_then(|code| code.try_into().ok()).unwrap_or_default();
        let mut flash = self.key.flash.open();
        for number in [1, 2] {
            if let Some(slot) = flash.slot_mut(number) {
                slot.config.code = code;
            }
        }
    }

    /// Codes lie in slots, one in each: an empty key has none, and a host cannot set one for the whole key.
    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Waits;
    use crate::hid::Transfer;

    #[test]
    fn both_interfaces_show_the_same_slots() {
        let key = YubiKey::new(Model::NEO_3_4_9, 7_050_602);
        let (hid, card) = (key.over_hid().unwrap(), key.over_card().unwrap());
        let secret = b"12345678901234567890";
        hid.install("2", &Stored::hotp(secret, 0));
        assert_eq!(card.stored(), [("2".to_owned(), Stored { touch: true, ..Stored::hotp(secret, 0) })]);
        assert_eq!(card.read_off("2", 0).as_deref(), Some("755224"));
        assert_eq!(hid.read_off("2", 0).as_deref(), Some("287082"));
        assert_eq!((card.serial(), hid.serial()), (Some("7050602".to_owned()), Some("7050602".to_owned())));
        assert!(YubiKey::new(Model::YUBIKEY_5_4_3, 1).over_card().is_none());
    }

    #[test]
    fn a_pressed_button_types_keys() {
        let key = YubiKey::new(Model::YUBIKEY_5_4_3, 1);
        let hid = key.over_hid().unwrap();
        hid.install("1", &Stored::hotp(b"12345678901234567890", 1));
        assert_eq!(key.press(1).as_deref(), Some("287082\n"));
        assert_eq!(key.press(2), None);
        let keyboard = key.hid().unwrap();
        keyboard.power_on();
        key.press(1);
        let mut typed = Vec::new();
        while let Transfer::Done(report) = keyboard.input(Duration::ZERO, Waits::Virtual) {
            typed.push(report[2]);
        }
        let pressed: Vec<u8> = typed.into_iter().step_by(2).collect();
        assert_eq!(crate::ykotp::keys::text(&pressed), "359152\n");
    }
}
