//! The OTP slots of an emulated YubiKey behind a real pcscd: what ykman writes, the driver of fobd reads, and the
//! other way round.

use std::process::Command;

use firmware_fixtures::card::{Exchange, VirtualCard, Waits};
use firmware_fixtures::pcscd::PrivatePcscd;
use firmware_fixtures::specimen::Specimen as _;
use firmware_fixtures::vpcd::VpcdCard;
use firmware_fixtures::ykotp::config::Function;
use firmware_fixtures::yubikey::{Model, OtpSpecimen, YubiKey};
use fobd_drivers::token::{
    Algorithm, FactorConfig, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, Token, Unattended,
    UnixTime,
};
use fobd_drivers::transport::{
    Candidate, CardConnection, CardTransaction, Connection, Interface, TransportError,
};
use fobd_drivers::{DRIVERS, error};

use crate::support::eventually;
use crate::support::program::{python_tool, run};

const SEED: &[u8] = b"12345678901234567890";
const SEED_HEX: &str = "3132333435363738393031323334353637383930";
const SEED_BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// HMAC-SHA-1 of counter or time step 1 under that.
const RESPONSE: &str = "75a48a19d4cbe100644e8ac1397eea747a2d33ab";
const ONE: SlotId = SlotId::Index(1);
const TWO: SlotId = SlotId::Index(2);

struct Bench {
    pcscd: PrivatePcscd,
    key: OtpSpecimen,
    home: tempfile::TempDir,
    _inserted: VpcdCard,
}

impl Bench {
    fn start(model: Model) -> Self {
        let pcscd =
            PrivatePcscd::start(&[&format!("{} 0", model.firmware.reader)]).expect("a pcscd of its own");
        let key = YubiKey::new(model, 7_050_602).over_card().expect("it has the applet");
        let card = key.key().card().expect("a card");
        let inserted = VpcdCard::insert(card, pcscd.port(0)).expect("the card goes in");
        let home = tempfile::tempdir().expect("a temporary directory");
        let bench = Self { pcscd, key, home, _inserted: inserted };
        // Nobody is told when pcscd has noticed the card.
        eventually("ykman sees no key", || {
            let output = bench.command(&["info"]).output().expect("ykman runs");
            output.status.success().then_some(())
        });
        bench
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = python_tool("ykman");
        command.args(["--reader", &self.pcscd.reader(0).expect("a reader"), "otp"]).args(words);
        command.env("PCSCLITE_CSOCK_NAME", self.pcscd.socket()).env("HOME", self.home.path());
        command.env_remove("XDG_DATA_HOME");
        command
    }

    /// Runs `ykman otp ...` and returns what it prints.
    fn ykman(&self, words: &[&str]) -> String {
        run(&mut self.command(words))
    }

    /// The key in the hands of fobd's driver.
    fn token(&self) -> Box<dyn Token> {
        let card = self.key.key().card().expect("a card").clone();
        let candidate = Candidate::Card {
            reader: card.face().reader.to_owned(),
            atr: card.face().atr.to_vec(),
            insertion: 1,
        };
        let driver = DRIVERS.iter().find(|driver| driver.name() == "ykotp").expect("the driver");
        let opened = driver.open(&candidate, Connection::Card(Box::new(Beside(card))));
        opened.expect("it answers").expect("it is taken for a key")
    }

    fn totp(&self, slot: &SlotId) -> Result<String, error::Error> {
        let passcode = self.token().calculate(slot, MovingFactor::TimeStep(1), &Unattended)?;
        Ok(passcode.expose().to_owned())
    }
}

/// A way to the card beside pcscd, which goes on believing that it is alone with it.
struct Beside(VirtualCard);

impl CardConnection for Beside {
    fn interface(&self) -> Interface {
        if self.0.face().contactless { Interface::Contactless } else { Interface::Contact }
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        self.0.power_on();
        Ok(Box::new(Beside(self.0.clone())))
    }
}

impl CardTransaction for Beside {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        match self.0.exchange(command, Waits::Virtual) {
            Exchange::Answer(answer) => Ok(answer),
            other => Err(TransportError::Gone { detail: format!("{other:?}") }),
        }
    }
}

