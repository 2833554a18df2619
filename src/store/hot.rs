//! Hot writes as data: what a verify, a resync or a reset reads and changes.
//!
//! A [`Decision`] names the rows it needs and changes them in memory; it does no I/O and reads no clock. The
//! writer loads the union of a batch, runs its decisions one after another on the same rows, so that each sees
//! what the one before it did, and writes back what changed, with the audit rows, in one commit. Only then does
//! anybody get an answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::policies::{self, Policies};
use super::resends::Resends;
use super::sealing::{Place, Vault};
use super::{StoreError, audit};
use crate::model::id::{AssignmentId, DomainId, ProductId, RepositoryId, TokenId, UserId};
use crate::model::scope::Scope;
use crate::model::status::{AssignmentStatus, TokenStatus, UserStatus};
use crate::otp::algorithm::Algorithm;
use crate::otp::clock_model::{ClockState, Spread};
use crate::otp::credential::{Credential, Kind, Parameters};
use crate::otp::factor::{FactorState, Pending};
use crate::otp::passcode::Digits;
use crate::otp::pin::PinRecord;
use crate::otp::policy::Policy;
use crate::otp::repeats::Repeats;
use crate::otp::secret::Secret;
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;
use crate::otp::totp::TimeStep;

macro_rules! assignments_by {
    ($column:literal) => {
        concat!(
            "SELECT id, token_id, user_id, status, priority, pin_salt, pin_mac, starts_ms, expires_ms, usage_limit,
             used, must_change_pin, pin_never_expires, coalesce(last_change_pin_ms, created_ms)
             FROM assignments WHERE ",
            $column,
            " = ?1 AND (import_id IS NULL OR import_id NOT IN (SELECT id FROM imports)) ORDER BY id"
        )
    };
}
const ASSIGNMENTS_OF_USER: &str = assignments_by!("user_id");
const ASSIGNMENTS_OF_TOKEN: &str = assignments_by!("token_id");

/// What moves, as [`read_factor`] reads it; `s` is `token_states`.
macro_rules! factor_columns {
    () => {
        "s.next_factor, s.needs_sync, s.drift_steps, s.clock_offset_ms, s.clock_rate_ppb, s.clock_at_ms,
         s.clock_since_ms, s.clock_successes, s.clock_spread_offset, s.clock_spread_both, s.clock_spread_rate,
         s.clock_frozen, s.clock_rate_given, s.pending_factor, s.pending_at_ms"
    };
}
pub(super) const FACTOR_COLUMNS: &str = factor_columns!();

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

/// The rows of a batch, in memory.
#[derive(Default)]
pub struct Rows {
    /// Users by id.
    pub users: BTreeMap<UserId, UserRow>,
    /// Tokens by id.
    pub tokens: BTreeMap<TokenId, TokenRow>,
    /// Assignments by id.
    pub assignments: BTreeMap<AssignmentId, AssignmentRow>,
    /// Failures by client address. Absent means none.
    pub sources: BTreeMap<String, Throttle>,
    /// What is kept for who asks again.
    pub resends: Resends,
    /// What was typed in the last minute, per assignment (or token without one, as a negative id). Lives in the
    /// writer's memory only.
    pub repeats: HashMap<i64, Repeats>,
    /// The policies that are in force; none until they are read.
    policies: Option<Arc<Policies>>,
    /// What the file holds of the rows above, to tell what changed.
    loaded: Loaded,
    /// At this many, memories that are too old to matter are thrown away.
    tidy_at: usize,
}

/// Fewest memories that are worth looking through.
const TIDY_AT_LEAST: usize = 4096;
/// Longer than any window in which a repeated string is not counted twice.
const REPEATS_KEPT: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Loaded {
    users: BTreeMap<UserId, Throttle>,
    tokens: BTreeMap<TokenId, (FactorState, Throttle)>,
    assignments: BTreeMap<AssignmentId, i64>,
    sources: BTreeMap<String, Throttle>,
}

