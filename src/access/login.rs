//! The ways in: name and password, userCode and passCode, and tokens of sessions and of OAuth 2.0.
//!
//! A good password is remembered for five minutes, as a MAC under a key that only this process has, so that a program
//! that sends its password with each request does not pay for argon2 each time. What is remembered is good only for
//! the generation of its operator that it was checked against; all changes of operators go through this process and
//! say so here, before they are answered. Everything else is looked up with each request.
//!
//! Who does not exist costs as much work as a wrong password. Random secrets are told by their SHA-256, and need no
//! lock: nobody guesses 256 bits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::attempts::{Attempts, Who};
use super::certificates;
use super::credentials::{Credentials, Presented};
use super::password::{Passwords, TooMany};
use super::turns::Turns;
use super::{Caller, Way};
use crate::model::id::OperatorId;
use crate::otp::policy::Policy;
use crate::otp::time::Timestamp;
use crate::store::user_tokens::{self, Owner};
use crate::store::{Store, StoreError};

/// How long a good login is remembered.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Most logins remembered.
const MOST: usize = 1024;

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
    /// Of passwords that are being looked at.
    turns: Turns,
    /// Of the operators that were changed since the start: logins of an earlier generation are forgotten.
    generations: Mutex<HashMap<OperatorId, i64>>,
}

/// What is kept of a random secret.
#[must_use]
pub fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
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
            turns: Turns::default(),
            generations: Mutex::default(),
        }
    }

    /// Finds out who presents something.
    ///
    /// # Errors
    /// [`Refused`], which never says what was wrong.
    pub async fn who(
        &self,
        store: &Store,
        presented: Presented,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Caller, Refused> {
        match presented {
            Presented::Token(token) => by_token(store, &token, now).await,
            Presented::Basic(credentials) => {
                if let Some(caller) = self.recall(&self.mac(&credentials), now) {
                    return Ok(caller);
                }
                if let Some(caller) = by_user_token(store, &credentials, now).await? {
                    return Ok(caller);
                }
                self.by_password(store, credentials, address, now).await
            }
        }
    }

    /// Checks name and password, and nothing else.
    ///
    /// # Errors
    /// [`Refused`], which never says what was wrong.
    pub async fn by_password(
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
        // Who comes with the same password at the same time is known by what this one finds out.
        let _turn = self.turns.take(mac).await;
        if let Some(caller) = self.recall(&mac, now) {
            return Ok(caller);
        }
        let who = Self::counted_on(&credentials.name, address);
        if self.attempts.is_locked(&who, now, &Policy::default()) {
            return Err(Refused::Denied);
        }
        let name = credentials.name;
        let operator = store.read(move |reader| reader.operator(&name)).await?;
        let operator = operator.filter(|operator| !operator.disabled);
        let hash = operator.as_ref().map(|operator| operator.password_hash.clone());
        let fits = self.passwords.fits(credentials.password, hash).await.map_err(|_| Refused::Unavailable)?;
        match operator.filter(|_| fits) {
            Some(operator) => {
                self.attempts.succeeded(&who);
                let caller = Caller::of(operator, Way::Password);
                self.remember(mac, caller.clone(), now);
                Ok(caller)
            }
            None => {
                self.failed(&who, address, now);
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
        let (id, generation) = (caller.operator, caller.generation);
        Ok(operator.is_some_and(|operator| {
            !operator.disabled
                && operator.role == role
                && Some(operator.id) == id
                && operator.generation == generation
        }))
    }

    /// Checks the id and the secret of a client of OAuth 2.0. Answers with its operator and its number.
    ///
    /// # Errors
    /// [`Refused`], which never says what was wrong.
    pub async fn by_client(
        &self,
        store: &Store,
        credentials: Credentials,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(Caller, crate::model::id::ClientId), Refused> {
        let who = Self::counted_on(&format!("client {}", credentials.name), address);
        if self.attempts.is_locked(&who, now, &Policy::default()) {
            return Err(Refused::Denied);
        }
        let Credentials { name, password } = credentials;
        let found = store.read(move |reader| reader.client(&name)).await?;
        let hash = found.as_ref().map_or([0; 32], |client| client.secret_hash);
        let fits = bool::from(hash_of(&password).ct_eq(&hash));
        match found.filter(|client| fits && !client.operator.disabled) {
            Some(client) => {
                self.attempts.succeeded(&who);
                Ok((Caller::of(client.operator, Way::OAuth), client.id))
            }
            None => {
                self.failed(&who, address, now);
                Err(Refused::Denied)
            }
        }
    }

    /// Finds out which agent holds a certificate; the handshake has proven that it has the key. `None` if it is none of
    /// an agent that may log in.
    ///
    /// # Errors
    /// [`StoreError`] if nobody can tell.
    pub async fn by_certificate(
        &self,
        store: &Store,
        certificate: &[u8],
        now: Timestamp,
    ) -> Result<Option<Caller>, StoreError> {
        let fingerprint = certificates::fingerprint(certificate);
        let found = store.read(move |reader| reader.agent_of_certificate(&fingerprint, now)).await?;
        Ok(found.map(|(agent, scope)| Caller::of_agent(agent, scope)))
    }

    /// Whether a caller has failed too often to be heard, at something that is counted as failed logins are.
    #[must_use]
    pub fn must_wait(&self, caller: &Caller, now: Timestamp) -> bool {
        self.attempts.is_locked(&Self::counted_for(caller), now, &Policy::default())
    }

    /// Counts such a failure.
    pub fn has_failed(&self, caller: &Caller, now: Timestamp) {
        self.attempts.failed(&Self::counted_for(caller), now, &Policy::default());
    }

    /// A stranger is known by the address alone, which also the failed logins from there are counted on.
    fn counted_for(caller: &Caller) -> Vec<Who> {
        match &caller.way {
            Way::Stranger { address } => address.map(Who::Address).into_iter().collect(),
            _ => vec![Who::Name(caller.name.clone())],
        }
    }

    /// Hashes a new password, in its turn.
    ///
    /// # Errors
    /// [`TooMany`] if the queue is full.
    pub async fn hash_password(&self, password: Zeroizing<String>) -> Result<String, TooMany> {
        self.passwords.make(password).await
    }

    /// An operator was changed: what is remembered of its earlier generations is forgotten.
    pub fn changed(&self, operator: OperatorId, generation: i64) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let known = generations.entry(operator).or_insert(generation);
        *known = generation.max(*known);
    }

    /// Whether the operator has not been changed since the caller was looked up.
    #[must_use]
    pub fn is_current(&self, caller: &Caller) -> bool {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let least = caller.operator.and_then(|operator| generations.get(&operator));
        least.is_none_or(|least| *least <= caller.generation)
    }

    fn counted_on(name: &str, address: Option<IpAddr>) -> Vec<Who> {
        let mut who = vec![Who::Name(name.to_owned())];
        who.extend(address.map(Who::Address));
        who
    }

    fn failed(&self, who: &[Who], address: Option<IpAddr>, now: Timestamp) {
        self.attempts.failed(who, now, &Policy::default());
        tracing::warn!(address = ?address, "a login was refused");
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
        let caller = {
            let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.get(mac).filter(|login| login.until.ends_after(now, REMEMBERED))?.caller.clone()
        };
        self.is_current(&caller).then_some(caller)
    }

    fn remember(&self, mac: [u8; 32], caller: Caller, now: Timestamp) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|_, login| login.until.ends_after(now, REMEMBERED));
        if remembered.len() < MOST {
            remembered.insert(mac, Remembered { caller, until: now.saturating_add(REMEMBERED) });
        }
    }
}

