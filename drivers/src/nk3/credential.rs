//! A credential on its way to the secrets app: everything that can be checked before the first exchange.
//!
//! The key of an entry may have any length up to 128 bytes; one longer than a block of its hash (64 bytes) is hashed
//! here first, as HMAC would (RFC 2104 §2). Counters go from 0 to 4294967294, since the app refuses to count on from
//! the last one. Passcodes have 6 to 8 digits.

use sha1::Digest;
use zeroize::Zeroizing;

use super::entry::{check_name, invalid};
use crate::error::Error;
use crate::token::{Algorithm, Capabilities, FactorConfig, Kind, SlotConfig};

/// Block of SHA-1 and SHA-256.
const BLOCK: usize = 64;

/// What goes to the key, checked before the first exchange.
pub(super) struct Written {
    pub(super) kind: Kind,
    pub(super) key: Zeroizing<Vec<u8>>,
    /// First counter value; 0 for TOTP.
    pub(super) counter: u32,
}

impl Written {
    /// Checks a credential against what the token can do.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Unsupported`].
    pub(super) fn check(name: &str, config: &SlotConfig, can: &Capabilities) -> Result<Self, Error> {
        check_name(name)?;
        if !can.algorithms.contains(&config.algorithm) {
            let needs = "the Nitrokey 3 computes with SHA-1 and SHA-256".to_owned();
            return Err(Error::Unsupported { what: "this hash function", needs });
        }
        if !can.digits.contains(&config.digits) {
            return Err(invalid("digits", "the token makes passcodes of 6 to 8 digits"));
        }
        let (kind, counter) = match config.factor {
            FactorConfig::Hotp { counter } => {
                let counter = u32::try_from(counter).ok().filter(|counter| *counter < u32::MAX);
                let most = "the token counts from 4294967294 at most";
                (Kind::Hotp, counter.ok_or_else(|| invalid("counter", most))?)
            }
            FactorConfig::Totp { time_step: 0 } => return Err(invalid("time_step", "0 seconds")),
            FactorConfig::Totp { .. } => (Kind::Totp, 0),
        };
        Ok(Self { kind, key: key(config.algorithm, config.secret.expose())?, counter })
    }
}

/// The key as the app takes it.
fn key(algorithm: Algorithm, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if secret.is_empty() {
        return Err(invalid("secret", "it is empty"));
    }
    let mut key = Zeroizing::new(Vec::with_capacity(BLOCK));
    match algorithm {
        _ if secret.len() <= BLOCK => key.extend_from_slice(secret),
        Algorithm::Sha1 => key.extend_from_slice(&sha1::Sha1::digest(secret)),
        Algorithm::Sha256 => key.extend_from_slice(&sha2::Sha256::digest(secret)),
        // Refused before; its block is longer.
        Algorithm::Sha512 => return Err(invalid("secret", "it is too long")),
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_secret_is_hashed_and_a_short_one_left_alone() {
        assert_eq!(*key(Algorithm::Sha1, b"12345").unwrap(), *b"12345");
        assert_eq!(*key(Algorithm::Sha1, &[b'A'; 64]).unwrap(), [b'A'; 64]);
        let hashed = key(Algorithm::Sha1, &[b'A'; 65]).unwrap();
        let hashed: String = hashed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hashed, "826b7e7a7af8a529ae1c7443c23bf185c0ad440c");
        assert_eq!(key(Algorithm::Sha256, &[b'A'; 65]).unwrap().len(), 32);
        assert_eq!(key(Algorithm::Sha1, &[]).unwrap_err().to_string(), "secret: it is empty");
    }
}
