//! One suite for every driver, on every wire. It knows no protocol: the driver is asked through [`Token`], and the
//! emulated token is looked into through [`Specimen`].
//!
//! A [`Socket`] is where a specimen is plugged in: a bus in this process, a private pcscd, a kernel. [`cases`] is
//! what a driver must do, [`sweep`] what it must never do, whatever goes wrong at whichever exchange.

pub(crate) mod cases;
pub(crate) mod sweep;

use std::cell::RefCell;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::specimen::{Door, Specimen, Stored};
use fobd_drivers::DRIVERS;
use fobd_drivers::error::{Error, ProgramError};
use fobd_drivers::token::{
    Addressing, Algorithm, Attendant, Capabilities, FactorConfig, Kind, LockCode, MovingFactor, SecretBytes,
    SlotConfig, SlotId, Token, Unattended, UnixTime,
};
use fobd_drivers::transport::{Bus, Candidate};

/// The secret of RFC 4226 and RFC 6238; each hash uses as much of it as its output is long.
pub(crate) const SECRET: &[u8] = b"1234567890123456789012345678901234567890123456789012345678901234";

/// Another secret.
pub(crate) const OTHER_SECRET: &[u8] = &[b'o'; SECRET.len()];

/// When tokens are programmed: 2023-11-14T22:13:20Z.
pub(crate) const NOW: u64 = 1_700_000_000;

/// Where specimens are plugged in, one at a time.
pub(crate) trait Socket {
    /// Plugs it in, after pulling it out if it still is, and waits until it is listed.
    fn plug(&mut self, door: &Door) -> (Box<dyn Bus>, Candidate);
}

/// The bus in this process.
pub(crate) struct InProcess;

impl Socket for InProcess {
    fn plug(&mut self, door: &Door) -> (Box<dyn Bus>, Candidate) {
        match door {
            Door::Card(card) => {
                let bus = VirtualBus::new();
                bus.attach(card);
                let candidate = bus.candidates().remove(0);
                (Box::new(bus), candidate)
            }
            Door::Hid(hid) => {
                let bus = VirtualHidBus::new();
                bus.attach(hid);
                let candidate = bus.candidates().remove(0);
                (Box::new(bus), candidate)
            }
        }
    }
}

/// A specimen in a socket, and the driver that must know it.
pub(crate) struct Subject<'a> {
    pub(crate) specimen: &'a dyn Specimen,
    pub(crate) door: Door,
    driver: &'static str,
    socket: RefCell<&'a mut dyn Socket>,
    place: RefCell<(Box<dyn Bus>, Candidate)>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(driver: &'static str, specimen: &'a dyn Specimen, socket: &'a mut dyn Socket) -> Self {
        let door = specimen.door();
        let place = socket.plug(&door);
        Self { specimen, door, driver, socket: RefCell::new(socket), place: RefCell::new(place) }
    }

    /// Pulls the token out and plugs it in again, faults forgotten.
    pub(crate) fn replug(&self) {
        self.door.clear_faults();
        let place = self.socket.borrow_mut().plug(&self.door);
        *self.place.borrow_mut() = place;
    }

    /// Opens it by its driver, which must want to.
    pub(crate) fn try_open(&self) -> Result<Option<Box<dyn Token>>, Error> {
        let place = self.place.borrow();
        let driver = DRIVERS.iter().find(|driver| driver.name() == self.driver).expect("no such driver");
        assert!(driver.matches(&place.1), "{} does not want {}", self.driver, place.1);
        driver.open(&place.1, place.0.open(&place.1)?)
    }

    pub(crate) fn open(&self) -> Box<dyn Token> {
        self.try_open().unwrap().expect("not taken for a token")
    }

    /// Opens it, and unlocks it if it wants a code.
    pub(crate) fn open_unlocked(&self) -> Box<dyn Token> {
        let mut token = self.open();
        if let Some(code) = self.specimen.lock_code() {
            token.unlock(&LockCode::new(code)).unwrap();
        }
        token
    }

    /// What lies in a slot.
    pub(crate) fn stored(&self, slot: &SlotId) -> Option<Stored> {
        let wanted = slot.to_string();
        let mut found = self.specimen.stored().into_iter().filter(|(slot, _)| *slot == wanted);
        let first = found.next();
        assert!(found.next().is_none(), "two credentials in slot {wanted}");
        first.map(|(_, stored)| stored)
    }

    /// The next passcode of a slot, computed by the token for its host, or else read off by a human.
    pub(crate) fn passcode(&self, token: &mut dyn Token, slot: &SlotId, kind: Kind, step: u64) -> String {
        let factor = match kind {
            Kind::Hotp => MovingFactor::OnToken,
            Kind::Totp => MovingFactor::TimeStep(step),
        };
        let before = self.door.exchanges();
        match token.calculate(slot, factor, &Unattended) {
            Ok(passcode) => passcode.expose().to_owned(),
            Err(Error::Unsupported { .. }) => {
                assert_eq!(self.door.exchanges(), before, "what is unsupported costs no exchange");
                let seconds = self.stored(slot).and_then(|stored| stored.time_step).unwrap_or(30);
                self.specimen
                    .read_off(&slot.to_string(), step * u64::from(seconds))
                    .expect("nothing to read off")
            }
            Err(error) => panic!("{slot}: {error}"),
        }
    }

    /// How many exchanges `work` takes.
    pub(crate) fn exchanges<T>(&self, work: impl FnOnce() -> T) -> (u64, T) {
        let before = self.door.exchanges();
        let result = work();
        (self.door.exchanges() - before, result)
    }
}

