//! What a server sees of a token: facts about it, its slots, and the few things one can do with them.
//! Object-safe and blocking. Lengths are bytes, times are seconds unless a name says otherwise.

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

use crate::error::{Error, ProgramError, SlotState};
use crate::transport::trace::Disclosure;
use crate::transport::{Candidate, Connection};
use task::Task;

pub mod task;

/// One protocol. Stateless: matching is a table look-up, opening is the probe.
pub trait Driver: Send + Sync {
    /// Short name, part of a device's address, for example `ykoath`.
    fn name(&self) -> &'static str;

    /// Whether this driver should try to open the candidate. Asks nothing of the device.
    fn matches(&self, candidate: &Candidate) -> bool;

    /// Asks the device what it is. `None` if it speaks, but not this protocol. The candidate is the one that the
    /// connection was opened from: some protocols leave the model and the serial to USB.
    ///
    /// # Errors
    /// Any [`Error`] of the first exchanges.
    fn open(&self, candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error>;

    /// What may be shown in a trace of its exchanges besides headers and lengths. Never what a secret, a code or a
    /// passcode could be in.
    fn disclosure(&self) -> Disclosure {
        Disclosure::NOTHING
    }
}

/// An open token. It keeps its connection, not a transaction: each call takes the device, works and lets go.
pub trait Token: Send {
    /// What was found when the token was opened.
    fn info(&self) -> &TokenInfo;

    /// Gives the code that the device asks for before it shows or changes anything. It is kept (and wiped on
    /// drop), since every exchange may have to present it again; a refusal forgets it at once, and so does
    /// [`Token::forget_code`].
    ///
    /// # Errors
    /// [`Error::WrongLockCode`] if the device refuses it.
    fn unlock(&mut self, code: &LockCode) -> Result<(), Error>;

    /// Forgets the code that [`Token::unlock`] or [`Token::set_lock_code`] brought, and what only it let this token
    /// see. Whoever calls next has to bring it again. Asks nothing of the device.
    fn forget_code(&mut self);

    /// Whether [`Token::unlock`] would wait for a touch, so that whoever is there can be told beforehand.
    fn unlocks_by_touch(&self) -> bool {
        false
    }

    /// Sets, changes or (with `None`) removes that code. The token must be unlocked.
    ///
    /// # Errors
    /// [`Error::Locked`] if it is not.
    fn set_lock_code(&mut self, code: Option<&LockCode>) -> Result<(), Error>;

    /// Lists the slots in use (and the empty ones, where slots are numbered).
    ///
    /// # Errors
    /// [`Error::Locked`] if the device wants its lock code first.
    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error>;

    /// Writes a credential into a slot, over what was there. Returns when the device has confirmed it.
    ///
    /// # Errors
    /// [`ProgramError`] says besides the cause whether the slot may have changed.
    fn program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError>;

    /// Empties a slot.
    ///
    /// # Errors
    /// [`Error::SlotEmpty`] if nothing was there.
    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error>;