/// A token of a session or of OAuth 2.0.
async fn by_token(store: &Store, token: &str, now: Timestamp) -> Result<Caller, Refused> {
    let hash = hash_of(token);
    let found = store.read(move |reader| reader.bearer(&hash, now)).await?;
    let (operator, bearer) = found.ok_or(Refused::Denied)?;
    let way = if bearer.client.is_some() { Way::OAuth } else { Way::Session { agent: bearer.agent } };
    Ok(Caller::of(operator, way))
}

/// The pair of a user token. `None` if it is not one. One that is obsolete is deleted, and nobody is let in by it.
async fn by_user_token(
    store: &Store,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<Option<Caller>, Refused> {
    if credentials.name.len() != user_tokens::CODE_LENGTH {
        return Ok(None);
    }
    let (code, hash) = (credentials.name.clone(), hash_of(&credentials.password));
    let found = store.read(move |reader| reader.user_token_owner(&code, now)).await?;
    let Some((pass_hash, owner)) = found else { return Ok(None) };
    if !bool::from(hash.ct_eq(&pass_hash)) {
        return Ok(None);
    }
    match owner {
        Owner::Active(operator) => Ok(Some(Caller::of(*operator, Way::UserToken))),
        Owner::Disabled => Err(Refused::Denied),
        Owner::Gone => {
            let code = credentials.name.clone();
            store.write(move |tx| tx.delete_obsolete_user_token(&code)).await?;
            Err(Refused::Denied)
        }
    }
}
