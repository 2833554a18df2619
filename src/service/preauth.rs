//! Pre-auth tokens, as an admin makes, lists and takes them back.
//!
//! Each lets one agent of one name register in a group, once. What is wrong with a request is told in the order in which
//! clients of this API expect it.

use std::str::FromStr as _;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::group;
use crate::access::Caller;
use crate::app::App;
use crate::model::x500::{BadName, X500Name};
use crate::otp::time::Timestamp;
use crate::store::groups::Group;
use crate::store::preauth::{Preauth, PreauthStatus, Wanted};
use crate::store::{Reader, StoreError};

/// Length of an id as text.
const ID_LENGTH: usize = 36;

/// A token as it is listed.
pub struct Listed {
    /// Its id, which is its secret.
    pub id: Zeroizing<String>,
    /// The rest.
    pub token: Preauth,
}

/// Why a request was refused. Each names what the caller sent.
#[derive(Debug)]
pub enum Refusal {
    /// The owner is no X.500 name.
    Name(String, BadName),
    /// The time of the token would end where no calendar reaches.
    Life,
    /// What is to be a token's id is none.
    TokenId(String),
    /// What is to be a group's hash has another length.
    HashLength(usize),
    /// ... or other characters.
    HashDigits(String),
    /// Nobody has that hash.
    NoGroup(String),
    /// An agent had it that is retired.
    NoMember(String),
    /// An agent has it, and no group.
    IsMember(String),
    /// The group has no such token.
    NoToken(String),
    /// The token is not available any more.
    Ended(String, PreauthStatus),
    /// A fault of the server, or too much to do.
    Server(Error),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Server(error.into())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

/// A token to make.
pub struct NewToken {
    /// Whoever registers by it must have this name.
    pub owner: String,
    /// How long it is good, in nanoseconds; none for without end. It may be over at once.
    pub life: Option<i128>,
    /// Anything.
    pub remark: Option<String>,
}

/// Makes a token for a group.
///
/// # Errors
/// [`Refusal`].
pub async fn create(app: &App, caller: &Caller, hash: &str, new: NewToken) -> Result<Listed, Refusal> {
    let expires = new.life.map(|life| end(app.clock.now(), life).ok_or(Refusal::Life)).transpose()?;
    let owner = read_owner(&new.owner)?.to_string();
    let hash = read_hash(hash)?;
    let id = Zeroizing::new(group::uuid()?);
    let (caller, text) = (caller.clone(), id.clone());
    let token = app
        .store
        .write(move |tx| {
            let group = find(tx.reader(), &hash)?;
            let sha256 = sha256(&text);
            let remark = new.remark.as_deref();
            let number = tx.insert_preauth(group.id, (&text, &sha256), &owner, expires, remark)?;
            let mut entry = caller.did("preauth/create");
            entry.outcome = "created";
            entry.detail = format!("{number} in {} for {owner}", group.hash);
            tx.audit(entry);
            tx.reader().preauth(group.id, &sha256)?.ok_or_else(missing)
        })
        .await?;
    Ok(Listed { id, token })
}

/// Which tokens are to be listed, as a caller names them.
#[derive(Default)]
pub struct Filter {
    /// Of this owner.
    pub owner: Option<String>,
    /// The one with this id.
    pub token: Option<String>,
    /// Also those that let nobody in any more.
    pub inactive: bool,
}

/// Lists tokens of a group.
///
/// # Errors
/// [`Refusal`].
pub async fn list(app: &App, hash: &str, filter: Filter) -> Result<Vec<Listed>, Refusal> {
    let owner = filter.owner.as_deref().map(read_owner).transpose()?.map(|name| name.to_string());
    let token_hash = filter.token.as_deref().map(read_id).transpose()?;
    let hash = read_hash(hash)?;
    let (wanted, now) = (Wanted { owner, token_hash, inactive: filter.inactive }, app.clock.now());
    let found = app
        .store
        .read(move |reader| {
            let group = find(reader, &hash)?;
            Ok::<_, Refusal>(reader.preauths(group.id, &wanted, now)?)
        })
        .await?;
    Ok(found.into_iter().map(|(id, token)| Listed { id, token }).collect())
}

/// Takes a token back.
///
/// # Errors
/// [`Refusal`].
pub async fn revoke(
    app: &App,
    caller: &Caller,
    hash: &str,
    id: &str,
    remark: Option<String>,
) -> Result<Listed, Refusal> {
    let sha256 = read_id(id)?;
    let hash = read_hash(hash)?;
    let id = Zeroizing::new(id.to_ascii_lowercase());
    let (caller, text) = (caller.clone(), id.clone());
    let token = app
        .store
        .write(move |tx| {
            let group = find(tx.reader(), &hash)?;
            let token = tx.reader().preauth(group.id, &sha256)?;
            let token = token.ok_or_else(|| Refusal::NoToken(text.to_string()))?;
            if token.status != PreauthStatus::Available {
                return Err(Refusal::Ended(text.to_string(), token.status));
            }
            tx.end_preauth(token.id, PreauthStatus::Revoked, remark.as_deref())?;
            let mut entry = caller.did("preauth/revoke");
            entry.detail = format!("{} in {} for {}", token.id, group.hash, token.owner);
            tx.audit(entry);
            tx.reader().preauth(group.id, &sha256)?.ok_or_else(missing)
        })
        .await?;
    Ok(Listed { id, token })
}

fn missing() -> Refusal {
    Error::new(Kind::Internal, "the token is gone").into()
}

/// When a life ends that begins now: a time of the calendar, to the millisecond.
fn end(now: Timestamp, life: i128) -> Option<Timestamp> {
    let millis = i128::from(now.as_millis()) + life.div_euclid(1_000_000);
    let millis = i64::try_from(millis).ok()?;
    jiff::Timestamp::from_millisecond(millis).ok()?;
    Some(Timestamp::from_millis(millis))
}

fn read_owner(text: &str) -> Result<X500Name, Refusal> {
    X500Name::from_str(text).map_err(|problem| Refusal::Name(text.to_owned(), problem))
}

fn read_id(text: &str) -> Result<[u8; 32], Refusal> {
    token_hash(text).ok_or_else(|| Refusal::TokenId(text.to_owned()))
}

/// The SHA-256 by which the token of an id is found; `None` if it is no id. Letters are the same in any case.
pub(super) fn token_hash(id: &str) -> Option<[u8; 32]> {
    // The library also reads forms that this API does not have.
    if id.len() != ID_LENGTH {
        return None;
    }
    Some(sha256(&Zeroizing::new(Uuid::parse_str(id).ok()?.hyphenated().to_string())))
}

fn sha256(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

/// A hash as it was sent, once it has the form of one.
fn read_hash(text: &str) -> Result<String, Refusal> {
    let length = text.chars().count();
    if length != group::HASH_LENGTH {
        return Err(Refusal::HashLength(length));
    }
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::HashDigits(text.to_owned()));
    }
    Ok(text.to_owned())
}

