//! Changing the keys: a new master key, a new data key, and every sealed value sealed anew, while all goes on.
//!
//! | commit | what opens the file from then on |
//! |---|---|
//! | [`Tx::begin_rotation`] wraps all keys by the next master key too | either master key |
//! | (the file of the next one takes the place of the present one) | either |
//! | [`Tx::adopt_master`] drops what the old one wraps, makes a new data key | the next one only |
//! | [`Tx::reseal`], many times, a piece each | the next one |
//! | [`Tx::finish_rotation`] drops the old data keys | the next one |
//!
//! So whatever commit is the last before a crash, the key in the file opens the database, and `meta.rotation` tells the
//! next start that there is something to go on with. The new data key is never wrapped by the old master key.

use std::time::{Duration, Instant};

use rusqlite::OptionalExtension as _;

use super::hot::one_row;
use super::sealing::{self, Fresh, KeyError, MasterKey, Place, number_of};
use super::{READERS, Reader, Store, StoreError, Tx};

/// Rows between two looks at the clock.
const STEP: i64 = 20;
/// Rows of one look of a count.
const LOOK: i64 = 20_000;

/// A column of sealed values.
struct Sealed {
    table: &'static str,
    /// Its integer key, which the place of a value has as its row.
    key: &'static str,
    column: &'static str,
    /// `table.column`.
    place: &'static str,
}

macro_rules! sealed {
    ($($table:literal, $key:literal, $column:literal;)*) => {
        &[$(Sealed { table: $table, key: $key, column: $column, place: concat!($table, ".", $column) },)*]
    };
}

/// Every column of sealed values. A test holds it against all columns of bytes.
const SEALED: &[Sealed] = sealed! {
    "credentials", "token_id", "secret";
    "jobs", "id", "secret";
    "audit_nodes", "id", "signing_key";
    "agent_groups", "id", "ca_key";
    "preauth_tokens", "id", "token";
};

/// A change of keys that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Who asked for it.
    pub operator: String,
    /// Id of the master key.
    pub master: String,
    /// Id of the one that is to follow; none once it has.
    pub next: Option<String>,
}

/// Where a walk over all sealed values stands.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    column: usize,
    after: i64,
}

impl Cursor {
    /// Before the first one.
    pub const START: Self = Self { column: 0, after: i64::MIN };

    fn next_column(self) -> Self {
        Self { column: self.column + 1, after: i64::MIN }
    }
}

/// What a piece of a walk has come to.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Where to go on; none at the end.
    pub next: Option<Cursor>,
    /// Values that were under an old key.
    pub values: u64,
    /// Values that do not open, and stay what they are.
    pub damaged: u64,
}

/// A new data key that is in the file and not in use yet.
pub struct Adopted(Fresh);

impl Reader<'_> {
    /// Id of the master key.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn master_key_id(&self) -> Result<String, StoreError> {
        Ok(sealing::master_ids(self.connection)?.0)
    }

    /// The change of keys that is under way.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn rotation(&self) -> Result<Option<Rotation>, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT value FROM meta WHERE key = 'rotation'")?;
        let operator: Option<Vec<u8>> = select.query_row([], |row| row.get(0)).optional()?;
        let Some(operator) = operator else { return Ok(None) };
        let (master, next) = sealing::master_ids(self.connection)?;
        Ok(Some(Rotation { operator: String::from_utf8_lossy(&operator).into_owned(), master, next }))
    }

    /// Counts values that are sealed under an old data key, a piece at a time.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn count_to_reseal(&self, from: Cursor) -> Result<Piece, StoreError> {
        let Some(Sealed { table, key, column, .. }) = SEALED.get(from.column) else {
            return Ok(Piece { next: None, values: 0, damaged: 0 });
        };
        // The number of the data key is behind the byte of the form.
        let sql = format!(
            "SELECT max(row), coalesce(sum(substr(value, 2, 4) <> ?2), 0) FROM (SELECT {key} AS row, {column} AS value
             FROM {table} WHERE {key} > ?1 AND {column} IS NOT NULL ORDER BY {key} LIMIT ?3)"
        );
        let current = self.vault.current().to_be_bytes();
        let (last, values): (Option<i64>, i64) = self
            .connection
            .prepare_cached(&sql)?
            .query_row((from.after, &current[..], LOOK), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let next = last.map_or(from.next_column(), |after| Cursor { after, ..from });
        Ok(Piece { next: Some(next), values: values.unsigned_abs(), damaged: 0 })
    }
}

