//! Verify: is this passcode right, now, for this user or token? The reply leaves only after the advance of the
//! moving factor is on the disk. A request that has a name is decided once, however often it is sent.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::Error;
use super::guards::{self, Guards};
use super::spraying::Attempt;
use crate::access::Caller;
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::model::status::{TokenStatus, UserStatus};
use crate::otp::credential::Kind as Otp;
use crate::otp::policy::Policy;
use crate::otp::resend::{Kept, Mark, Resend};
use crate::otp::server_clock::Check;
use crate::otp::spraying::Admission;
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;
use crate::otp::verify::{self as core, Candidate, Keys as CoreKeys, Rejection, Subject, Verdict};
use crate::store::hot::{Decision, Keys, Rows, TokenRow};
/// The answer, as far as the caller may know it.
pub use crate::store::resends::Decided as Answer;
use crate::store::{Store, audit};

const METHOD: &str = "auth/verify";

/// One question.
pub struct Question {
    /// The user, if one was named and exists.
    pub user: Option<UserId>,
    /// The token, if one was named and exists.
    pub token: Option<TokenId>,
    /// A user or token was named that does not exist: the work is the same, the answer is no.
    pub unknown: bool,
    /// The client address that the caller reports.
    pub source: Option<String>,
    /// PIN and passcode as typed.
    pub typed: Zeroizing<String>,
    /// User and token in the caller's words; needed if they do not exist, or if the request has a name.
    pub words: String,
    /// The name of the request: the same one sent again within a minute gets the same answer.
    pub request: Option<String>,
}

/// What all verifies of a server share.
#[derive(Clone)]
pub struct Rules {
    /// Windows, limits, PIN placement.
    pub policy: Arc<Policy>,
    /// For PINs, and for the memory of what was typed.
    pub keys: Arc<CoreKeys>,
}

/// Asks.
///
/// # Errors
/// `request.reused` for the name of another request; `unavailable` if the decision could not be saved:
/// then nothing was decided.
pub async fn verify(
    store: &Store,
    rules: &Rules,
    guards: &Guards,
    caller: &Caller,
    question: Question,
) -> Result<Answer, Error> {
    let attempt = question.source.clone().map(|source| {
        let user = match (question.user, question.token) {
            (Some(user), _) if !question.unknown => guards.sprays.user(("user", user.0)),
            (None, Some(token)) if !question.unknown => guards.sprays.user(("token", token.0)),
            _ => guards.sprays.user(&question.words),
        };
        Attempt { source, user }
    });
    let admission = match &attempt {
        Some(attempt) => guards.sprays.admit(attempt, &rules.policy).await,
        None => Admission::Free,
    };
    let decision = Verify {
        rules: rules.clone(),
        operator: caller.name.clone(),
        admission,
        clock: guards.clock.check(store).await,
        mark: question.request.as_deref().map(|name| {
            let source = question.source.as_deref().unwrap_or_default();
            let content = [METHOD.as_bytes(), question.words.as_bytes(), source.as_bytes()];
            guards.mark(caller, name, &content, &question.typed)
        }),
        question,
    };
    let (answer, weight) = store.decide(decision).await??;
    if let (Some(attempt), Some(accepted)) = (&attempt, weight) {
        guards.sprays.count(store, &caller.name, attempt, accepted).await;
    }
    Ok(answer)
}

struct Verify {
    rules: Rules,
    operator: String,
    question: Question,
    admission: Admission,
    clock: Check,
    mark: Option<Mark>,
}

/// Stands for the source of a request that is not to be judged: the work is that of a locked one.
const LOCKED: Throttle = Throttle { failures: 0, locked_until: Some(Timestamp::MAX) };

/// Who a candidate of the core stands for.
#[derive(Clone, Copy)]
struct Holder {
    token: TokenId,
    user: Option<UserId>,
}

impl Decision for Verify {
    /// With the answer: whether it counts as a success or a failure of its source.
    type Reply = Result<(Answer, Option<bool>), Error>;

