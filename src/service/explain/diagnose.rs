//! From an attempt that failed to notes on it: one for each token that was asked. It reads, and changes nothing.

use serde_json::{Value as Json, json};

use super::case::{Asked, Case, Typed};
use super::note::{Cause, Note};
use crate::model::id::{self, TokenId, UserId};
use crate::otp::credential::{Credential, Kind};
use crate::otp::explain::{Place, Spot, Suspect, stand_in};
use crate::otp::time::Timestamp;
use crate::otp::verify::Finding as Judged;
use crate::service::error::Error;
use crate::store::Reader;
use crate::store::audit::search::AuditSearch;
use crate::store::findings::Finding;
use crate::store::objects::{self, ASSIGNMENT, TOKEN, USER};

/// Most tokens that are looked at, those of the user that were not asked included.
const MOST_TOKENS: usize = 10;
/// Audit rows in which an acceptance is looked for.
const MOST_ROWS: u32 = 100;

/// Outcomes that spent a passcode.
pub(super) const SPENT: &[&str] =
    &["accepted", "accepted_with_new_pin", "pin_change_due", "synced", "wrong_pin"];

/// Finds out what can be found out.
pub(super) fn diagnose(reader: &Reader<'_>, case: &Case) -> Result<Vec<Finding>, Error> {
    if case.tokens.is_empty() {
        let policy = reader.policies()?.server().clone();
        if let Typed::Login(typed) = &case.typed {
            stand_in(typed, case.at, &policy);
        }
        let Some(user) = case.user else { return Ok(Vec::new()) };
        let cause = if case.user_locked.is_some() { Cause::Locked } else { Cause::NobodyToAsk };
        let mut note = empty(case);
        note.cause = cause;
        if cause == Cause::Locked {
            (note.locked, note.locked_until) =
                (Some("user".to_owned()), case.user_locked.map(Timestamp::as_millis));
        }
        return Ok(vec![finding(case, None, Some(user), &note)]);
    }
    let mut seen = Vec::new();
    for asked in case.tokens.iter().take(MOST_TOKENS) {
        seen.push((asked, look(reader, case, asked.token, Some(asked))?));
    }
    let elsewhere = elsewhere(reader, case, &seen)?;
    let mut found = Vec::new();
    for (asked, sight) in &seen {
        let note = note(reader, case, asked, sight, elsewhere)?;
        found.push(finding(case, Some(asked.token), asked.user.or(case.user), &note));
    }
    Ok(found)
}

/// What there is to see of a token.
struct Sight {
    places: Vec<Place>,
    time_step: Option<u32>,
    has_secret: bool,
    /// Its parameters, for words about time.
    kind: Option<Kind>,
}

impl Sight {
    /// Where it shows the passcode, or the first of them.
    fn spot(&self) -> Option<Spot> {
        match self.places.first() {
            Some(Place::At(spot)) => Some(*spot),
            _ => None,
        }
    }
}

fn look(reader: &Reader<'_>, case: &Case, token: TokenId, asked: Option<&Asked>) -> Result<Sight, Error> {
    let none = Sight { places: Vec::new(), time_step: None, has_secret: false, kind: None };
    let Some((credential, _)) = reader.credential_of(token)? else { return Ok(none) };
    let now = reader.factor_of(token)?.map(|(factor, _)| factor);
    let Some(state) = asked.and_then(|asked| asked.before).or(now) else { return Ok(none) };
    let policy = reader.policy_of(token)?;
    let has_pin = asked.is_none_or(|asked| asked.has_pin);
    let token_identifier = reader.token_identifier_of(token)?.unwrap_or_default();
    let suspect = Suspect {
        credential: &credential,
        token_identifier: &token_identifier,
        state: &state,
        policy: &policy,
        has_pin,
    };
    let places = match &case.typed {
        Typed::Login(typed) => vec![suspect.place(typed, case.at)],
        Typed::Passcodes(passcodes) => {
            let passcodes: Vec<&str> = passcodes.iter().map(|passcode| passcode.as_str()).collect();
            suspect.places(&passcodes, case.at)
        }
    };
    Ok(Sight {
        places,
        time_step: seconds(&credential),
        has_secret: true,
        kind: Some(credential.parameters.kind),
    })
}

fn seconds(credential: &Credential) -> Option<u32> {
    match credential.parameters.kind {
        Kind::Hotp => None,
        Kind::Totp { time_step } => Some(time_step.as_secs()),
    }
}

