//! The maker's library (libnitrokey, by way of nitrocli) on an emulated Nitrokey, and this project's driver on what
//! it wrote: over libusb, the kernel and a USB device, as on a desk.

use std::process::Command;

use firmware_fixtures::nitrokey_pro::{NitrokeyFirmware, NitrokeyPro};
use firmware_fixtures::specimen::{Specimen, Stored};
use firmware_fixtures::usb::{PluggedIn, UsbDevice};
use fobd_drivers::error::Error;
use fobd_drivers::nkpro::NitrokeyProDriver;
use fobd_drivers::token::{
    Algorithm, Driver, FactorConfig, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, Token,
    Unattended, UnixTime,
};
use fobd_drivers::transport::Bus;
use fobd_drivers::transport::hid::HidBus;

use super::guest::{Guest, wait_for};

const SECRET: &[u8] = b"12345678901234567890";

const HEX: &str = "3132333435363738393031323334353637383930";

/// Runs nitrocli with the maker's PINs; what it prints.
fn nitrocli(arguments: &[&str]) -> String {
    let mut command = Command::new("nitrocli");
    command.args(arguments).env("NITROCLI_ADMIN_PIN", "12345678").env("NITROCLI_USER_PIN", "123456");
    let output = command.env("NITROCLI_NO_CACHE", "1").output().expect("nitrocli is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    assert!(output.status.success(), "nitrocli {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn plug(firmware: NitrokeyFirmware) -> (NitrokeyPro, PluggedIn) {
    let mut watch = HidBus::new().watch().unwrap();
    wait_for(&mut *watch, 0);
    let device = NitrokeyPro::new(firmware, 0x5F11);
    let plugged = UsbDevice::of_hid(device.hid()).plug_in().unwrap();
    wait_for(&mut *watch, 1);
    (device, plugged)
}

/// Opens it by hidraw; libusb takes the interface away from the kernel while nitrocli runs.
fn open() -> Box<dyn Token> {
    let bus = HidBus::new();
    let candidate = wait_for(&mut *bus.watch().unwrap(), 1).remove(0);
    NitrokeyProDriver.open(&candidate, bus.open(&candidate).unwrap()).unwrap().unwrap()
}

fn config(factor: FactorConfig) -> SlotConfig {
    SlotConfig {
        factor,
        algorithm: Algorithm::Sha1,
        digits: 6,
        secret: SecretBytes::new(SECRET.to_vec()),
        touch: false,
        label: Some("ours".to_owned()),
        now: UnixTime(0),
    }
}

/// About 15 s each: the library waits 100 ms for every answer.
#[test]
fn nitrocli_reads_what_we_write_and_the_other_way_round() {
    let _guest = Guest::enter();
    for (firmware, model) in [
        (NitrokeyFirmware::PRO_0_7, "Pro"),
        (NitrokeyFirmware::PRO_0_15, "Pro"),
        (NitrokeyFirmware::STORAGE_0_53, "Storage"),
        (NitrokeyFirmware::STORAGE_0_57, "Storage"),
    ] {
        println!("{}", firmware.model);
        let (device, _plugged) = plug(firmware);
        let status = nitrocli(&["status"]);
        for line in [
            format!("model:             {model}"),
            "serial number:     0x00005f11".to_owned(),
            format!("firmware version:  0.{}", firmware.minor),
            "user retry count:  3".to_owned(),
            "admin retry count: 3".to_owned(),
        ] {
            assert!(status.contains(&line), "no {line:?} in {status}");
        }

        // Slots of theirs are counted from 0.
        nitrocli(&["otp", "set", "0", "theirs", HEX, "--format", "hex", "-a", "hotp", "-d", "8", "-c", "5"]);
        nitrocli(&["otp", "set", "2", "theirs", HEX, "--format", "hex", "-a", "totp"]);
        let stored = device.stored();
        assert_eq!(
            stored,
            [
                ("11".to_owned(), Stored { digits: Some(8), ..Stored::hotp(SECRET, 5) }),
                ("23".to_owned(), Stored::totp(SECRET)),
            ]
        );
        let mut token = open();
        let passcode = |token: &mut dyn Token, number, factor| {
            let passcode = token.calculate(&SlotId::Index(number), factor, &Unattended).unwrap();
            passcode.expose().to_owned()
        };
        assert_eq!(passcode(&mut *token, 11, MovingFactor::OnToken), "68254676");
        assert_eq!(passcode(&mut *token, 23, MovingFactor::TimeStep(1)), "287082");

        token.unlock(&LockCode::new(b"12345678".to_vec())).unwrap();
        let hotp = config(FactorConfig::Hotp { counter: 0 });
        token.program(&SlotId::Index(12), &hotp, &Unattended).unwrap();
        token
            .program(&SlotId::Index(22), &config(FactorConfig::Totp { time_step: 60 }), &Unattended)
            .unwrap();
        drop(token);
        let listed = nitrocli(&["otp", "status"]);
        assert!(listed.contains("hotp\t1\tours") && listed.contains("totp\t1\tours"), "{listed}");
        assert_eq!(nitrocli(&["otp", "get", "1", "-a", "hotp"]), "755224");
        assert_eq!(nitrocli(&["otp", "get", "1", "-a", "hotp"]), "287082");
        assert_eq!(nitrocli(&["otp", "get", "1", "-a", "totp", "-t", "60"]), "287082");
        assert_eq!(nitrocli(&["otp", "get", "2", "-a", "totp", "-t", "1111111109"]), "081804");

        nitrocli(&["otp", "clear", "1", "-a", "hotp"]);
        assert!(!open().slots().unwrap()[1].in_use);

        nitrocli(&["config", "set", "--otp-pin"]);
        let mut token = open();
        let locked = token.calculate(&SlotId::Index(23), MovingFactor::TimeStep(1), &Unattended);
        assert!(matches!(locked, Err(Error::Locked)));
        token.unlock(&LockCode::new(b":123456".to_vec())).unwrap();
        assert_eq!(passcode(&mut *token, 23, MovingFactor::TimeStep(1)), "287082");
        drop(token);
        assert_eq!(nitrocli(&["otp", "get", "2", "-a", "totp", "-t", "30"]), "287082");
    }
}