impl Rows {
    /// The policies that are in force.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        self.policies.clone().unwrap_or_default()
    }

    /// Lets the next batch read the policies again.
    pub(super) fn forget_policies(&mut self) {
        self.policies = None;
    }

    /// Lets somebody see the rows that are in a scope; the others are not there meanwhile. The batch holds rows of
    /// many callers, and a user's tokens come with the user.
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

    /// Loads what the decisions of a batch need, in id order.
    pub(super) fn load(
        &mut self,
        connection: &Connection,
        vault: &Vault,
        wanted: &[Keys],
    ) -> Result<(), StoreError> {
        if self.policies.is_none() {
            self.policies = Some(Arc::new(policies::load(connection)?));
        }
        let mut users: BTreeSet<UserId> = wanted.iter().filter_map(|keys| keys.user).collect();
        let mut tokens: BTreeSet<TokenId> = wanted.iter().filter_map(|keys| keys.token).collect();
        let named_users = users.clone();
        let named_tokens = tokens.clone();
        let mut by_user = connection.prepare_cached(ASSIGNMENTS_OF_USER)?;
        for user in &named_users {
            for found in by_user.query_map([user.0], read_assignment)? {
                self.keep_assignment(found?, &mut users, &mut tokens);
            }
        }
        let mut by_token = connection.prepare_cached(ASSIGNMENTS_OF_TOKEN)?;
        for token in &named_tokens {
            for found in by_token.query_map([token.0], read_assignment)? {
                self.keep_assignment(found?, &mut users, &mut tokens);
            }
        }
        self.load_users(connection, &users)?;
        self.load_tokens(connection, vault, &tokens)?;
        let mut source = connection
            .prepare_cached("SELECT failures, locked_until_ms FROM source_states WHERE source = ?1")?;
        for name in wanted.iter().filter_map(|keys| keys.source.as_ref()) {
            let throttle =
                source.query_row([name], |row| read_throttle(row, 0)).optional()?.unwrap_or_default();
            self.loaded.sources.insert(name.clone(), throttle);
            self.sources.insert(name.clone(), throttle);
        }
        for request in wanted.iter().filter_map(|keys| keys.request.as_ref()) {
            self.resends.load(connection, request)?;
        }
        Ok(())
    }

    fn keep_assignment(
        &mut self,
        (id, row): (AssignmentId, AssignmentRow),
        users: &mut BTreeSet<UserId>,
        tokens: &mut BTreeSet<TokenId>,
    ) {
        users.insert(row.user);
        tokens.insert(row.token);
        self.loaded.assignments.insert(id, row.used);
        self.assignments.insert(id, row);
    }

    fn load_users(&mut self, connection: &Connection, ids: &BTreeSet<UserId>) -> Result<(), StoreError> {
        let mut select = connection.prepare_cached(
            "SELECT s.failures, s.locked_until_ms, u.status, u.domain_id
             FROM users u JOIN user_states s ON s.user_id = u.id WHERE u.id = ?1",
        )?;
        for &id in ids {
            let found = select
                .query_row([id.0], |row| {
                    let status = read_text(row, 2, UserStatus::parse)?;
                    let domain = DomainId(row.get(3)?);
                    Ok(UserRow { domain, status, throttle: read_throttle(row, 0)? })
                })
                .optional()?;
            if let Some(row) = found {
                self.loaded.users.insert(id, row.throttle);
                self.users.insert(id, row);
            }
        }
        Ok(())
    }

    fn load_tokens(
        &mut self,
        connection: &Connection,
        vault: &Vault,
        ids: &BTreeSet<TokenId>,
    ) -> Result<(), StoreError> {
        let mut select = connection.prepare_cached(concat!(
            "SELECT s.failures, s.locked_until_ms, t.status, c.secret, c.kind, c.hash, c.digits, c.time_step_seconds,
                    t.repository_id, t.product_id, ",
            factor_columns!(),
            " FROM tokens t JOIN token_states s ON s.token_id = t.id
             LEFT JOIN credentials c ON c.token_id = t.id
             WHERE t.id = ?1",
        ))?;
        for &id in ids {
            let mut rows = select.query([id.0])?;
            let Some(row) = rows.next()? else { continue };
            let factor = read_factor(row, 10)?;
            let throttle = read_throttle(row, 0)?;
            let credential = match row.get::<_, Option<Vec<u8>>>(3)? {
                Some(sealed) => match unseal_secret(vault, credential_place(id), &sealed) {
                    Ok(secret) => Some(Credential { secret, parameters: read_parameters(row, 4)? }),
                    // One damaged row must not keep everybody else in its batch out.
                    Err(error) => {
                        tracing::error!(token = %id, %error, "a token cannot be used: its secret does not open");
                        None
                    }
                },
                None => None,
            };
            let status = read_text(row, 2, TokenStatus::parse)?;
            self.loaded.tokens.insert(id, (factor, throttle));
            let (repository, product) = (RepositoryId(row.get(8)?), ProductId(row.get(9)?));
            self.tokens.insert(id, TokenRow { repository, product, status, credential, factor, throttle });
        }
        Ok(())
    }

    /// Writes the rows that changed and forgets all but what lives in memory only.
    pub(super) fn flush(&mut self, connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
        let mut put = connection.prepare_cached(
            "UPDATE user_states SET failures = ?2, locked_until_ms = ?3 WHERE user_id = ?1",
        )?;
        for (id, row) in &self.users {
            if self.loaded.users.get(id) != Some(&row.throttle) {
                let (failures, locked) = throttle_columns(&row.throttle);
                one_row(put.execute((id.0, failures, locked))?)?;
            }
        }
        let mut put = connection.prepare_cached(
            "UPDATE token_states SET failures = ?2, locked_until_ms = ?3, next_factor = ?4, needs_sync = ?5,
             drift_steps = ?6, clock_offset_ms = ?7, clock_rate_ppb = ?8, clock_at_ms = ?9, clock_since_ms = ?10,
             clock_successes = ?11, clock_spread_offset = ?12, clock_spread_both = ?13, clock_spread_rate = ?14,
             clock_frozen = ?15, clock_rate_given = ?16, pending_factor = ?17, pending_at_ms = ?18
             WHERE token_id = ?1",
        )?;
        for (id, row) in &self.tokens {
            let changed = self
                .loaded
                .tokens
                .get(id)
                .is_none_or(|(factor, throttle)| *factor != row.factor || *throttle != row.throttle);
            if changed {
                let (failures, locked) = throttle_columns(&row.throttle);
                let FactorState { next, clock, pending, needs_sync } = row.factor;
                let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
                one_row(put.execute(params![
                    id.0,
                    failures,
                    locked,
                    next as i64,
                    needs_sync,
                    clock.drift_steps,
                    clock.offset_ms,
                    clock.rate_ppb,
                    millis(clock.at),
                    millis(clock.since),
                    clock.successes,
                    clock.spread.offset,
                    clock.spread.both,
                    clock.spread.rate,
                    clock.frozen,
                    clock.rate_given,
                    pending.map(|first| first.factor as i64),
                    millis(pending.map(|first| first.at)),
                ])?)?;
            }
        }
        let mut put = connection.prepare_cached("UPDATE assignments SET used = ?2 WHERE id = ?1")?;
        for (id, row) in &self.assignments {
            if self.loaded.assignments.get(id) != Some(&row.used) {
                one_row(put.execute((id.0, row.used))?)?;
            }
        }
        let mut put = connection.prepare_cached(
            "UPDATE assignments SET pin_salt = ?2, pin_mac = ?3, must_change_pin = 0, last_change_pin_ms = ?4,
             updated_ms = ?4 WHERE id = ?1",
        )?;
        for (id, row) in self.assignments.iter().filter(|(_, row)| row.pin_changed) {
            let (salt, mac) = (row.pin.map(|pin| pin.salt), row.pin.map(|pin| pin.mac));
            one_row(put.execute((id.0, salt, mac, now.as_millis()))?)?;
        }
        let mut put = connection.prepare_cached(
            "INSERT INTO source_states (source, failures, locked_until_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (source) DO UPDATE SET failures = ?2, locked_until_ms = ?3",
        )?;
        for (source, throttle) in &self.sources {
            if self.loaded.sources.get(source) != Some(throttle) {
                let (failures, locked) = throttle_columns(throttle);
                one_row(put.execute((source, failures, locked))?)?;
            }
        }
        self.resends.flush(connection, now)?;
        let (mut repeats, mut tidy_at) = (std::mem::take(&mut self.repeats), self.tidy_at);
        if repeats.len() > tidy_at {
            repeats.retain(|_, memory| !memory.is_stale(now, REPEATS_KEPT));
            tidy_at = (2 * repeats.len()).max(TIDY_AT_LEAST);
        }
        *self = Self { repeats, tidy_at, policies: self.policies.take(), ..Self::default() };
        Ok(())
    }
}

