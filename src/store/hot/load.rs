//! Reading the rows of a decision from their tables. What moves of them may be older than what is unfolded; the memory of
//! the writer lays that over them.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::StoreError;
use super::super::sealing::Vault;
use super::columns::{self, SOURCES, TOKENS, Table, USERS};
use super::{
    AssignmentRow, TokenRow, UserRow, credential_place, read_parameters, read_text, unreadable, unseal_secret,
};
use crate::model::id::{AssignmentId, DomainId, ProductId, RepositoryId, TokenId, UserId};
use crate::model::status::{AssignmentStatus, TokenStatus, UserStatus};
use crate::otp::credential::Credential;
use crate::otp::factor::FactorState;
use crate::otp::pin::PinRecord;
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;

macro_rules! assignments_by {
    ($column:literal) => {
        concat!(
            "SELECT id, token_id, user_id, status, priority, pin_salt, pin_mac, starts_ms, expires_ms, usage_limit,
             used, must_change_pin, pin_never_expires, coalesce(last_change_pin_ms, created_ms)
             FROM assignments WHERE ",
            $column,
            " = ?1 AND (import_id IS NULL OR import_id NOT IN (SELECT id FROM imports))"
        )
    };
}
const ASSIGNMENTS_OF_USER: &str = assignments_by!("user_id");
const ASSIGNMENTS_OF_TOKEN: &str = assignments_by!("token_id");
const ASSIGNMENT: &str = assignments_by!("id");

/// The statements. The tables of states are named with their schema: their plain names are those of the views.
pub(super) struct Loader {
    user: String,
    token: String,
    source: String,
}

impl Default for Loader {
    fn default() -> Self {
        let moving = |table: &Table| {
            let columns: Vec<String> = table.columns.iter().map(|column| format!("s.{column}")).collect();
            columns.join(", ")
        };
        Self {
            user: format!(
                "SELECT {}, u.status, u.domain_id
                 FROM users u JOIN main.user_states s ON s.user_id = u.id WHERE u.id = ?1",
                moving(&USERS)
            ),
            token: format!(
                "SELECT {}, t.status, t.repository_id, c.secret, c.kind, c.hash, c.digits, c.time_step_seconds, t.product_id,
                 c.token_identifier
                 FROM tokens t JOIN main.token_states s ON s.token_id = t.id
                 LEFT JOIN credentials c ON c.token_id = t.id WHERE t.id = ?1",
                moving(&TOKENS)
            ),
            source: format!("SELECT {} FROM main.source_states s WHERE s.source = ?1", moving(&SOURCES)),
        }
    }
}

impl Loader {
    pub(super) fn user(&self, connection: &Connection, id: UserId) -> Result<Option<UserRow>, StoreError> {
        let mut select = connection.prepare_cached(&self.user)?;
        let mut rows = select.query([id.0])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let first = USERS.columns.len();
        Ok(Some(UserRow {
            domain: DomainId(row.get(first + 1)?),
            status: read_text(row, first, UserStatus::parse)?,
            throttle: columns::throttle(&numbers::<{ USERS.columns.len() }>(row, 0)?)?,
        }))
    }

    pub(super) fn token(
        &self,
        connection: &Connection,
        vault: &Vault,
        id: TokenId,
    ) -> Result<Option<Box<TokenRow>>, StoreError> {
        let mut select = connection.prepare_cached(&self.token)?;
        let mut rows = select.query([id.0])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let (factor, throttle) = columns::token(&numbers::<{ TOKENS.columns.len() }>(row, 0)?)?;
        let first = TOKENS.columns.len();
        let credential = match row.get::<_, Option<Vec<u8>>>(first + 2)? {
            Some(sealed) => match unseal_secret(vault, credential_place(id), &sealed) {
                Ok(secret) => Some(Credential { secret, parameters: read_parameters(row, first + 3)? }),
                // One damaged row must not keep everybody else in its batch out.
                Err(error) => {
                    tracing::error!(token = %id, %error, "a token cannot be used: its secret does not open");
                    None
                }
            },
            None => None,
        };
        let status = read_text(row, first, TokenStatus::parse)?;
        let (repository, product) = (RepositoryId(row.get(first + 1)?), ProductId(row.get(first + 7)?));
        let token_identifier = row.get(first + 8)?;
        let row = TokenRow { repository, product, status, credential, token_identifier, factor, throttle };
        Ok(Some(Box::new(row)))
    }

