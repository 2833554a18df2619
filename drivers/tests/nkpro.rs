//! Nitrokey Pro and Storage: what is true of them beyond what the suite asks of every token.

mod hostile;
mod pins;
mod wire;

use std::time::Duration;

use firmware_fixtures::card::Waits;
use firmware_fixtures::hid::Transfer;
use firmware_fixtures::nitrokey_pro::{NitrokeyFirmware, NitrokeyPro, Pace};
use firmware_fixtures::specimen::{Specimen, Stored};
use fobd_drivers::error::Error;
use fobd_drivers::token::{
    FactorConfig, Kind, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, SlotInfo, Token, Unattended,
    UnixTime,
};

use crate::bench::{SECRET, error, hotp, totp};
use crate::suite::InProcess;
use crate::suite::cases::conformance;
use wire::{Scene, another_program};

/// The maker's admin PIN.
const ADMIN: &str = "12345678";

/// One of each way of doing things.
const GENERATIONS: [NitrokeyFirmware; 5] = [
    NitrokeyFirmware::PRO_0_7,
    NitrokeyFirmware::PRO_0_8,
    NitrokeyFirmware::PRO_0_15,
    NitrokeyFirmware::STORAGE_0_53,
    NitrokeyFirmware::STORAGE_0_57,
];

