//! A whole YubiKey, keyboard and card, with its maker's programs: yubikey-personalization takes the keyboard interface
//! by libusb, ykman uses hidraw and pcscd, and our driver hidraw. What one programs, another reads or computes. What
//! the key types is read where every keyboard's keys arrive.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::channel;
use std::thread;

use firmware_fixtures::specimen::{Specimen, Stored};
use firmware_fixtures::usb::{PluggedIn, UsbDevice};
use firmware_fixtures::yubikey::{Model, OtpSpecimen, YubiKey};
use fobd_drivers::token::{
    Algorithm, Driver, FactorConfig, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, Token,
    Unattended, UnixTime,
};
use fobd_drivers::transport::Bus;
use fobd_drivers::transport::hid::HidBus;
use fobd_drivers::transport::pcsc::PcscBus;
use fobd_drivers::ykoath::YkoathDriver;
use fobd_drivers::ykotp::YkotpDriver;

use super::guest::{Guest, PATIENCE, Pcscd, wait_for};

const SERIAL: u32 = 7_050_602;
const SECRET: &[u8] = b"12345678901234567890";
const KEY: &str = "-a3132333435363738393031323334353637383930";
const ONE: SlotId = SlotId::Index(1);
const TWO: SlotId = SlotId::Index(2);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program} of yubikey-personalization: {error}"))
}

/// Runs a program that has to succeed; what it prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = output(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn plug() -> (OtpSpecimen, PluggedIn) {
    let mut watch = HidBus::new().watch().unwrap();
    wait_for(&mut *watch, 0);
    let key = YubiKey::new(Model::YUBIKEY_5_4_3, SERIAL);
    let device = UsbDevice::of_hid(key.hid().unwrap()).and_card(key.card().unwrap());
    let plugged = device.plug_in().unwrap();
    wait_for(&mut *watch, 1);
    (key.over_hid().unwrap(), plugged)
}

/// Opens it by hidraw; libusb takes the interface away from the kernel while a program runs.
fn open() -> Box<dyn Token> {
    let bus = HidBus::new();
    let candidate = wait_for(&mut *bus.watch().unwrap(), 1).remove(0);
    YkotpDriver.open(&candidate, bus.open(&candidate).unwrap()).unwrap().expect("not taken for a YubiKey")
}

fn config(factor: FactorConfig) -> SlotConfig {
    SlotConfig {
        factor,
        algorithm: Algorithm::Sha1,
        digits: 6,
        secret: SecretBytes::new(SECRET.to_vec()),
        touch: false,
        label: None,
        now: UnixTime(0),
    }
}

fn totp(token: &mut dyn Token, step: u64) -> String {
    token.calculate(&TWO, MovingFactor::TimeStep(step), &Unattended).unwrap().expose().to_owned()
}

fn in_use(token: &mut dyn Token) -> [bool; 2] {
    let slots = token.slots().unwrap();
    [slots[0].in_use, slots[1].in_use]
}

/// What lies in a slot for HOTP. Every touch of the button is one for it.
fn hotp(counter: u64) -> Stored {
    Stored { touch: true, digits: Some(6), ..Stored::hotp(SECRET, counter) }
}

/// What lies in a slot for challenges.
fn challenge() -> Stored {
    Stored { digits: None, time_step: None, ..Stored::totp(SECRET) }
}

/// The key as the kernel's input core has it: what is typed on it.
fn keyboard() -> File {
    let ours = |name: &str| {
        let id = |what: &str| fs::read_to_string(format!("/sys/class/input/{name}/device/id/{what}"));
        name.starts_with("event") && id("vendor").unwrap() == "1050\n" && id("product").unwrap() == "0407\n"
    };
    let names = fs::read_dir("/sys/class/input").unwrap().map(|entry| entry.unwrap().file_name());
    let mut names = names.map(|name| name.into_string().unwrap());
    let name = names.find(|name| ours(name)).expect("it is no keyboard");
    File::open(format!("/dev/input/{name}")).unwrap()
}

/// Presses the button for a slot; what arrives of it, up to Enter.
fn touch(key: &OtpSpecimen, slot: u8) -> String {
    const KEYS: [u16; 11] = [11, 2, 3, 4, 5, 6, 7, 8, 9, 10, 28];
    let mut keyboard = keyboard();
    key.key().press(slot).expect("the slot types nothing");
    let (sender, typed) = channel();
    thread::spawn(move || {
        // struct input_event: the time, type, code, value.
        let mut event = [0; 24];
        let mut text = String::new();
        while !text.ends_with('\n') {
            keyboard.read_exact(&mut event).unwrap();
            if event[16..18] == [1, 0] && event[20..] == [1, 0, 0, 0] {
                let code = u16::from_ne_bytes([event[18], event[19]]);
                let digit = KEYS.iter().position(|key| *key == code);
                text.push(digit.map_or('?', |digit| b"0123456789\n"[digit].into()));
            }
        }
        sender.send(text)
    });
    typed.recv_timeout(PATIENCE).expect("nothing is typed, or no Enter")
}

