//! Every emulated token with the driver that must know it: the list that the suite goes through, on every wire.

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

use crate::suite::cases::conformance;
use crate::suite::sweep::{Depth, sweep};
use crate::suite::{InProcess, Socket};

/// A driver's name and a way to make a new token for it.
pub(crate) struct Row {
    pub(crate) driver: &'static str,
    pub(crate) make: Box<dyn Fn() -> Box<dyn Specimen>>,
}

fn row<S: Specimen + 'static>(driver: &'static str, make: impl Fn() -> S + 'static) -> Row {
    Row { driver, make: Box::new(move || Box::new(make())) }
}

/// All emulated tokens.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    // A key that takes nothing without a code cannot be emptied and used again, as the suite does.
    for firmware in Firmware::ALL.into_iter().filter(|firmware| !firmware.quirks.needs_code) {
        rows.push(row("ykoath", move || OathSpecimen::new(&VirtualCard::new(firmware, 4242))));
    }
    for model in OnlyKeyModel::ALL {
        rows.push(row("onlykey", move || OnlyKeySpecimen::new(model)));
    }
    for firmware in [Molto2Firmware::MOLTO2, Molto2Firmware::MOLTO2_V2_1] {
        rows.push(row("molto2", move || Molto2Specimen::new(firmware, "37806840")));
    }
    for model in [SingleProfileModel::OTPC_P2, SingleProfileModel::C302] {
        rows.push(row("token2nfc", move || SingleProfileSpecimen::new(model, 42)));
    }
    // 4.13 differs from 4.14 by its number only.
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware::V4_11, SecretsFirmware::V4_10] {
        for wire in [Wire::Ccid, Wire::CtapHid] {
            let device = move || Nitrokey3::new(firmware, [0xDE, 0xAD, 0xBE, 0xEF]);
            rows.push(row("nk3", move || Nitrokey3Specimen::new(&device(), wire)));
        }
    }
    // One of each generation; all of them conform in `nkpro.rs`.
    for firmware in [
        NitrokeyFirmware::PRO_0_7,
        NitrokeyFirmware::PRO_0_15,
        NitrokeyFirmware::STORAGE_0_53,
        NitrokeyFirmware::STORAGE_0_57,
    ] {
        rows.push(row("nkpro", move || {
            let token = NitrokeyPro::new(firmware, 0x5F11);
            // One of them is met at work; the others answer at the first look, since a sweep is long.
            if firmware != NitrokeyFirmware::PRO_0_15 {
                token.set_pace(Pace::AT_ONCE);
            }
            token
        }));
    }
    // Other models of the same are in `ykotp.rs`.
    for model in [Model::YUBIKEY_2_2, Model::NEO_3_4_9, Model::YUBIKEY_5_7_1] {
        rows.push(row("ykotp", move || YubiKey::new(model, 4242).over_hid().expect("a keyboard")));
    }
    for model in [Model::NEO_3_4_9, Model::YUBIKEY_5_2_7_NFC, Model::YUBIKEY_5_4_3_NFC] {
        rows.push(row("ykotp", move || YubiKey::new(model, 4242).over_card().expect("an applet")));
    }
    // The others conform in `pinplus.rs`.
    for model in [PinPlusModel::R3_1, PinPlusModel::R3_4] {
        rows.push(row("pinplus", move || PinPlusSpecimen::card(model)));
    }
    let known_to_the_tunnel = PinPlusModel { pin_over_hid: true, ..PinPlusModel::R3_4 };
    rows.push(row("pinplus", move || PinPlusSpecimen::hid(known_to_the_tunnel)));
    for model in FeitianModel::CARDS {
        rows.push(row("feitian", move || FeitianSpecimen::card(model)));
    }
    rows.push(row("feitian", FeitianSpecimen::hyperfido));
    rows
}

fn for_each(mut work: impl FnMut(&Row, &mut dyn Socket)) {
    for row in rows() {
        work(&row, &mut InProcess);
    }
}

#[test]
fn every_driver_conforms_in_process() {
    for_each(|row, socket| conformance(row.driver, &*row.make, socket));
}

#[test]
fn every_fault_at_every_exchange_leaves_the_old_or_the_new_or_says_so() {
    for_each(|row, socket| {
        let checked = sweep(row.driver, &*row.make, socket, Depth::Full);
        println!("{}, {}: {checked} faults", row.driver, (row.make)().model());
        assert!(checked > 100, "only {checked} faults were checked");
    });
}

#[test]
fn every_driver_has_an_emulated_token() {
    // A Slim cannot be programmed, which is what the suite is about: its own tests are in slim.rs.
    for driver in fobd_drivers::DRIVERS.iter().filter(|driver| driver.name() != "slim") {
        assert!(rows().iter().any(|row| row.driver == driver.name()), "{}", driver.name());
    }
}