fn code(text: &str) -> LockCode {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn slot(number: u8) -> SlotId {
    SlotId::Index(number)
}

fn calculate(token: &mut dyn Token, number: u8, factor: MovingFactor) -> Result<String, Error> {
    token.calculate(&slot(number), factor, &Unattended).map(|passcode| passcode.expose().to_owned())
}

#[test]
fn every_generation_conforms() {
    for firmware in NitrokeyFirmware::ALL {
        conformance("nkpro", &|| Box::new(NitrokeyPro::new(firmware, 0x5F11)), &mut InProcess);
    }
}

#[test]
fn models_are_told_by_their_usb_ids() {
    let told = |firmware| {
        let info = Scene::new(firmware).open().info().clone();
        (info.maker, info.model, info.firmware, info.serial.unwrap())
    };
    let told: Vec<_> =
        [NitrokeyFirmware::PRO_0_7, NitrokeyFirmware::LIBREM_0_10, NitrokeyFirmware::STORAGE_0_57]
            .map(told)
            .to_vec();
    let row = |maker: &str, model: &str, firmware: &str| {
        (maker.to_owned(), model.to_owned(), firmware.to_owned(), "00005f11".to_owned())
    };
    assert_eq!(
        told,
        [
            row("Nitrokey", "Nitrokey Pro", "0.7"),
            row("Purism", "Librem Key", "0.10"),
            row("Nitrokey", "Nitrokey Storage", "0.57"),
        ]
    );
}

#[test]
fn a_call_sends_no_command_more_than_it_needs() {
    let long = SlotConfig { secret: SecretBytes::new(SECRET[..40].to_vec()), ..hotp(0) };
    for (firmware, opened, short_write, long_write, erase) in [
        (
            NitrokeyFirmware::PRO_0_7,
            vec![0x00],
            // The first AUTHORIZE lives on what unlocking left.
            vec![0x08, 0x01],
            None,
            vec![0x02, 0x09, 0x07, 0x08, 0x06],
        ),
        (
            NitrokeyFirmware::PRO_0_15,
            vec![0x00],
            vec![0x17, 0x17, 0x01],
            Some(vec![0x17, 0x17, 0x17, 0x01]),
            vec![0x02, 0x06],
        ),
        (NitrokeyFirmware::STORAGE_0_53, vec![0x00, 0x2E], vec![0x08, 0x01], None, vec![0x02, 0x08, 0x06]),
        (
            NitrokeyFirmware::STORAGE_0_57,
            vec![0x00, 0x2E],
            // A Storage may say OK to what it has not done, so it is asked.
            vec![0x17, 0x17, 0x01, 0x03],
            Some(vec![0x17, 0x17, 0x17, 0x01, 0x03]),
            vec![0x02, 0x06, 0x02],
        ),
    ] {
        let scene = Scene::new(firmware);
        let mut token = scene.open();
        assert_eq!(scene.commands(), opened, "{}: open", firmware.model);
        token.unlock(&code(ADMIN)).unwrap();
        assert_eq!(scene.commands(), [0x09, 0x07], "{}: unlock", firmware.model);
        token.program(&slot(11), &hotp(0), &Unattended).unwrap();
        assert_eq!(scene.commands(), short_write, "{}: program", firmware.model);
        token.erase(&slot(11), &Unattended).unwrap();
        assert_eq!(scene.commands(), erase, "{}: erase", firmware.model);
        if let Some(commands) = long_write {
            token.program(&slot(11), &long, &Unattended).unwrap();
            assert_eq!(scene.commands(), commands, "{}: program a long secret", firmware.model);
        } else {
            token.program(&slot(11), &hotp(0), &Unattended).unwrap();
            scene.requests();
        }
        token.program(&slot(21), &totp(30), &Unattended).unwrap();
        scene.requests();
        calculate(&mut *token, 11, MovingFactor::OnToken).unwrap();
        assert_eq!(scene.commands(), [0x04], "{}: HOTP", firmware.model);
        calculate(&mut *token, 21, MovingFactor::TimeStep(1)).unwrap();
        assert_eq!(scene.commands(), [0x03, 0x0B, 0x04], "{}: TOTP", firmware.model);
        let slots = token.slots().unwrap();
        assert_eq!(scene.commands(), vec![0x03; slots.len()], "{}: slots", firmware.model);
        token.set_clock(UnixTime(1)).unwrap();
        assert_eq!(scene.commands(), [0x0B], "{}: clock", firmware.model);
    }
}

#[test]
fn a_ready_token_is_looked_at_once_per_command() {
    let scene = Scene::new(NitrokeyFirmware::PRO_0_15);
    scene.device.set_pace(Pace::AT_ONCE);
    scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
    let mut token = scene.open();
    let (exchanges, waited) = (scene.device.hid().exchanges(), scene.device.hid().waited());
    calculate(&mut *token, 11, MovingFactor::OnToken).unwrap();
    assert_eq!(scene.device.hid().exchanges() - exchanges, 2);
    assert_eq!(scene.device.hid().waited() - waited, Duration::from_millis(10));
}

#[test]
fn slots_tell_what_is_in_them() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("13", &Stored { digits: Some(8), ..Stored::hotp(&SECRET[..20], 3) });
        scene.device.install("22", &Stored { time_step: Some(60), ..Stored::totp(&SECRET[..20]) });
        let slots = scene.open().slots().unwrap();
        let last = if firmware == NitrokeyFirmware::STORAGE_0_57 { 34 } else { 35 };
        let numbers: Vec<_> = slots.iter().map(|info| info.slot.clone()).collect();
        let all: Vec<_> = (11..=13).chain(21..=last).map(slot).collect();
        assert_eq!(numbers, all, "{}", firmware.model);
        let used: Vec<_> = slots.into_iter().filter(|info| info.in_use).collect();
        let info = |number, kind, digits, time_step| SlotInfo {
            slot: slot(number),
            in_use: true,
            kind: Some(kind),
            algorithm: Some(fobd_drivers::token::Algorithm::Sha1),
            digits: Some(digits),
            time_step,
            touch: Some(false),
        };
        assert_eq!(used, [info(13, Kind::Hotp, 8, None), info(22, Kind::Totp, 6, Some(60))]);
    }
}

#[test]
fn slots_carry_a_name() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        let mut token = scene.open();
        token.unlock(&code(ADMIN)).unwrap();
        for (label, name) in
            [(None, "OTP"), (Some("alice@example.org"), "alice@example.o"), (Some("Zoë"), "Zoë")]
        {
            let config = SlotConfig { label: label.map(str::to_owned), ..hotp(0) };
            token.program(&slot(12), &config, &Unattended).unwrap();
            assert_eq!(scene.device.name("12").unwrap(), name.as_bytes());
        }
    }
}

