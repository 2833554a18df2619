//! What the Molto2 and the single-profile tokens of Token2 have in common on the wire.
//!
//! Both are cards that are one program: no SELECT, plain commands of class 80, secured ones of class 84. A host
//! proves that it knows an SM4 key by encrypting a challenge; after that it sends bodies that are encrypted, or in
//! clear, each with a MAC of 4 bytes (`cipher.rs`). Replies carry no MAC.
//!
//! Every call begins with the challenge, since other programs may have used the card in between. The answer to it
//! is sent once and never again by itself: a token counts wrong ones, or locks itself after the first.
//!
//! Sources: Token2, "Molto2v2 Wire Protocol Specification" (token2/molto2-tools); token2/openT2OTP,
//! `firmware/src/token2.c`.

mod cipher;
mod commands;
mod session;

pub(crate) use cipher::Cipher;
#[cfg(test)]
pub(crate) use commands::Answer;
pub(crate) use commands::{Body, DeviceInfo, GetChallenge, PLAIN, Secured};
pub(crate) use session::{Session, visit};

use zeroize::Zeroizing;

use crate::error::Error;
use crate::token::{Algorithm, FactorConfig, SlotConfig, UnixTime};
use sha1::Digest;

/// Longest secret that fits: padding takes the 64th byte.
pub(crate) const MAX_SECRET: usize = 63;

/// Lengths of a time step that both take, in seconds.
pub(crate) const TIME_STEPS: [u32; 2] = [30, 60];

/// Seconds until the display goes dark, as code 1 of 0 to 3 for 15, 30, 60 and 120: one whole time step.
pub(crate) const DISPLAY_TIMEOUT_30_S: u8 = 1;

pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Error {
    Error::Invalid { field, problem: problem.into() }
}

pub(crate) fn unsupported(what: &'static str, needs: impl Into<String>) -> Error {
    Error::Unsupported { what, needs: needs.into() }
}

/// What both write besides the secret: hash and time step as their codes, and the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// 1 for SHA-1, 2 for SHA-256.
    pub(crate) hash: u8,
    /// 30 or 60.
    pub(crate) time_step: u8,
    /// Unix time.
    pub(crate) clock: u32,
}

impl Parameters {
    /// Checks them against what the tokens can do.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Invalid`].
    pub(crate) fn new(algorithm: Algorithm, time_step: u32, now: UnixTime) -> Result<Self, Error> {
        let hash = match algorithm {
            Algorithm::Sha1 => 1,
            Algorithm::Sha256 => 2,
            Algorithm::Sha512 => {
                return Err(unsupported("SHA-512", "another token; this one has SHA-1 and SHA-256"));
            }
        };
        let time_step = u8::try_from(time_step).ok().filter(|_| TIME_STEPS.contains(&time_step));
        let time_step = time_step.ok_or_else(|| unsupported("this time step", "30 or 60 seconds"))?;
        Ok(Self { hash, time_step, clock: clock(now)? })
    }

    /// The same for a credential that is to be written. HOTP and touch exist on neither kind of token.
    ///
    /// # Errors
    /// As [`Parameters::new`].
    pub(crate) fn of(config: &SlotConfig) -> Result<Self, Error> {
        let FactorConfig::Totp { time_step } = config.factor else {
            return Err(unsupported("HOTP", "another token; this one shows TOTP"));
        };
        if config.touch {
            return Err(unsupported(
                "touch",
                "another token; this one shows its passcodes to whoever holds it",
            ));
        }
        Self::new(config.algorithm, time_step, config.now)
    }
}

/// Unix time as these tokens take it.
///
/// # Errors
/// [`Error::Invalid`] after the year 2106.
pub(crate) fn clock(now: UnixTime) -> Result<u32, Error> {
    u32::try_from(now.0).map_err(|_| invalid("now", "the token's clock ends in the year 2106"))
}

/// The key to write for a secret: as it is, or its hash if it is longer than the block of 64 bytes that HMAC has
/// under both hashes (RFC 2104 §2).
///
/// # Errors
/// [`Error::Invalid`] if it is empty, [`Error::Unsupported`] for exactly 64 bytes.
pub(crate) fn hmac_key(config: &SlotConfig) -> Result<Zeroizing<Vec<u8>>, Error> {
    let secret = config.secret.expose();
    match secret.len() {
        0 => Err(invalid("secret", "it is empty")),
        1..=MAX_SECRET => Ok(Zeroizing::new(secret.to_vec())),
        64 => Err(unsupported("a secret of 64 bytes", "63 bytes or fewer, or 65 or more")),
        _ => Ok(Zeroizing::new(match config.algorithm {
            Algorithm::Sha1 => sha1::Sha1::digest(secret).to_vec(),
            Algorithm::Sha256 => sha2::Sha256::digest(secret).to_vec(),
            Algorithm::Sha512 => sha2::Sha512::digest(secret).to_vec(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::SecretBytes;

    fn config(secret: Vec<u8>) -> SlotConfig {
        SlotConfig {
            factor: FactorConfig::Totp { time_step: 30 },
            algorithm: Algorithm::Sha1,
            digits: 6,
            secret: SecretBytes::new(secret),
            touch: false,
            label: None,
            now: UnixTime(1_700_000_000),
        }
    }

    #[test]
    fn parameters_are_codes() {
        let parameters = Parameters::of(&config(vec![1])).unwrap();
        assert_eq!(parameters, Parameters { hash: 1, time_step: 30, clock: 1_700_000_000 });
        let parameters = Parameters::new(Algorithm::Sha256, 60, UnixTime(u64::from(u32::MAX))).unwrap();
        assert_eq!(parameters, Parameters { hash: 2, time_step: 60, clock: u32::MAX });
    }

    #[test]
    fn what_no_token_of_these_can_do_is_refused() {
        let now = UnixTime(0);
        for (result, message) in [
            (
                Parameters::new(Algorithm::Sha512, 30, now),
                "this token cannot do SHA-512: another token; this one has SHA-1 and SHA-256",
            ),
            (
                Parameters::new(Algorithm::Sha1, 90, now),
                "this token cannot do this time step: 30 or 60 seconds",
            ),
            (
                Parameters::new(Algorithm::Sha1, 30 + 256, now),
                "this token cannot do this time step: 30 or 60 seconds",
            ),
            (
                Parameters::new(Algorithm::Sha1, 30, UnixTime(1 << 32)),
                "now: the token's clock ends in the year 2106",
            ),
            (
                Parameters::of(&SlotConfig { factor: FactorConfig::Hotp { counter: 0 }, ..config(vec![1]) }),
                "this token cannot do HOTP: another token; this one shows TOTP",
            ),
            (
                Parameters::of(&SlotConfig { touch: true, ..config(vec![1]) }),
                "this token cannot do touch: another token; this one shows its passcodes to whoever holds it",
            ),
        ] {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn long_secrets_are_hashed_and_64_bytes_do_not_fit() {
        for length in [1, 20, 63] {
            assert_eq!(*hmac_key(&config(vec![7; length])).unwrap(), vec![7; length]);
        }
        assert_eq!(hmac_key(&config(vec![7; 65])).unwrap().len(), 20);
        let sha256 = SlotConfig { algorithm: Algorithm::Sha256, ..config(vec![7; 65]) };
        assert_eq!(hmac_key(&sha256).unwrap().len(), 32);
        assert!(matches!(hmac_key(&config(vec![7; 64])), Err(Error::Unsupported { .. })));
        assert!(matches!(hmac_key(&config(vec![])), Err(Error::Invalid { field: "secret", .. })));
    }
}
