//! One OATH credential in the flash of an emulated device.
//!
//! The type and hash are the two nibbles of YKOATH's type/algorithm byte (YKOATH, "Algorithms").

use std::borrow::Cow;
use std::fmt;

use crate::otp;

/// What moves a credential: high nibble of the type/algorithm byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RFC 4226; `1x`.
    Hotp,
    /// RFC 6238; `2x`.
    Totp,
}

/// The hash under the HMAC: low nibble of the type/algorithm byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// HMAC-SHA-1; `x1`.
    Sha1,
    /// HMAC-SHA-256; `x2`.
    Sha256,
    /// HMAC-SHA-512; `x3`.
    Sha512,
}

/// Takes the type/algorithm byte apart; `None` for numbers without a meaning.
pub(crate) fn parse_type(byte: u8) -> Option<(Kind, Hash)> {
    let kind = match byte >> 4 {
        1 => Kind::Hotp,
        2 => Kind::Totp,
        _ => return None,
    };
    let hash = match byte & 0x0F {
        1 => Hash::Sha1,
        2 => Hash::Sha256,
        3 => Hash::Sha512,
        _ => return None,
    };
    Some((kind, hash))
}

/// A credential as it lies in flash. `Debug` shows everything but the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Up to 64 bytes, UTF-8 by convention.
    pub name: Vec<u8>,
    /// HOTP or TOTP.
    pub kind: Kind,
    /// The hash under the HMAC.
    pub hash: Hash,
    /// Length of the passcode, as the host wrote it.
    pub digits: u8,
    /// The key as the host wrote it: padded, or hashed if it was long.
    pub secret: Vec<u8>,
    /// HOTP: the moving factor of the next passcode. TOTP: unused.
    pub counter: u64,
    /// Whether each passcode needs a touch (property bit 02).
    pub touch: bool,
    /// Whether the challenge may never go down (property bit 01).
    pub only_increasing: bool,
    /// The highest challenge so far, leading zeros stripped, if it may only increase.
    pub last_challenge: Vec<u8>,
}

impl Credential {
    /// A six-digit HOTP credential with SHA-1, as most services hand them out.
    #[must_use]
    pub fn hotp(name: &str, secret: &[u8], counter: u64) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            kind: Kind::Hotp,
            hash: Hash::Sha1,
            digits: 6,
            secret: secret.to_vec(),
            counter,
            touch: false,
            only_increasing: false,
            last_challenge: Vec::new(),
        }
    }

    /// A six-digit TOTP credential with SHA-1.
    #[must_use]
    pub fn totp(name: &str, secret: &[u8]) -> Self {
        Self { kind: Kind::Totp, ..Self::hotp(name, secret, 0) }
    }

    /// The name as text.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// Seconds in a TOTP time step: the number before a `/` at the start of the name, otherwise 30.
    #[must_use]
    pub fn time_step_seconds(&self) -> u64 {
        let name = self.name();
        let prefix = name.split_once('/').map(|(prefix, _)| prefix);
        prefix.and_then(|digits| digits.parse().ok()).filter(|seconds| *seconds > 0).unwrap_or(30)
    }

    pub(crate) fn type_byte(&self) -> u8 {
        let kind = match self.kind {
            Kind::Hotp => 0x10,
            Kind::Totp => 0x20,
        };
        let hash = match self.hash {
            Hash::Sha1 => 0x01,
            Hash::Sha256 => 0x02,
            Hash::Sha512 => 0x03,
        };
        kind | hash
    }

    pub(crate) fn hmac(&self, message: &[u8]) -> Vec<u8> {
        otp::hmac(self.hash, &self.secret, message)
    }

    /// The HMAC for the counter, which counts on. By RFC 4226 all 8 bytes of it are hashed.
    pub(crate) fn next_hmac(&mut self, bytes: usize) -> Vec<u8> {
        let counter = self.counter.to_be_bytes();
        let mac = self.hmac(counter.get(8 - bytes.min(8)..).unwrap_or_default());
        self.counter = self.counter.wrapping_add(1);
        mac
    }

    pub(crate) fn passcode(&self, mac: &[u8]) -> String {
        otp::passcode(otp::truncate(mac), self.digits)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("name", &self.name())
            .field("kind", &self.kind)
            .field("hash", &self.hash)
            .field("digits", &self.digits)
            .field("secret", &format_args!("[redacted, {} bytes]", self.secret.len()))
            .field("counter", &self.counter)
            .field("touch", &self.touch)
            .field("only_increasing", &self.only_increasing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_step_is_read_from_the_name() {
        for (name, seconds) in [("Acme:bob", 30), ("60/Acme:bob", 60), ("x/Acme", 30), ("0/Acme", 30)] {
            assert_eq!(Credential::totp(name, b"").time_step_seconds(), seconds, "{name}");
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let text = format!("{:?}", Credential::hotp("a", b"12345678901234567890", 1));
        assert!(text.contains("[redacted, 20 bytes]") && !text.contains("1234"), "{text}");
        assert!(!text.contains("49, 50"), "{text}");
    }

    #[test]
    fn only_the_six_type_bytes_have_a_meaning() {
        let known: Vec<u8> = (0..=0xFF).filter(|byte| parse_type(*byte).is_some()).collect();
        assert_eq!(known, [0x11, 0x12, 0x13, 0x21, 0x22, 0x23]);
        for byte in known {
            let (kind, hash) = parse_type(byte).unwrap();
            assert_eq!(Credential { kind, hash, ..Credential::totp("a", b"") }.type_byte(), byte);
        }
    }
}
