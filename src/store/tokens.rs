//! Tokens and their credentials.

use rusqlite::OptionalExtension as _;

use super::hot::{credential_place, one_row, parameter_columns, read_parameters, read_text, unseal_secret};
use super::imports::ImportId;
use super::{Reader, StoreError, Tx, objects};
use crate::model::id::{ProductId, RepositoryId, TokenId};
use crate::model::status::TokenStatus;
use crate::otp::credential::{Credential, Parameters};

/// A token to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Unique.
    pub serial: String,
    /// What the maker calls it; the serial if nothing else is known.
    pub identifier: String,
    /// Its model.
    pub product: ProductId,
    /// Its stock.
    pub repository: RepositoryId,
    /// Free text.
    pub description: String,
    /// The import that makes it; invisible until that is published.
    pub import: Option<ImportId>,
}

/// By what tokens are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Home {
    /// The import under way; 0 for none.
    import: i64,
    product: i64,
    repository: i64,
    status: &'static str,
}

/// Who may have the secret of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Custody {
    /// Fixed when the token was made: only software tokens are.
    pub exportable: bool,
    /// No further hand-out until released.
    pub confined: bool,
}

/// Which attributes of a token to write; the others stay.
#[derive(Clone, Debug, Default)]
pub struct TokenChanges {
    /// New status.
    pub status: Option<TokenStatus>,
    /// New description.
    pub description: Option<String>,
    /// New stock.
    pub repository: Option<RepositoryId>,
}

