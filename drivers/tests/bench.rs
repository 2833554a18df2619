//! One emulated token on a bus, and how a test gets at it from both sides.

use std::cell::Cell;
use std::fmt::Debug;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::firmware::Firmware;
use fobd_drivers::DRIVERS;
use fobd_drivers::error::Error;
use fobd_drivers::token::{
    Algorithm, Attendant, FactorConfig, Kind, MovingFactor, Passcode, SecretBytes, SlotConfig, SlotId, Token,
    Unattended, UnixTime,
};
use fobd_drivers::transport::{Bus, Candidate};

/// The secret of RFC 4226 and RFC 6238.
pub(crate) const SECRET: &[u8] = b"1234567890123456789012345678901234567890123456789012345678901234";

/// A token plugged into a bus.
pub(crate) struct Bench {
    pub(crate) bus: Box<dyn Bus>,
    pub(crate) card: VirtualCard,
    pub(crate) firmware: Firmware,
    pub(crate) candidate: Candidate,
}

impl Bench {
    /// A new token on an emulated bus of its own.
    pub(crate) fn in_process(firmware: Firmware) -> (Self, VirtualBus) {
        let card = VirtualCard::new(firmware, 4242);
        let bus = VirtualBus::new();
        bus.attach(&card);
        let candidate = bus.candidates().remove(0);
        (Self { bus: Box::new(bus.clone()), card, firmware, candidate }, bus)
    }

    /// Opens the token as a server would: by the first driver that takes it.
    pub(crate) fn try_open(&self) -> Result<Option<Box<dyn Token>>, Error> {
        let driver =
            DRIVERS.iter().find(|driver| driver.matches(&self.candidate)).expect("no driver matches");
        driver.open(&self.candidate, self.bus.open(&self.candidate)?)
    }

    pub(crate) fn open(&self) -> Box<dyn Token> {
        self.try_open().unwrap().expect("not taken for a token")
    }

    /// How many exchanges `work` takes.
    pub(crate) fn exchanges<T>(&self, work: impl FnOnce() -> T) -> (u64, T) {
        let before = self.card.exchanges();
        let result = work();
        (self.card.exchanges() - before, result)
    }
}

pub(crate) fn slot(name: &str) -> SlotId {
    SlotId::Name(name.to_owned())
}

/// The secret that the RFCs use with this hash: as long as its output.
pub(crate) fn secret(algorithm: Algorithm) -> SecretBytes {
    let length = match algorithm {
        Algorithm::Sha1 => 20,
        Algorithm::Sha256 => 32,
        Algorithm::Sha512 => 64,
    };
    SecretBytes::new(SECRET[..length].to_vec())
}

pub(crate) fn hotp(counter: u64) -> SlotConfig {
    SlotConfig {
        factor: FactorConfig::Hotp { counter },
        algorithm: Algorithm::Sha1,
        digits: 6,
        secret: secret(Algorithm::Sha1),
        touch: false,
        label: None,
        now: UnixTime(1_700_000_000),
    }
}

pub(crate) fn totp(time_step: u32) -> SlotConfig {
    SlotConfig { factor: FactorConfig::Totp { time_step }, ..hotp(0) }
}

pub(crate) fn kind(config: &SlotConfig) -> Kind {
    match config.factor {
        FactorConfig::Hotp { .. } => Kind::Hotp,
        FactorConfig::Totp { .. } => Kind::Totp,
    }
}

pub(crate) fn calculate(token: &mut dyn Token, name: &str, factor: MovingFactor) -> Result<String, Error> {
    token.calculate(&slot(name), factor, &Unattended).map(|passcode| text(&passcode))
}

pub(crate) fn text(passcode: &Passcode) -> String {
    passcode.expose().to_owned()
}

/// The error of a call that must fail; its success may not be `Debug`.
pub(crate) fn error<T, E: Debug>(result: Result<T, E>) -> E {
    match result {
        Ok(_) => panic!("succeeded"),
        Err(error) => error,
    }
}

/// Somebody who counts prompts, and cancels when asked for the n-th time.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) prompts: Cell<u32>,
    pub(crate) cancel_at: Option<u32>,
    asked: Cell<u32>,
}

impl Watcher {
    pub(crate) fn cancelling_at(question: u32) -> Self {
        Self { cancel_at: Some(question), ..Self::default() }
    }
}

impl Attendant for Watcher {
    fn touch_needed(&self) {
        self.prompts.set(self.prompts.get() + 1);
    }

    fn cancelled(&self) -> bool {
        let asked = self.asked.get();
        self.asked.set(asked + 1);
        self.cancel_at.is_some_and(|at| asked >= at)
    }
}
