//! A token without a protocol: a driver whose device is memory, for what the server does with each kind of token.
//! What it can do is given; what it was told to hold can be looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use fobd::otp::algorithm::Algorithm;
use fobd_drivers::error::{Error, ProgramError, SlotState};
use fobd_drivers::token::{
    self as driver, Addressing, Attendant, Capabilities, Driver, FactorConfig, Kind, LockCode, MovingFactor,
    Passcode, SlotConfig, SlotId, SlotInfo, Token, TokenInfo,
};
use fobd_drivers::transport::{
    Bus, Candidate, Connection, HidCandidate, HidConnection, TransportError, Watch,
};

use crate::otp_oracle::passcode;

/// The name of the driver: one that products may name.
pub const DRIVER: &str = "ykoath";

/// What is in the device.
#[derive(Default)]
pub struct Memory {
    /// What each slot holds, and how many passcodes an HOTP slot has given.
    pub slots: BTreeMap<u8, (SlotConfig, u64)>,
    /// Calls that reached the device, by name.
    pub calls: Vec<&'static str>,
    /// The code that it asks for before it changes anything, and how many wrong ones it still takes.
    pub lock: Option<(Vec<u8>, u8)>,
}

/// A device, its bus and its driver. Clones mean the same device.
#[derive(Clone)]
pub struct Scripted {
    info: TokenInfo,
    memory: Arc<Mutex<Memory>>,
    /// Wakes the watch when the test is over.
    _wake: Arc<Condvar>,
}

impl Scripted {
    /// A device with these numbers that takes HOTP and TOTP of 6 and 8 digits.
    pub fn new(capabilities: Capabilities) -> Self {
        let info = TokenInfo {
            maker: "Acme".to_owned(),
            model: "Fob".to_owned(),
            serial: Some("77".to_owned()),
            firmware: "1.0".to_owned(),
            locked: false,
            capabilities,
        };
        Self { info, memory: Arc::default(), _wake: Arc::default() }
    }

    /// Works on what is in it.
    pub fn look<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap())
    }

    /// What a person reads off it: of HOTP the next passcode, of TOTP that of a moment in seconds.
    pub fn press(&self, slot: u8, time: u64) -> String {
        self.look(|memory| {
            let (config, given) = memory.slots.get_mut(&slot).expect("the slot is empty");
            let factor = match config.factor {
                FactorConfig::Hotp { counter } => {
                    *given += 1;
                    counter + *given - 1
                }
                FactorConfig::Totp { time_step } => time / u64::from(time_step),
            };
            compute(config, factor)
        })
    }

    /// The driver, which lives for ever.
    pub fn drivers(&self) -> &'static [&'static dyn Driver] {
        let driver: &'static dyn Driver = Box::leak(Box::new(self.clone()));
        Box::leak(Box::new([driver]))
    }
}

/// What most of these devices can do.
pub fn capabilities() -> Capabilities {
    Capabilities {
        algorithms: vec![driver::Algorithm::Sha1],
        digits: vec![6, 8],
        hotp: true,
        totp: true,
        calculate: true,
        hotp_by_hand: false,
        first_counter: 0,
        touch: false,
        max_slots: None,
        max_secret_bytes: 64,
        addressing: Addressing::Numbered { hotp: 1..=3, totp: 16..=18 },
        time_steps: Vec::new(),
        clock: false,
    }
}

fn compute(config: &SlotConfig, factor: u64) -> String {
    let algorithm = match config.algorithm {
        driver::Algorithm::Sha1 => Algorithm::Sha1,
        driver::Algorithm::Sha256 => Algorithm::Sha256,
        driver::Algorithm::Sha512 => Algorithm::Sha512,
    };
    passcode(config.secret.expose(), algorithm, config.digits.into(), factor)
}

impl Bus for Scripted {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn watch(&self) -> Result<Box<dyn Watch>, TransportError> {
        Ok(Box::new(self.clone()))
    }

    fn open(&self, _: &Candidate) -> Result<Connection, TransportError> {
        Ok(Connection::Hid(Box::new(self.clone())))
    }
}

impl Watch for Scripted {
    fn candidates(&mut self) -> Result<Vec<Candidate>, TransportError> {
        Ok(vec![Candidate::Hid(HidCandidate {
            path: "/dev/hidraw0".to_owned(),
            vendor_id: 0xFFFF,
            product_id: 0xFFFF,
            release: 0,
            usage_page: 0xFF00,
            usage: 1,
            interface: None,
            serial: None,
            product: "Fob".to_owned(),
            attachment: 1,
        })])
    }

    fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, TransportError> {
        // Nothing ever changes.
        let quiet = Mutex::new(());
        drop(self._wake.wait_timeout(quiet.lock().unwrap(), timeout.min(Duration::from_millis(50))).unwrap());
        Ok(false)
    }
}

impl HidConnection for Scripted {
    fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        Ok(Vec::new())
    }

    fn write(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(None)
    }

    fn pause(&mut self, _: Duration) {}
}

impl Driver for Scripted {
    fn name(&self) -> &'static str {
        DRIVER
    }

    fn matches(&self, candidate: &Candidate) -> bool {
        matches!(candidate, Candidate::Hid(_))
    }

    fn open(&self, _: &Candidate, _: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        Ok(Some(Box::new(Open { device: self.clone(), unlocked: false })))
    }
}

struct Open {
    device: Scripted,
    unlocked: bool,
}

impl Open {
    fn number(slot: &SlotId) -> u8 {
        match slot {
            SlotId::Index(number) => *number,
            SlotId::Name(name) => panic!("the slots of this device have numbers, not names like {name}"),
        }
    }

    fn check_lock(&self) -> Result<(), Error> {
        let locked = self.device.look(|memory| memory.lock.is_some()) && !self.unlocked;
        if locked { Err(Error::Locked) } else { Ok(()) }
    }
}

impl Token for Open {
    fn info(&self) -> &TokenInfo {
        &self.device.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        self.unlocked = false;
        self.device.look(|memory| {
            let Some((expected, left)) = &mut memory.lock else { return Ok(()) };
            if *left == 0 {
                return Err(Error::Blocked { way_out: "a factory reset erases it" });
            }
            if *expected != code.expose() {
                *left -= 1;
                return Err(Error::WrongLockCode { attempts_left: Some(*left) });
            }
            Ok(())
        })?;
        self.unlocked = true;
        Ok(())
    }

    fn forget_code(&mut self) {
        self.unlocked = false;
    }

    fn set_lock_code(&mut self, _: Option<&LockCode>) -> Result<(), Error> {
        Err(Error::Unsupported { what: "set_lock_code", needs: "another device".to_owned() })
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        self.check_lock()?;
        let Addressing::Numbered { hotp, totp } = &self.device.info.capabilities.addressing else { panic!() };
        let mut numbers: Vec<u8> = hotp.clone().chain(totp.clone()).collect();
        numbers.dedup();
        Ok(self.device.look(|memory| {
            let slot = |number: &u8| {
                let held = memory.slots.get(number).map(|(config, _)| config);
                SlotInfo {
                    slot: SlotId::Index(*number),
                    in_use: held.is_some(),
                    kind: held.map(|config| match config.factor {
                        FactorConfig::Hotp { .. } => Kind::Hotp,
                        FactorConfig::Totp { .. } => Kind::Totp,
                    }),
                    algorithm: None,
                    digits: held.map(|config| config.digits),
                    // It does not tell, as many do not.
                    time_step: None,
                    touch: None,
                }
            };
            numbers.iter().map(slot).collect()
        }))
    }

    fn program(&mut self, slot: &SlotId, config: &SlotConfig, _: &dyn Attendant) -> Result<(), ProgramError> {
        let number = Self::number(slot);
        self.check_lock().map_err(|source| ProgramError { slot: SlotState::Unchanged, source })?;
        self.device.look(|memory| {
            memory.calls.push("program");
            memory.slots.insert(number, (config.clone(), 0));
        });
        Ok(())
    }

    fn erase(&mut self, slot: &SlotId, _: &dyn Attendant) -> Result<(), Error> {
        self.check_lock()?;
        let number = Self::number(slot);
        self.device.look(|memory| {
            memory.calls.push("erase");
            memory
                .slots
                .remove(&number)
                .map(drop)
                .ok_or_else(|| Error::SlotEmpty { slot: number.to_string() })
        })
    }

    fn calculate(
        &mut self,
        slot: &SlotId,
        factor: MovingFactor,
        _: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        let number = Self::number(slot);
        self.device.look(|memory| memory.calls.push("calculate"));
        let text = match factor {
            MovingFactor::OnToken => self.device.press(number, 0),
            MovingFactor::TimeStep(step) => {
                self.device.look(|memory| compute(&memory.slots[&number].0, step))
            }
        };
        Ok(Passcode::new(text))
    }

    fn reset(&mut self, _: &dyn Attendant) -> Result<(), Error> {
        self.device.look(|memory| memory.slots.clear());
        Ok(())
    }
}
