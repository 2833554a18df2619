//! The audit log for those who read it: search, export, the newest signed head, pruning.

pub mod export;
pub mod indexing;
pub mod outlets;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::access::Caller;
use crate::app::App;
use crate::audit::{SignedHead, hex};
use crate::model::id::{self, TokenId, UserId};
use crate::model::role::Permission;
use crate::otp::time::Timestamp;
use crate::store::audit::prune::Cut;
use crate::store::audit::search::{AuditSearch, FoundRow, Position};
use crate::store::objects::{self, Object, TOKEN, USER};
use crate::store::{Reader, Store, Tx};

/// How long one piece of pruning may hold the writer.
const PIECE: Duration = Duration::from_millis(4);
/// How long while others wait for it.
const PIECE_BESIDE_OTHERS: Duration = Duration::from_millis(2);

/// What to look for, as a caller says it.
#[derive(Debug, Default)]
pub struct Wanted {
    /// From this time on.
    pub from: Option<String>,
    /// Before this time.
    pub until: Option<String>,
    /// Name of the operator.
    pub operator: Option<String>,
    /// The API method.
    pub action: Option<String>,
    /// The token.
    pub token: Option<Selector>,
    /// The user.
    pub user: Option<Selector>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Oldest first.
    pub ascending: bool,
    /// What an earlier answer gave to go on with.
    pub cursor: Option<String>,
    /// Rows of the answer; 100 if absent.
    pub max: Option<u32>,
}

/// A page of the audit log.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AuditRowsShown {
    /// The rows, in the order of their times.
    rows: Vec<AuditRowShown>,
    /// What to send as `cursor` for the next page; null if this was the last.
    cursor: Option<String>,
}

/// A row of the audit log.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct AuditRowShown {
    /// Its place in the log, from 1, without gaps.
    sequence: i64,
    /// When it was written.
    time: String,
    /// Who called.
    operator: String,
    /// What was called.
    action: String,
    /// The token that it was about.
    token: Option<AuditTokenShown>,
    /// The user that it was about.
    user: Option<AuditUserShown>,
    /// How it ended.
    outcome: String,
    /// Facts for the reader.
    detail: String,
    /// Its hash, in hexadecimal.
    hash: String,
}

/// A token of the audit log.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AuditTokenShown {
    /// Id of the token.
    id: String,
    /// Its serial number; null if it was deleted.
    serial: Option<String>,
}

/// A user of the audit log.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct AuditUserShown {
    /// Id of the user.
    id: String,
    /// The login name; null if the user was deleted.
    login_name: Option<String>,
}

/// What was pruned.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PrunedShown {
    /// Rows up to this one are gone; null if none ever was.
    cut: Option<i64>,
    /// How many went now.
    removed: i64,
}

/// Reads a time of a request.
fn moment(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Error> {
    let read = |text| {
        objects::time(text)
            .ok_or_else(|| Error::invalid(field, "must be a time such as 2026-11-21T08:00:00Z"))
    };
    text.map(read).transpose()
}

/// The row of an object that may be gone by now.
fn row_of(
    reader: &Reader<'_>,
    object: &'static Object,
    selector: Option<&Selector>,
) -> Result<Option<i64>, Error> {
    match selector {
        None => Ok(None),
        Some(Selector::Id(text)) => match id::from_wire(object.letter, text) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::not_found(object.name)),
        },
        Some(selector) => Ok(Some(selector.find(reader, object)?)),
    }
}

/// A place in the log as text: `MILLISECONDS-SEQUENCE`.
fn cursor(position: Position) -> String {
    format!("{}-{}", position.at_ms, position.sequence)
}

fn read_cursor(text: &str) -> Result<Position, Error> {
    let parts = text.rsplit_once('-').and_then(|(at, sequence)| {
        Some(Position { at_ms: at.parse().ok()?, sequence: sequence.parse().ok()? })
    });
    parts.ok_or_else(|| Error::invalid("cursor", "must be one that an earlier answer gave"))
}