/// The token of the user that shows the passcode, asked or not; the nearest of several.
fn elsewhere(reader: &Reader<'_>, case: &Case, seen: &[(&Asked, Sight)]) -> Result<Option<TokenId>, Error> {
    let mut best: Option<(u64, TokenId)> = None;
    let mut take = |token: TokenId, sight: &Sight| {
        if let Some(spot) = sight.spot()
            && best.is_none_or(|(nearest, _)| spot.ahead.unsigned_abs() < nearest)
        {
            best = Some((spot.ahead.unsigned_abs(), token));
        }
    };
    for (asked, sight) in seen {
        take(asked.token, sight);
    }
    if let Some(user) = case.user.or_else(|| seen.first().and_then(|(asked, _)| asked.user)) {
        for token in tokens_of(reader, user)? {
            if seen.iter().all(|(asked, _)| asked.token != token) {
                take(token, &look(reader, case, token, None)?);
            }
        }
    }
    Ok(best.map(|(_, token)| token))
}

fn tokens_of(reader: &Reader<'_>, user: UserId) -> Result<Vec<TokenId>, Error> {
    let wanted = [json!({ "tokens": [{ "elements": ["id"] }] })];
    let shown = objects::get(reader, &USER, user.0, &wanted)?;
    let rows = shown["tokens"]["elements"].as_array().into_iter().flatten();
    let ids = rows.filter_map(|row| id::from_wire(TokenId::LETTER, row["id"].as_str()?).map(TokenId));
    Ok(ids.take(MOST_TOKENS).collect())
}

fn empty(case: &Case) -> Note {
    Note { outcome: case.outcome.to_owned(), policy: case.policy.clone(), ..Note::default() }
}

fn finding(case: &Case, token: Option<TokenId>, user: Option<UserId>, note: &Note) -> Finding {
    let note = serde_json::to_string(note).unwrap_or_default();
    Finding { at: case.at, action: case.action.to_owned(), token, user, note }
}

fn note(
    reader: &Reader<'_>,
    case: &Case,
    asked: &Asked,
    sight: &Sight,
    elsewhere: Option<TokenId>,
) -> Result<Note, Error> {
    let mut note = empty(case);
    note.time_step = sight.time_step;
    // A place is told only where the token was looked at: while something is locked, nothing is.
    let barred = matches!(asked.finding, Some(Judged::Locked)) || case.outcome == "locked";
    let spot = sight.spot().filter(|_| !barred);
    if let Some(spot) = spot {
        (note.ahead, note.reach) = (Some(spot.ahead), Some(spot.reach));
        note.clock_seconds = spot.clock_steps.and_then(|steps| sight.kind?.seconds_of(steps));
    }
    if let Some(Judged::Judged { pin_fits, .. }) = asked.finding {
        let pin = match (asked.has_pin, pin_fits) {
            (true, true) => "right",
            (true, false) => "wrong",
            (false, true) => "none",
            (false, false) => "unexpected",
        };
        note.pin = Some(pin.to_owned());
    }
    let locks = [("user", case.user_locked), ("token", asked.locked)];
    if let Some((what, until)) = locks.into_iter().find(|(_, until)| until.is_some()) {
        (note.locked, note.locked_until) = (Some(what.to_owned()), until.map(Timestamp::as_millis));
    } else if case.source_locked {
        note.locked = Some("source".to_owned());
    }
    note.cause = cause(case, asked, sight, spot, barred, elsewhere);
    match note.cause {
        Cause::Replayed => {
            note.used_at =
                spot.and_then(|spot| used_at(reader, case, asked, sight, spot).transpose()).transpose()?
        }
        Cause::OtherToken => note.other = elsewhere.map(|token| token.0),
        Cause::NotUsable => note.not_usable = Some(why_not(reader, case, asked, sight)?),
        Cause::NoPasscode => note.pin = None,
        _ => {}
    }
    Ok(note)
}

