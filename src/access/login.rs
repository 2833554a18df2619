//! Basic logins of operators.
//!
//! A good one is remembered for five minutes, as a MAC under a key that only this process has, so that a program
//! that sends its password with each request does not pay for argon2 each time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Caller;
use super::attempts::{Attempts, Who};
use super::password::Passwords;
use crate::otp::policy::Policy;
use crate::otp::time::Timestamp;
use crate::store::{Store, StoreError};

/// How long a good login is remembered.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Most logins remembered.
const MOST: usize = 1024;

/// Name and password as a caller sent them.
pub struct Credentials {
    /// The operator's name.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

/// Why a login was refused.
#[derive(Debug)]
pub enum Refused {
    /// No, without a hint.
    Denied,
    /// Nobody looked at it: too much to do, or the store failed. Try again later.
    Unavailable,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "operators cannot be read");
        Self::Unavailable
    }
}

/// Checks logins and remembers good ones.
pub struct Logins {
    passwords: Passwords,
    attempts: Attempts,
    key: Zeroizing<[u8; 32]>,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

struct Remembered {
    caller: Caller,
    until: Timestamp,
}

impl Logins {
    /// Prepares; `random` is a key of this process.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self {
            passwords: Passwords::new(random),
            attempts: Attempts::default(),
            key: Zeroizing::new(random),
            remembered: Mutex::default(),
        }
    }

    /// Checks name and password.
    ///
    /// # Errors
    /// [`Refused`], which never says what was wrong.
    pub async fn log_in(
        &self,
        store: &Store,
        credentials: Credentials,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Caller, Refused> {
        let mac = self.mac(&credentials);
        if let Some(caller) = self.recall(&mac, now) {
            return Ok(caller);
        }
        let mut who = vec![Who::Name(credentials.name.clone())];
        who.extend(address.map(Who::Address));
        if self.attempts.is_locked(&who, now) {
            return Err(Refused::Denied);
        }
        let name = credentials.name.clone();
        let operator = store.read(move |reader| reader.operator(&name)).await?;
        let operator = operator.filter(|operator| !operator.disabled);
        let hash = operator.as_ref().map(|operator| operator.password_hash.clone());
        let fits = self.passwords.fits(credentials.password, hash).await.map_err(|_| Refused::Unavailable)?;
        match operator.filter(|_| fits) {
            Some(operator) => {
                self.attempts.succeeded(&who);
                let caller = Caller { name: credentials.name, role: operator.role };
                self.remember(mac, caller.clone(), now);
                Ok(caller)
            }
            None => {
                self.attempts.failed(&who, now, &Policy::default());
                tracing::warn!(address = ?address, "a login was refused");
                Err(Refused::Denied)
            }
        }
    }

    /// Whether an operator who logged in some time ago still may do what the role allowed then.
    ///
    /// # Errors
    /// [`StoreError`] if nobody can tell.
    pub async fn still_holds(&self, store: &Store, caller: &Caller) -> Result<bool, StoreError> {
        let (name, role) = (caller.name.clone(), caller.role);
        let operator = store.read(move |reader| reader.operator(&name)).await?;
        Ok(operator.is_some_and(|operator| !operator.disabled && operator.role == role))
    }

    /// The map is keyed by this MAC, so that memory holds no password and a look-up compares no secret bytes.
    fn mac(&self, credentials: &Credentials) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("HMAC takes keys of any length");
        mac.update(&(credentials.name.len() as u64).to_be_bytes());
        mac.update(credentials.name.as_bytes());
        mac.update(credentials.password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn recall(&self, mac: &[u8; 32], now: Timestamp) -> Option<Caller> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(mac).filter(|login| now < login.until).map(|login| login.caller.clone())
    }

    fn remember(&self, mac: [u8; 32], caller: Caller, now: Timestamp) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|_, login| now < login.until);
        if remembered.len() < MOST {
            remembered.insert(mac, Remembered { caller, until: now.saturating_add(REMEMBERED) });
        }
    }
}