/// Slots to use for a kind, at least one, at most three.
pub(crate) fn slots_for(can: &Capabilities, kind: Kind) -> Vec<SlotId> {
    match &can.addressing {
        Addressing::Named => {
            ["Acme:bob", "Acme:bobby", "c"].map(|name| SlotId::Name(name.to_owned())).to_vec()
        }
        Addressing::Numbered { hotp, totp } => {
            let range = match kind {
                Kind::Hotp => hotp.clone(),
                Kind::Totp => totp.clone(),
            };
            range.take(3).map(SlotId::Index).collect()
        }
    }
}

pub(crate) fn kinds(can: &Capabilities) -> Vec<Kind> {
    let kinds = [(can.hotp, Kind::Hotp), (can.totp, Kind::Totp)];
    kinds.into_iter().filter(|(can, _)| *can).map(|(_, kind)| kind).collect()
}

/// Time steps to try.
pub(crate) fn time_steps(can: &Capabilities) -> Vec<u32> {
    if can.time_steps.is_empty() { vec![30, 60] } else { can.time_steps.clone() }
}

pub(crate) fn secret(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Sha1 => &SECRET[..20],
        Algorithm::Sha256 => &SECRET[..32],
        Algorithm::Sha512 => SECRET,
    }
}

/// A credential that this token can hold.
pub(crate) fn config(can: &Capabilities, kind: Kind) -> SlotConfig {
    let algorithm = *can.algorithms.first().expect("no algorithm");
    SlotConfig {
        factor: match kind {
            Kind::Hotp => FactorConfig::Hotp { counter: can.first_counter },
            Kind::Totp => FactorConfig::Totp { time_step: time_steps(can)[0] },
        },
        algorithm,
        digits: *can.digits.first().expect("no digits"),
        secret: SecretBytes::new(secret(algorithm).to_vec()),
        touch: false,
        label: Some("alice".to_owned()),
        now: UnixTime(NOW),
    }
}

/// The same kind of credential with another secret.
pub(crate) fn other_config(can: &Capabilities, kind: Kind) -> SlotConfig {
    let length = secret(*can.algorithms.first().expect("no algorithm")).len();
    SlotConfig { secret: SecretBytes::new(OTHER_SECRET[..length].to_vec()), ..config(can, kind) }
}

pub(crate) fn program(token: &mut dyn Token, slot: &SlotId, config: &SlotConfig) {
    token.program(slot, config, &Unattended).unwrap_or_else(|error| panic!("{slot}: {error}"));
}

/// The error of a call that must fail.
pub(crate) fn refused(result: Result<(), ProgramError>) -> ProgramError {
    result.expect_err("succeeded")
}

/// Somebody who counts prompts.
#[derive(Default)]
pub(crate) struct Prompts(std::cell::Cell<u32>);

impl Prompts {
    pub(crate) fn count(&self) -> u32 {
        self.0.get()
    }
}

impl Attendant for Prompts {
    fn touch_needed(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn cancelled(&self) -> bool {
        false
    }
}
