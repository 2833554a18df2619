//! HOTP (RFC 4226): the passcode of a moving factor. TOTP (RFC 6238) is the same with the time step for a counter,
//! and with SHA-256 or SHA-512 where agreed (RFC 6238 §1.2).
//!
//! The two HMAC midstates, after the padded key, are kept, so that each further moving factor of a window costs two
//! compressions of the hash and no set-up.

mod midstates;

use std::fmt;

use self::midstates::Midstates;
use super::algorithm::Algorithm;
use super::passcode::{Digits, Passcode};
use super::secret::Secret;

/// Makes the passcodes of one secret.
#[derive(Clone)]
pub struct Generator {
    midstates: Midstates,
    digits: Digits,
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
        Self { midstates: Midstates::keyed(secret, algorithm), digits }
    }

    /// The passcode of a moving factor: a counter (HOTP) or the number of a time step (TOTP).
    #[must_use]
    pub fn at(&self, factor: u64) -> Passcode {
        Passcode::of(self.midstates.number(factor).into(), self.digits)
    }

    /// The same as a number, which is all that a comparison needs.
    pub(super) fn number_at(&self, factor: u64) -> u64 {
        self.digits.last_of(self.midstates.number(factor)).into()
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

#[cfg(test)]
mod tests {
    use super::*;

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