impl Tx<'_> {
    /// Begins: from the commit on the next master key opens the database as well.
    ///
    /// # Errors
    /// [`StoreError`] also if a change is under way: its rows are there.
    pub fn begin_rotation(&self, next: &MasterKey, operator: &str) -> Result<(), StoreError> {
        self.vault().wrap_for(self.connection(), next)?;
        let mut put =
            self.connection().prepare_cached("INSERT INTO meta (key, value) VALUES ('rotation', ?1)")?;
        one_row(put.execute([operator.as_bytes()])?)
    }

    /// Gives up a change whose master key was not adopted.
    ///
    /// # Errors
    /// [`StoreError`] if there is none.
    pub fn abandon_rotation(&self) -> Result<(), StoreError> {
        sealing::drop_next(self.connection())?;
        self.end_rotation()
    }

    /// Lets only the next master key open the database, and makes a new data key under it, which is in use from
    /// [`Store::take_data_key`] on.
    ///
    /// # Errors
    /// [`StoreError`] if this is not the key that is to follow.
    pub fn adopt_master(&self, next: &MasterKey) -> Result<Adopted, StoreError> {
        Ok(Adopted(sealing::Vault::adopt(self.connection(), next)?))
    }

    /// Seals values anew that are under an old data key, for as long as it may take.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn reseal(&self, from: Cursor, most: Duration) -> Result<Piece, StoreError> {
        let started = Instant::now();
        let current = self.vault().current();
        let mut piece = Piece { next: Some(from), values: 0, damaged: 0 };
        while let Some(cursor) = piece.next {
            let Some(Sealed { table, key, column, place }) = SEALED.get(cursor.column) else {
                piece.next = None;
                break;
            };
            let connection = self.connection();
            let mut select = connection.prepare_cached(&format!(
                "SELECT {key}, {column} FROM {table} WHERE {key} > ?1 AND {column} IS NOT NULL
                 ORDER BY {key} LIMIT ?2"
            ))?;
            let rows = select.query_map((cursor.after, STEP), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows: Vec<(i64, Vec<u8>)> = rows.collect::<rusqlite::Result<_>>()?;
            let mut put =
                connection.prepare_cached(&format!("UPDATE {table} SET {column} = ?2 WHERE {key} = ?1"))?;
            piece.next =
                Some(rows.last().map_or(cursor.next_column(), |row| Cursor { after: row.0, ..cursor }));
            for (row, sealed) in rows.iter().filter(|(_, sealed)| number_of(sealed) != Some(current)) {
                let place = Place { column: place, row: *row };
                match self.vault().open_sealed(place, sealed) {
                    Ok(secret) => {
                        one_row(put.execute((row, self.vault().seal(place, &secret)?))?)?;
                        piece.values += 1;
                    }
                    Err(StoreError::Key(KeyError::DoesNotOpen { .. })) => piece.damaged += 1,
                    Err(error) => return Err(error),
                }
            }
            if started.elapsed() >= most {
                break;
            }
        }
        Ok(piece)
    }

    /// Ends: the old data keys go, unless there are values that need them.
    ///
    /// # Errors
    /// [`StoreError`] if no change is under way.
    pub fn finish_rotation(&self, old_keys_go: bool) -> Result<(), StoreError> {
        if old_keys_go {
            self.vault().drop_old(self.connection())?;
        }
        self.end_rotation()
    }

    fn end_rotation(&self) -> Result<(), StoreError> {
        one_row(self.connection().execute("DELETE FROM meta WHERE key = 'rotation'", [])?)
    }
}

impl Store {
    /// Seals under a new data key from now on. What is being written right now may still be under the old one.
    pub fn take_data_key(&self, Adopted(fresh): Adopted) {
        self.file.vault.take(fresh);
    }

    /// Forgets the old data keys once nobody reads a state of the file any more in which values need them.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub async fn forget_data_keys(&self) -> Result<(), StoreError> {
        let all = READERS as u32;
        let _all = self.file.readers.places.acquire_many(all).await.map_err(|_| StoreError::Stopped)?;
        self.file.vault.forget_old();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::schema;

    /// Columns of bytes that are not sealed: hashes, salts, signatures, public keys, and `meta`, which holds the keys.
    const OPEN: &[&str] = &[
        "agent_certificates.fingerprint",
        "assignments.pin_mac",
        "assignments.pin_salt",
        "audit.hash",
        "audit_cuts.hash",
        "audit_cuts.signature",
        "audit_heads.hash",
        "audit_heads.signature",
        "audit_nodes.node",
        "audit_nodes.public_key",
        "bearers.token_hash",
        "clients.secret_hash",
        "decision_log.changes",
        "decision_log.digest",
        "downloads.link_hash",
        "meta.value",
        "preauth_tokens.token_hash",
        "resends.content",
        "resends.request",
        "user_tokens.pass_hash",
    ];

    #[test]
    fn every_column_of_bytes_is_sealed_anew_or_known_to_be_none_that_is_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let connection = schema::create(&dir.path().join("fobd.db")).unwrap();
        let mut select = connection
            .prepare(
                "SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                 WHERE t.type = 'table' AND c.type = 'BLOB'",
            )
            .unwrap();
        let there: BTreeSet<String> =
            select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let known: BTreeSet<String> =
            SEALED.iter().map(|sealed| sealed.place).chain(OPEN.iter().copied()).map(str::to_owned).collect();
        assert_eq!(there, known, "a new column of bytes belongs into one of the two lists");
    }
}
