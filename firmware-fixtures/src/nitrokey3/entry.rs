//! What lies in the flash of the secrets app: entries of five kinds, and the PIN.
//!
//! The kind and the hash are the two nibbles of an entry's type byte. Entries are files whose names begin the SHA-256 of
//! theirs, so LIST tells them in that order.

use sha2::{Digest, Sha256};

use super::secrets::VERIFICATION_FAILED;
use crate::credential::Hash;
use crate::otp;
use crate::status::Status;

/// Wrong PINs until it is blocked.
pub(super) const PIN_RETRIES: u8 = 8;

/// What an entry is for: high nibble of its type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `1x`.
    Hotp,
    /// `2x`.
    Totp,
    /// The key checks passcodes of its host: `3x`.
    ReverseHotp,
    /// Challenge-response: `4x`.
    Hmac,
    /// Only a login and a password: `Fx`.
    None,
}

impl EntryKind {
    pub(super) fn parse(byte: u8) -> Result<Self, Status> {
        Ok(match byte & 0xF0 {
            0x10 => Self::Hotp,
            0x20 => Self::Totp,
            0x30 => Self::ReverseHotp,
            0x40 => Self::Hmac,
            0xF0 => Self::None,
            _ => return Err(Status::WRONG_DATA),
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Hotp => 0x10,
            Self::Totp => 0x20,
            Self::ReverseHotp => 0x30,
            Self::Hmac => 0x40,
            Self::None => 0xF0,
        }
    }
}

/// One entry in flash.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Up to 128 bytes.
    pub name: Vec<u8>,
    /// What it is for.
    pub kind: EntryKind,
    /// The hash under the HMAC.
    pub hash: Hash,
    /// Length of the passcode, as the host wrote it.
    pub digits: u8,
    /// The key as the host wrote it.
    pub secret: Vec<u8>,
    /// HOTP: the moving factor of the next passcode.
    pub counter: u32,
    /// Whether each use needs a touch.
    pub touch: bool,
    /// Whether it is encrypted with the PIN.
    pub pin: bool,
    /// Login, password and metadata of a password entry.
    pub safe: [Option<Vec<u8>>; 3],
}

impl Entry {
    /// A six-digit HOTP entry with SHA-1.
    #[must_use]
    pub fn hotp(name: &str, secret: &[u8], counter: u32) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            kind: EntryKind::Hotp,
            hash: Hash::Sha1,
            digits: 6,
            secret: secret.to_vec(),
            counter,
            touch: false,
            pin: false,
            safe: [None, None, None],
        }
    }

    pub(super) fn type_byte(&self) -> u8 {
        let hash = match self.hash {
            Hash::Sha1 => 1,
            Hash::Sha256 => 2,
            Hash::Sha512 => 3,
        };
        self.kind.byte() | hash
    }

    pub(super) fn properties(&self) -> u8 {
        let [login, password, _] = &self.safe;
        u8::from(self.touch) | u8::from(self.pin) << 1 | u8::from(login.is_some() || password.is_some()) << 2
    }

    pub(super) fn truncated(&self, challenge: &[u8]) -> u32 {
        otp::truncate(&otp::hmac(self.hash, &self.secret, challenge))
    }

    /// The passcode for a moving factor, as text.
    #[must_use]
    pub fn passcode(&self, factor: u64) -> String {
        otp::passcode(self.truncated(&factor.to_be_bytes()), self.digits)
    }

    /// Entries are files, named by this.
    pub(super) fn file(&self) -> [u8; 8] {
        file(&self.name)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, hash, digits, counter, touch, pin, .. } = self;
        let name = String::from_utf8_lossy(&self.name);
        write!(f, "Entry({name} {kind:?} {hash:?} {digits} {counter} touch {touch} PIN {pin})")
    }
}

fn file(name: &[u8]) -> [u8; 8] {
    Sha256::digest(name).first_chunk().copied().unwrap_or_default()
}

/// The PIN and what is left of its attempts.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin {
    /// The PIN as the host wrote it.
    pub code: Vec<u8>,
    /// Wrong ones until it is blocked.
    pub retries: u8,
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({} retries)", self.retries)
    }
}

impl Pin {
    /// A wrong one and a blocked one are told alike.
    pub(super) fn check(&mut self, code: &[u8]) -> Result<(), Status> {
        if self.retries == 0 {
            return Err(VERIFICATION_FAILED);
        }
        if self.code != code {
            self.retries -= 1;
            return Err(VERIFICATION_FAILED);
        }
        self.retries = PIN_RETRIES;
        Ok(())
    }
}
