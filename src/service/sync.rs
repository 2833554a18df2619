//! Resync: two or three consecutive passcodes find a token again that has run away (RFC 4226 §7.4).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::explain::case::{Asked, Case, Typed};
use crate::access::Caller;
use crate::app::App;
use crate::model::id::{TokenId, UserId};
use crate::otp::resync::{self as core, ResyncSubject, SyncRejection};
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;
use crate::store::audit;
use crate::store::hot::{Decision, Keys, Rows};

/// What to sync by what.
pub struct SyncRequest {
    /// The token.
    pub token: TokenId,
    /// Who has it, if that is said.
    pub user: Option<UserId>,
    /// The client address that the caller reports.
    pub source: Option<String>,
    /// Consecutive passcodes, as typed.
    pub passcodes: Vec<Zeroizing<String>>,
}

/// Syncs a token. With a user, the token must be assigned to that user.
///
/// # Errors
/// [`Kind::SyncFailed`], [`Kind::Locked`], [`Kind::NoSecret`], [`Kind::AssignmentNotFound`].
pub async fn sync(app: &App, caller: &Caller, request: SyncRequest) -> Result<(), Error> {
    let SyncRequest { token, user, source, passcodes } = request;
    let typed = passcodes.clone();
    let sync = Sync { operator: caller.name.clone(), token, user, source, passcodes };
    let (reply, known) = app.store.decide(sync).await?;
    if let Some(known) = known {
        app.desk.hand_in(Case { typed: Typed::Passcodes(typed), ..known });
    }
    reply
}

struct Sync {
    operator: String,
    token: TokenId,
    user: Option<UserId>,
    source: Option<String>,
    passcodes: Vec<Zeroizing<String>>,
}

impl Decision for Sync {
    type Reply = (Result<(), Error>, Option<Case>);

    fn keys(&self) -> Keys {
        Keys { user: self.user, token: Some(self.token), source: self.source.clone() }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        let reply = self.sync(rows, now);
        let outcome = match &reply {
            Ok(()) => "synced",
            Err(error) if error.kind == Kind::Locked => "locked",
            Err(error) if error.kind == Kind::SyncFailed => "not_synced",
            Err(_) => "refused",
        };
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: "token/syncToken",
            token: Some(self.token),
            user: self.user,
            outcome,
            detail: rows.policies().name(),
        };
        let case = matches!(outcome, "locked" | "not_synced").then(|| self.case(rows, outcome, now));
        ((reply, case), entry)
    }
}

impl Sync {
    /// What a refusal knows, but for what was typed.
    fn case(&self, rows: &Rows, outcome: &'static str, now: Timestamp) -> Case {
        let user = self.holder(rows).ok().flatten();
        let locked = |throttle: Option<Throttle>| throttle.and_then(|throttle| throttle.locked(now));
        let token = rows.tokens.get(&self.token);
        let source = self.source.as_ref().and_then(|name| rows.sources.get(name)).copied();
        Case {
            at: now,
            action: "token/syncToken",
            outcome,
            policy: rows.policies().name(),
            typed: Typed::Passcodes(Vec::new()),
            user,
            user_locked: locked(user.and_then(|id| rows.users.get(&id)).map(|row| row.throttle)),
            source_locked: locked(source).is_some(),
            tokens: vec![Asked {
                token: self.token,
                user,
                assignment: None,
                before: token.map(|row| row.factor),
                locked: locked(token.map(|row| row.throttle)),
                has_pin: true,
                finding: None,
            }],
        }
    }

    fn sync(&self, rows: &mut Rows, now: Timestamp) -> Result<(), Error> {
        let (policies, user) = (rows.policies(), self.holder(rows)?);
        let token = rows.tokens.get_mut(&self.token).ok_or_else(|| Error::not_found("token"))?;
        let user = user.and_then(|id| rows.users.get_mut(&id));
        let mut subject = ResyncSubject {
            user: user.as_ref().map(|row| row.throttle),
            source: self.source.as_ref().and_then(|name| rows.sources.get(name)).copied(),
            credential: token.credential.clone(),
            factor: token.factor,
            throttle: token.throttle,
            policy: Some(Arc::clone(policies.of(self.token, token.product))),
        };
        let passcodes: Vec<&str> = self.passcodes.iter().map(|passcode| passcode.as_str()).collect();
        let outcome = core::resync(&mut subject, &passcodes, now, policies.server());
        token.factor = subject.factor;
        token.throttle = subject.throttle;
        if let (Some(row), Some(throttle)) = (user, subject.user) {
            row.throttle = throttle;
        }
        if let (Some(name), Some(throttle)) = (&self.source, subject.source) {
            rows.sources.insert(name.clone(), throttle);
        }
        outcome.map_err(|rejection| match rejection {
            SyncRejection::WrongCount => {
                Error::invalid("credential", "must be two or three passcodes, separated by commas")
            }
            SyncRejection::NoSecret => {
                Error::new(Kind::NoSecret, "the token has no secret yet: program or import it first")
            }
            SyncRejection::Locked => {
                Error::new(Kind::Locked, "too many failures: wait until the lock ends, or reset the token")
            }
            SyncRejection::Mismatch => Error::new(
                Kind::SyncFailed,
                "these passcodes do not follow each other within the sync window of this token",
            ),
        })
    }

    /// Whose failures count: the named user, who must have the token, or the one who has it.
    fn holder(&self, rows: &Rows) -> Result<Option<UserId>, Error> {
        let mut holders = rows.assignments.values().filter(|row| row.token == self.token).map(|row| row.user);
        match self.user {
            Some(user) if holders.any(|holder| holder == user) => Ok(Some(user)),
            Some(_) => Err(Error::not_found("tokenAssignment")),
            // With several holders of one token, nobody can be said to have mistyped.
            None => Ok(holders.next().filter(|_| holders.next().is_none())),
        }
    }
}
