//! PINs: set by staff, changed by who knows the old one, and locks taken off. What a new PIN must be like is policy.

use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::random;
use crate::access::Caller;
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::model::status::AssignmentStatus;
use crate::otp::pin::PinKey;
use crate::otp::pin_rules::PinRefusal;
use crate::otp::policy::Policy;
use crate::otp::time::Timestamp;
use crate::store::assignments::AssignmentChanges;
use crate::store::hot::{AssignmentRow, Decision, Keys, Rows};
use crate::store::{Reader, Store, Tx, audit};

/// Sets the PIN of an assignment, as part of a larger change.
pub(super) fn put(tx: &Tx<'_>, assignment: AssignmentId, new_pin: &str) -> Result<(), Error> {
    let (token, user) = tx.reader().assigned(assignment)?;
    judge(tx.reader(), token, user, new_pin)?.map_err(|refusal| refused("attrs.pin", &refusal))?;
    let record = tx.vault().pin_key().record(assignment.0, random::bytes()?, new_pin);
    Ok(tx.put_pin(assignment, Some(&record))?)
}

/// Whether that user may have that PIN for that token. The inner error is the PIN's, the outer one the store's.
pub(super) fn judge(
    reader: &Reader<'_>,
    token: TokenId,
    user: UserId,
    new_pin: &str,
) -> Result<Result<(), PinRefusal>, Error> {
    let rules = reader.policy_of(token)?.pin_rules;
    let (_, login_name) = reader.domain_and_login_of(user)?;
    Ok(rules.check(new_pin, Some(&login_name)))
}

pub(super) fn refused(field: &str, refusal: &PinRefusal) -> Error {
    Error::new(Kind::Invalid, format!("`{field}`: {refusal}"))
}

/// A PIN that somebody has chosen, with what it takes to judge and to keep it.
pub struct NewPin {
    /// The PIN to be.
    text: Zeroizing<String>,
    /// Whose it is to be; the PIN must not be the same, where policy says so.
    login_name: Option<String>,
    salt: [u8; 16],
}

impl NewPin {
    /// Makes ready to judge the PIN that this user has chosen, or the one who has this token.
    ///
    /// # Errors
    /// If the store cannot be read, or the system gives no random bytes.
    pub async fn of(
        store: &Store,
        user: Option<UserId>,
        token: Option<TokenId>,
        text: Zeroizing<String>,
    ) -> Result<Self, Error> {
        let login_name = store
            .read(move |reader| {
                let user = match (user, token) {
                    (None, Some(token)) => holder_of(reader, token)?,
                    (user, _) => user,
                };
                let named = user.map(|user| reader.domain_and_login_of(user)).transpose()?;
                Ok::<_, Error>(named.map(|(_, login_name)| login_name))
            })
            .await?;
        Ok(Self { text, login_name, salt: random::bytes()? })
    }

    /// Checks it against the rules of a policy.
    ///
    /// # Errors
    /// [`PinRefusal`] says which rule it breaks.
    pub(super) fn check(&self, policy: &Policy) -> Result<(), PinRefusal> {
        policy.pin_rules.check(&self.text, self.login_name.as_deref())
    }

    /// The PIN itself.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is what the row has already.
    pub(super) fn is_of(&self, key: &PinKey, id: AssignmentId, row: &AssignmentRow) -> bool {
        row.pin.as_ref().is_some_and(|record| key.matches(id.0, record, &self.text))
    }

    /// Makes it the PIN of an assignment.
    pub(super) fn put(&self, key: &PinKey, id: AssignmentId, row: &mut AssignmentRow, now: Timestamp) {
        row.pin = Some(key.record(id.0, self.salt, &self.text));
        (row.pin_changed, row.must_change_pin, row.pin_since) = (true, false, now);
    }
}

/// The one user who has the token.
fn holder_of(reader: &Reader<'_>, token: TokenId) -> Result<Option<UserId>, Error> {
    match *reader.assignments_of(token)? {
        [assignment] => Ok(Some(reader.assigned(assignment)?.1)),
        _ => Ok(None),
    }
}

/// What is said to who has chosen the old PIN again.
pub(super) const SAME_PIN: &str = "must be another PIN than the old one";

/// Sets the PIN of an assignment; without one, removes it.
///
/// # Errors
/// [`Kind::AssignmentNotFound`], [`Kind::Invalid`] for a PIN that cannot be one.
pub async fn set(
    store: &Store,
    caller: &Caller,
    token: TokenId,
    user: UserId,
    new_pin: Option<Zeroizing<String>>,
) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let assignment = assignment_of(tx, token, user)?;
            match &new_pin {
                Some(new_pin) => put(tx, assignment, new_pin)?,
                None => tx.put_pin(assignment, None)?,
            }
            let mut entry = caller.did("token/setPin");
            (entry.token, entry.user) = (Some(token), Some(user));
            if new_pin.is_none() { "removed" } else { "set" }.clone_into(&mut entry.detail);
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Takes locks and failures off a token, its user and their assignment.
///
/// # Errors
/// [`Kind::AssignmentNotFound`].
pub async fn unlock(store: &Store, caller: &Caller, token: TokenId, user: UserId) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let assignment = assignment_of(tx, token, user)?;
            let (_, status) = (tx.clear_user_failures(user)?, tx.reader().assignment_status(assignment)?);
            tx.clear_token_failures(token)?;
            if status == AssignmentStatus::Locked {
                let active = AssignmentChanges {
                    status: Some(AssignmentStatus::Active),
                    ..AssignmentChanges::default()
                };
                tx.change_assignment(assignment, &active)?;
            }
            let mut entry = caller.did("token/unlock");
            (entry.token, entry.user, entry.outcome) = (Some(token), Some(user), "unlocked");
            tx.audit(entry);
            Ok(())
        })
        .await
}

