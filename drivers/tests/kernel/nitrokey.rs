//! A whole Nitrokey 3: FIDO's HID interface and a smart card in one USB device. Our driver uses both, and so does
//! Nitrokey's own SDK, by hidraw and by pyscard.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use firmware_fixtures::nitrokey3::{Nitrokey3, SecretsFirmware};
use firmware_fixtures::usb::UsbDevice;
use fobd_drivers::nk3::Nk3Driver;
use fobd_drivers::token::{Driver, Kind, LockCode, MovingFactor, SlotId, Token, Unattended};
use fobd_drivers::transport::hid::HidBus;
use fobd_drivers::transport::pcsc::PcscBus;
use fobd_drivers::transport::{Bus, Candidate};

use super::guest::{Guest, Pcscd, wait_for};
use crate::suite::{config, program};

/// Runs the SDK with these calls, one JSON list each; returns the JSON that it prints for each.
fn sdk(transport: &str, calls: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".cache/venv/bin/python");
    let mut command = Command::new(python);
    command.arg("-B").arg(root.join("tests/clients/nitrokey_sdk.py")).arg(transport);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("scripts/setup.sh kernel has installed the SDK");
    child.stdin.take().unwrap().write_all(calls.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{transport}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn open(bus: &dyn Bus, candidate: &Candidate) -> Box<dyn Token> {
    assert!(Nk3Driver.matches(candidate), "{candidate}");
    Nk3Driver.open(candidate, bus.open(candidate).unwrap()).unwrap().expect("not taken for a Nitrokey")
}

const CALCULATE: &str = r#"["calculate", {"cred_id": {"hex": "61"}}]"#;

#[test]
fn its_maker_and_the_driver_share_it_over_both_wires() {
    let guest = Guest::enter();
    let _pcscd = Pcscd::start(&guest);
    let (hids, cards) = (HidBus::new(), PcscBus);
    let (mut hid_watch, mut card_watch) = (hids.watch().unwrap(), cards.watch().unwrap());
    let key = Nitrokey3::new(SecretsFirmware::V4_14, [0x0A, 0xAD, 0xBE, 0xEF]);
    let _inserted = UsbDevice::of_hid(&key.hid()).and_card(&key.card()).plug_in().unwrap();
    let hid = wait_for(&mut *hid_watch, 1).remove(0);
    let card = wait_for(&mut *card_watch, 1).remove(0);
    let Candidate::Card { reader, atr, .. } = &card else { panic!("{card} is no card") };
    assert_eq!((reader.as_str(), atr.as_slice()), ("Nitrokey Nitrokey 3 00 00", key.card().face().atr));

    let (mut by_hid, mut by_card) = (open(&hids, &hid), open(&cards, &card));
    assert_eq!(by_hid.info(), by_card.info());
    assert_eq!(by_hid.info().serial.as_deref(), Some("0aadbeef"));

    // One HOTP credential: each of the four takes a passcode in turn.
    let a = SlotId::Name("a".to_owned());
    let can = by_hid.info().capabilities.clone();
    program(&mut *by_hid, &a, &config(&can, Kind::Hotp));
    let passcode = |token: &mut dyn Token| {
        token.calculate(&a, MovingFactor::OnToken, &Unattended).unwrap().expose().to_owned()
    };
    assert_eq!(passcode(&mut *by_card), "755224");
    assert_eq!(sdk("ctaphid", &[CALCULATE]), [r#"{"hex": "323837303832"}"#], "287082");
    assert_eq!(sdk("ccid", &[CALCULATE]), [r#"{"hex": "333539313532"}"#], "359152");
    assert_eq!(passcode(&mut *by_hid), "969429");

    // What the SDK encrypts with a PIN over one wire, the driver finds over the other.
    let said = sdk(
        "ctaphid",
        &[
            r#"["set_pin_raw", {"password": "1234"}]"#,
            r#"["verify_pin_raw", {"password": "1234"}]"#,
            r#"["register", {"credid": {"hex": "62"}, "secret": {"hex": "3132333435363738393031323334353637383930"},
                "kind": {"kind": "Totp"}, "pin_based_encryption": true}]"#
                .replace('\n', " ")
                .as_str(),
        ],
    );
    assert_eq!(said, ["null", "null", "null"]);
    let names = |token: &mut dyn Token| token.slots().unwrap().len();
    assert_eq!(names(&mut *by_card), 1);
    by_card.unlock(&LockCode::new(b"1234".to_vec())).unwrap();
    assert_eq!(names(&mut *by_card), 2);
    let b = SlotId::Name("b".to_owned());
    let passcode = by_card.calculate(&b, MovingFactor::TimeStep(1), &Unattended).unwrap();
    assert_eq!(passcode.expose(), "287082");
}
