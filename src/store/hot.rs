//! Hot writes as data: what a verify, a resync or a reset reads and changes.
//!
//! A [`Decision`] names the rows it needs and changes them in memory; it does no I/O and reads no clock. The writer
//! runs the decisions of a batch one after another, each on what the one before it left. What moved goes into the
//! decision log (`hot/journal.rs`), one row for the batch, with the audit rows, in one commit; only then does anybody get an
//! answer. The tables of states are brought up to date later, many rows at a time and in their order: what costs is the
//! pages that a commit touches. Until then the states live in the writer's memory (`hot/unfolded.rs`).

mod cache;
mod columns;
pub(super) mod journal;
mod load;
mod memory;
mod overlay;
mod touched;
mod unfolded;
mod views;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::Row;

use super::policies::Policies;
use super::resends::Resends;
use super::sealing::{Place, Vault};
use super::{StoreError, audit};
use crate::model::id::{AssignmentId, DomainId, ProductId, RepositoryId, TokenId, UserId};
use crate::model::scope::Scope;
use crate::model::status::{AssignmentStatus, TokenStatus, UserStatus};
use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Credential, Kind, Parameters};
use crate::otp::factor::FactorState;
use crate::otp::passcode::Digits;
use crate::otp::pin::PinRecord;
use crate::otp::policy::Policy;
use crate::otp::repeats::Repeats;
use crate::otp::secret::Secret;
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;
use crate::otp::totp::TimeStep;

pub(super) use self::columns::{FACTOR_COLUMNS, Key};
pub(super) use self::load::{newer_factor, read_factor};
pub(super) use self::memory::{Memory, Pace};
pub(super) use self::overlay::{Overlay, ReaderView};
pub(super) use self::unfolded::{Settled, Unfolded};
pub(super) use self::views::install as install_views;

/// Where the secret of a token is sealed.
pub(super) fn credential_place(token: TokenId) -> Place {
    Place { column: "credentials.secret", row: token.0 }
}

/// The rows that a decision needs. With a token come its assignments and their users, with a user the user's
/// assignments and their tokens.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// A named user.
    pub user: Option<UserId>,
    /// A named token.
    pub token: Option<TokenId>,
    /// The client address that the verifier reports.
    pub source: Option<String>,
    /// The MAC of caller and name of the request, where it has a name.
    pub request: Option<[u8; 32]>,
}

/// A pure change of hot rows.
pub trait Decision: Send + 'static {
    /// What the caller gets once the change is on the disk.
    type Reply: Send + 'static;

    /// The rows it needs.
    fn keys(&self) -> Keys;

    /// Decides. Rows that are missing from `rows` do not exist.
    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry);
}

/// A user, as far as a decision sees one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Where the user belongs.
    pub domain: DomainId,
    /// Only active users pass.
    pub status: UserStatus,
    /// Failures and lock.
    pub throttle: Throttle,
}

/// A token, as far as a decision sees one.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// The stock that it is in.
    pub repository: RepositoryId,
    /// Its model, which may have a policy.
    pub product: ProductId,
    /// Only active tokens pass.
    pub status: TokenStatus,
    /// The secret and its parameters; none for stock.
    pub credential: Option<Credential>,
    /// What it types before each passcode, in either case; none for most.
    pub token_identifier: Option<Box<str>>,
    /// What moves.
    pub factor: FactorState,
    /// Failures and lock.
    pub throttle: Throttle,
}

/// An assignment, as far as a decision sees one.
#[derive(Clone, Debug)]
pub struct AssignmentRow {
    /// Its token.
    pub token: TokenId,
    /// Its user.
    pub user: UserId,
    /// Only active assignments pass.
    pub status: AssignmentStatus,
    /// Order among the assignments of a user, lowest first.
    pub priority: i64,
    /// The PIN, if one is set.
    pub pin: Option<PinRecord>,
    /// The PIN is another one than when the row was loaded.
    pub pin_changed: bool,
    /// The user is to choose another PIN before the next login.
    pub must_change_pin: bool,
    /// The PIN does not age.
    pub pin_never_expires: bool,
    /// When the PIN was last set.
    pub pin_since: Timestamp,
    /// From when on it is good.
    pub starts: Option<Timestamp>,
    /// Until when it is good.
    pub expires: Option<Timestamp>,
    /// Accepted passcodes it is good for; 0 is without limit.
    pub usage_limit: i64,
    /// Accepted passcodes so far, kept only where there is a limit.
    pub used: i64,
}