    fn keys(&self) -> Keys {
        let Question { user, token, source, .. } = &self.question;
        let request = self.mark.map(|mark| mark.request);
        Keys { user: *user, token: *token, source: source.clone(), request }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        let kept = self.mark.and_then(|mark| rows.resends.get(&mark.request)?.compare(&mark, now));
        if let Some(resend) = kept {
            return self.again(resend);
        }
        let (answer, entry) = self.judge(rows, now);
        if let Some(Mark { request, content }) = self.mark {
            rows.resends.keep(request, Kept { content, at: now, decision: answer });
        }
        let weight = match entry.outcome {
            "accepted" => Some(true),
            // These say nothing of what was typed.
            "slowed" | "clock_suspect" | "repeated" => None,
            _ => Some(false),
        };
        (Ok((answer, weight)), entry)
    }
}

impl Verify {
    /// Answers a request whose name was used before.
    fn again(&self, resend: Resend<Answer>) -> (<Self as Decision>::Reply, audit::Entry) {
        let mut entry = audit::Entry {
            operator: self.operator.clone(),
            action: METHOD,
            token: self.question.token,
            user: self.question.user,
            outcome: "resent",
            detail: String::new(),
        };
        let reply = match resend {
            Resend::Same(answer) => {
                if let Answer::Accepted { token, user } = answer {
                    (entry.token, entry.user) = (Some(token), user);
                    "accepted".clone_into(&mut entry.detail);
                }
                Ok((answer, None))
            }
            Resend::Other => {
                entry.outcome = "request_reused";
                Err(guards::reused())
            }
        };
        (reply, entry)
    }

    fn judge(&self, rows: &mut Rows, now: Timestamp) -> (Answer, audit::Entry) {
        let holders = self.holders(rows);
        // Without a named user, the one who has the named token is counted as well.
        let user = self.question.user.or_else(|| holders.first().and_then(|(_, holder)| holder.user));
        let mut subject = Subject {
            user: user.and_then(|id| rows.users.get(&id)).map(|row| row.throttle),
            source: self.question.source.as_ref().and_then(|name| rows.sources.get(name)).cloned(),
            candidates: holders.iter().filter_map(|held| self.candidate(rows, *held, now)).collect(),
        };
        let turned_away = self.admission == Admission::TurnedAway;
        if turned_away {
            subject.source = Some(LOCKED);
        }
        let before = self.admission.is_slowed().then(|| subject.clone());
        let verdict =
            core::verify(&mut subject, &self.question.typed, now, &self.rules.keys, &self.rules.policy);
        if let (Some(before), Verdict::Rejected(_)) = (before, verdict) {
            uncount(&mut subject, &before);
        }
        put_back(rows, &holders, user, self.question.source.as_ref().filter(|_| !turned_away), subject);
        let (answer, holder, outcome) = match verdict {
            Verdict::Accepted { candidate, .. } => match holders.get(candidate) {
                Some(&(assignment, holder)) => {
                    count_use(rows, assignment);
                    let Holder { token, user } = holder;
                    (Answer::Accepted { token, user }, Some(holder), "accepted")
                }
                None => (Answer::Rejected, None, "rejected"),
            },
            Verdict::Rejected(rejection) => {
                let outcome = if turned_away { "slowed" } else { outcome_of(&rejection) };
                (Answer::Rejected, holders.first().map(|held| held.1), outcome)
            }
        };
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: METHOD,
            token: self.question.token.or(holder.map(|holder| holder.token)),
            user,
            outcome,
            detail: String::new(),
        };
        (answer, entry)
    }

    /// The assignments to try, in order of priority. A named token that nobody has is tried without a PIN.
    fn holders(&self, rows: &Rows) -> Vec<(Option<AssignmentId>, Holder)> {
        let Question { user, token, unknown, .. } = &self.question;
        if *unknown {
            return Vec::new();
        }
        let mut found: Vec<_> = rows
            .assignments
            .iter()
            .filter(|(_, row)| user.is_none_or(|user| row.user == user))
            .filter(|(_, row)| match token {
                Some(token) => row.token == *token,
                None => user.is_some(),
            })
            .collect();
        // A row of a deleted token cannot be here; without this the pairing below would hang on that.
        found.retain(|(_, row)| rows.tokens.contains_key(&row.token));
        found.sort_by_key(|(id, row)| (row.priority, **id));
        let found: Vec<_> = found
            .into_iter()
            .map(|(id, row)| (Some(*id), Holder { token: row.token, user: Some(row.user) }))
            .collect();
        match (token, user) {
            (Some(token), None) if found.is_empty() && rows.tokens.contains_key(token) => {
                vec![(None, Holder { token: *token, user: None })]
            }
            // A shared token has a PIN for each user: without the user there is no telling which is meant.
            (Some(_), None) if found.len() > 1 => Vec::new(),
            _ => found,
        }
    }

    fn candidate(
        &self,
        rows: &mut Rows,
        (assignment, holder): (Option<AssignmentId>, Holder),
        now: Timestamp,
    ) -> Option<Candidate> {
        let memory = memory_of(assignment, holder.token);
        let repeats = rows.repeats.remove(&memory).unwrap_or_default();
        let token = rows.tokens.get(&holder.token)?;
        let assigned = assignment.and_then(|id| rows.assignments.get(&id));
        let user = holder.user.and_then(|id| rows.users.get(&id));
        Some(Candidate {
            label: memory,
            credential: token.credential.clone(),
            factor: token.factor,
            throttle: token.throttle,
            pin: assigned.and_then(|row| row.pin),
            pin_label: assignment.map_or(0, |id| id.0),
            token_identifier: None,
            repeats,
            usable: token.status == TokenStatus::Active
                && assigned.is_none_or(|row| row.is_good(now))
                && user.is_none_or(|row| row.status == UserStatus::Active),
            named: self.question.token.is_some(),
            clock_suspect: !self.clock.trusts(now) && goes_by_time(token),
        })
    }
}

