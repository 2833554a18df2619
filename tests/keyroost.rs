//! Token2's tokens between this project's drivers and a program that nobody here wrote: `keyroostctl`, from
//! crates.io, which was tried on real ones. What one writes the other must read, and the token must show.
//!
//! Each takes its turn with the emulated token: the drivers in this process, `keyroostctl` through a pcscd.

use std::process::Command;
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::molto2::{Molto2Firmware, Molto2Specimen};
use firmware_fixtures::pcscd::PrivatePcscd;
use firmware_fixtures::single_profile::{SingleProfileModel, SingleProfileSpecimen};
use firmware_fixtures::specimen::{Specimen, Stored};
use firmware_fixtures::vpcd::VpcdCard;
use fobd_drivers::DRIVERS;
use fobd_drivers::token::{
    Algorithm, FactorConfig, LockCode, SecretBytes, SlotConfig, SlotId, Token, Unattended, UnixTime,
};
use fobd_drivers::transport::Bus as _;

use crate::support::RFC_SECRET_HEX;
use crate::support::program::{keyroostctl, run};

const SECRET: &[u8] = b"12345678901234567890";
const KEY: &str = "0123456789abcdef";

/// Longest that pcscd may take to see a card; it looks every 0.4 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pcscd with one reader, and a token that is put into it for others.
struct Bench {
    pcscd: PrivatePcscd,
    card: VirtualCard,
    home: tempfile::TempDir,
}

impl Bench {
    fn new(card: &VirtualCard) -> Self {
        let pcscd = PrivatePcscd::start(&[card.face().reader]).expect("a pcscd of its own");
        Self { pcscd, card: card.clone(), home: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Runs `keyroostctl` with these words on the token.
    fn command(&self, words: &str) -> Command {
        let mut command = keyroostctl();
        command.args(words.split_whitespace()).arg("--reader").arg(self.pcscd.reader(0).expect("a reader"));
        command.env("PCSCLITE_CSOCK_NAME", self.pcscd.socket()).env("HOME", self.home.path());
        command.env("SEED", RFC_SECRET_HEX).env("KEY", KEY);
        command
    }

    /// Puts the token into the reader for as long as `work` lasts.
    fn lend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.card.power_off();
        let inserted = VpcdCard::insert(&self.card, self.pcscd.port(0)).expect("the card goes in");
        assert!(self.card.wait_until_powered(PATIENCE), "pcscd does not see the card");
        let result = work();
        inserted.remove();
        result
    }

    /// Opens the token by one of the drivers.
    fn open(&self, driver: &str) -> Box<dyn Token> {
        let bus = VirtualBus::new();
        bus.attach(&self.card);
        let candidate = bus.candidates().remove(0);
        let driver = DRIVERS.iter().find(|known| known.name() == driver).expect("a driver");
        driver.open(&candidate, bus.open(&candidate).expect("a card")).expect("it opens").expect("a token")
    }
}

fn totp(algorithm: Algorithm, digits: u8, time_step: u32, label: Option<&str>) -> SlotConfig {
    SlotConfig {
        factor: FactorConfig::Totp { time_step },
        algorithm,
        digits,
        secret: SecretBytes::new(SECRET.to_vec()),
        touch: false,
        label: label.map(str::to_owned),
        now: UnixTime(1_700_000_000),
    }
}

#[test]
fn keyroost_reads_what_was_written_into_a_molto2_and_takes_its_new_key_only() {
    let specimen = Molto2Specimen::new(Molto2Firmware::MOLTO2_V2_1, "37806840");
    let bench = Bench::new(specimen.card());
    let mut token = bench.open("molto2");
    token.unlock(&LockCode::new(Molto2Specimen::FACTORY_CODE.to_vec())).unwrap();
    token.program(&SlotId::Index(5), &totp(Algorithm::Sha256, 8, 60, Some("Acme")), &Unattended).unwrap();
    token.set_lock_code(Some(&LockCode::new(KEY.as_bytes().to_vec()))).unwrap();
    drop(token);

    bench.lend(|| {
        let said = run(&mut bench.command("molto info"));
        assert!(said.contains("37806840") && said.contains("1700000000"), "{said}");
        let listed = run(&mut bench.command("molto list"));
        let rows: Vec<Vec<&str>> =
            listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert!(rows.contains(&vec!["5", "yes", "Acme", "SHA256", "60", "8"]), "{listed}");
        // The key that it comes with from the factory is no good any more.
        let refused = bench.command("molto title set -s 6 other").output().unwrap();
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("7 attempt(s) remaining"), "{why}");
        let set = "molto title set -s 6 other --customer-key env:KEY --customer-key-encoding ascii";
        run(&mut bench.command(set));
    });
    assert_eq!(specimen.profile(6).unwrap().title_text(), "other");
}

#[test]
fn what_keyroost_wrote_into_a_molto2_is_listed_and_shown() {
    let specimen = Molto2Specimen::new(Molto2Firmware::MOLTO2_V2, "37806840");
    let bench = Bench::new(specimen.card());
    bench.lend(|| {
        run(&mut bench.command("molto seed set -s 42 --seed env:SEED --encoding hex --yes"));
        run(&mut bench.command("molto config set -s 42 --digits 10 --algorithm sha1 --period 30"));
        run(&mut bench.command("molto customer-key change --new-customer-key env:KEY --encoding ascii --yes"));
    });
    let mut token = bench.open("molto2");
    let told = token.slots().unwrap().remove(42);
    assert_eq!((told.in_use, told.digits, told.time_step), (true, Some(10), Some(30)));
    assert_eq!(specimen.read_off("42", 59).as_deref(), Some("1094287082"));
    token.unlock(&LockCode::new(KEY.as_bytes().to_vec())).unwrap();
    token.erase(&SlotId::Index(42), &Unattended).unwrap();
    bench.lend(|| {
        let said = run(&mut bench.command("molto delete -s 42 --yes"));
        assert!(said.contains("already empty"), "{said}");
        run(&mut bench.command("molto reset --yes"));
    });
    assert_eq!(specimen.lock_code().as_deref(), Some(Molto2Specimen::FACTORY_CODE));
}

#[test]
fn keyroost_and_the_driver_write_single_profile_tokens_alike() {
    let [ours, theirs] =
        [42, 43].map(|number| SingleProfileSpecimen::new(SingleProfileModel::OTPC_P2, number));
    let bench = Bench::new(theirs.card());
    bench.lend(|| {
        let said = run(&mut bench.command("prog info"));
        assert!(said.contains("OTPC-P2-i") && said.contains("86596220000043"), "{said}");
        run(&mut bench.command("prog config set --algorithm sha256 --period 60 --yes"));
        run(&mut bench.command("prog seed set --seed env:SEED --encoding hex --yes"));
    });
    let token = bench.open("token2nfc");
    let info = token.info();
    assert_eq!((info.model.as_str(), info.serial.as_deref()), ("OTPC-P2-i", Some("86596220000043")));
    drop(token);

    let bench = Bench::new(ours.card());
    let config = totp(Algorithm::Sha256, 6, 60, None);
    bench.open("token2nfc").program(&SlotId::Index(0), &config, &Unattended).unwrap();
    assert_eq!(ours.stored(), theirs.stored());
    assert_eq!(ours.stored()[0].1.secret, Stored::totp(SECRET).secret);
    bench.lend(|| {
        let said = run(&mut bench.command("prog info"));
        assert!(said.contains("86596220000042") && said.contains("1700000000"), "{said}");
    });
    assert_eq!(ours.read_off("0", 1_700_000_000), theirs.read_off("0", 1_700_000_000));
}
