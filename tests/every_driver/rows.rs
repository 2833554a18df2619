//! The table: an emulated token for each driver, and what its people have to know of it.

use firmware_fixtures::applets::feitian::{FeitianSpecimen, Model as FeitianModel};
use firmware_fixtures::applets::pinplus::{Model as PinPlusModel, PinPlusSpecimen};
use firmware_fixtures::card::{OathSpecimen, VirtualCard};
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::molto2::{Molto2Firmware, Molto2Specimen};
use firmware_fixtures::nitrokey_pro::{NitrokeyFirmware, NitrokeyPro, Pace};
use firmware_fixtures::nitrokey3::{Nitrokey3, Nitrokey3Specimen, SecretsFirmware, Wire};
use firmware_fixtures::onlykey::{OnlyKeyModel, OnlyKeySpecimen};
use firmware_fixtures::single_profile::{SingleProfileModel, SingleProfileSpecimen};
use firmware_fixtures::specimen::Specimen;
use firmware_fixtures::yubikey::{Model, YubiKey};
use fobd_drivers::token::Kind;

/// Its access code.
#[derive(Clone, Copy)]
pub enum Code {
    /// It has none.
    None,
    /// It takes this one, and does the same without it.
    Taken(&'static str),
    /// It takes nothing without this one; and one that is wrong.
    Wanted(&'static str, &'static str),
}

/// An emulated token.
pub struct Row {
    pub driver: &'static str,
    pub make: Box<dyn Fn() -> Box<dyn Specimen> + Send + Sync>,
    pub code: Code,
    /// Whether it computes HOTP and TOTP for its host.
    calculates: (bool, bool),
    /// Whether a slot can be emptied.
    pub erases: bool,
}

impl Row {
    pub fn calculates(&self, kind: Kind) -> bool {
        match kind {
            Kind::Hotp => self.calculates.0,
            Kind::Totp => self.calculates.1,
        }
    }

    fn code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// It shows or types its passcodes to people: those of HOTP, and those of TOTP.
    fn by_hand(self, hotp: bool, totp: bool) -> Self {
        Self { calculates: (!hotp, !totp), ..self }
    }
}

fn row<S: Specimen + 'static>(driver: &'static str, make: impl Fn() -> S + Send + Sync + 'static) -> Row {
    let make = Box::new(move || -> Box<dyn Specimen> { Box::new(make()) });
    Row { driver, make, code: Code::None, calculates: (true, true), erases: true }
}

/// All of them.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let oath = |firmware| row("ykoath", move || OathSpecimen::new(&VirtualCard::new(firmware, 4242)));
    for firmware in [Firmware::YUBIKEY_5_4_3, Firmware::SOLO_2, Firmware::VIVOKEY] {
        rows.push(oath(firmware));
    }
    for firmware in [Firmware::YUBIKEY_5_7_4_FIPS, Firmware::CANOKEY] {
        rows.push(oath(firmware).code(Code::Wanted("Sesame, open!", "Barley, open!")));
    }
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware::V4_11, SecretsFirmware::V4_10] {
        for wire in [Wire::Ccid, Wire::CtapHid] {
            let device = move || Nitrokey3::new(firmware, [0xDE, 0xAD, 0xBE, 0xEF]);
            rows.push(row("nk3", move || Nitrokey3Specimen::new(&device(), wire)));
        }
    }
    let device = || Nitrokey3::new(SecretsFirmware::V4_14, [0xDE, 0xAD, 0xBE, 0xEF]);
    let with_pin = row("nk3", move || Nitrokey3Specimen::new(&device(), Wire::CtapHid));
    rows.push(with_pin.code(Code::Taken("Sesame, open!")));
    rows.push(row("pinplus", || PinPlusSpecimen::card(PinPlusModel::R3_1)));
    rows.push(row("pinplus", || PinPlusSpecimen::card(PinPlusModel::R3_4)));
    let with_pin = row("pinplus", || PinPlusSpecimen::card(PinPlusModel::R3_4));
    rows.push(with_pin.code(Code::Wanted("Sesame, open!", "Barley, open!")));
    rows.push(row("pinplus", || PinPlusSpecimen::hid(PinPlusModel::R3_1)));
    for model in FeitianModel::CARDS {
        rows.push(row("feitian", move || FeitianSpecimen::card(model)));
    }
    rows.push(row("feitian", FeitianSpecimen::hyperfido));
    for model in OnlyKeyModel::ALL {
        rows.push(row("onlykey", move || OnlyKeySpecimen::new(model)).by_hand(true, true));
    }
    for firmware in [Molto2Firmware::MOLTO2, Molto2Firmware::MOLTO2_V2_STRICT] {
        let token = row("molto2", move || Molto2Specimen::new(firmware, "37806840")).by_hand(true, true);
        rows.push(token.code(Code::Wanted("SESAME-OPEN-0001", "BARLEY-OPEN-0001")));
    }
    for (model, erases) in [(SingleProfileModel::OTPC_P2, true), (SingleProfileModel::C302, false)] {
        let token = row("token2nfc", move || SingleProfileSpecimen::new(model, 42)).by_hand(true, true);
        rows.push(Row { erases, ..token });
    }
    for model in [Model::YUBIKEY_2_2, Model::NEO_3_4_9, Model::YUBIKEY_5_7_1] {
        let token = row("ykotp", move || YubiKey::new(model, 4242).over_hid().expect("a keyboard"));
        rows.push(token.by_hand(true, false));
    }
    let token = row("ykotp", || YubiKey::new(Model::YUBIKEY_5_4_3_NFC, 4242).over_card().expect("an applet"));
    rows.push(token.by_hand(true, false));
    let token = row("ykotp", || YubiKey::new(Model::YUBIKEY_5_7_1, 4242).over_hid().expect("a keyboard"));
    rows.push(token.by_hand(true, false).code(Code::Taken("5e5a3e0be401")));
    for firmware in [NitrokeyFirmware::PRO_0_7, NitrokeyFirmware::PRO_0_15, NitrokeyFirmware::STORAGE_0_57] {
        let token = row("nkpro", move || {
            let token = NitrokeyPro::new(firmware, 0x5F11);
            token.set_pace(Pace::AT_ONCE);
            token
        });
        rows.push(token.code(Code::Wanted("Sesame-open", "Barley-open")));
    }
    rows
}
