//! Operator passwords: argon2id (RFC 9106), at most two computations at once and a short queue behind them, so
//! that nobody can use logins to keep the machine busy.

use std::sync::Arc;

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::argon2id::Argon2id;

/// Memory of one computation in KiB (19 MiB).
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Computations at once.
const AT_ONCE: usize = 2;
/// Logins that may wait for their turn.
const QUEUE: usize = 32;

/// Shortest password of an operator, in characters.
pub const SHORTEST: usize = 12;

/// Longest, in characters.
pub const LONGEST: usize = 128;

/// A login that was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins are waiting")]
pub struct TooMany;

/// Computes and compares hashes.
pub struct Passwords {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// The hash of nobody's password: an unknown name costs as much as a known one.
    nobody: String,
}

impl Passwords {
    /// Prepares; `random` is nobody's password.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self {
            places: Arc::new(Semaphore::new(QUEUE + AT_ONCE)),
            running: Arc::new(Semaphore::new(AT_ONCE)),
            nobody: hash(&random),
        }
    }

    /// Compares a password with a hash; without a hash it works as hard and says no.
    ///
    /// # Errors
    /// [`TooMany`] if the queue is full.
    pub async fn fits(&self, password: Zeroizing<String>, hash: Option<String>) -> Result<bool, TooMany> {
        let _place = self.places.try_acquire().map_err(|_| TooMany)?;
        let _running = self.running.acquire().await.map_err(|_| TooMany)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let fits = tokio::task::spawn_blocking(move || {
            let fits = |hash| argon2id().verify_password(password.as_bytes(), &hash).is_ok();
            PasswordHash::new(&hash).is_ok_and(fits)
        });
        Ok(fits.await.unwrap_or(false) && known)
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`TooMany`] if the queue is full.
    pub async fn make(&self, password: Zeroizing<String>) -> Result<String, TooMany> {
        let _place = self.places.try_acquire().map_err(|_| TooMany)?;
        let _running = self.running.acquire().await.map_err(|_| TooMany)?;
        tokio::task::spawn_blocking(move || hash(password.as_bytes())).await.map_err(|_| TooMany)
    }
}

/// Why a password cannot be one; none if it can. Length is all that is asked for (NIST SP 800-63B 3.1.1.2).
#[must_use]
pub fn problem(password: &str) -> Option<&'static str> {
    match password.chars().count() {
        length if length < SHORTEST => Some("must have at least 12 characters"),
        length if length > LONGEST => Some("must have at most 128 characters"),
        _ => None,
    }
}

/// Hashes a password into PHC form, with a new salt.
#[must_use]
pub fn hash(password: &[u8]) -> String {
    // Fails only for parameters or lengths that are not used here.
    argon2id().hash_password(password).map(|hash| hash.to_string()).unwrap_or_default()
}

fn argon2id() -> Argon2id {
    Argon2id(Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_names_argon2id_with_19_mib_and_2_passes() {
        assert!(hash(b"correct horse").starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_name_fits() {
        let passwords = Passwords::new([1; 32]);
        let known = Some(hash(b"correct horse"));
        let fits = |text: &str, hash| passwords.fits(Zeroizing::new(text.to_owned()), hash);
        assert_eq!(fits("correct horse", known.clone()).await, Ok(true));
        assert_eq!(fits("correct horse ", known).await, Ok(false));
        assert_eq!(fits("correct horse", None).await, Ok(false));
        assert_eq!(fits("", Some(String::new())).await, Ok(false));
    }
}
