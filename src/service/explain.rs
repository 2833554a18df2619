//! Explain: why was somebody not let in? For authorised staff; whoever asked to be let in got one neutral answer.
//!
//! A verification that failed hands in what it knows ([`case`]) once its decision is on the disk, whoever it was for.
//! One worker looks at some of that a little later ([`desk`]), further than a verification does, and keeps notes: at most
//! 20 of a token, 50 of a user, for 30 days, and never what was typed. `token/explain` reads them, puts them into words,
//! and adds what holds now and which attempts led to a lock. None of it touches a counter.

pub mod case;
pub mod desk;
mod diagnose;
mod note;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use self::note::{Cause, Names, Note};
use super::error::Error;
use super::inventory::Selector;
use crate::model::id::{TokenId, UserId};
use crate::otp::time::Timestamp;
use crate::store::audit::search::AuditSearch;
use crate::store::findings::Finding;
use crate::store::objects::{self, Object, TOKEN, USER};
use crate::store::{Reader, Store};

/// Attempts that are named for a lock.
const MOST_ATTEMPTS: usize = 20;
/// Audit rows in which they are looked for.
const MOST_ROWS: u32 = 100;
/// Outcomes that count as a failure.
const FAILED: &[&str] =
    &["wrong_passcode", "wrong_pin", "out_of_sync", "needs_sync", "nobody_to_ask", "not_synced", "rejected"];
/// Outcomes before which failures are forgotten.
const CLEARED: &[&str] =
    &["accepted", "accepted_with_new_pin", "pin_change_due", "synced", "reset", "rewound", "unlocked"];

/// Whose attempts.
pub enum Whose {
    /// Of a token.
    Token(Selector),
    /// Of a user.
    User(Selector),
}

/// Why the last attempts failed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ExplainedShown {
    /// How many are known, of at most 20 of a token and 50 of a user.
    total: usize,
    /// What is known of each, the newest first; of an attempt that asked several tokens, a row for each.
    rows: Vec<AttemptShown>,
    /// What is locked now.
    locks: Vec<LockShown>,
}

/// An attempt that failed, at one token.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct AttemptShown {
    /// When it was decided.
    time: String,
    /// The method that was called.
    action: String,
    /// How it ended, as in the audit log.
    outcome: String,
    /// Serial of the token that was asked; null if the user has none.
    token: Option<String>,
    /// Who it was for, as `DOMAIN\LOGIN`.
    user: Option<String>,
    /// Why it failed at this token.
    cause: Cause,
    /// The PIN: `right`, `wrong`, `none` (none is set, none was typed) or `unexpected` (none is set, something was
    /// typed); null if it was not looked at.
    pin: Option<String>,
    /// How far the passcode is ahead of what was expected: presses, or time steps; negative is behind.
    ahead: Option<i64>,
    /// How many presses ahead, or steps off, are accepted.
    reach: Option<u32>,
    /// TOTP: how far the clock of the token is ahead of the server's, in seconds; negative is slow.
    clock_seconds: Option<i64>,
    /// When the passcode was used before.
    used_at: Option<String>,
    /// Serial of the token that the passcode is of, if it is another one of the same user.
    other_token: Option<String>,
    /// What was locked then or is since then: `user`, `token` or `source`.
    locked: Option<String>,
    /// Until when.
    locked_until: Option<String>,
    /// What is not in use.
    not_usable: Option<String>,
    /// The policies that decided, as in the audit log.
    policy: String,
    /// All that in a sentence.
    text: String,
    /// What to do.
    advice: &'static str,
}

/// A lock.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct LockShown {
    /// `token` or `user`.
    what: &'static str,
    /// Its serial, or `DOMAIN\LOGIN`.
    name: String,
    /// When it ends.
    until: String,
    /// Failures so far.
    failures: i64,
    /// The attempts that led to it, the newest first.
    attempts: Vec<LockingShown>,
}

/// An attempt that led to a lock.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct LockingShown {
    /// When it was decided.
    time: String,
    /// Who called.
    operator: String,
    /// How it ended.
    outcome: String,
}

/// Tells why the last attempts of a token or a user failed.
///
/// # Errors
/// The not-found kinds of what is named.
pub async fn explain(store: &Store, whose: Whose, now: Timestamp) -> Result<Json, Error> {
    store
        .read(move |reader| {
            let (found, token, user) = match whose {
                Whose::Token(token) => {
                    let token = TokenId(token.find(reader, &TOKEN)?);
                    (reader.findings_of_token(token)?, Some(token), None)
                }
                Whose::User(user) => {
                    let user = UserId(user.find(reader, &USER)?);
                    (reader.findings_of_user(user)?, None, Some(user))
                }
            };
            let mut rows = Vec::new();
            for finding in found {
                // A token of the user that the caller does not see is not told of.
                if finding
                    .token
                    .is_none_or(|token| token_name(reader, token).is_ok_and(|name| name.is_some()))
                {
                    rows.push(shown(reader, finding)?);
                }
            }
            let locks = locks(reader, token, user, now)?;
            Ok::<_, Error>(json!(ExplainedShown { total: rows.len(), rows, locks }))
        })
        .await
}