    pub(super) fn source(&self, connection: &Connection, name: &str) -> Result<Throttle, StoreError> {
        let mut select = connection.prepare_cached(&self.source)?;
        let mut rows = select.query([name])?;
        match rows.next()? {
            Some(row) => columns::throttle(&numbers::<{ SOURCES.columns.len() }>(row, 0)?),
            None => Ok(Throttle::default()),
        }
    }

    /// The assignments of a user, or of a token, that may be seen.
    pub(super) fn assignments(
        &self,
        connection: &Connection,
        of: Of,
    ) -> Result<Vec<(AssignmentId, Box<AssignmentRow>)>, StoreError> {
        let (text, id) = match of {
            Of::User(user) => (ASSIGNMENTS_OF_USER, user.0),
            Of::Token(token) => (ASSIGNMENTS_OF_TOKEN, token.0),
        };
        let mut select = connection.prepare_cached(text)?;
        let found = select.query_map([id], read_assignment)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// One assignment, if it may be seen.
    pub(super) fn assignment(
        &self,
        connection: &Connection,
        id: AssignmentId,
    ) -> Result<Option<Box<AssignmentRow>>, StoreError> {
        let mut select = connection.prepare_cached(ASSIGNMENT)?;
        Ok(select.query_row([id.0], read_assignment).optional()?.map(|(_, row)| row))
    }

    /// Whom an assignment is between, whether or not it may be seen.
    pub(super) fn ends(
        &self,
        connection: &Connection,
        id: AssignmentId,
    ) -> Result<Option<(TokenId, UserId)>, StoreError> {
        let mut select =
            connection.prepare_cached("SELECT token_id, user_id FROM assignments WHERE id = ?1")?;
        let ends = |row: &Row<'_>| Ok((TokenId(row.get(0)?), UserId(row.get(1)?)));
        Ok(select.query_row([id.0], ends).optional()?)
    }

    #[cfg(test)]
    pub(super) fn statements(&self) -> [&str; 6] {
        [&self.user, &self.token, &self.source, ASSIGNMENTS_OF_USER, ASSIGNMENTS_OF_TOKEN, ASSIGNMENT]
    }
}

/// Whose assignments.
#[derive(Clone, Copy)]
pub(super) enum Of {
    User(UserId),
    Token(TokenId),
}

/// Columns of a row, from this one on, which move.
fn numbers<const N: usize>(row: &Row<'_>, first: usize) -> rusqlite::Result<[Option<i64>; N]> {
    let mut columns = [None; N];
    for (column, number) in columns.iter_mut().zip(first..) {
        *column = row.get(number)?;
    }
    Ok(columns)
}

/// Reads a factor from the columns that [`super::FACTOR_COLUMNS`] names.
pub(in crate::store) fn read_factor(row: &Row<'_>, first: usize) -> rusqlite::Result<FactorState> {
    columns::factor(&numbers::<{ columns::FACTOR }>(row, first)?).map_err(|_| unreadable(first))
}

/// A factor of what `unfolded_token` says of a row, if that is newer than the row itself.
pub(in crate::store) fn newer_factor(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<FactorState>> {
    let Some(state) = row.get_ref(column)?.as_blob_or_null().map_err(|_| unreadable(column))? else {
        return Ok(None);
    };
    let factor = columns::decode(state)
        .and_then(|columns| columns::factor(columns.get(..columns::FACTOR)?).ok())
        .ok_or_else(|| unreadable(column))?;
    Ok(Some(factor))
}

fn read_assignment(row: &Row<'_>) -> rusqlite::Result<(AssignmentId, Box<AssignmentRow>)> {
    let pin = match (row.get::<_, Option<[u8; 16]>>(5)?, row.get::<_, Option<[u8; 32]>>(6)?) {
        (Some(salt), Some(mac)) => Some(PinRecord { salt, mac }),
        _ => None,
    };
    Ok((
        AssignmentId(row.get(0)?),
        Box::new(AssignmentRow {
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
        }),
    ))
}