impl AssignmentRow {
    /// Whether it is good for a passcode at that time.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.status == AssignmentStatus::Active
            && self.starts.is_none_or(|starts| starts <= now)
            && self.expires.is_none_or(|expires| now < expires)
            && (self.usage_limit == 0 || self.used < self.usage_limit)
    }

    /// Whether the PIN must be changed before it lets anybody in.
    #[must_use]
    pub fn pin_is_due(&self, now: Timestamp, policy: &Policy) -> bool {
        let ages = policy.pin_lifetime().filter(|_| !self.pin_never_expires);
        let old = ages.is_some_and(|lifetime| self.pin_since.saturating_add(lifetime) <= now);
        self.pin.is_some() && (self.must_change_pin || old)
    }
}

/// The rows of one decision, in memory. The large ones are boxed: they are moved to a decision and back.
#[derive(Default)]
pub struct Rows {
    /// Users by id.
    pub users: BTreeMap<UserId, UserRow>,
    /// Tokens by id.
    pub tokens: BTreeMap<TokenId, Box<TokenRow>>,
    /// Assignments by id.
    pub assignments: BTreeMap<AssignmentId, Box<AssignmentRow>>,
    /// Failures by client address. Absent means none.
    pub sources: BTreeMap<String, Throttle>,
    /// What is kept for who asks again.
    pub resends: Resends,
    /// What was typed in the last minute, per assignment (or token without one, as a negative id). Lives in the
    /// writer's memory only.
    pub repeats: HashMap<i64, Repeats>,
    /// The policies that are in force.
    policies: Arc<Policies>,
}

impl Rows {
    /// The policies that are in force.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.policies)
    }

    /// Lets somebody see the rows that are in a scope; the others are not there meanwhile. With a user come all of the
    /// user's tokens, those of other stocks as well.
    pub(super) fn seen_by<R>(&mut self, scope: &Scope, look: impl FnOnce(&mut Self) -> R) -> R {
        if scope.is_all() {
            return look(self);
        }
        let mut users: BTreeMap<_, _> =
            self.users.extract_if(.., |_, row| !scope.has_domain(row.domain)).collect();
        let mut tokens: BTreeMap<_, _> =
            self.tokens.extract_if(.., |_, row| !scope.has_repository(row.repository)).collect();
        let mut assignments: BTreeMap<_, _> = self
            .assignments
            .extract_if(.., |_, row| users.contains_key(&row.user) || tokens.contains_key(&row.token))
            .collect();
        let seen = look(self);
        self.users.append(&mut users);
        self.tokens.append(&mut tokens);
        self.assignments.append(&mut assignments);
        seen
    }
}

/// Reads kind, hash, digits and time step from four columns.
pub(super) fn read_parameters(row: &Row<'_>, first: usize) -> rusqlite::Result<Parameters> {
    let algorithm = read_text(row, first + 1, |name| Algorithm::parse(name).ok())?;
    let digits = row.get::<_, u8>(first + 2)?;
    let digits = Digits::new(digits).map_err(|_| unreadable(first + 2))?;
    let kind = match row.get_ref(first)?.as_str()? {
        "HOTP" => Kind::Hotp,
        "TOTP" => {
            let seconds = row.get::<_, u32>(first + 3)?;
            Kind::Totp { time_step: TimeStep::from_secs(seconds).map_err(|_| unreadable(first + 3))? }
        }
        _ => return Err(unreadable(first)),
    };
    Ok(Parameters { kind, algorithm, digits })
}

/// The four columns that [`read_parameters`] reads.
pub(super) fn parameter_columns(parameters: &Parameters) -> (&'static str, &'static str, u8, Option<u32>) {
    let (kind, step) = match parameters.kind {
        Kind::Hotp => ("HOTP", None),
        Kind::Totp { time_step } => ("TOTP", Some(time_step.as_secs())),
    };
    (kind, parameters.algorithm.as_str(), parameters.digits.get(), step)
}

/// Opens a sealed secret.
pub(super) fn unseal_secret(vault: &Vault, place: Place, sealed: &[u8]) -> Result<Secret, StoreError> {
    let bytes = vault.open_sealed(place, sealed)?;
    Secret::new(bytes.to_vec()).map_err(|_| StoreError::Unreadable { place: place.column })
}

/// Reads a text that must be one of a few.
pub(super) fn read_text<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    parse(row.get_ref(column)?.as_str()?).ok_or_else(|| unreadable(column))
}

fn unreadable(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        rusqlite::types::Type::Text,
        "the value is none that this program writes".into(),
    )
}

/// A statement that names one row must change exactly one.
pub(super) fn one_row(changed: usize) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::RowCount { expected: 1, changed }) }
}
