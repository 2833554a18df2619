//! Resync: two or three consecutive passcodes find a token again that has run away (RFC 4226 §7.4).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::explain::case::{Asked, Case, Typed};
use super::{guards, server_clock};
use crate::access::Caller;
use crate::app::App;
use crate::model::id::{TokenId, UserId};
use crate::otp::resend::{Kept, Mark, Resend};
use crate::otp::resync::{self as core, ResyncSubject, SyncRejection};
use crate::otp::server_clock::Check;
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;
use crate::store::audit;
use crate::store::hot::{Decision, Keys, Rows};
use crate::store::resends::Decided;

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
    /// The name of the request: the same one sent again within a minute gets the same answer.
    pub request: Option<String>,
}

const METHOD: &str = "token/syncToken";

/// Syncs a token. With a user, the token must be assigned to that user.
///
/// # Errors
/// [`Kind::SyncFailed`], [`Kind::Locked`], [`Kind::NoSecret`], [`Kind::AssignmentNotFound`]; [`Kind::ClockSuspect`] for
/// a token that goes by time, while the server's clock cannot be trusted; [`Kind::RequestReused`] for the name of
/// another request.
pub async fn sync(app: &App, caller: &Caller, request: SyncRequest) -> Result<(), Error> {
    let clock = app.guards.clock.check(&app.store).await;
    let SyncRequest { token, user, source, passcodes, request } = request;
    let mark = request.map(|name| {
        let ids = [token.0.to_be_bytes(), user.map_or(0, |id| id.0).to_be_bytes()].concat();
        let content = [METHOD.as_bytes(), &ids, source.as_deref().unwrap_or_default().as_bytes()];
        let typed: Vec<&str> = passcodes.iter().map(|passcode| passcode.as_str()).collect();
        app.guards.mark(caller, &name, &content, &Zeroizing::new(typed.join(",")))
    });
    let (operator, typed) = (caller.name.clone(), passcodes.clone());
    let (reply, known) =
        app.store.decide(Sync { clock, operator, token, user, source, passcodes, mark }).await?;
    if let Some(known) = known {
        app.desk.hand_in(Case { typed: Typed::Passcodes(typed), ..known });
    }
    reply
}

struct Sync {
    clock: Check,
    operator: String,
    token: TokenId,
    user: Option<UserId>,
    source: Option<String>,
    passcodes: Vec<Zeroizing<String>>,
    mark: Option<Mark>,
}

impl Decision for Sync {
    type Reply = (Result<(), Error>, Option<Case>);

    fn keys(&self) -> Keys {
        Keys {
            user: self.user,
            token: Some(self.token),
            source: self.source.clone(),
            request: self.mark.map(|mark| mark.request),
        }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        let kept = self.mark.and_then(|mark| rows.resends.get(&mark.request)?.compare(&mark, now));
        let reply = match kept {
            Some(Resend::Same(Decided::Accepted { .. })) => Ok(()),
            Some(Resend::Same(_)) => Err(mismatch()),
            Some(Resend::Other) => Err(guards::reused()),
            None => self.sync(rows, now),
        };
        let outcome = match &reply {
            _ if matches!(kept, Some(Resend::Same(_))) => "resent",
            Ok(()) => "synced",
            Err(error) if error.kind == Kind::Locked => "locked",
            Err(error) if error.kind == Kind::SyncFailed => "not_synced",
            Err(error) if error.kind == Kind::ClockSuspect => "clock_suspect",
            Err(error) if error.kind == Kind::RequestReused => "request_reused",
            Err(_) => "refused",
        };
        if let (Some(Mark { request, content }), None) = (self.mark, kept) {
            let decision = match &reply {
                Ok(()) => Some(Decided::Accepted { token: self.token, user: self.user }),
                Err(error) if error.kind == Kind::SyncFailed => Some(Decided::Rejected),
                // What else went wrong has changed nothing, and may be right the next time.
                Err(_) => None,
            };
            if let Some(decision) = decision {
                rows.resends.keep(request, Kept { content, at: now, decision });
            }
        }
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: METHOD,
            token: Some(self.token),
            user: self.user,
            outcome,
            detail: rows.policies().name(),
        };
        let case = matches!(outcome, "locked" | "not_synced").then(|| self.case(rows, outcome, now));
        ((reply, case), entry)
    }
}

fn mismatch() -> Error {
    let text = "these passcodes do not follow each other within the sync window of this token";
    Error::new(Kind::SyncFailed, text)
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
            action: METHOD,
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
            token_identifier: token.token_identifier.clone(),
            factor: token.factor,
            throttle: token.throttle,
            clock_suspect: !self.clock.trusts(now),
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
            SyncRejection::ClockSuspect => server_clock::suspect(),
            SyncRejection::NoSecret => {
                Error::new(Kind::NoSecret, "the token has no secret yet: program or import it first")
            }
            SyncRejection::Locked => {
                Error::new(Kind::Locked, "too many failures: wait until the lock ends, or reset the token")
            }
            SyncRejection::Mismatch => mismatch(),
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
