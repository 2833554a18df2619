//! The clocks of tokens, read for those who look after them. What changes them are decisions.

use rusqlite::OptionalExtension as _;

use super::hot::{FACTOR_COLUMNS, read_factor, read_parameters};
use super::{Reader, StoreError};
use crate::model::id::{ProductId, RepositoryId, TokenId};
use crate::otp::clock_model::{DAYS_FOR_A_RATE, SUCCESSES_FOR_A_RATE};
use crate::otp::credential::Parameters;
use crate::otp::factor::FactorState;

/// The rate of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRate {
    /// The token.
    pub token: TokenId,
    /// The import that brought it; 0 for one that was made alone.
    pub batch: i64,
    /// Its rate.
    pub rate_ppb: i32,
}

impl Reader<'_> {
    /// What moves of a token, and how it makes its passcodes if it has a secret.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn factor_of(&self, token: TokenId) -> Result<Option<(FactorState, Option<Parameters>)>, StoreError> {
        let sql = format!(
            "SELECT c.kind, c.hash, c.digits, c.time_step_seconds, {FACTOR_COLUMNS}
             FROM token_states s LEFT JOIN credentials c ON c.token_id = s.token_id WHERE s.token_id = ?1"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let found = select.query_row([token.0], |row| {
            let known = row.get_ref(0)? != rusqlite::types::ValueRef::Null;
            let parameters = if known { Some(read_parameters(row, 0)?) } else { None };
            Ok((read_factor(row, 4)?, parameters))
        });
        Ok(found.optional()?)
    }

    /// The learned rates of the tokens of a product that the reader sees, as far as they count.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn clock_rates(&self, product: ProductId) -> Result<Vec<ClockRate>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT t.id, coalesce(t.import_id, 0), s.clock_rate_ppb, t.repository_id
             FROM tokens t JOIN token_states s ON s.token_id = t.id
             WHERE t.product_id = ?1 AND s.clock_successes >= ?2 AND s.clock_rate_given = 0
             AND s.clock_at_ms - s.clock_since_ms >= ?3
             AND (t.import_id IS NULL OR t.import_id NOT IN (SELECT id FROM imports))",
        )?;
        let least = (product.0, SUCCESSES_FOR_A_RATE, DAYS_FOR_A_RATE * 86_400_000);
        let mut rows = select.query(least)?;
        let mut rates = Vec::new();
        while let Some(row) = rows.next()? {
            if self.scope.has_repository(RepositoryId(row.get(3)?)) {
                rates.push(ClockRate {
                    token: TokenId(row.get(0)?),
                    batch: row.get(1)?,
                    rate_ppb: row.get(2)?,
                });
            }
        }
        Ok(rates)
    }
}