fn credential(factor: FactorConfig) -> SlotConfig {
    SlotConfig {
        factor,
        algorithm: Algorithm::Sha1,
        digits: 6,
        secret: SecretBytes::new(SEED.to_vec()),
        touch: false,
        label: None,
        now: UnixTime(0),
    }
}

const HOTP: FactorConfig = FactorConfig::Hotp { counter: 0 };
const TOTP: FactorConfig = FactorConfig::Totp { time_step: 30 };

/// A key on an NFC reader, one that tells an old touch level there, and one that is plugged in.
const MODELS: [Model; 3] = [Model::YUBIKEY_5_4_3_NFC, Model::YUBIKEY_5_2_7_NFC, Model::NEO_3_4_9];

#[test]
fn what_ykman_writes_fobd_uses() {
    for model in MODELS {
        let bench = Bench::start(model);
        assert_eq!(bench.ykman(&["info"]), "Slot 1: empty\nSlot 2: empty\n", "{model:?}");
        bench.ykman(&["chalresp", "2", SEED_HEX, "--force"]);
        bench.ykman(&["hotp", "1", SEED_BASE32, "--digits", "8", "--counter", "16", "--force"]);
        assert_eq!(bench.ykman(&["info"]), "Slot 1: programmed\nSlot 2: programmed\n");
        let stored = bench.key.stored();
        assert_eq!((stored[0].1.digits, stored[0].1.counter), (Some(8), 16));
        assert_eq!(bench.totp(&TWO).unwrap(), "287082");
        bench.ykman(&["swap", "--force"]);
        assert_eq!(bench.totp(&ONE).unwrap(), "287082");
        bench.token().erase(&TWO, &Unattended).unwrap();
        bench.ykman(&["delete", "1", "--force"]);
        assert_eq!(bench.ykman(&["info"]), "Slot 1: empty\nSlot 2: empty\n");
    }
}

#[test]
fn what_fobd_writes_ykman_uses() {
    for model in MODELS {
        let bench = Bench::start(model);
        let mut token = bench.token();
        token.program(&ONE, &credential(TOTP), &Unattended).unwrap();
        token.program(&TWO, &credential(HOTP), &Unattended).unwrap();
        assert_eq!(bench.ykman(&["info"]), "Slot 1: programmed\nSlot 2: programmed\n", "{model:?}");
        // ykman answers challenges of a key that is plugged in over its keyboard interface only.
        if model.firmware.contactless {
            assert_eq!(bench.ykman(&["calculate", "1", "0000000000000001"]), format!("{RESPONSE}\n"));
        }
        bench.ykman(&["settings", "2", "--no-enter", "--force"]);
        let flash = bench.key.key().flash();
        assert_eq!(flash.open().slot(2).map(|slot| slot.config.function()), Some(Function::Hotp));
        assert_eq!(bench.key.read_off("2", 0).as_deref(), Some("755224"), "the secret stays");
    }
}

#[test]
fn an_access_code_of_one_keeps_the_other_out() {
    let bench = Bench::start(Model::YUBIKEY_5_4_3_NFC);
    bench.ykman(&["hotp", "1", SEED_BASE32, "--force"]);
    bench.ykman(&["settings", "1", "--new-access-code", "0a0b0c0d0e0f", "--force"]);
    let failure = bench.token().program(&ONE, &credential(TOTP), &Unattended).unwrap_err();
    assert!(matches!(failure.source, error::Error::Locked), "{failure}");
    let mut token = bench.token();
    token.unlock(&LockCode::new(b"0A0B0C0D0E0F".to_vec())).unwrap();
    token.program(&ONE, &credential(TOTP), &Unattended).unwrap();
    token.set_lock_code(Some(&LockCode::new(b"010203040506".to_vec()))).unwrap();

    let refused = bench.command(&["delete", "1", "--force"]).output().expect("ykman runs");
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(complaint.contains("Failed to write to the YubiKey"), "{complaint}");
    bench.ykman(&["--access-code", "010203040506", "delete", "1", "--force"]);
    assert_eq!(bench.key.stored(), []);
}
