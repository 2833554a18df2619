//! Work over many rows: written in small commits that nobody sees, made visible by one last small commit.
//!
//! Tokens and assignments of an unfinished import carry its id, and every query leaves them out. Publishing
//! deletes the import's row, which is all it takes; what a crash leaves behind is swept at the next start.

use super::{Reader, StoreError, Tx, objects};
use crate::model::id::TokenId;
use crate::store::hot::one_row;

/// Rows that a sweep deletes in one commit.
const SWEPT_AT_ONCE: i64 = 100;

/// An import that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportId(pub i64);

impl Tx<'_> {
    /// Starts an import. `kind` is for people who look into the file.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn begin_import(&self, kind: &str) -> Result<ImportId, StoreError> {
        let mut insert =
            self.connection().prepare_cached("INSERT INTO imports (kind, started_ms) VALUES (?1, ?2)")?;
        Ok(ImportId(insert.insert((kind, self.now().as_millis()))?))
    }

    /// Makes the rows of an import visible, all at once.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such import.
    pub fn publish_import(&self, import: ImportId) -> Result<(), StoreError> {
        self.count_added()?;
        let connection = self.connection();
        let mut counts = connection.prepare_cached(
            "INSERT INTO token_counts (import_id, product_id, repository_id, status, tokens)
             SELECT 0, product_id, repository_id, status, tokens FROM token_counts WHERE import_id = ?1
             ON CONFLICT (import_id, product_id, repository_id, status)
             DO UPDATE SET tokens = tokens + excluded.tokens",
        )?;
        counts.execute([import.0])?;
        connection.prepare_cached("DELETE FROM token_counts WHERE import_id = ?1")?.execute([import.0])?;
        one_row(connection.prepare_cached("DELETE FROM imports WHERE id = ?1")?.execute([import.0])?)
    }

    /// Takes back a part of an import. `true` once nothing of it is left.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn sweep_import(&self, import: ImportId) -> Result<bool, StoreError> {
        self.count_added()?;
        let connection = self.connection();
        for statement in [
            "DELETE FROM assignments WHERE id IN
             (SELECT id FROM assignments WHERE import_id = ?1 LIMIT ?2)",
            "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE import_id = ?1 LIMIT ?2)",
        ] {
            let deleted = connection.prepare_cached(statement)?.execute((import.0, SWEPT_AT_ONCE))?;
            if deleted > 0 {
                return Ok(false);
            }
        }
        connection.prepare_cached("DELETE FROM token_counts WHERE import_id = ?1")?.execute([import.0])?;
        one_row(connection.prepare_cached("DELETE FROM imports WHERE id = ?1")?.execute([import.0])?)?;
        Ok(true)
    }

    /// The imports that are under way, or were when the server stopped.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn unfinished_imports(&self) -> Result<Vec<ImportId>, StoreError> {
        let mut select = self.connection().prepare_cached("SELECT id FROM imports ORDER BY id")?;
        let found = select.query_map([], |row| row.get(0).map(ImportId))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}

impl Reader<'_> {
    /// The tokens that came with a token in one import, itself not among them, as far as they are seen: at most so many.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn came_with(&self, token: TokenId, most: usize) -> Result<Vec<TokenId>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id FROM tokens WHERE import_id = (SELECT import_id FROM tokens WHERE id = ?1)
             AND import_id IS NOT NULL AND id <> ?1 ORDER BY id",
        )?;
        let mut rows = select.query([token.0])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let other = TokenId(row.get(0)?);
            if self.scope.is_all() || objects::sees(self, &objects::TOKEN, other.0)? {
                found.push(other);
            }
            if found.len() == most {
                break;
            }
        }
        Ok(found)
    }
}
