//! Reading the log: rows, heads, nodes.

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow};

use crate::audit::chain::{Hash, Node, Row};
use crate::audit::head::{Head, PublicKey, SignedHead};
use crate::store::{Reader, StoreError, Tx};

pub(super) fn hash_of(bytes: Vec<u8>) -> Option<Hash> {
    bytes.try_into().ok()
}

/// Reads sequence, time, operator, action, token, user, outcome, detail and hash.
pub(super) fn read_row(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        sequence: row.get(0)?,
        at_ms: row.get(1)?,
        operator: row.get(2)?,
        action: row.get(3)?,
        token: row.get(4)?,
        user: row.get(5)?,
        outcome: row.get(6)?,
        detail: row.get(7)?,
        // One of another length fits nothing.
        hash: hash_of(row.get(8)?).unwrap_or_default(),
    })
}

/// A page of rows, in order.
pub(super) fn after(connection: &Connection, sequence: i64, most: i64) -> Result<Vec<Row>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT sequence, at_ms, operator, action, token_id, user_id, outcome, detail, hash FROM audit
         WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let rows = select.query_map((sequence, most), read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Who has written the log, in order.
pub(super) fn nodes(connection: &Connection) -> Result<Vec<Node>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT node, first_sequence, public_key FROM audit_nodes ORDER BY id")?;
    let rows = select.query_map([], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    let unreadable = || StoreError::Unreadable { place: "audit_nodes" };
    rows.map(|row| {
        let (id, first, key) = row?;
        let id = id.try_into().map_err(|_| unreadable())?;
        Ok(Node { id, first, key: PublicKey(key.try_into().map_err(|_| unreadable())?) })
    })
    .collect()
}

macro_rules! heads {
    ($table:literal, $rest:literal) => {
        concat!(
            "SELECT n.node, n.public_key, h.sequence, h.hash, h.at_ms, h.signature FROM ",
            $table,
            " h JOIN audit_nodes n ON n.id = h.node_id ",
            $rest
        )
    };
}

/// A head as the file has it; one with a part of another length is signed by nobody.
fn read_head(row: &SqlRow<'_>) -> rusqlite::Result<SignedHead> {
    Ok(SignedHead {
        head: Head {
            node: row.get::<_, Vec<u8>>(0)?.try_into().unwrap_or_default(),
            sequence: row.get(2)?,
            hash: hash_of(row.get(3)?).unwrap_or_default(),
            at_ms: row.get(4)?,
        },
        key: PublicKey(row.get::<_, Vec<u8>>(1)?.try_into().unwrap_or_default()),
        signature: row.get::<_, Vec<u8>>(5)?.try_into().unwrap_or([0; 64]),
    })
}

/// The newest head.
pub(super) fn newest_head(connection: &Connection) -> Result<Option<SignedHead>, StoreError> {
    let mut select = connection.prepare_cached(heads!("audit_heads", "ORDER BY h.sequence DESC LIMIT 1"))?;
    Ok(select.query_row([], read_head).optional()?)
}

/// The newest row that was given up.
pub(super) fn cut(connection: &Connection) -> Result<Option<SignedHead>, StoreError> {
    let mut select = connection.prepare_cached(heads!("audit_cuts", "ORDER BY h.sequence DESC LIMIT 1"))?;
    Ok(select.query_row([], read_head).optional()?)
}

/// Heads from after a row up to another one, in order.
pub(super) fn heads(connection: &Connection, after: i64, until: i64) -> Result<Vec<SignedHead>, StoreError> {
    let mut select = connection.prepare_cached(heads!(
        "audit_heads",
        "WHERE h.sequence > ?1 AND h.sequence <= ?2 ORDER BY h.sequence"
    ))?;
    let rows = select.query_map((after, until), read_head)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Reader<'_> {
    /// Rows of the audit log after one of them, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_rows(&self, after_sequence: i64, most: i64) -> Result<Vec<Row>, StoreError> {
        after(self.connection, after_sequence, most)
    }

    /// One row.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_row(&self, sequence: i64) -> Result<Option<Row>, StoreError> {
        Ok(after(self.connection, sequence - 1, 1)?.pop().filter(|row| row.sequence == sequence))
    }

    /// Sequence of the newest row; 0 if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_newest(&self) -> Result<i64, StoreError> {
        let newest = "SELECT coalesce(max(sequence), 0) FROM audit";
        Ok(self.connection.prepare_cached(newest)?.query_row([], |row| row.get(0))?)
    }

    /// Signed heads of rows after one up to another, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_heads(&self, after: i64, until: i64) -> Result<Vec<SignedHead>, StoreError> {
        heads(self.connection, after, until)
    }

    /// Who has written the log, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_nodes(&self) -> Result<Vec<Node>, StoreError> {
        nodes(self.connection)
    }

    /// The newest row that was given up; those before it are gone, or going.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_cut(&self) -> Result<Option<SignedHead>, StoreError> {
        cut(self.connection)
    }

    /// How far somebody has come with the log.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_progress(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let select = "SELECT sequence FROM audit_progress WHERE name = ?1";
        Ok(self.connection.prepare_cached(select)?.query_row([name], |row| row.get(0)).optional()?)
    }
}

impl Tx<'_> {
    /// Keeps how far somebody has come with the log.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn set_audit_progress(&self, name: &str, sequence: i64) -> Result<(), StoreError> {
        let mut put = self.connection().prepare_cached(
            "INSERT INTO audit_progress (name, sequence) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET sequence = ?2",
        )?;
        super::one_row(put.execute((name, sequence))?)
    }
}