fn cause(
    case: &Case,
    asked: &Asked,
    sight: &Sight,
    spot: Option<Spot>,
    barred: bool,
    elsewhere: Option<TokenId>,
) -> Cause {
    if barred {
        return Cause::Locked;
    }
    match asked.finding {
        Some(Judged::Absent) => return Cause::NotUsable,
        Some(Judged::NeedsSync) => return Cause::NeedsSync,
        Some(Judged::Judged { factor: Some(_), pin_fits: false, .. }) => return Cause::WrongPin,
        Some(Judged::Judged { factor: None, beyond: Some(_), pin_fits: true }) => return Cause::AwaitsSecond,
        _ => {}
    }
    if matches!(case.typed, Typed::Passcodes(_)) && sight.places.len() > 1 {
        let factors: Vec<u64> = sight
            .places
            .iter()
            .filter_map(|place| match place {
                Place::At(spot) if !spot.spent => Some(spot.factor),
                _ => None,
            })
            .collect();
        // All are the token's and none was used: then it is their order.
        if factors.len() == sight.places.len() {
            return Cause::NotConsecutive;
        }
    }
    match (sight.places.first(), spot) {
        (_, Some(spot)) if spot.spent => Cause::Replayed,
        (_, Some(spot)) if spot.clock_steps.is_some() => Cause::ClockOff,
        (_, Some(_)) => Cause::TooFarAhead,
        (_, None) if elsewhere.is_some_and(|other| other != asked.token) => Cause::OtherToken,
        (Some(Place::NoPasscode), None) => Cause::NoPasscode,
        _ => Cause::WrongPasscode,
    }
}

/// When a used passcode was accepted, as far as the audit log tells.
fn used_at(
    reader: &Reader<'_>,
    case: &Case,
    asked: &Asked,
    sight: &Sight,
    spot: Spot,
) -> Result<Option<i64>, Error> {
    let search = AuditSearch {
        token: Some(asked.token.0),
        until_ms: Some(case.at.as_millis().saturating_add(1)),
        max: MOST_ROWS,
        ..AuditSearch::default()
    };
    let (rows, _) = reader.search_audit(&search)?;
    let mut spent = rows.iter().map(|found| &found.row).filter(|row| SPENT.contains(&row.outcome.as_str()));
    Ok(match sight.time_step {
        // The last one that was used. Which of those before it, the log does not know.
        None => spent.next().filter(|_| spot.ahead == -1).map(|row| row.at_ms),
        // Time tells: it was accepted when it was shown, give or take what is accepted.
        Some(step) => {
            let step = i64::from(step) * 1000;
            let shown = i64::try_from(spot.factor).unwrap_or(i64::MAX).saturating_mul(step);
            let off = spot.clock_steps.unwrap_or_default().saturating_sub(spot.ahead).saturating_mul(step);
            let shown = shown.saturating_sub(off);
            let give = step.saturating_mul(i64::from(spot.reach) + 1);
            spent.find(|row| row.at_ms.saturating_sub(shown).saturating_abs() <= give).map(|row| row.at_ms)
        }
    })
}

/// Why a token is not in use.
fn why_not(reader: &Reader<'_>, case: &Case, asked: &Asked, sight: &Sight) -> Result<String, Error> {
    let text = |shown: &Json, name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    let token = objects::get(reader, &TOKEN, asked.token.0, &["status".into()])?;
    let status = text(&token, "status");
    if status != "ACTIVE" {
        return Ok(format!("token {status}"));
    }
    if let Some(assignment) = asked.assignment {
        let wanted = ["status", "starts", "expires", "usageLimit", "used", "user.status"].map(Json::from);
        let shown = objects::get(reader, &ASSIGNMENT, assignment.0, &wanted)?;
        let (status, user) = (text(&shown, "status"), text(&shown, "user.status"));
        let (starts, expires, at) = (text(&shown, "starts"), text(&shown, "expires"), objects::iso(case.at));
        let (limit, used) = (shown["usageLimit"].as_i64().unwrap_or(0), shown["used"].as_i64().unwrap_or(0));
        if user != "ACTIVE" {
            return Ok(format!("user {user}"));
        }
        if status != "ACTIVE" {
            return Ok(format!("assignment {status}"));
        }
        if !starts.is_empty() && starts > at {
            return Ok(format!("assignment, until it starts at {starts}"));
        }
        if !expires.is_empty() && expires <= at {
            return Ok(format!("assignment, since it expired at {expires}"));
        }
        if limit > 0 && used >= limit {
            return Ok(format!("assignment, since all of its {limit} logins are used"));
        }
    }
    Ok(if sight.has_secret { "token or assignment, then" } else { "token without a secret" }.to_owned())
}
