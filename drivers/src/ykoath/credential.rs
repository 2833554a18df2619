//! A credential on its way to the applet: everything that can be checked before the first exchange.
//!
//! Keys are 14 bytes or more, and not longer than a block of their hash (64 bytes, 128 for SHA-512). HMAC treats a
//! short key as one filled up with zeros and a long one as its hash (RFC 2104 §2), so both are done here without
//! changing a passcode. Counters start below 2^32, names take 64 bytes, passcodes have 6 to 8 digits.
//!
//! A CanoKey counts before it computes, so it gets the counter of the first passcode less one, and a passcode of
//! counter 0 cannot be had of it: that is refused, since a token whose first passcode is another than was asked for
//! would look like one with a wrong secret.

use sha1::Digest;
use zeroize::Zeroizing;

use super::features::Features;
use super::name::{self, invalid};
use crate::error::Error;
use crate::token::{Algorithm, FactorConfig, Kind, SlotConfig, TokenInfo};

/// Shortest key the applet takes.
const MIN_KEY: usize = 14;

/// What goes to the card, checked before the first exchange.
pub(super) struct Written {
    pub(super) kind: Kind,
    /// The name to store.
    pub(super) stored: String,
    pub(super) key: Zeroizing<Vec<u8>>,
    /// Initial moving factor as this applet means it; 0 for TOTP.
    pub(super) imf: u32,
}

impl Written {
    /// Checks a credential against what the token can do.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Unsupported`].
    pub(super) fn check(
        slot: &str,
        config: &SlotConfig,
        info: &TokenInfo,
        features: Features,
    ) -> Result<Self, Error> {
        let capabilities = &info.capabilities;
        if !capabilities.algorithms.contains(&config.algorithm) {
            return Err(Error::Unsupported {
                what: "this hash function",
                needs:
                    "SHA-512 takes a CanoKey, or a YubiKey with firmware 4.3.1 that is not a YubiKey 4 FIPS"
                        .to_owned(),
            });
        }
        if let (false, [shortest, .., longest]) =
            (capabilities.digits.contains(&config.digits), capabilities.digits.as_slice())
        {
            let problem = format!("the token makes passcodes of {shortest} to {longest} digits");
            return Err(Error::Invalid { field: "digits", problem });
        }
        if config.touch && !capabilities.touch {
            return Err(Error::Unsupported {
                what: "touch",
                needs: "firmware 4.2.6 of a token that waits for it".to_owned(),
            });
        }
        let (kind, time_step, imf) = match config.factor {
            FactorConfig::Hotp { .. } if !capabilities.hotp => {
                return Err(Error::Unsupported {
                    what: "HOTP",
                    needs: "an applet that hashes all 8 bytes of the counter (RFC 4226 §5.2)".to_owned(),
                });
            }
            FactorConfig::Hotp { counter } => (Kind::Hotp, None, imf(counter, features)?),
            FactorConfig::Totp { time_step } => (Kind::Totp, Some(time_step), 0),
        };
        if config.secret.expose().len() > capabilities.max_secret_bytes
            && config.algorithm == Algorithm::Sha512
            && config.secret.expose().len() <= 128
            && !features.takes_long_keys()
        {
            return Err(invalid(
                "secret",
                "with SHA-512 the token takes 64 bytes, or more than 128, which are hashed",
            ));
        }
        let stored = name::stored_name(slot, time_step)?;
        let key = key(config.algorithm, config.secret.expose())?;
        Ok(Self { kind, stored, key, imf })
    }
}

/// The initial moving factor from which this applet's first passcode has this counter.
fn imf(counter: u64, features: Features) -> Result<u32, Error> {
    let (first, last) = (features.first_counter(), features.last_counter());
    if counter > last {
        return Err(Error::Invalid {
            field: "counter",
            problem: format!("the token starts at {last} at most"),
        });
    }
    counter.checked_sub(first).and_then(|imf| u32::try_from(imf).ok()).ok_or_else(|| Error::Invalid {
        field: "counter",
        problem: format!("the first passcode of this token is that of counter {first} or later"),
    })
}

/// The key as the applet wants it.
fn key(algorithm: Algorithm, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if secret.is_empty() {
        return Err(invalid("secret", "it is empty"));
    }
    let mut key = Zeroizing::new(Vec::with_capacity(128));
    match (algorithm, secret.len()) {
        (Algorithm::Sha1, 65..) => key.extend_from_slice(&sha1::Sha1::digest(secret)),
        (Algorithm::Sha256, 65..) => key.extend_from_slice(&sha2::Sha256::digest(secret)),
        (Algorithm::Sha512, 129..) => key.extend_from_slice(&sha2::Sha512::digest(secret)),
        _ => key.extend_from_slice(secret),
    }
    if key.len() < MIN_KEY {
        key.resize(MIN_KEY, 0);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_filled_up_and_a_long_one_hashed() {
        assert_eq!(*key(Algorithm::Sha1, b"12345").unwrap(), *b"12345\0\0\0\0\0\0\0\0\0");
        assert_eq!(*key(Algorithm::Sha1, &[b'A'; 64]).unwrap(), [b'A'; 64]);
        let hashed: String =
            key(Algorithm::Sha1, &[b'A'; 65]).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hashed, "826b7e7a7af8a529ae1c7443c23bf185c0ad440c");
        assert_eq!(key(Algorithm::Sha256, &[b'A'; 65]).unwrap().len(), 32);
        assert_eq!(key(Algorithm::Sha512, &[b'A'; 128]).unwrap().len(), 128);
        assert_eq!(key(Algorithm::Sha512, &[b'A'; 129]).unwrap().len(), 64);
        assert_eq!(key(Algorithm::Sha1, &[]).unwrap_err().to_string(), "secret: it is empty");
    }
}
