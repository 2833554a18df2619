//! Pre-auth tokens: each lets one agent of one name register in one group, once. The id of a token is its secret: it is
//! found by its SHA-256 and kept sealed, for those who may list tokens.

use rusqlite::{Connection, OptionalExtension as _, Row};
use zeroize::Zeroizing;

use super::hot::{one_row, read_text};
use super::sealing::Place;
use super::{Reader, StoreError, Tx};
use crate::model::id::{GroupId, PreauthId};
use crate::otp::time::Timestamp;

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreauthStatus {
    /// Nothing yet. Its time may be over all the same.
    Available,
    /// Taken back.
    Revoked,
    /// An agent has registered by it.
    Consumed,
    /// Taken back by the server itself.
    AutoInvalidated,
}

impl PreauthStatus {
    const ALL: [Self; 4] = [Self::Available, Self::Revoked, Self::Consumed, Self::AutoInvalidated];

    /// The name in the table and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Revoked => "REVOKED",
            Self::Consumed => "CONSUMED",
            Self::AutoInvalidated => "AUTO_INVALIDATED",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preauth {
    /// Row id.
    pub id: PreauthId,
    /// The name of whoever may register by it, in its one form.
    pub owner: String,
    /// From then on it is no good; none for never.
    pub expires: Option<Timestamp>,
    /// What became of it.
    pub status: PreauthStatus,
    /// What was said when it was made.
    pub creation_remark: Option<String>,
    /// What was said when it was taken back or consumed.
    pub removal_remark: Option<String>,
}

/// Which tokens of a group are wanted; all that is given must fit.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this owner.
    pub owner: Option<String>,
    /// The one with this SHA-256.
    pub token_hash: Option<[u8; 32]>,
    /// Also those that let nobody in any more.
    pub inactive: bool,
}

const COLUMNS: &str = "id, owner, expires_ms, status, creation_remark, removal_remark";

fn token_place(id: PreauthId) -> Place {
    Place { column: "preauth_tokens.token", row: id.0 }
}

impl Tx<'_> {
    /// Adds a token to a group.
    ///
    /// # Errors
    /// [`StoreError`] also if there is such a token.
    pub fn insert_preauth(
        &self,
        group: GroupId,
        (token, token_hash): (&str, &[u8; 32]),
        owner: &str,
        expires: Option<Timestamp>,
        remark: Option<&str>,
    ) -> Result<PreauthId, StoreError> {
        let connection = self.connection();
        let mut insert = connection.prepare_cached(
            "INSERT INTO preauth_tokens
             (group_id, token_hash, token, owner, expires_ms, status, creation_remark, created_ms, updated_ms)
             VALUES (?1, ?2, x'', ?3, ?4, ?5, ?6, ?7, ?7)",
        )?;
        let id = PreauthId(insert.insert((
            group.0,
            token_hash,
            owner,
            expires.map(Timestamp::as_millis),
            PreauthStatus::Available.as_str(),
            remark,
            self.now().as_millis(),
        ))?);
        // A sealed value is bound to its row, which has a number only now.
        let sealed = self.vault().seal(token_place(id), token.as_bytes())?;
        let mut update = connection.prepare_cached("UPDATE preauth_tokens SET token = ?2 WHERE id = ?1")?;
        one_row(update.execute((id.0, sealed))?)?;
        Ok(id)
    }

    /// Ends a token that is available.
    ///
    /// # Errors
    /// [`StoreError`] also if it is not.
    pub fn end_preauth(
        &self,
        id: PreauthId,
        status: PreauthStatus,
        remark: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut update = self.connection().prepare_cached(
            "UPDATE preauth_tokens SET status = ?2, removal_remark = ?3, updated_ms = ?4
             WHERE id = ?1 AND status = ?5",
        )?;
        let available = PreauthStatus::Available.as_str();
        one_row(update.execute((id.0, status.as_str(), remark, self.now().as_millis(), available))?)
    }
}

/// Ends every token that is available: one may have been used since the copy was made that a database is restored from.
/// Returns how many.
pub(super) fn invalidate_all(
    connection: &Connection,
    now: Timestamp,
    remark: &str,
) -> rusqlite::Result<usize> {
    let (to, from) = (PreauthStatus::AutoInvalidated, PreauthStatus::Available);
    connection.execute(
        "UPDATE preauth_tokens SET status = ?1, removal_remark = ?2, updated_ms = ?3 WHERE status = ?4",
        (to.as_str(), remark, now.as_millis(), from.as_str()),
    )
}

impl Reader<'_> {
    /// A token of a group by the SHA-256 of its id.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn preauth(&self, group: GroupId, token_hash: &[u8; 32]) -> Result<Option<Preauth>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM preauth_tokens WHERE group_id = ?1 AND token_hash = ?2");
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_row((group.0, token_hash), read_preauth).optional()?)
    }

    /// The tokens of a group that are wanted, each with its id in clear, in the order of their making.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read, or an id does not open.
    pub fn preauths(
        &self,
        group: GroupId,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Vec<(Zeroizing<String>, Preauth)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, token FROM preauth_tokens
             WHERE group_id = ?1 AND (?2 IS NULL OR owner = ?2) AND (?3 IS NULL OR token_hash = ?3)
             AND (?4 OR (status = ?5 AND (expires_ms IS NULL OR expires_ms > ?6))) ORDER BY id"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query((
            group.0,
            &wanted.owner,
            wanted.token_hash.as_ref().map(|hash| &hash[..]),
            wanted.inactive,
            PreauthStatus::Available.as_str(),
            now.as_millis(),
        ))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let preauth = read_preauth(row)?;
            let opened = self.vault.open_sealed(token_place(preauth.id), &row.get::<_, Vec<u8>>(6)?)?;
            let unreadable = |_| StoreError::Unreadable { place: "preauth_tokens.token" };
            let token = std::str::from_utf8(&opened).map_err(unreadable)?;
            found.push((Zeroizing::new(token.to_owned()), preauth));
        }
        Ok(found)
    }
}

fn read_preauth(row: &Row<'_>) -> rusqlite::Result<Preauth> {
    Ok(Preauth {
        id: PreauthId(row.get(0)?),
        owner: row.get(1)?,
        expires: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
        status: read_text(row, 3, PreauthStatus::parse)?,
        creation_remark: row.get(4)?,
        removal_remark: row.get(5)?,
    })
}