impl Tx<'_> {
    /// Adds a token without a secret.
    ///
    /// # Errors
    /// [`StoreError`] also if the serial is taken.
    pub fn insert_token(&self, token: &NewToken) -> Result<TokenId, StoreError> {
        self.insert_with_state(token, 0)
    }

    /// Adds a token with its secret. `next_factor` is the first moving factor that may be accepted.
    ///
    /// # Errors
    /// [`StoreError`] also if the serial is taken.
    pub fn insert_token_with(
        &self,
        token: &NewToken,
        credential: &Credential,
        next_factor: u64,
    ) -> Result<TokenId, StoreError> {
        let id = self.insert_with_state(token, next_factor)?;
        self.write_credential(id, credential)?;
        Ok(id)
    }

    fn insert_with_state(&self, token: &NewToken, next_factor: u64) -> Result<TokenId, StoreError> {
        self.guard(token.repository)?;
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO tokens (serial, identifier, product_id, repository_id, status, description, exportable,
             import_id, created_ms, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT software FROM products WHERE id = ?3), ?7, ?8, ?8)",
        )?;
        let status = TokenStatus::Active.as_str();
        let import = token.import.map(|import| import.0);
        let id = insert.insert((
            &token.serial,
            &token.identifier,
            token.product.0,
            token.repository.0,
            status,
            &token.description,
            import,
            self.now().as_millis(),
        ))?;
        let mut state = self.connection().prepare_cached(
            "INSERT INTO main.token_states (token_id, next_factor, drift_steps, needs_sync, failures)
             VALUES (?1, ?2, 0, 0, 0)",
        )?;
        one_row(state.execute((id, next_factor as i64))?)?;
        let mut added = self.added.borrow_mut();
        let home = Home {
            import: import.unwrap_or(0),
            product: token.product.0,
            repository: token.repository.0,
            status,
        };
        *added.entry(home).or_default() += 1;
        Ok(TokenId(id))
    }

    /// Adds the tokens that this change has added so far to their counts.
    pub(super) fn count_added(&self) -> Result<(), StoreError> {
        let added = self.added.take();
        if added.is_empty() {
            return Ok(());
        }
        let mut count = self.connection().prepare_cached(
            "INSERT INTO token_counts (import_id, product_id, repository_id, status, tokens)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (import_id, product_id, repository_id, status)
             DO UPDATE SET tokens = tokens + ?5",
        )?;
        for (home, tokens) in added {
            let Home { import, product, repository, status } = home;
            one_row(count.execute((import, product, repository, status, tokens))?)?;
        }
        Ok(())
    }

    /// Gives a token its secret, over any that it had, and starts its moving factor, without failures, drift and token
    /// identifier. `next_factor` is the first moving factor that may be accepted.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn put_credential(
        &self,
        token: TokenId,
        credential: &Credential,
        next_factor: u64,
    ) -> Result<(), StoreError> {
        self.guard(token)?;
        self.write_credential(token, credential)?;
        let mut state = self.connection().prepare_cached(
            "UPDATE main.token_states SET next_factor = ?2, drift_steps = 0, needs_sync = 0, failures = 0,
             locked_until_ms = NULL, clock_offset_ms = 0, clock_rate_ppb = 0, clock_at_ms = NULL, clock_since_ms = NULL,
             clock_successes = 0, clock_spread_offset = 0, clock_spread_both = 0, clock_spread_rate = 0,
             clock_frozen = 0, clock_rate_given = 0, pending_factor = NULL, pending_at_ms = NULL WHERE token_id = ?1",
        )?;
        one_row(state.execute((token.0, next_factor as i64))?)?;
        self.touch_token(token)
    }

    /// Lets a token in only after a resync.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn demand_sync(&self, token: TokenId) -> Result<(), StoreError> {
        self.guard(token)?;
        let mut state = self
            .connection()
            .prepare_cached("UPDATE main.token_states SET needs_sync = 1 WHERE token_id = ?1")?;
        one_row(state.execute([token.0])?)
    }

    fn write_credential(&self, token: TokenId, credential: &Credential) -> Result<(), StoreError> {
        let sealed = self.vault().seal(credential_place(token), credential.secret.expose())?;
        let (kind, hash, digits, step) = parameter_columns(&credential.parameters);
        let mut put = self.connection().prepare_cached(
            "INSERT INTO credentials (token_id, kind, hash, digits, time_step_seconds, secret)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (token_id) DO UPDATE SET kind = ?2, hash = ?3, digits = ?4, time_step_seconds = ?5,
             secret = ?6, token_identifier = NULL",
        )?;
        one_row(put.execute((token.0, kind, hash, digits, step, sealed))?)
    }

    /// Says what the token types before each passcode, or that it types nothing. Returns whether it has a credential
    /// that can have this; without one, nothing is changed.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn put_token_identifier(&self, token: TokenId, identifier: Option<&str>) -> Result<bool, StoreError> {
        self.guard(token)?;
        let mut put = self
            .connection()
            .prepare_cached("UPDATE credentials SET token_identifier = ?2 WHERE token_id = ?1")?;
        if put.execute((token.0, identifier))? == 0 {
            return Ok(false);
        }
        self.touch_token(token)?;
        Ok(true)
    }

    /// Says which slot of which device holds the token's credential.
    ///
    /// # Errors
    /// [`StoreError`] also if another token has that place.
    pub fn put_place(&self, token: TokenId, device: &str, slot: &str) -> Result<(), StoreError> {
        self.guard(token)?;
        let mut put =
            self.connection().prepare_cached("UPDATE tokens SET device = ?2, slot = ?3 WHERE id = ?1")?;
        one_row(put.execute((token.0, device, slot))?)
    }

    /// The slot was emptied: the token that lived there is stock again, without a secret.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn clear_place(&self, device: &str, slot: &str) -> Result<Option<TokenId>, StoreError> {
        let Some(token) = self.reader().token_at(device, slot)? else { return Ok(None) };
        self.guard(token)?;
        let connection = self.connection();
        connection.prepare_cached("DELETE FROM credentials WHERE token_id = ?1")?.execute([token.0])?;
        let mut clear =
            connection.prepare_cached("UPDATE tokens SET device = NULL, slot = NULL WHERE id = ?1")?;
        one_row(clear.execute([token.0])?)?;
        self.touch_token(token)?;
        Ok(Some(token))
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token or repository.
    pub fn change_token(&self, token: TokenId, changes: &TokenChanges) -> Result<(), StoreError> {
        self.guard(token)?;
        let mut update = self.connection().prepare_cached(
            "UPDATE tokens SET status = coalesce(?2, status), description = coalesce(?3, description),
             repository_id = coalesce(?4, repository_id) WHERE id = ?1",
        )?;
        let status = changes.status.map(TokenStatus::as_str);
        changes.repository.map_or(Ok(()), |repository| self.guard(repository))?;
        let repository = changes.repository.map(|id| id.0);
        one_row(update.execute((token.0, status, &changes.description, repository))?)?;
        self.touch_token(token)
    }

    /// Forgets the secret of a token: it is stock.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn drop_credential(&self, token: TokenId) -> Result<(), StoreError> {
        self.guard(token)?;
        self.connection()
            .prepare_cached("DELETE FROM credentials WHERE token_id = ?1")?
            .execute([token.0])?;
        self.touch_token(token)
    }

    /// Forbids any further hand-out of a token's secret, or allows it again.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn confine_token(&self, token: TokenId, confined: bool) -> Result<(), StoreError> {
        self.guard(token)?;
        let mut update = self.connection().prepare_cached("UPDATE tokens SET confined = ?2 WHERE id = ?1")?;
        one_row(update.execute((token.0, confined))?)?;
        self.touch_token(token)
    }

    /// Takes the lock and the failures off a token.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn clear_token_failures(&self, token: TokenId) -> Result<(), StoreError> {
        self.guard(token)?;
        let mut clear = self.connection().prepare_cached(
            "UPDATE main.token_states SET failures = 0, locked_until_ms = NULL WHERE token_id = ?1",
        )?;
        one_row(clear.execute([token.0])?)
    }

    /// Removes a token with its secret and assignments. The audit log keeps its id.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn delete_token(&self, token: TokenId) -> Result<(), StoreError> {
        self.guard(token)?;
        for assignment in self.reader().assignments_of(token)? {
            self.guard(assignment)?;
        }
        let mut delete = self.connection().prepare_cached("DELETE FROM tokens WHERE id = ?1")?;
        one_row(delete.execute([token.0])?)
    }

    fn touch_token(&self, token: TokenId) -> Result<(), StoreError> {
        let mut touch =
            self.connection().prepare_cached("UPDATE tokens SET updated_ms = ?2 WHERE id = ?1")?;
        one_row(touch.execute((token.0, self.now().as_millis()))?)
    }
}