fn shown(reader: &Reader<'_>, finding: Finding) -> Result<AttemptShown, Error> {
    let note: Note = serde_json::from_str(&finding.note).unwrap_or_default();
    let time = |millis: Option<i64>| millis.map(|millis| objects::iso(Timestamp::from_millis(millis)));
    let names = Names {
        other: note.other.map(|token| token_name(reader, TokenId(token))).transpose()?.flatten(),
        used_at: time(note.used_at),
        locked_until: time(note.locked_until),
    };
    let (text, advice) = note.words(&names);
    Ok(AttemptShown {
        time: objects::iso(finding.at),
        action: finding.action,
        outcome: note.outcome,
        token: finding.token.map(|token| token_name(reader, token)).transpose()?.flatten(),
        user: finding.user.map(|user| user_name(reader, user)).transpose()?.flatten(),
        cause: note.cause,
        pin: note.pin,
        ahead: note.ahead,
        reach: note.reach,
        clock_seconds: note.clock_seconds,
        used_at: names.used_at,
        other_token: names.other,
        locked: note.locked,
        locked_until: names.locked_until,
        not_usable: note.not_usable,
        policy: note.policy,
        text,
        advice,
    })
}

fn token_name(reader: &Reader<'_>, token: TokenId) -> Result<Option<String>, Error> {
    let shown = objects::get(reader, &TOKEN, token.0, &["serial".into()])?;
    Ok(shown["serial"].as_str().map(str::to_owned))
}

fn user_name(reader: &Reader<'_>, user: UserId) -> Result<Option<String>, Error> {
    let shown = objects::get(reader, &USER, user.0, &["loginName".into(), "domain.name".into()])?;
    Ok(shown["loginName"]
        .as_str()
        .map(|login| format!("{}\\{login}", shown["domain.name"].as_str().unwrap_or_default())))
}

/// What is locked of a token and its users, or of a user and its tokens.
fn locks(
    reader: &Reader<'_>,
    token: Option<TokenId>,
    user: Option<UserId>,
    now: Timestamp,
) -> Result<Vec<LockShown>, Error> {
    let linked = |object: &'static Object, id: i64, collection: &str| -> Result<Vec<i64>, Error> {
        let mut wanted = serde_json::Map::new();
        wanted.insert(collection.to_owned(), json!([{ "elements": ["id"] }]));
        let shown = objects::get(reader, object, id, &[Json::Object(wanted)])?;
        let rows = shown[collection]["elements"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().filter_map(|row| row["id"].as_str()?.get(1..)?.parse().ok()).collect())
    };
    let (mut tokens, mut users): (Vec<i64>, Vec<i64>) =
        (token.into_iter().map(|id| id.0).collect(), user.into_iter().map(|id| id.0).collect());
    if let Some(token) = token {
        users.extend(linked(&TOKEN, token.0, "users")?);
    }
    if let Some(user) = user {
        tokens.extend(linked(&USER, user.0, "tokens")?);
    }
    let mut locks = Vec::new();
    let kinds =
        tokens.iter().map(|id| ("token", &TOKEN, *id)).chain(users.iter().map(|id| ("user", &USER, *id)));
    for (what, object, id) in kinds {
        let shown = objects::get(reader, object, id, &["failCount".into(), "lockedUntil".into()])?;
        let until = shown["lockedUntil"].as_str().unwrap_or_default().to_owned();
        let failures = shown["failCount"].as_i64().unwrap_or(0);
        // A lock without end has a time that no calendar has.
        let is_locked = shown["lockedUntil"].is_string() && (until.is_empty() || until > objects::iso(now));
        if !is_locked {
            continue;
        }
        let name =
            if what == "token" { token_name(reader, TokenId(id))? } else { user_name(reader, UserId(id))? };
        let attempts =
            attempts(reader, (what == "token").then_some(id), (what == "user").then_some(id), failures)?;
        locks.push(LockShown { what, name: name.unwrap_or_default(), until, failures, attempts });
    }
    Ok(locks)
}

/// The failures that led to a lock, as the audit log has them.
fn attempts(
    reader: &Reader<'_>,
    token: Option<i64>,
    user: Option<i64>,
    failures: i64,
) -> Result<Vec<LockingShown>, Error> {
    let search = AuditSearch { token, user, max: MOST_ROWS, ..AuditSearch::default() };
    let (rows, _) = reader.search_audit(&search)?;
    let since =
        rows.into_iter().map(|found| found.row).take_while(|row| !CLEARED.contains(&row.outcome.as_str()));
    let failed = since.filter(|row| FAILED.contains(&row.outcome.as_str()));
    let most = usize::try_from(failures).unwrap_or(0).min(MOST_ATTEMPTS);
    Ok(failed
        .take(most)
        .map(|row| LockingShown {
            time: objects::iso(Timestamp::from_millis(row.at_ms)),
            operator: row.operator,
            outcome: row.outcome,
        })
        .collect())
}