/// Searches the log.
///
/// # Errors
/// `request.invalid`, the not-found kinds of token and user, `search.too_slow`.
pub async fn search(store: &Store, wanted: Wanted) -> Result<Json, Error> {
    let from = moment("from", wanted.from.as_deref())?;
    let until = moment("until", wanted.until.as_deref())?;
    let behind = wanted.cursor.as_deref().map(read_cursor).transpose()?;
    let (found, more) = store
        .read(move |reader| {
            let search = AuditSearch {
                from_ms: from.map(Timestamp::as_millis),
                until_ms: until.map(Timestamp::as_millis),
                token: row_of(reader, &TOKEN, wanted.token.as_ref())?,
                user: row_of(reader, &USER, wanted.user.as_ref())?,
                operator: wanted.operator,
                action: wanted.action,
                outcome: wanted.outcome,
                ascending: wanted.ascending,
                behind,
                max: wanted.max.unwrap_or(100),
            };
            Ok::<_, Error>(reader.search_audit(&search)?)
        })
        .await?;
    let last = found.last().map(|row| Position { at_ms: row.row.at_ms, sequence: row.row.sequence });
    Ok(json!(AuditRowsShown {
        rows: found.into_iter().map(shown).collect(),
        cursor: last.filter(|_| more).map(cursor),
    }))
}

fn shown(found: FoundRow) -> AuditRowShown {
    let FoundRow { row, serial, login_name } = found;
    AuditRowShown {
        sequence: row.sequence,
        time: objects::iso(Timestamp::from_millis(row.at_ms)),
        operator: row.operator,
        action: row.action,
        token: row.token.map(|id| AuditTokenShown { id: TokenId(id).to_string(), serial }),
        user: row.user.map(|id| AuditUserShown { id: UserId(id).to_string(), login_name }),
        outcome: row.outcome,
        detail: row.detail,
        hash: hex(&row.hash),
    }
}

/// Refuses whoever sees only a part of the inventory: the log is of all of it, and a part of a chain proves nothing.
///
/// # Errors
/// [`Kind::Forbidden`].
pub fn check_whole(caller: &Caller) -> Result<(), Error> {
    if caller.scope.is_all() { Ok(()) } else { Err(forbidden()) }
}

/// Refuses whoever may not read the log.
///
/// # Errors
/// [`Kind::Forbidden`].
pub fn check_reader(caller: &Caller) -> Result<(), Error> {
    if caller.role.grants(Permission::AuditRead) { check_whole(caller) } else { Err(forbidden()) }
}

fn forbidden() -> Error {
    Error::new(Kind::Forbidden, "you are not allowed to do that")
}

/// The newest head, signed now if there are rows after the last one; `None` for an empty log.
///
/// # Errors
/// If it cannot be saved.
pub async fn head(store: &Store) -> Result<Option<SignedHead>, Error> {
    Ok(store.sign_audit().await?)
}

/// Takes away the rows from before some time. It runs to its end even if the caller goes away.
///
/// # Errors
/// `request.invalid` for a time that is none, or is not past.
pub async fn prune(app: &Arc<App>, caller: &Caller, before: &str) -> Result<Json, Error> {
    let before = moment("before", Some(before))?.unwrap_or_default();
    if before > app.clock.now() {
        return Err(Error::invalid("before", "must be past"));
    }
    let old = app.store.read(|reader| Ok::<_, Error>(reader.audit_cut()?)).await?;
    let old = old.map(|cut| cut.head.sequence);
    let mut after = old.unwrap_or(0);
    let found = loop {
        let look = move |reader: &Reader<'_>| Ok::<_, Error>(reader.audit_cut_before(before, after)?);
        match app.store.read(look).await? {
            Cut::Onward(last) => after = last,
            Cut::Found(last) => break last,
        }
    };
    let start = old.unwrap_or(0);
    if found <= start {
        return Ok(json!(PrunedShown { cut: old, removed: 0 }));
    }
    let mut entry = caller.did("audit/prune");
    entry.outcome = "pruned";
    entry.detail = format!("rows up to {found}, from before {}", objects::iso(before));
    app.store
        .write(move |tx: &Tx<'_>| {
            tx.cut_audit(found);
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await?;
    let (done, finished) = tokio::sync::oneshot::channel();
    let server = Arc::clone(app);
    app.spawn(async move {
        let _ = done.send(sweep(&server.store).await);
    });
    finished.await.map_err(|_| Error::new(Kind::Internal, "the work ended early"))??;
    Ok(json!(PrunedShown { cut: Some(found), removed: found - start }))
}

/// Takes away what was given up, in pieces.
///
/// # Errors
/// If the store cannot be written.
pub async fn sweep(store: &Store) -> Result<(), Error> {
    loop {
        let most = if store.is_busy() { PIECE_BESIDE_OTHERS } else { PIECE };
        if store.write(move |tx| Ok::<_, Error>(tx.sweep_audit(most)?)).await? {
            return Ok(());
        }
    }
}