/// The group with a hash, in any case. Agents have hashes too, and are no groups.
fn find(reader: &Reader<'_>, hash: &str) -> Result<Group, Refusal> {
    let upper = hash.to_ascii_uppercase();
    if let Some(group) = reader.group_by_hash(&upper)? {
        return Ok(group);
    }
    Err(match reader.agent_with_hash(&upper)? {
        None => Refusal::NoGroup(hash.to_owned()),
        Some(false) => Refusal::NoMember(hash.to_owned()),
        Some(true) => Refusal::IsMember(hash.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_ends_within_the_calendar_or_is_refused() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        assert_eq!(end(now, 900_000_000_000), Some(Timestamp::from_millis(1_767_226_500_000)));
        assert_eq!(end(now, -1), Some(Timestamp::from_millis(1_767_225_599_999)), "over before it begins");
        assert_eq!(end(now, i128::from(i64::MAX) * 1_000_000_000), None);
        assert_eq!(end(now, i128::from(i64::MIN) * 1_000_000_000), None);
    }

    #[test]
    fn an_id_is_read_in_one_form_and_any_case() {
        let id = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
        assert_eq!(token_hash(id), Some(sha256(id)));
        assert_eq!(token_hash(&id.to_uppercase()), Some(sha256(id)));
        for text in ["", "1", "0a1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d", &format!("{{{id}}}"), &format!("{id} ")] {
            assert_eq!(token_hash(text), None, "{text}");
        }
        assert_eq!(token_hash("0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4g"), None);
    }
}