fn goes_by_time(token: &TokenRow) -> bool {
    let parameters = token.credential.as_ref().map(|credential| credential.parameters);
    parameters.is_some_and(|parameters| matches!(parameters.kind, Otp::Totp { .. }))
}

/// What fails from a slowed source counts neither on its user nor on a token: it could lock them all.
fn uncount(subject: &mut Subject, before: &Subject) {
    subject.user = before.user;
    for (candidate, before) in subject.candidates.iter_mut().zip(&before.candidates) {
        candidate.throttle = before.throttle;
    }
}

/// Writes what the core decided back into the rows.
fn put_back(
    rows: &mut Rows,
    holders: &[(Option<AssignmentId>, Holder)],
    user: Option<UserId>,
    source: Option<&String>,
    subject: Subject,
) {
    if let (Some(row), Some(throttle)) = (user.and_then(|id| rows.users.get_mut(&id)), subject.user) {
        row.throttle = throttle;
    }
    if let (Some(name), Some(throttle)) = (source, subject.source) {
        rows.sources.insert(name.clone(), throttle);
    }
    for ((_, holder), candidate) in holders.iter().zip(subject.candidates) {
        rows.repeats.insert(candidate.label, candidate.repeats);
        if let Some(row) = rows.tokens.get_mut(&holder.token) {
            row.factor = candidate.factor;
            row.throttle = candidate.throttle;
        }
    }
}

/// An assignment with a limit is good for so many passcodes.
fn count_use(rows: &mut Rows, assignment: Option<AssignmentId>) {
    if let Some(row) = assignment.and_then(|id| rows.assignments.get_mut(&id))
        && row.usage_limit > 0
    {
        row.used += 1;
    }
}

/// The key of the memory of what was typed: an assignment, or a token that nobody has.
fn memory_of(assignment: Option<AssignmentId>, token: TokenId) -> i64 {
    assignment.map_or(-token.0, |id| id.0)
}

fn outcome_of(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NobodyToAsk => "nobody_to_ask",
        Rejection::Locked => "locked",
        Rejection::NeedsSync => "needs_sync",
        Rejection::WrongPin => "wrong_pin",
        Rejection::WrongPasscode => "wrong_passcode",
        Rejection::ClockSuspect => "clock_suspect",
        Rejection::Repeated => "repeated",
    }
}
