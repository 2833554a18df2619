//! A credential: a secret and how passcodes are made of it. What moves is apart, in [`super::factor`].

use super::algorithm::Algorithm;
use super::hotp::Generator;
use super::passcode::Digits;
use super::secret::Secret;
use super::totp::TimeStep;

/// What the moving factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A counter (RFC 4226).
    Hotp,
    /// Time (RFC 6238).
    Totp {
        /// Length of a step.
        time_step: TimeStep,
    },
}

impl Kind {
    /// So many steps of time in seconds; `None` where there is no time.
    #[must_use]
    pub fn seconds_of(self, steps: i64) -> Option<i64> {
        match self {
            Self::Hotp => None,
            Self::Totp { time_step } => Some(steps.saturating_mul(i64::from(time_step.as_secs()))),
        }
    }
}

/// How passcodes are made of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// What the moving factor is.
    pub kind: Kind,
    /// The hash function under the HMAC.
    pub algorithm: Algorithm,
    /// Length of a passcode.
    pub digits: Digits,
}

impl Parameters {
    /// HOTP, SHA-1, 6 digits: what RFC 4226 describes.
    pub const HOTP: Self = Self { kind: Kind::Hotp, algorithm: Algorithm::Sha1, digits: Digits::SIX };
    /// TOTP, SHA-1, 6 digits, 30 seconds: what RFC 6238 describes.
    pub const TOTP: Self = Self {
        kind: Kind::Totp { time_step: TimeStep::SECONDS_30 },
        algorithm: Algorithm::Sha1,
        digits: Digits::SIX,
    };
}

/// A secret and how passcodes are made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The shared secret.
    pub secret: Secret,
    /// How passcodes are made of it.
    pub parameters: Parameters,
}

impl Credential {
    /// Keys a generator for its passcodes.
    #[must_use]
    pub fn generator(&self) -> Generator {
        Generator::new(&self.secret, self.parameters.algorithm, self.parameters.digits)
    }
}