pub(super) fn assignment_of(tx: &Tx<'_>, token: TokenId, user: UserId) -> Result<AssignmentId, Error> {
    tx.reader().assignment_of(token, user)?.ok_or_else(|| Error::not_found("tokenAssignment"))
}

/// A PIN to be changed by who knows the old one.
pub struct PinChange {
    /// The token.
    pub token: TokenId,
    /// Its user.
    pub user: UserId,
    /// The client address that the caller reports.
    pub source: Option<String>,
    /// The PIN as it is.
    pub old: Zeroizing<String>,
    /// The PIN to be.
    pub new: Zeroizing<String>,
}

/// Changes a PIN. A wrong old PIN counts like a wrong passcode.
///
/// # Errors
/// [`Kind::IncorrectCredentials`], without a hint whether the PIN was wrong or something is locked; [`Kind::Invalid`]
/// for a new PIN that breaks a rule (nothing is counted then), or is the old one.
pub async fn change(store: &Store, caller: &Caller, change: PinChange) -> Result<(), Error> {
    let PinChange { token, user, source, old, new } = change;
    let new = NewPin::of(store, Some(user), Some(token), new).await?;
    let key = store.pin_key().clone();
    store.decide(ChangePin { operator: caller.name.clone(), key, token, user, source, old, new }).await?
}

struct ChangePin {
    operator: String,
    key: PinKey,
    token: TokenId,
    user: UserId,
    source: Option<String>,
    old: Zeroizing<String>,
    new: NewPin,
}

impl Decision for ChangePin {
    type Reply = Result<(), Error>;

    fn keys(&self) -> Keys {
        Keys { user: Some(self.user), token: Some(self.token), source: self.source.clone(), request: None }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        let (outcome, reply) = match self.change(rows, now) {
            Ok(()) => ("changed", Ok(())),
            Err(Refused::Quietly(outcome)) => {
                (outcome, Err(Error::new(Kind::IncorrectCredentials, "Incorrect credentials")))
            }
            Err(Refused::NewPin(error)) => ("refused", Err(error)),
        };
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: "token/changePin",
            token: Some(self.token),
            user: Some(self.user),
            outcome,
            detail: rows.policies().name(),
        };
        (reply, entry)
    }
}

/// Why a PIN was not changed.
enum Refused {
    /// For a reason that only the audit log tells.
    Quietly(&'static str),
    /// The new one is no good.
    NewPin(Error),
}

impl ChangePin {
    fn change(&self, rows: &mut Rows, now: Timestamp) -> Result<(), Refused> {
        let policies = rows.policies();
        let mut source = self.source.as_ref().and_then(|name| rows.sources.get_mut(name));
        let found =
            rows.assignments.iter_mut().find(|(_, row)| row.token == self.token && row.user == self.user);
        let (Some(user), Some(token)) = (rows.users.get_mut(&self.user), rows.tokens.get_mut(&self.token))
        else {
            return Err(Refused::Quietly("nobody_to_ask"));
        };
        let policy = policies.of(self.token, token.product);
        self.new.check(policy).map_err(|refusal| Refused::NewPin(refused("attrs.pin", &refusal)))?;
        token.throttle.shorten(now, policy);
        for throttle in [&mut user.throttle].into_iter().chain(source.as_deref_mut()) {
            throttle.shorten(now, policies.server());
        }
        let source_is_locked = source.as_ref().is_some_and(|throttle| throttle.locked(now).is_some());
        if source_is_locked || user.throttle.locked(now).is_some() || token.throttle.locked(now).is_some() {
            return Err(Refused::Quietly("locked"));
        }
        // Where no PIN is set, nobody knows the old one: setting the first is for the helpdesk.
        let fits = found.as_ref().is_some_and(|(id, row)| {
            row.pin.as_ref().is_some_and(|record| self.key.matches(id.0, record, &self.old))
        });
        let Some((id, row)) = found.filter(|(_, row)| fits && row.is_good(now)) else {
            user.throttle.fail(now, policies.server());
            token.throttle.fail(now, policy);
            if let Some(throttle) = &mut source {
                throttle.fail_for_a_while(now, policies.server());
            }
            return Err(Refused::Quietly("wrong_pin"));
        };
        if self.new.is_of(&self.key, *id, row) {
            return Err(Refused::NewPin(Error::invalid("attrs.pin", SAME_PIN)));
        }
        self.new.put(&self.key, *id, row, now);
        Ok(())
    }
}