impl Reader<'_> {
    /// The token whose credential is in that slot.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn token_at(&self, device: &str, slot: &str) -> Result<Option<TokenId>, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT id FROM tokens WHERE device = ?1 AND slot = ?2")?;
        Ok(select.query_row((device, slot), |row| row.get(0).map(TokenId)).optional()?)
    }

    /// How the credential in that slot makes its passcodes, if it is a token's.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn parameters_at(&self, device: &str, slot: &str) -> Result<Option<Parameters>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT c.kind, c.hash, c.digits, c.time_step_seconds
             FROM tokens t JOIN credentials c ON c.token_id = t.id WHERE t.device = ?1 AND t.slot = ?2",
        )?;
        Ok(select.query_row((device, slot), |row| read_parameters(row, 0)).optional()?)
    }

    /// The slots of a device that hold a token's credential.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn tokens_on(&self, device: &str) -> Result<Vec<(String, TokenId, String)>, StoreError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT slot, id, serial FROM tokens WHERE device = ?1 ORDER BY slot")?;
        let rows = select.query_map([device], |row| Ok((row.get(0)?, TokenId(row.get(1)?), row.get(2)?)))?;
        let mut found = Vec::new();
        for row in rows {
            let row: (String, TokenId, String) = row?;
            if self.scope.is_all() || objects::sees(self, &objects::TOKEN, row.1.0)? {
                found.push(row);
            }
        }
        Ok(found)
    }

    /// The highest number that a token has had.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn last_token_id(&self) -> Result<i64, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT coalesce(max(id), 0) FROM tokens")?;
        Ok(select.query_row([], |row| row.get(0))?)
    }

    /// The device and slot that hold a token's credential.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn place_of(&self, token: TokenId) -> Result<Option<(String, String)>, StoreError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT device, slot FROM tokens WHERE id = ?1 AND device IS NOT NULL")?;
        Ok(select.query_row([token.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// The model of a token.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn product_of(&self, token: TokenId) -> Result<ProductId, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT product_id FROM tokens WHERE id = ?1")?;
        Ok(select.query_row([token.0], |row| row.get(0).map(ProductId))?)
    }

    /// The status of a token.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn status_of(&self, token: TokenId) -> Result<TokenStatus, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT status FROM tokens WHERE id = ?1")?;
        Ok(select.query_row([token.0], |row| read_text(row, 0, TokenStatus::parse))?)
    }

    /// Whether a token's secret may be handed out at all, and whether it is confined.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn custody_of(&self, token: TokenId) -> Result<Custody, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT exportable, confined FROM tokens WHERE id = ?1")?;
        Ok(select
            .query_row([token.0], |row| Ok(Custody { exportable: row.get(0)?, confined: row.get(1)? }))?)
    }

    /// The secret of a token with the next moving factor that may be accepted.
    ///
    /// # Errors
    /// [`StoreError`] if it does not open.
    pub fn credential_of(&self, token: TokenId) -> Result<Option<(Credential, u64)>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT c.secret, c.kind, c.hash, c.digits, c.time_step_seconds, s.next_factor
             FROM credentials c JOIN token_states s ON s.token_id = c.token_id WHERE c.token_id = ?1",
        )?;
        let mut rows = select.query([token.0])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let sealed: Vec<u8> = row.get(0)?;
        let secret = unseal_secret(self.vault, credential_place(token), &sealed)?;
        let credential = Credential { secret, parameters: read_parameters(row, 1)? };
        Ok(Some((credential, row.get::<_, i64>(5)? as u64)))
    }

    /// What the token types before each passcode; none also without a credential.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn token_identifier_of(&self, token: TokenId) -> Result<Option<Box<str>>, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT token_identifier FROM credentials WHERE token_id = ?1")?;
        Ok(select.query_row([token.0], |row| row.get(0)).optional()?.flatten())
    }

    /// The serial of a token.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn serial_of(&self, token: TokenId) -> Result<String, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT serial FROM tokens WHERE id = ?1")?;
        Ok(select.query_row([token.0], |row| row.get(0))?)
    }

    /// Whether a serial is taken.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn has_serial(&self, serial: &str) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT 1 FROM tokens WHERE serial = ?1")?;
        Ok(select.exists([serial])?)
    }
}
