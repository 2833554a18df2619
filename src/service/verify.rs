//! Verify: is this passcode right, now, for this user or token? The reply leaves only after the advance of the
//! moving factor is on the disk.
//!
//! A PIN that must be changed lets nobody in, and only who has typed it with a right passcode learns so: the passcode
//! is spent by the answer, and the next one comes with the new PIN, in one call and one commit.
//!
//! A request that has a name is decided once, however often it is sent (`verify/resend.rs`). A source that tries many users
//! waits its turn before it comes here, or comes here only for the work of a verify ([`super::spraying`]); what goes by
//! time is not judged while the server's clock is suspect ([`super::server_clock`]).

mod resend;

use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use super::error::Error;
use super::explain::case::{Asked, Case, Typed};
use super::pin::{self, NewPin};
use super::spraying::{self, Attempt};
use crate::access::Caller;
use crate::app::App;
use crate::metrics::Metrics;
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::model::status::{TokenStatus, UserStatus};
use crate::otp::credential::Kind as Otp;
use crate::otp::resend::Mark;
use crate::otp::server_clock::Check;
use crate::otp::spraying::Admission;
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;
use crate::otp::verify::{self as core, Candidate, Keys as CoreKeys, Rejection, Subject, Verdict};
use crate::store::audit;
use crate::store::hot::{AssignmentRow, Decision, Keys, Rows, TokenRow};
use crate::store::policies::Policies;

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
    /// The PIN that is to take the place of the one that was typed, if both were right.
    pub new_pin: Option<NewPin>,
    /// User and token in the caller's words; needed if they do not exist, or if the request has a name.
    pub words: String,
    /// The name of the request: the same one sent again within a minute gets the same answer.
    pub request: Option<String>,
}

/// The answer, as far as the caller may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The passcode was right, and is spent.
    Accepted {
        /// Whose passcode it was.
        token: TokenId,
        /// Who has that token.
        user: Option<UserId>,
    },
    /// No. The audit log says why.
    Rejected,
    /// PIN and passcode were right, and the passcode is spent; but nobody is let in before the PIN was changed.
    PinChangeDue,
    /// PIN and passcode were right, but the new PIN is no good. Nothing was changed: the passcode is still good.
    NewPinRefused(Error),
}

/// What all verifies of a server share, beside the policies, which the store brings with the rows.
#[derive(Clone)]
pub struct Rules {
    /// For PINs, and for the memory of what was typed.
    pub keys: Arc<CoreKeys>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
}

