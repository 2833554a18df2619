//! The secrets of many tokens, for a search by what they show: a range of ids at a time, so that no read is long and
//! several can go on beside each other. What the caller does not see is left out as in every search.

use rusqlite::params_from_iter;

use super::TOKEN;
use super::query::{Condition, QueryError, Select};
use super::terms::Term;
use crate::model::id::{ProductId, TokenId};
use crate::otp::credential::Credential;
use crate::otp::factor::FactorState;
use crate::otp::passcode::Digits;
use crate::store::Reader;
use crate::store::hot::{
    FACTOR_COLUMNS, credential_place, newer_factor, read_factor, read_parameters, unseal_secret,
};

/// A token with its secret.
pub struct Held {
    /// Its id.
    pub token: TokenId,
    /// Its model.
    pub product: ProductId,
    /// How it makes passcodes.
    pub credential: Credential,
    /// Where it stands.
    pub factor: FactorState,
}

/// Visits the tokens with ids in a range that fulfil all conditions and have passcodes of this length.
///
/// A secret that does not open is passed over and logged: one damaged row must not hide all others.
///
/// # Errors
/// [`QueryError`] if a condition names what tokens do not have.
pub fn secrets(
    reader: &Reader<'_>,
    conditions: &[Condition],
    digits: Option<Digits>,
    ids: std::ops::RangeInclusive<i64>,
    mut visit: impl FnMut(Held),
) -> Result<(), QueryError> {
    let mut select = Select::new(&TOKEN, reader.scope);
    select.conditions(reader, conditions)?;
    // Brings the table in that most columns below are of.
    select.column("hash")?;
    // Not the view: it would be asked for each of the many columns.
    select.join("token_factor", " JOIN main.token_states token_factor ON token_factor.token_id = token.id");
    let (first, last) = (select.bind((*ids.start()).into()), select.bind((*ids.end()).into()));
    select.terms.push(Term::fixed(format!("{}.id BETWEEN {first} AND {last}", select.alias)));
    let length =
        digits.map_or_else(String::new, |digits| format!(" AND token_credential.digits = {}", digits.get()));
    let sql = format!(
        "SELECT token.id, token.product_id, token_credential.secret, token_credential.kind, token_credential.hash,
         token_credential.digits, token_credential.time_step_seconds, unfolded_token(token.id), {}
         {} AND token_credential.secret IS NOT NULL{length}",
        FACTOR_COLUMNS.replace("s.", "token_factor."),
        select.walking_tail()
    );
    let mut statement = reader.connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&select.values))?;
    while let Some(row) = rows.next()? {
        let token = TokenId(row.get(0)?);
        let sealed = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let secret = match unseal_secret(reader.vault, credential_place(token), sealed) {
            Ok(secret) => secret,
            Err(error) => {
                tracing::error!(%token, %error, "a token cannot be searched: its secret does not open");
                continue;
            }
        };
        visit(Held {
            token,
            product: ProductId(row.get(1)?),
            credential: Credential { secret, parameters: read_parameters(row, 3)? },
            factor: match newer_factor(row, 7)? {
                Some(factor) => factor,
                None => read_factor(row, 8)?,
            },
        });
    }
    Ok(())
}