#[test]
fn counters_and_steps_arrive_whole() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        let mut token = scene.open();
        token.unlock(&code(ADMIN)).unwrap();
        let storage = firmware == NitrokeyFirmware::STORAGE_0_53;
        let counter = if storage { 99_999_999 } else { 0x0123_4567_89AB_CDEF };
        token.program(&slot(11), &hotp(counter), &Unattended).unwrap();
        token.program(&slot(21), &totp(65_535), &Unattended).unwrap();
        let stored = scene.device.stored();
        assert_eq!(
            (stored[0].1.counter, stored[1].1.time_step),
            (counter, Some(65_535)),
            "{}",
            firmware.model
        );
        let FactorConfig::Totp { time_step } = totp(65_535).factor else { panic!("not TOTP") };
        let passcode = calculate(&mut *token, 21, MovingFactor::TimeStep(1)).unwrap();
        assert_eq!(passcode, "287082");
        assert_eq!(scene.device.read_off("21", u64::from(time_step)).unwrap(), "287082");
    }
}

#[test]
fn an_empty_slot_is_called_empty() {
    for firmware in GENERATIONS {
        let mut token = Scene::new(firmware).open();
        token.unlock(&code(ADMIN)).unwrap();
        for (number, factor) in [(12, MovingFactor::OnToken), (23, MovingFactor::TimeStep(1))] {
            let failure = error(calculate(&mut *token, number, factor));
            assert_eq!(failure.to_string(), format!("slot `{number}` is empty"));
            let failure = error(token.erase(&slot(number), &Unattended));
            assert_eq!(failure.to_string(), format!("slot `{number}` is empty"));
        }
        let failure = error(calculate(&mut *token, 12, MovingFactor::TimeStep(1)));
        assert_eq!(failure.to_string(), "factor: an HOTP credential counts by itself");
        let failure = error(calculate(&mut *token, 23, MovingFactor::OnToken));
        assert_eq!(failure.to_string(), "factor: a TOTP credential needs the number of the time step");
    }
}

#[test]
fn the_clock_runs_from_where_it_was_set() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("21", &Stored::totp(&SECRET[..20]));
        scene.open().set_clock(UnixTime(1_111_111_109)).unwrap();
        // Half a second passes before another program asks, and half before it looks.
        let answer = another_program(scene.device.hid(), 0x04, &[(1, &[0x20])]);
        assert_eq!(answer[7..11], 81_804_u32.to_le_bytes(), "{}", firmware.model);
    }
}

#[test]
fn what_somebody_sent_ahead_and_never_wrote_gets_into_no_secret() {
    for firmware in [NitrokeyFirmware::PRO_0_8, NitrokeyFirmware::PRO_0_15, NitrokeyFirmware::STORAGE_0_57] {
        let scene = Scene::new(firmware);
        let hid = scene.device.hid();
        another_program(hid, 0x07, &[(1, ADMIN.as_bytes()), (26, b"TMPPW")]);
        another_program(hid, 0x17, &[(1, b"TMPPW"), (26, &[b'S', 1]), (28, b"0123456789")]);
        let mut token = scene.open();
        token.unlock(&code(ADMIN)).unwrap();
        token.program(&slot(11), &hotp(0), &Unattended).unwrap();
        assert_eq!(scene.device.stored()[0].1.secret, &SECRET[..20], "{}", firmware.model);
        assert_eq!(calculate(&mut *token, 11, MovingFactor::OnToken).unwrap(), "755224");
    }
}

#[test]
fn reading_the_answer_again_costs_nothing() {
    let scene = Scene::new(NitrokeyFirmware::PRO_0_15);
    scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
    calculate(&mut *scene.open(), 11, MovingFactor::OnToken).unwrap();
    let looks = || match scene.device.hid().get_feature(Waits::Virtual) {
        Transfer::Done(answer) => answer[7..11].to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!((looks(), looks()), (755_224_u32.to_le_bytes().to_vec(), looks()));
    assert_eq!(scene.device.stored()[0].1.counter, 1);
}