    /// Lets the device compute one passcode. An HOTP slot counts on; that is never repeated blindly, so after an
    /// error the caller must assume that one counter value may be used up.
    ///
    /// # Errors
    /// [`Error::TouchTimedOut`] if nobody touched the device.
    fn calculate(
        &mut self,
        slot: &SlotId,
        factor: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error>;

    /// Tells how many digits the passcodes of a slot have, where no device keeps that and only its host knows:
    /// `calculate` goes by it. Devices that keep it take no notice.
    fn expect_digits(&mut self, slot: &SlotId, digits: u8) {
        let _ = (slot, digits);
    }

    /// Does what is no OATH credential: see [`Task`].
    ///
    /// # Errors
    /// [`ProgramError`] says besides the cause whether the slot may have changed; the cause is
    /// [`Error::Unsupported`] where the device has no such task.
    fn configure(&mut self, task: &Task, attendant: &dyn Attendant) -> Result<(), ProgramError> {
        let _ = (task, attendant);
        let needs = "a slot that types or answers challenges".to_owned();
        Err(ProgramError {
            slot: SlotState::Unchanged,
            source: Error::Unsupported { what: "this task", needs },
        })
    }

    /// Lets the device answer a challenge with the key of a slot, raw: what the response means is the caller's.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the device answers no challenges.
    fn respond(
        &mut self,
        slot: &SlotId,
        challenge: &[u8],
        attendant: &dyn Attendant,
    ) -> Result<SecretBytes, Error> {
        let _ = (slot, challenge, attendant);
        let needs = "a slot for challenge-response".to_owned();
        Err(Error::Unsupported { what: "a response", needs })
    }

    /// Sets the device's own clock, where it has one and lets its host set it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the device cannot.
    fn set_clock(&mut self, now: UnixTime) -> Result<(), Error> {
        let _ = now;
        Err(Error::Unsupported { what: "set_clock", needs: "a clock that its host may set".to_owned() })
    }

    /// The same for one slot, where that is less work, or where the device is told what the slot holds together
    /// with the time: `held` says it, since no device tells everything. Sets the whole clock by default.
    ///
    /// # Errors
    /// As [`Token::set_clock`]; [`Error::Invalid`] if `held` leaves something open that is needed.
    fn set_clock_of(&mut self, held: &SlotInfo, now: UnixTime) -> Result<(), Error> {
        let _ = held;
        self.set_clock(now)
    }

    /// Erases every slot and the lock code.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the device cannot.
    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error>;
}

/// How a call reaches the people around the device. Methods must not block.
pub trait Attendant {
    /// The device waits for a touch from now on.
    fn touch_needed(&self);
    /// Asked between two exchanges; `true` ends the call with [`Error::Cancelled`].
    fn cancelled(&self) -> bool;
}

/// Nobody watches and nobody cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unattended;

impl Attendant for Unattended {
    fn touch_needed(&self) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Maker, for example `Yubico`.
    pub maker: String,
    /// Model, for example `YubiKey 5 NFC`.
    pub model: String,
    /// The maker's serial as printed on the token, if the device tells it.
    pub serial: Option<String>,
    /// Firmware version, for example `5.4.3`.
    pub firmware: String,
    /// Whether the device wants its lock code before it shows its slots.
    pub locked: bool,
    /// What this model and firmware can do.
    pub capabilities: Capabilities,
}

/// What a model and firmware can do; checked before a call, so that a refusal costs no exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Hash functions the device computes with.
    pub algorithms: Vec<Algorithm>,
    /// Passcode lengths the device can be told to show.
    pub digits: Vec<u8>,
    /// HOTP (RFC 4226).
    pub hotp: bool,
    /// TOTP (RFC 6238).
    pub totp: bool,
    /// The device computes passcodes for its host, not only on its own button or display.
    pub calculate: bool,
    /// What `calculate` says is true of TOTP only: HOTP passcodes come out at the button or display alone.
    pub hotp_by_hand: bool,
    /// The lowest counter that the first HOTP passcode can have: 1 on devices that count before they compute.
    pub first_counter: u64,
    /// A credential can demand a touch.
    pub touch: bool,
    /// Most credentials the device holds, where that is known.
    pub max_slots: Option<u16>,
    /// Longest secret in bytes that the device takes.
    pub max_secret_bytes: usize,
    /// How slots are addressed.
    pub addressing: Addressing,
    /// TOTP time steps that the device can be told to use; empty if it takes any.
    pub time_steps: Vec<u32>,
    /// Whether the device has a clock of its own, which programming sets.
    pub clock: bool,
}

impl Capabilities {
    /// Whether the device computes passcodes of this kind for its host.
    #[must_use]
    pub fn calculates(&self, kind: Kind) -> bool {
        match kind {
            Kind::Hotp => self.hotp && self.calculate && !self.hotp_by_hand,
            Kind::Totp => self.totp && self.calculate,
        }
    }
}

/// How the slots of a device are addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// By a name that the host chooses: [`SlotId::Name`].
    Named,
    /// By these numbers: [`SlotId::Index`]. HOTP and TOTP may have ranges of their own.
    Numbered {
        /// Numbers that take HOTP.
        hotp: RangeInclusive<u8>,
        /// Numbers that take TOTP.
        totp: RangeInclusive<u8>,
    },
}

/// A place in a device that holds one credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SlotId {
    /// Numbered slots, counted as the maker counts them (the driver's module says which numbers there are).
    Index(u8),
    /// Named credentials.
    Name(String),
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What a device tells of a slot. Devices do not tell everything; never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Address of the slot.
    pub slot: SlotId,
    /// Whether it holds a credential.
    pub in_use: bool,
    /// HOTP or TOTP, if told.
    pub kind: Option<Kind>,
    /// Hash function, if told.
    pub algorithm: Option<Algorithm>,
    /// Passcode length, if told.
    pub digits: Option<u8>,
    /// TOTP time step in seconds, if told.
    pub time_step: Option<u32>,
    /// Whether it demands a touch, if told.
    pub touch: Option<bool>,
}

/// HOTP or TOTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RFC 4226.
    Hotp,
    /// RFC 6238.
    Totp,
}

/// The hash under the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC-SHA-1.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

/// What is written into a slot.
#[derive(Clone, Debug)]
pub struct SlotConfig {
    /// Type and what moves it.
    pub factor: FactorConfig,
    /// The hash under the HMAC.
    pub algorithm: Algorithm,
    /// Passcode length.
    pub digits: u8,
    /// The shared secret (RFC 4226 K).
    pub secret: SecretBytes,
    /// Whether each passcode needs a touch.
    pub touch: bool,
    /// A name to show, for devices with numbered slots that keep one. Cut to what the device holds.
    pub label: Option<String>,
    /// The time of writing, for devices whose clock is set with the credential.
    pub now: UnixTime,
}

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// What moves a credential, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorConfig {
    /// The counter of the first passcode.
    Hotp {
        /// First value of the moving factor.
        counter: u64,
    },
    /// The length of a time step.
    Totp {
        /// RFC 6238 X, in seconds.
        time_step: u32,
    },
}

/// What the host has to tell for a calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovingFactor {
    /// The device counts by itself (HOTP).
    OnToken,
    /// The host has the clock (TOTP): the number of the time step.
    TimeStep(u64),
}

/// A secret on its way to a device: wiped on drop, never shown.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the encoder that writes them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0.len())
    }
}

/// The code that locks a device against strangers: a password or key, as bytes. Never shown.
pub type LockCode = SecretBytes;

/// What a device computed: text of fixed length, leading zeros included. Never shown in `Debug`.
#[derive(Clone)]
pub struct Passcode(Zeroizing<String>);

impl Passcode {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one who asked.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted passcode]")
    }
}
