//! HOTP (RFC 4226): the passcode of a moving factor. TOTP (RFC 6238) is the same with the time step for a counter,
//! and with SHA-256 or SHA-512 where agreed (RFC 6238 §1.2).
//!
//! The two HMAC midstates, after the padded key, are kept, so that each further moving factor of a window costs two
//! compressions of the hash and no set-up.

use std::fmt;

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::algorithm::Algorithm;
use super::mac::keyed;
use super::passcode::{Digits, Passcode};
use super::secret::Secret;

/// Makes the passcodes of one secret.
#[derive(Clone)]
pub struct Generator {
    midstates: Midstates,
    digits: Digits,
}

#[derive(Clone)]
enum Midstates {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Generator {
    /// Keys the HMAC with the secret.
    #[must_use]
    pub fn new(secret: &Secret, algorithm: Algorithm, digits: Digits) -> Self {
        Self::keyed(secret.expose(), algorithm, digits)
    }

    /// Like [`Generator::new`], of the same cost, with a secret that nobody has.
    pub(super) fn stand_in(algorithm: Algorithm, digits: Digits) -> Self {
        Self::keyed(&[0; 20], algorithm, digits)
    }

    fn keyed(secret: &[u8], algorithm: Algorithm, digits: Digits) -> Self {
        let midstates = match algorithm {
            Algorithm::Sha1 => Midstates::Sha1(keyed(secret)),
            Algorithm::Sha256 => Midstates::Sha256(keyed(secret)),
            Algorithm::Sha512 => Midstates::Sha512(keyed(secret)),
        };
        Self { midstates, digits }
    }

    /// The passcode of a moving factor: a counter (HOTP) or the number of a time step (TOTP).
    #[must_use]
    pub fn at(&self, factor: u64) -> Passcode {
        let number = match &self.midstates {
            Midstates::Sha1(mac) => truncated_mac(mac, factor),
            Midstates::Sha256(mac) => truncated_mac(mac, factor),
            Midstates::Sha512(mac) => truncated_mac(mac, factor),
        };
        Passcode::of(number.into(), self.digits)
    }

    /// Length of the passcodes.
    #[must_use]
    pub const fn digits(&self) -> Digits {
        self.digits
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generator([redacted])")
    }
}

fn truncated_mac<M: Mac + Clone>(mac: &M, factor: u64) -> u32 {
    truncate(&mac.clone().chain_update(factor.to_be_bytes()).finalize().into_bytes())
}

/// Dynamic truncation (RFC 4226 §5.3): the low four bits of the last byte say where the 31 bits begin.
fn truncate(hmac: &[u8]) -> u32 {
    let offset = hmac.last().map_or(0, |last| usize::from(last & 0x0f));
    // The shortest HMAC has 20 bytes and the offset is at most 15, so the four bytes are always there.
    let four = hmac.get(offset..).and_then(|tail| tail.first_chunk()).copied().unwrap_or_default();
    u32::from_be_bytes(four) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The HMAC of RFC 4226 §5.4.
    const EXAMPLE: [u8; 20] = [
        0x1f, 0x86, 0x98, 0x69, 0x0e, 0x02, 0xca, 0x16, 0x61, 0x85, 0x50, 0xef, 0x7f, 0x19, 0xda, 0x8e, 0x94,
        0x5b, 0x55, 0x5a,
    ];

    #[test]
    fn truncation_follows_the_example_of_the_rfc() {
        assert_eq!(truncate(&EXAMPLE), 0x50ef_7f19);
    }

    #[test]
    fn truncation_masks_the_sign_and_reaches_the_last_offset() {
        let mut hmac = EXAMPLE;
        hmac[19] = 0xff;
        hmac[15] = 0x80;
        assert_eq!(truncate(&hmac), 0x0094_5b55);
    }

    #[test]
    fn the_window_ends_of_u64_have_passcodes() {
        let generator = Generator::stand_in(Algorithm::Sha1, Digits::new(10).unwrap());
        assert_eq!(generator.at(u64::MAX).as_str().len(), 10);
        assert_ne!(generator.at(u64::MAX), generator.at(0));
    }

    #[test]
    fn a_generator_shows_nothing() {
        let generator = Generator::stand_in(Algorithm::Sha512, Digits::SIX);
        assert_eq!(format!("{generator:?}"), "Generator([redacted])");
    }
}
