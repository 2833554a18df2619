//! A Nitrokey 3 that Nitrokey's own SDK and our driver take turns with: what one writes the other calculates with.
//!
//! Over CTAPHID the SDK is connected to the emulated key by a socket that carries packets; over CCID it goes through
//! pyscard and a pcscd. The driver has the same key on a bus in this process.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::card::Waits;
use firmware_fixtures::hid::{Transfer, VirtualHid};
use firmware_fixtures::nitrokey3::{EntryKind, Nitrokey3, SecretsFirmware};
use firmware_fixtures::pcscd::PrivatePcscd;
use firmware_fixtures::vpcd::VpcdCard;
use fobd_drivers::error::Error;
use fobd_drivers::nk3::Nk3Driver;
use fobd_drivers::token::{
    Algorithm, Driver, FactorConfig, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, Token,
    Unattended, UnixTime,
};
use fobd_drivers::transport::Bus;
use serde_json::{Value as Json, json};

use crate::support::program::{client_script, python_tool};

const SECRET: &[u8] = b"12345678901234567890123456789012";
const SERIAL: [u8; 4] = [0x0A, 0xAD, 0xBE, 0xEF];

/// How the SDK gets at a key.
trait Cable {
    /// Runs the SDK with these calls and returns what came back for each.
    fn sdk(&self, key: &Nitrokey3, calls: &[Json]) -> Vec<Json>;
    /// Opens the key with our driver.
    fn open(&self, key: &Nitrokey3) -> Box<dyn Token>;
}

