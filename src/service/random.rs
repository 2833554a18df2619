//! Random bytes from the operating system: secrets, salts, passwords.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use crate::otp::algorithm::Algorithm;
use crate::otp::secret::Secret;

/// Fills a new array.
///
/// # Errors
/// [`Kind::Internal`] if the system gives none; nothing falls back to anything weaker.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(Kind::Internal, format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// Makes a secret as long as the output of its hash (RFC 4226 §4 R6 asks for 20 bytes with SHA-1), or as long as its
/// device takes if that is less.
///
/// It never begins with a zero byte, which a Nitrokey Pro 0.7 takes for no secret at
/// all: less than a hundredth of a bit is lost by that.
///
/// # Errors
/// [`Kind::Internal`] if the system gives no random bytes.
pub fn secret(algorithm: Algorithm, most_bytes: usize) -> Result<Secret, Error> {
    let mut drawn = Zeroizing::new(Vec::new());
    while drawn.first().is_none_or(|first| *first == 0) {
        *drawn = match algorithm {
            Algorithm::Sha1 => bytes::<20>()?.to_vec(),
            Algorithm::Sha256 => bytes::<32>()?.to_vec(),
            Algorithm::Sha512 => bytes::<64>()?.to_vec(),
        };
    }
    drawn.truncate(most_bytes);
    Secret::new(std::mem::take(&mut *drawn)).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}

/// Makes a password of 24 letters and digits (143 bits).
///
/// # Errors
/// [`Kind::Internal`] if the system gives no random bytes.
pub fn password() -> Result<String, Error> {
    letters(24)
}

/// Makes a text of that many letters and digits (5.95 bits each).
///
/// # Errors
/// [`Kind::Internal`] if the system gives no random bytes.
pub fn letters(length: usize) -> Result<String, Error> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length + 32);
    while text.len() < length {
        // Bytes that would favour some letters are thrown away.
        let fair = bytes::<32>()?.into_iter().filter(|byte| *byte < 248);
        text.extend(fair.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])));
    }
    text.truncate(length);
    Ok(text)
}

/// Makes a token of 256 bits that may stand in an address.
///
/// # Errors
/// [`Kind::Internal`] if the system gives no random bytes.
pub fn token() -> Result<Zeroizing<String>, Error> {
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes::<32>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_as_long_as_its_hash_and_never_the_same() {
        for (algorithm, bytes) in [(Algorithm::Sha1, 20), (Algorithm::Sha256, 32), (Algorithm::Sha512, 64)] {
            let secrets: std::collections::HashSet<Vec<u8>> =
                (0..100).map(|_| secret(algorithm, usize::MAX).unwrap().expose().to_vec()).collect();
            assert_eq!(secrets.len(), 100);
            assert!(secrets.iter().all(|secret| secret.len() == bytes));
        }
    }

    #[test]
    fn no_secret_begins_with_a_zero_byte() {
        for _ in 0..3000 {
            let secret = secret(Algorithm::Sha1, 20).unwrap();
            assert!(secret.expose().len() == 20 && secret.expose()[0] != 0);
        }
    }
}
