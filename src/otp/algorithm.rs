//! The hash function under the HMAC (RFC 6238 §1.2): SHA-1, SHA-256 or SHA-512, and the names it goes by.

use std::fmt;

/// The hash function under the HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC-SHA-1, the only one in RFC 4226 and the default everywhere.
    #[default]
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

/// The name is not one of a hash function that tokens use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown algorithm: SHA1, SHA256 or SHA512 is expected")]
pub struct UnknownAlgorithm;

impl Algorithm {
    /// The name as key URIs write it: `SHA1`, `SHA256`, `SHA512`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// Reads the name in the spellings in use, in any case: `SHA1`, `SHA-1`, `HmacSHA1`, `HMAC-SHA-1`.
    ///
    /// # Errors
    /// [`UnknownAlgorithm`] for anything else.
    pub fn parse(name: &str) -> Result<Self, UnknownAlgorithm> {
        let name = name.trim();
        if name.len() > 16 {
            return Err(UnknownAlgorithm);
        }
        let name: String =
            name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_uppercase()).collect();
        match name.strip_prefix("HMAC").unwrap_or(&name) {
            "SHA1" => Ok(Self::Sha1),
            "SHA256" => Ok(Self::Sha256),
            "SHA512" => Ok(Self::Sha512),
            _ => Err(UnknownAlgorithm),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Ok(algorithm));
        }
    }

    #[test]
    fn the_spellings_in_use_are_understood() {
        for name in ["SHA1", "sha1", " SHA-1 ", "HmacSHA1", "HMAC-SHA-1", "hmac_sha1"] {
            assert_eq!(Algorithm::parse(name), Ok(Algorithm::Sha1), "{name}");
        }
        assert_eq!(Algorithm::parse("HMAC-SHA-256"), Ok(Algorithm::Sha256));
        assert_eq!(Algorithm::parse("HmacSHA512"), Ok(Algorithm::Sha512));
    }

    #[test]
    fn other_hash_functions_are_refused() {
        for name in ["", "MD5", "SHA", "SHA384", "SHA3-256", "HMAC", "SHA1SHA1", &"-".repeat(1000)] {
            assert_eq!(Algorithm::parse(name), Err(UnknownAlgorithm), "{name}");
        }
    }
}
