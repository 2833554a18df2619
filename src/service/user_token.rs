//! User tokens: a pair of userCode and passCode for a program that shall not know the password.
//!
//! Each operator may have one. It has the permissions that the operator has when it is used. The passCode is shown once.

use std::time::Duration;

use super::error::{Error, Kind};
use super::random;
use crate::access::Caller;
use crate::access::login::hash_of;
use crate::app::App;
use crate::model::id::OperatorId;
use crate::otp::time::Timestamp;
use crate::store::user_tokens::{CODE_LENGTH, UserToken};

/// Length of a passCode in letters and digits: 262 bits.
const PASS_LENGTH: usize = 44;
/// Name of the setting: days that a new token is good; none, or 0, is for ever.
pub const EXPIRATION_DAYS: &str = "userTokenDefaultExpirationDays";
/// Most days of it.
pub const MOST_DAYS: u32 = 36_500;

/// Makes the token of the caller. The passCode is in no other answer.
///
/// # Errors
/// [`Kind::Exists`] if the caller has one.
pub async fn create(app: &App, caller: &Caller) -> Result<(UserToken, String), Error> {
    let operator = operator_of(caller)?;
    let pass_code = random::letters(PASS_LENGTH)?;
    let (hash, caller) = (hash_of(&pass_code), caller.clone());
    let token = app
        .store
        .write(move |tx| {
            // One that is too old to be used is not in the way of a new one.
            tx.purge_user_tokens()?;
            if tx.reader().user_token_of(operator)?.is_some() {
                return Err(Error::new(Kind::Exists, "there is a user token already: delete it first"));
            }
            let days = expiration_days(tx.reader().setting(EXPIRATION_DAYS)?);
            let token = UserToken {
                user_code: free_code(|code| {
                    Ok(tx.reader().has_user_code(code)? || tx.reader().operator(code)?.is_some())
                })?,
                username: caller.name.clone(),
                created: tx.now(),
                expires: days
                    .map(|days| tx.now().saturating_add(Duration::from_secs(u64::from(days) * 86_400))),
            };
            tx.insert_user_token(operator, &token, &hash)?;
            let mut entry = caller.did("userToken/create");
            (entry.outcome, entry.detail) = ("created", token.user_code.clone());
            tx.audit(entry);
            Ok(token)
        })
        .await?;
    Ok((token, pass_code))
}

fn free_code(taken: impl Fn(&str) -> Result<bool, Error>) -> Result<String, Error> {
    loop {
        let code = random::letters(CODE_LENGTH)?;
        if !taken(&code)? {
            return Ok(code);
        }
    }
}

/// The token of the caller.
///
/// # Errors
/// If the store cannot be read.
pub async fn own(app: &App, caller: &Caller) -> Result<Option<UserToken>, Error> {
    let operator = operator_of(caller)?;
    app.store.read(move |reader| Ok(reader.user_token_of(operator)?)).await
}

/// Deletes the token of the caller. Whether there was one.
///
/// # Errors
/// If the store cannot be written.
pub async fn delete_own(app: &App, caller: &Caller) -> Result<bool, Error> {
    let operator = operator_of(caller)?;
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let deleted = tx.delete_user_token_of(operator)?;
            if deleted {
                let mut entry = caller.did("userToken/delete");
                entry.outcome = "deleted";
                tx.audit(entry);
            }
            Ok(deleted)
        })
        .await
}

/// All tokens made from the begin of one day (UTC) on and before that of another.
///
/// # Errors
/// If the store cannot be read.
pub async fn all(
    app: &App,
    from: Option<Timestamp>,
    before: Option<Timestamp>,
) -> Result<Vec<UserToken>, Error> {
    app.store.read(move |reader| Ok(reader.user_tokens(from, before)?)).await
}

/// The token of an operator of that name.
///
/// # Errors
/// If the store cannot be read.
pub async fn of_name(app: &App, username: String) -> Result<Option<UserToken>, Error> {
    app.store.read(move |reader| Ok(reader.user_token_of_name(&username)?)).await
}

/// Deletes a token by its userCode. Whether there was one.
///
/// # Errors
/// If the store cannot be written.
pub async fn delete(app: &App, caller: &Caller, user_code: String) -> Result<bool, Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let Some(username) = tx.delete_user_token(&user_code)? else { return Ok(false) };
            let mut entry = caller.did("userToken/delete");
            (entry.outcome, entry.detail) = ("deleted", format!("{user_code} of {username}"));
            tx.audit(entry);
            Ok(true)
        })
        .await
}

/// Deletes all tokens whose operator is gone or whose time is over.
///
/// # Errors
/// If the store cannot be written.
pub async fn purge(app: &App, caller: &Caller) -> Result<(), Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let purged = tx.purge_user_tokens()?;
            let mut entry = caller.did("userToken/purge");
            (entry.outcome, entry.detail) = ("deleted", format!("{purged} user tokens"));
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// How many days a new token is good; none is for ever.
///
/// # Errors
/// If the store cannot be read.
pub async fn expiration(app: &App) -> Result<Option<u32>, Error> {
    app.store.read(|reader| Ok(expiration_days(reader.setting(EXPIRATION_DAYS)?))).await
}

/// Sets that; tokens that are there keep what they have.
///
/// # Errors
/// If the store cannot be written.
pub async fn set_expiration(app: &App, caller: &Caller, days: Option<u32>) -> Result<(), Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let text = days.map(|days| days.to_string());
            tx.put_setting(EXPIRATION_DAYS, text.as_deref())?;
            let mut entry = caller.did("userToken/configure");
            entry.detail = format!("{EXPIRATION_DAYS} {}", text.as_deref().unwrap_or("default"));
            tx.audit(entry);
            Ok(())
        })
        .await
}

fn expiration_days(setting: Option<String>) -> Option<u32> {
    setting.and_then(|text| text.parse().ok()).filter(|days| *days > 0)
}

/// The begin of a day (UTC) that is written `yyyy-MM-dd`.
#[must_use]
pub fn day(text: &str) -> Option<Timestamp> {
    let shape = |(index, byte): (usize, u8)| {
        if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() }
    };
    if text.len() != 10 || !text.bytes().enumerate().all(shape) {
        return None;
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let begin = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_millis(begin.timestamp().as_millisecond()))
}

fn operator_of(caller: &Caller) -> Result<OperatorId, Error> {
    caller.operator.ok_or_else(|| Error::new(Kind::Forbidden, "only operators have user tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_one_way_and_begins_at_midnight_utc() {
        assert_eq!(day("2019-01-15"), Some(Timestamp::from_millis(1_547_510_400_000)));
        for bad in ["2019-1-15", "2019-02-30", "2019-01-15T00:00:00Z", "15.01.2019", "", "2019-01-1x"] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