#[test]
fn its_makers_program_and_the_driver_read_the_same_of_it() {
    let _guest = Guest::enter();
    let (key, _plugged) = plug();
    let info = open().info().clone();
    assert_eq!((info.serial.as_deref(), info.firmware.as_str()), (Some("7050602"), "5.4.3"));
    assert_eq!(run("ykinfo", &["-v", "-s"]), "serial: 7050602\nversion: 5.4.3");
    key.install("2", &challenge());
    assert_eq!(run("ykinfo", &["-1", "-2"]), "slot1_status: 0\nslot2_status: 1");
    assert_eq!(in_use(&mut *open()), [false, true]);
}

#[test]
fn what_ykpersonalize_writes_the_driver_uses() {
    let _guest = Guest::enter();
    let (key, _plugged) = plug();
    run("ykpersonalize", &["-1", "-ooath-hotp", "-oappend-cr", KEY, "-y"]);
    assert_eq!(key.stored(), [("1".to_owned(), hotp(0))]);
    assert_eq!(touch(&key, 1), "755224\n");
    run("ykpersonalize", &["-2", "-ochal-resp", "-ochal-hmac", "-ohmac-lt64", KEY, "-y"]);
    assert_eq!(key.stored(), [("1".to_owned(), hotp(1)), ("2".to_owned(), challenge())]);
    let mut token = open();
    assert_eq!(in_use(&mut *token), [true, true]);
    assert_eq!(totp(&mut *token, 1), "287082");
    assert_eq!(totp(&mut *token, 0x23523EC), "081804");
}

#[test]
fn what_the_driver_writes_its_makers_programs_use() {
    let _guest = Guest::enter();
    let (key, _plugged) = plug();
    let mut token = open();
    token.program(&ONE, &config(FactorConfig::Hotp { counter: 0 }), &Unattended).unwrap();
    token.program(&TWO, &config(FactorConfig::Totp { time_step: 30 }), &Unattended).unwrap();
    drop(token);
    assert_eq!(run("ykinfo", &["-1", "-2"]), "slot1_status: 1\nslot2_status: 1");
    assert_eq!(run("ykchalresp", &["-2", "-x", "-6", "0000000000000001"]), "287082");
    let mac = run("ykchalresp", &["-2", "-x", "0000000000000001"]);
    assert_eq!(mac, "75a48a19d4cbe100644e8ac1397eea747a2d33ab");
    assert_eq!(touch(&key, 1), "755224\n");
    assert_eq!(touch(&key, 1), "287082\n");
    run("ykpersonalize", &["-1", "-z", "-y"]);
    assert_eq!(in_use(&mut *open()), [false, true]);
}

#[test]
fn an_access_code_of_the_driver_keeps_ykpersonalize_out() {
    let _guest = Guest::enter();
    let (key, _plugged) = plug();
    let mut token = open();
    token.unlock(&LockCode::new(b"0102030405ff".to_vec())).unwrap();
    token.program(&ONE, &config(FactorConfig::Hotp { counter: 0 }), &Unattended).unwrap();
    drop(token);
    let write = ["-1", "-ooath-hotp", "-ooath-imf=16", KEY, "-y"];
    let refused = output("ykpersonalize", &write);
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(key.stored(), [("1".to_owned(), hotp(0))]);
    run("ykpersonalize", &[&write[..], &["-c0102030405ff"]].concat());
    assert_eq!(key.stored(), [("1".to_owned(), hotp(16))]);
}

/// Runs ykman, which the environment of Python for the tests has.
fn ykman(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".cache/venv/bin/python");
    let mut command = Command::new(&python);
    command.args(["-B", "-c", "import sys; from ykman._cli.__main__ import main; sys.exit(main())"]);
    command.args(["--device", "7050602"]).args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    assert!(output.status.success(), "ykman {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn ykman_and_the_drivers_share_both_interfaces() {
    let guest = Guest::enter();
    let _pcscd = Pcscd::start(&guest);
    let (key, _plugged) = plug();
    let mut watch = PcscBus.watch().unwrap();
    let card = wait_for(&mut *watch, 1).remove(0);

    // The keyboard.
    let mut token = open();
    token.program(&ONE, &config(FactorConfig::Hotp { counter: 0 }), &Unattended).unwrap();
    drop(token);
    assert_eq!(ykman(&["otp", "info"]), "Slot 1: programmed\nSlot 2: empty");
    ykman(&["otp", "chalresp", "--force", "2", &KEY[2..]]);
    assert_eq!(key.stored(), [("1".to_owned(), hotp(0)), ("2".to_owned(), challenge())]);
    assert_eq!(totp(&mut *open(), 1), "287082");
    assert_eq!(
        ykman(&["otp", "calculate", "2", "0000000000000001"]),
        "75a48a19d4cbe100644e8ac1397eea747a2d33ab"
    );

    // The card.
    let mut token =
        YkoathDriver.open(&card, PcscBus.open(&card).unwrap()).unwrap().expect("not taken for a YubiKey");
    let name = SlotId::Name("fobd:a".to_owned());
    token.program(&name, &config(FactorConfig::Hotp { counter: 0 }), &Unattended).unwrap();
    drop(token);
    assert_eq!(ykman(&["oath", "accounts", "list"]), "fobd:a");
    assert_eq!(ykman(&["oath", "accounts", "code", "--single", "a"]), "755224");
    let mut token =
        YkoathDriver.open(&card, PcscBus.open(&card).unwrap()).unwrap().expect("not taken for a YubiKey");
    let passcode = token.calculate(&name, MovingFactor::OnToken, &Unattended).unwrap();
    assert_eq!(passcode.expose(), "287082");
}