fn speak(mut python: Command, calls: &[Json], meanwhile: impl FnOnce()) -> Vec<Json> {
    let mut child =
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: String = calls.iter().map(|call| format!("{call}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    meanwhile();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Json> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), calls.len(), "{said}");
    answers
}

struct CtapHid;

impl Cable for CtapHid {
    fn sdk(&self, key: &Nitrokey3, calls: &[Json]) -> Vec<Json> {
        let scratch = tempfile();
        let path = format!("{scratch}/packets");
        let listener = UnixListener::bind(&path).unwrap();
        let hid = key.hid();
        hid.power_on();
        let mut python = python_tool("python");
        python.arg(client_script("nitrokey_sdk.py")).args(["ctaphid", &path]);
        let answers = speak(python, calls, || {
            let (stream, _) = listener.accept().unwrap();
            carry(stream, &hid);
        });
        hid.power_off();
        std::fs::remove_dir_all(scratch).unwrap();
        answers
    }

    fn open(&self, key: &Nitrokey3) -> Box<dyn Token> {
        let bus = VirtualHidBus::new();
        bus.attach(&key.hid());
        let candidate = bus.candidates().remove(0);
        Nk3Driver.open(&candidate, bus.open(&candidate).unwrap()).unwrap().unwrap()
    }
}

/// Carries packets between a socket and a key until the socket is closed.
fn carry(mut stream: UnixStream, hid: &VirtualHid) {
    stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut packet = Vec::new();
    loop {
        let mut rest = vec![0; 64 - packet.len()];
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(length) => packet.extend_from_slice(&rest[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        if packet.len() == 64 {
            assert_eq!(hid.output(&packet, Waits::Real), Transfer::Done(()));
            packet.clear();
        }
        while let Transfer::Done(packet) = hid.input(Duration::ZERO, Waits::Real) {
            stream.write_all(&packet).unwrap();
        }
    }
}

/// A new folder for a socket.
fn tempfile() -> String {
    let name = format!("/tmp/fobd-nitrokey-{}-{:?}", std::process::id(), thread::current().id());
    let path: String = name.chars().filter(|c| c.is_alphanumeric() || "/-".contains(*c)).collect();
    std::fs::create_dir_all(&path).unwrap();
    path
}

struct Ccid(PrivatePcscd);

impl Cable for Ccid {
    fn sdk(&self, key: &Nitrokey3, calls: &[Json]) -> Vec<Json> {
        let inserted = VpcdCard::insert(&key.card(), self.0.port(0)).expect("the card goes in");
        assert!(key.card().wait_until_powered(Duration::from_secs(10)), "pcscd does not see the card");
        let mut python = python_tool("python");
        python.env("PCSCLITE_CSOCK_NAME", self.0.socket());
        python.arg(client_script("nitrokey_sdk.py")).arg("ccid");
        let answers = speak(python, calls, || {});
        inserted.remove();
        answers
    }

    fn open(&self, key: &Nitrokey3) -> Box<dyn Token> {
        let bus = VirtualBus::new();
        bus.attach(&key.card());
        let candidate = bus.candidates().remove(0);
        Nk3Driver.open(&candidate, bus.open(&candidate).unwrap()).unwrap().unwrap()
    }
}

fn hex(bytes: &[u8]) -> Json {
    json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()})
}

fn slot(name: &str) -> SlotId {
    SlotId::Name(name.to_owned())
}

fn config(factor: FactorConfig, algorithm: Algorithm, digits: u8, touch: bool) -> SlotConfig {
    let length = if algorithm == Algorithm::Sha1 { 20 } else { 32 };
    let secret = SecretBytes::new(SECRET[..length].to_vec());
    SlotConfig { factor, algorithm, digits, secret, touch, label: None, now: UnixTime(0) }
}

fn listed(name: &str, kind: &str, touch: bool, pin: bool, safe: bool) -> Json {
    let properties = json!({"touch_required": touch, "secret_encryption": pin, "pws_data_exist": safe});
    // The SDK takes every entry for one with SHA-1.
    json!({"kind": kind, "algorithm": "Sha1", "label": hex(name.as_bytes()), "properties": properties})
}

fn sorted(list: &Json) -> Vec<Json> {
    let mut list = list.as_array().unwrap().clone();
    list.sort_by_key(|item| item["label"]["hex"].as_str().unwrap().to_owned());
    list
}

fn calculate(name: &str, challenge: Option<u64>) -> Json {
    json!(["calculate", {"cred_id": hex(name.as_bytes()), "challenge": challenge}])
}

fn what_the_driver_wrote_the_sdk_reads(cable: &dyn Cable) {
    let key = Nitrokey3::new(SecretsFirmware::V4_14, SERIAL);
    let mut token = cable.open(&key);
    let hotp = config(FactorConfig::Hotp { counter: 0 }, Algorithm::Sha1, 6, false);
    let totp = config(FactorConfig::Totp { time_step: 30 }, Algorithm::Sha256, 8, true);
    token.program(&slot("hotp"), &hotp, &Unattended).unwrap();
    token.program(&slot("Acme:tötp"), &totp, &Unattended).unwrap();
    // Over what is there, as well.
    token.program(&slot("Acme:tötp"), &totp, &Unattended).unwrap();
    token.set_lock_code(Some(&LockCode::new(b"1234".to_vec()))).unwrap();
    let told = token.info().clone();
    drop(token);

    let said = cable.sdk(
        &key,
        &[
            json!(["uuid", {}]),
            json!(["version", {}]),
            json!(["select", {}]),
            json!(["list_with_properties", {}]),
            calculate("hotp", None),
            calculate("hotp", None),
            calculate("Acme:tötp", Some(1)),
            json!(["verify_pin_raw", {"password": "4321"}]),
            json!(["verify_pin_raw", {"password": "1234"}]),
            json!(["delete", {"cred_id": hex("Acme:tötp".as_bytes())}]),
            json!(["list_with_properties", {}]),
        ],
    );
    let serial = said[2]["serial_number"]["hex"].as_str();
    assert_eq!(serial, told.serial.as_deref(), "the serial is written as the SDK writes it");
    assert!(said[0].as_str().unwrap().to_lowercase().starts_with(serial.unwrap()), "{}", said[0]);
    assert_eq!(said[1], "v1.8.2");
    assert_eq!(said[2]["version"], hex(&[4, 14, 0]));
    assert_eq!((told.firmware.as_str(), &said[2]["pin_attempt_counter"]), ("4.14.0", &json!(8)));
    let (hotp, totp) =
        (listed("hotp", "Hotp", false, false, false), listed("Acme:tötp", "Totp", true, false, false));
    assert_eq!(sorted(&said[3]), [totp, hotp.clone()]);
    assert_eq!(said[4..7], [hex(b"755224"), hex(b"287082"), hex(b"46119246")]);
    assert_eq!(said[7..10], [json!({"error": "6300"}), Json::Null, Json::Null]);
    assert_eq!(sorted(&said[10]), [hotp]);
}

fn what_the_sdk_wrote_the_driver_reads(cable: &dyn Cable) {
    let key = Nitrokey3::new(SecretsFirmware::V4_14, SERIAL);
    let register = |name: &str, kind: &str, more: Json| {
        let mut arguments = json!({
            "credid": hex(name.as_bytes()),
            "secret": hex(&SECRET[..20]),
            "kind": {"kind": kind},
            "digits": 6,
        });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!(["register", arguments])
    };
    let verify = json!(["verify_pin_raw", {"password": "1234"}]);
    let said = cable.sdk(
        &key,
        &[
            json!(["set_pin_raw", {"password": "1234"}]),
            register("plain", "Hotp", json!({"initial_counter_value": 7, "touch_button_required": true})),
            verify.clone(),
            register("secret", "Totp", json!({"pin_based_encryption": true, "digits": 8})),
            verify.clone(),
            register("boot", "HotpReverse", json!({})),
            register("login", "NotSet", json!({"login": hex(b"u"), "password": hex(b"p")})),
            json!(["register_yk_hmac", {"slot": 1, "secret": hex(&SECRET[..20])}]),
            register("plain", "Totp", json!({})),
        ],
    );
    assert_eq!(said[..8], vec![Json::Null; 8]);
    assert_eq!(said[8], json!({"error": "6983"}));

    let mut token = cable.open(&key);
    let names = |token: &mut dyn Token| -> Vec<String> {
        let mut names: Vec<String> =
            token.slots().unwrap().iter().map(|told| told.slot.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&mut *token), ["plain"]);
    let passcode = |token: &mut dyn Token, name, factor| {
        token.calculate(&slot(name), factor, &Unattended).map(|passcode| passcode.expose().to_owned())
    };
    assert_eq!(passcode(&mut *token, "plain", MovingFactor::OnToken).unwrap(), "162583");
    let hidden = passcode(&mut *token, "secret", MovingFactor::TimeStep(1)).unwrap_err();
    assert!(matches!(hidden, Error::Locked), "{hidden}");
    token.unlock(&LockCode::new(b"1234".to_vec())).unwrap();
    assert_eq!(names(&mut *token), ["plain", "secret"]);
    assert_eq!(passcode(&mut *token, "secret", MovingFactor::TimeStep(1)).unwrap(), "94287082");

    // Written over by the driver, the entry is still the PIN's; everything else is as the SDK left it.
    let hotp = config(FactorConfig::Hotp { counter: 3 }, Algorithm::Sha1, 6, false);
    token.program(&slot("secret"), &hotp, &Unattended).unwrap();
    token.set_lock_code(Some(&LockCode::new("5678ü".as_bytes().to_vec()))).unwrap();
    drop(token);
    let verify = json!(["verify_pin_raw", {"password": "5678ü"}]);
    let said = cable.sdk(
        &key,
        &[
            json!(["list_with_properties", {}]),
            calculate("secret", None),
            verify.clone(),
            json!(["list_with_properties", {}]),
            verify.clone(),
            calculate("secret", None),
            json!(["verify_code", {"cred_id": hex(b"boot"), "code": 755_224}]),
            json!(["get_credential", {"cred_id": hex(b"login")}]),
        ],
    );
    let visible = [
        listed("HmacSlot1", "Hmac", false, false, false),
        listed("boot", "HotpReverse", false, false, false),
        listed("login", "NotSet", false, false, true),
        listed("plain", "Hotp", true, false, false),
    ];
    assert_eq!(sorted(&said[0]), visible);
    assert_eq!(said[1], json!({"error": "6a82"}));
    let mut all = visible.to_vec();
    all.push(listed("secret", "Hotp", false, true, false));
    assert_eq!(sorted(&said[3]), all);
    assert_eq!((&said[5], &said[6]), (&hex(b"969429"), &json!(true)));
    assert_eq!((&said[7]["login"], &said[7]["password"]), (&hex(b"u"), &hex(b"p")));
    let kinds = key.with_app(|app| app.entries().iter().filter(|e| e.kind == EntryKind::ReverseHotp).count());
    assert_eq!(kinds, 1);
}

#[test]
fn nitrokeys_sdk_and_the_driver_share_a_key_over_ctaphid() {
    what_the_driver_wrote_the_sdk_reads(&CtapHid);
    what_the_sdk_wrote_the_driver_reads(&CtapHid);
}

#[test]
fn nitrokeys_sdk_and_the_driver_share_a_key_over_ccid() {
    let cable = Ccid(PrivatePcscd::start(&["Nitrokey Nitrokey 3"]).expect("a pcscd of its own"));
    what_the_driver_wrote_the_sdk_reads(&cable);
    what_the_sdk_wrote_the_driver_reads(&cable);
}