/// Asks. What is refused is handed in to be explained, whoever it was for.
///
/// # Errors
/// `request.reused` for the name of another request; `unavailable` if the decision could not be saved: then nothing was
/// decided.
pub async fn verify(app: &App, caller: &Caller, question: Question) -> Result<Answer, Error> {
    let (store, guards) = (&app.store, &app.guards);
    let attempt = question.source.as_deref().map(|source| {
        let user = match (question.user, question.token) {
            (Some(user), _) if !question.unknown => guards.sprays.user(("user", user.0)),
            (None, Some(token)) if !question.unknown => guards.sprays.user(("token", token.0)),
            _ => guards.sprays.user(&question.words),
        };
        Attempt { source: spraying::name_of(source), user }
    });
    let admission = match &attempt {
        Some(attempt) => guards.sprays.admit(attempt).await,
        None => Admission::Free,
    };
    // A turn that was waited for says nothing of how quick the server is.
    let asked = Instant::now();
    let decision = Verify {
        rules: app.rules.clone(),
        operator: caller.name.clone(),
        admission,
        clock: guards.clock.check(store).await,
        mark: resend::mark(guards, caller, &question),
        question,
    };
    let Ruling { answer, outcome, case } = store.decide(decision).await??;
    app.rules.metrics.verified(matches!(answer, Answer::Accepted { .. }), outcome, asked.elapsed());
    if let (Some(attempt), Some(accepted)) = (&attempt, weight(&answer, outcome)) {
        guards.sprays.count(store, &caller.name, attempt, accepted).await;
    }
    if let Some(case) = case {
        app.desk.hand_in(*case);
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

/// What was decided.
struct Ruling {
    answer: Answer,
    /// As the audit log has it.
    outcome: &'static str,
    /// What is to be explained.
    case: Option<Box<Case>>,
}

impl Decision for Verify {
    type Reply = Result<Ruling, Error>;

    fn keys(&self) -> Keys {
        let Question { user, token, source, .. } = &self.question;
        let request = self.mark.map(|mark| mark.request);
        Keys { user: *user, token: *token, source: source.clone(), request }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        if let Some(again) = self.again(rows, now) {
            return again;
        }
        let (decided, entry) = self.judge(rows, now);
        self.keep(rows, &decided.answer, now);
        (Ok(decided), entry)
    }
}

/// Whether an answer counts as a success or a failure of its source.
fn weight(answer: &Answer, outcome: &'static str) -> Option<bool> {
    match (answer, outcome) {
        // These say nothing of what was typed, or nothing new.
        (Answer::NewPinRefused(_), _) | (_, "resent" | "slowed" | "clock_suspect" | "repeated") => None,
        (Answer::Accepted { .. } | Answer::PinChangeDue, _) => Some(true),
        (Answer::Rejected, _) => Some(false),
    }
}

impl Verify {
    fn judge(&self, rows: &mut Rows, now: Timestamp) -> (Ruling, audit::Entry) {
        let (policies, holders) = (rows.policies(), self.holders(rows));
        // Without a named user, the one who has the named token is counted as well.
        let user = self.question.user.or_else(|| holders.first().and_then(|(_, holder)| holder.user));
        let mut subject = Subject {
            user: user.and_then(|id| rows.users.get(&id)).map(|row| row.throttle),
            source: self.question.source.as_ref().and_then(|name| rows.sources.get(name)).cloned(),
            candidates: holders
                .iter()
                .filter_map(|held| self.candidate(rows, &policies, *held, now))
                .collect(),
        };
        let turned_away = self.admission == Admission::TurnedAway;
        if turned_away {
            subject.source = Some(LOCKED);
        }
        let before = self.admission.is_slowed().then(|| subject.clone());
        let (verdict, findings) =
            core::judge(&mut subject, &self.question.typed, now, &self.rules.keys, policies.server());
        if let (Some(before), Verdict::Rejected(_)) = (before, verdict) {
            uncount(&mut subject, &before);
        }
        let (answer, held, outcome) = match verdict {
            Verdict::Accepted { candidate, .. } => match holders.get(candidate) {
                Some(held) => {
                    let (answer, outcome) = self.let_in(rows, &policies, *held, now);
                    (answer, Some(held), outcome)
                }
                None => (Answer::Rejected, None, "rejected"),
            },
            Verdict::Rejected(_) if turned_away => (Answer::Rejected, holders.first(), "slowed"),
            Verdict::Rejected(rejection) => (Answer::Rejected, holders.first(), outcome_of(&rejection)),
        };
        let case = (answer == Answer::Rejected).then(|| {
            let tokens = asked(rows, &holders, &subject, &findings, now);
            Box::new(Case {
                at: now,
                action: METHOD,
                outcome,
                policy: policies.name(),
                typed: Typed::Login(self.question.typed.clone()),
                user,
                user_locked: subject.user.and_then(|throttle| throttle.locked(now)),
                source_locked: subject.source.is_some_and(|throttle| throttle.locked(now).is_some()),
                tokens,
            })
        });
        match answer {
            Answer::NewPinRefused(_) => keep_memories(rows, subject),
            _ if turned_away => keep_memories(rows, subject),
            _ => put_back(rows, &holders, user, self.question.source.as_ref(), subject),
        }
        let holder = held.map(|held| held.1);
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: METHOD,
            token: self.question.token.or(holder.map(|holder| holder.token)),
            user,
            outcome,
            detail: policies.name(),
        };
        (Ruling { answer, outcome, case }, entry)
    }

    /// PIN and passcode are right: what there is to do beside spending the passcode.
    fn let_in(
        &self,
        rows: &mut Rows,
        policies: &Policies,
        (assignment, holder): (Option<AssignmentId>, Holder),
        now: Timestamp,
    ) -> (Answer, &'static str) {
        let Holder { token, user } = holder;
        let product = rows.tokens.get(&token).map(|row| row.product);
        let row = assignment.and_then(|id| Some((id, rows.assignments.get_mut(&id)?)));
        let policy = product.map_or(policies.server(), |product| policies.of(token, product));
        let refused = |error| (Answer::NewPinRefused(error), "new_pin_refused");
        match (row, &self.question.new_pin) {
            (Some((id, row)), Some(new)) if row.pin.is_some() => {
                let key = &self.rules.keys.pin;
                if let Err(refusal) = new.check(policy) {
                    return refused(pin::refused("newPin", &refusal));
                }
                if new.is_of(key, id, row) {
                    return refused(Error::invalid("newPin", pin::SAME_PIN));
                }
                new.put(key, id, row, now);
                count_use(row);
                (Answer::Accepted { token, user }, "accepted_with_new_pin")
            }
            (_, Some(_)) => {
                let problem =
                    "must be left out: no PIN is set, and setting the first one is for the helpdesk";
                refused(Error::invalid("newPin", problem))
            }
            (Some((_, row)), None) if row.pin_is_due(now, policy) => (Answer::PinChangeDue, "pin_change_due"),
            (row, None) => {
                if let Some((_, row)) = row {
                    count_use(row);
                }
                (Answer::Accepted { token, user }, "accepted")
            }
        }
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
        policies: &Policies,
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
            token_identifier: token.token_identifier.clone(),
            repeats,
            usable: token.status == TokenStatus::Active
                && assigned.is_none_or(|row| row.is_good(now))
                && user.is_none_or(|row| row.status == UserStatus::Active),
            named: self.question.token.is_some(),
            clock_suspect: !self.clock.trusts(now) && goes_by_time(token),
            policy: Some(Arc::clone(policies.of(holder.token, token.product))),
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

/// What a refusal knows of its tokens: where they stood before it, for the rows have not changed yet.
fn asked(
    rows: &Rows,
    holders: &[(Option<AssignmentId>, Holder)],
    subject: &Subject,
    findings: &[core::Finding],
    now: Timestamp,
) -> Vec<Asked> {
    let judged = subject.candidates.iter().zip(findings);
    holders
        .iter()
        .zip(judged)
        .map(|((assignment, holder), (candidate, finding))| Asked {
            token: holder.token,
            user: holder.user,
            assignment: *assignment,
            before: rows.tokens.get(&holder.token).map(|row| row.factor),
            locked: candidate.throttle.locked(now),
            has_pin: candidate.pin.is_some(),
            finding: Some(*finding),
        })
        .collect()
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

/// Nothing is to be changed: only what was borrowed for the decision goes back.
fn keep_memories(rows: &mut Rows, subject: Subject) {
    for candidate in subject.candidates {
        rows.repeats.insert(candidate.label, candidate.repeats);
    }
}

/// An assignment with a limit is good for so many passcodes.
fn count_use(row: &mut AssignmentRow) {
    if row.usage_limit > 0 {
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
        Rejection::OutOfSync => "out_of_sync",
        Rejection::ClockSuspect => "clock_suspect",
        Rejection::Repeated => "repeated",
    }
}
