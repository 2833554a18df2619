//! An emulated token as a test suite sees it that knows no protocol: one suite for all drivers.
//!
//! A [`Specimen`] says where its wire is and what lies in its flash. Slots are named by text: the name where the
//! host chooses names, the number in decimal where slots are numbered.

use std::time::Duration;

use crate::card::{Human, VirtualCard};
use crate::credential::{Hash, Kind};
use crate::fault::Fault;
use crate::hid::VirtualHid;

/// An emulated token with one wire. A key with two interfaces makes two specimens that share their flash.
pub trait Specimen {
    /// Name for test output, for example `nitrokey-pro-0.15`.
    fn model(&self) -> String;

    /// Where its wire is.
    fn door(&self) -> Door;

    /// The serial as printed on it, if the device tells it to its host.
    fn serial(&self) -> Option<String>;

    /// Everything in flash that makes one-time passcodes, by slot.
    fn stored(&self) -> Vec<(String, Stored)>;

    /// Puts a credential there as another program would have, over what was in the slot.
    fn install(&self, slot: &str, stored: &Stored);

    /// A human reads the next passcode off the token, or has it typed; HOTP counts on. `now` is Unix time in
    /// seconds, by the token's own clock if it has one. `None` if the slot is empty.
    fn read_off(&self, slot: &str, now: u64) -> Option<String>;

    /// The code that the token wants before it is changed: from the factory, or set since. `None` if it wants none.
    fn lock_code(&self) -> Option<Vec<u8>>;

    /// Sets or removes that code as another program would have. Tokens that always have one take `None` as their
    /// factory's.
    fn set_lock_code(&self, code: Option<&[u8]>);

    /// A code that its host could set, other than the one in place and as `unlock` takes it. `None` if no host can
    /// set one. [`Specimen::lock_code`] knows it once it is set.
    fn spare_lock_code(&self) -> Option<Vec<u8>>;
}

/// A credential as it lies in a token, in no protocol's terms.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// HOTP or TOTP.
    pub kind: Kind,
    /// The hash under the HMAC.
    pub hash: Hash,
    /// Passcode length, if it is stored: in some slots the host decides.
    pub digits: Option<u8>,
    /// Length of a time step in seconds, if it is stored.
    pub time_step: Option<u32>,
    /// The key without zeros at its end: padding does not change an HMAC.
    pub secret: Vec<u8>,
    /// HOTP: the moving factor of the next passcode.
    pub counter: u64,
    /// Whether each passcode needs a touch.
    pub touch: bool,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, hash, digits, time_step, secret, counter, touch } = self;
        write!(f, "{kind:?} {hash:?} {digits:?} {time_step:?} [{} bytes] {counter} {touch}", secret.len())
    }
}

impl Stored {
    /// Six-digit HOTP with SHA-1.
    #[must_use]
    pub fn hotp(secret: &[u8], counter: u64) -> Self {
        let end = secret.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Self {
            kind: Kind::Hotp,
            hash: Hash::Sha1,
            digits: Some(6),
            time_step: None,
            secret: secret[..end].to_vec(),
            counter,
            touch: false,
        }
    }

    /// Six-digit TOTP with SHA-1 and a step of 30 s.
    #[must_use]
    pub fn totp(secret: &[u8]) -> Self {
        Self { kind: Kind::Totp, time_step: Some(30), ..Self::hotp(secret, 0) }
    }
}

/// The wire of a specimen, and the hand that holds it.
#[derive(Clone, Debug)]
pub enum Door {
    /// It is a smart card.
    Card(VirtualCard),
    /// It is a HID device.
    Hid(VirtualHid),
}

impl Door {
    /// How many commands or reports have crossed the wire, faults included.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        match self {
            Self::Card(card) => card.exchanges(),
            Self::Hid(hid) => hid.exchanges(),
        }
    }

    /// Lets a fault strike once.
    pub fn plan(&self, fault: Fault) {
        match self {
            Self::Card(card) => card.plan(fault),
            Self::Hid(hid) => hid.plan(fault),
        }
    }

    /// How many planned faults have not struck yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        match self {
            Self::Card(card) => card.faults_left(),
            Self::Hid(hid) => hid.faults_left(),
        }
    }

    /// Forgets the faults that have not struck yet.
    pub fn clear_faults(&self) {
        match self {
            Self::Card(card) => card.clear_faults(),
            Self::Hid(hid) => hid.clear_faults(),
        }
    }

    /// Decides what the human does from now on.
    pub fn set_human(&self, human: Human) {
        match self {
            Self::Card(card) => card.set_human(human),
            Self::Hid(hid) => hid.set_human(human),
        }
    }

    /// How often the device asked to be touched.
    #[must_use]
    pub fn touch_requests(&self) -> u64 {
        match self {
            Self::Card(card) => card.touch_requests(),
            Self::Hid(hid) => hid.touch_requests(),
        }
    }

    /// How long the device waits for a touch.
    pub fn set_touch_timeout(&self, timeout: Duration) {
        match self {
            Self::Card(card) => card.set_touch_timeout(timeout),
            Self::Hid(hid) => hid.set_touch_timeout(timeout),
        }
    }

    /// Time that passed virtually.
    #[must_use]
    pub fn waited(&self) -> Duration {
        match self {
            Self::Card(card) => card.waited(),
            Self::Hid(hid) => hid.waited(),
        }
    }
}
