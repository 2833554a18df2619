//! Reads a token anew in the one way that fits, and those that came with it.
//!
//! The new secret waits for a resync in the commit that brings it, and the two passcodes are that resync: so they are
//! spent, drift is learned and locks hold as everywhere. If it fails, the token is read right and still waits.

use zeroize::Zeroizing;

use super::source::{Source, read_again};
use super::{Apply, Solution, Way};
use crate::access::Caller;
use crate::app::App;
use crate::model::id::TokenId;
use crate::otp::credential::Credential;
use crate::service::error::{Error, Kind};
use crate::service::sync::{self, SyncRequest};
use crate::store::Tx;

/// Most tokens that are read anew at once: logins wait meanwhile.
const MOST: usize = 250;

/// Reads the token anew, or it and what came with it. Returns how many were changed.
pub(super) async fn apply(
    app: &App,
    caller: &Caller,
    token: TokenId,
    source: &Source,
    solution: &Solution,
    apply: Apply,
    passcodes: Vec<Zeroizing<String>>,
) -> Result<usize, Error> {
    let way = judged(solution)?;
    let kept = source.kept.clone().ok_or_else(|| Error::not_found("token"))?;
    let plan = Plan {
        token,
        kept,
        to: way.credential.clone(),
        floor: way.fit.sighting.factor,
        spelled: way.spelled,
        reading: way.reading,
    };
    let by = caller.clone();
    let changed = app
        .store
        .write(move |tx| {
            let mut changed = vec![plan.token];
            plan.change(tx)?;
            if apply == Apply::Import {
                changed.extend(plan.change_others(tx)?);
            }
            for token in &changed {
                let mut entry = by.did("token/solve");
                (entry.token, entry.outcome) = (Some(*token), "read_anew");
                entry.detail =
                    plan.reading.map_or_else(|| "as it was".to_owned(), |reading| reading.to_string());
                tx.audit(entry);
            }
            Ok::<_, Error>(changed.len())
        })
        .await?;
    let request = SyncRequest { token, user: None, source: None, passcodes, request: None };
    sync::sync(app, caller, request).await.map_err(|error| {
        let text = format!("the token was read anew and still waits for a resync: {}", error.message);
        Error::new(error.kind, text)
    })?;
    Ok(changed)
}

/// The one way that fits, if it changes anything.
fn judged(solution: &Solution) -> Result<&Way, Error> {
    let refused = |text: &str| Err(Error::new(Kind::NotSolved, text));
    match solution.only() {
        None => refused(&solution.advice(0)),
        Some(way) if way.as_stored => refused("the seed is read right already: sync the token"),
        Some(way) => Ok(way),
    }
}

/// What is to be changed into what.
struct Plan {
    token: TokenId,
    kept: Credential,
    to: Credential,
    /// The moving factor of the first passcode.
    floor: u64,
    spelled: Option<crate::formats::seed::Encoding>,
    reading: Option<crate::formats::seed::Reading>,
}

impl Plan {
    fn change(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let now = tx.reader().credential_of(self.token)?;
        let Some((_, counter)) = now.filter(|(credential, _)| *credential == self.kept) else {
            return Err(Error::new(Kind::InUse, "the token was changed meanwhile: try again"));
        };
        if tx.reader().place_of(self.token)?.is_some() {
            let text = "the token was programmed here: its secret is not from a file, and is right";
            return Err(Error::new(Kind::NotSolved, text));
        }
        // A moving factor of a secret is accepted once, whatever is said of the secret in between.
        let same = self.to.secret == self.kept.secret && self.to.parameters.kind == self.kept.parameters.kind;
        if same && self.floor < counter {
            let text = "these passcodes were used before: try again with the next two";
            return Err(Error::new(Kind::NotSolved, text));
        }
        put(tx, self.token, &self.to, self.floor)?;
        Ok(tx.demand_sync(self.token)?)
    }

    /// Those that came with it, were imported as it was, and were never let in.
    fn change_others(&self, tx: &Tx<'_>) -> Result<Vec<TokenId>, Error> {
        let mut changed = Vec::new();
        for other in tx.reader().came_with(self.token, usize::MAX)? {
            let Some((kept, counter)) = tx.reader().credential_of(other)? else { continue };
            let untouched = counter == 0 && tx.reader().place_of(other)?.is_none();
            if !untouched || kept.parameters != self.kept.parameters {
                continue;
            }
            let Some(secret) = read_again(&kept.secret, self.spelled, self.reading) else { continue };
            if secret.expose().len() != self.to.secret.expose().len() {
                continue;
            }
            if changed.len() == MOST {
                let text = format!(
                    "more than {MOST} tokens came with it: delete them and import the file again, read in this way"
                );
                return Err(Error::new(Kind::NotSolved, text));
            }
            put(tx, other, &Credential { secret, parameters: self.to.parameters }, 0)?;
            changed.push(other);
        }
        Ok(changed)
    }
}

/// The device stays the one it was, and what it types before each passcode with it.
fn put(tx: &Tx<'_>, token: TokenId, credential: &Credential, floor: u64) -> Result<(), Error> {
    let identifier = tx.reader().token_identifier_of(token)?;
    tx.put_credential(token, credential, floor)?;
    tx.put_token_identifier(token, identifier.as_deref())?;
    Ok(())
}