fn read_assignment(row: &Row<'_>) -> rusqlite::Result<(AssignmentId, AssignmentRow)> {
    let pin = match (row.get::<_, Option<[u8; 16]>>(5)?, row.get::<_, Option<[u8; 32]>>(6)?) {
        (Some(salt), Some(mac)) => Some(PinRecord { salt, mac }),
        _ => None,
    };
    Ok((
        AssignmentId(row.get(0)?),
        AssignmentRow {
            token: TokenId(row.get(1)?),
            user: UserId(row.get(2)?),
            status: read_text(row, 3, AssignmentStatus::parse)?,
            priority: row.get(4)?,
            pin,
            pin_changed: false,
            starts: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
            expires: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
            usage_limit: row.get(9)?,
            used: row.get(10)?,
            must_change_pin: row.get(11)?,
            pin_never_expires: row.get(12)?,
            pin_since: Timestamp::from_millis(row.get(13)?),
        },
    ))
}

/// Reads what moves from the columns that [`FACTOR_COLUMNS`] names.
pub(super) fn read_factor(row: &Row<'_>, first: usize) -> rusqlite::Result<FactorState> {
    let time = |column: usize| -> rusqlite::Result<_> {
        Ok(row.get::<_, Option<i64>>(first + column)?.map(Timestamp::from_millis))
    };
    let pending = row.get::<_, Option<i64>>(first + 13)?.zip(time(14)?);
    Ok(FactorState {
        next: row.get::<_, i64>(first)? as u64,
        needs_sync: row.get(first + 1)?,
        clock: ClockState {
            drift_steps: row.get(first + 2)?,
            offset_ms: row.get(first + 3)?,
            rate_ppb: row.get(first + 4)?,
            at: time(5)?,
            since: time(6)?,
            successes: row.get(first + 7)?,
            spread: Spread {
                offset: row.get(first + 8)?,
                both: row.get(first + 9)?,
                rate: row.get(first + 10)?,
            },
            frozen: row.get(first + 11)?,
            rate_given: row.get(first + 12)?,
        },
        pending: pending.map(|(factor, at)| Pending { factor: factor as u64, at }),
    })
}

/// Reads failures and lock from two columns.
fn read_throttle(row: &Row<'_>, first: usize) -> rusqlite::Result<Throttle> {
    Ok(Throttle {
        failures: row.get(first)?,
        locked_until: row.get::<_, Option<i64>>(first + 1)?.map(Timestamp::from_millis),
    })
}

fn throttle_columns(throttle: &Throttle) -> (u32, Option<i64>) {
    (throttle.failures, throttle.locked_until.map(Timestamp::as_millis))
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
