//! The audit log: one row per decision and per change, written in the same commit.
//!
//! An entry says who did what to which token and user and how it ended. It never holds a secret, a PIN or a
//! passcode, right or wrong.
//!
//! Sequence and hash ([`crate::audit::chain`]) are given here, by the writer, when all that goes into a commit is
//! decided: what a savepoint takes back never had any. The newest row is remembered from commit to commit and
//! forgotten with a failed one.

pub mod copy;
mod node;
pub mod prune;
mod rows;
pub mod search;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;
use super::hot::one_row;
use crate::audit::chain::{Content, Hash};
use crate::audit::check::Finding;
use crate::audit::{SignedHead, Signer};
use crate::model::id::{TokenId, UserId};
use crate::otp::time::Timestamp;

pub(super) use self::node::{create, open};

/// Rows after which a head is signed.
const SIGN_AFTER_ROWS: i64 = 1000;
/// How long a row may be without a signed head after it, in milliseconds.
const SIGN_AFTER_MS: u64 = 60_000;

/// One row to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name of the operator who called.
    pub operator: String,
    /// The API method, for example `auth/verify`.
    pub action: &'static str,
    /// The token, if one was named or found.
    pub token: Option<TokenId>,
    /// The user, if one was named or found.
    pub user: Option<UserId>,
    /// How it ended, for example `accepted`.
    pub outcome: &'static str,
    /// Facts for the reader, for example which object was made.
    pub detail: String,
}

impl Entry {
    fn content(&self, now: Timestamp) -> Content<'_> {
        Content {
            at_ms: now.as_millis(),
            operator: &self.operator,
            action: self.action,
            token: self.token.map(|id| id.0),
            user: self.user.map(|id| id.0),
            outcome: self.outcome,
            detail: &self.detail,
        }
    }
}

/// What one commit adds to the log.
#[derive(Debug, Default)]
pub(super) struct Additions {
    /// The rows, in the order of the decisions.
    pub(super) entries: Vec<Entry>,
    /// The newest row that is to be pruned.
    pub(super) cut: Option<i64>,
    /// A head is asked for.
    pub(super) sign: bool,
}

impl Additions {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.cut.is_none() && !self.sign
    }

    pub(super) fn add(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.cut = self.cut.max(other.cut);
        self.sign |= other.sign;
    }
}

/// The end of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// The newest row.
    pub(super) sequence: i64,
    /// Its hash, or the beginning of the node.
    hash: Hash,
    /// The newest row with a signed head.
    signed: i64,
    /// When the first row after that was written.
    unsigned_since: Option<Timestamp>,
}

/// The log as the writer sees it.
pub(super) struct Log {
    signer: Signer,
    /// Row id of the node.
    node: i64,
    /// In milliseconds.
    sign_after: Arc<AtomicU64>,
    /// What the last commit left; none after one that failed.
    tail: Option<Tail>,
    /// What was wrong with the rows that no head is signed for yet, when the file was opened.
    pub(super) damage: Option<Finding>,
}

impl Log {
    /// Forgets what a failed commit may have made untrue.
    pub(super) fn forget(&mut self) {
        self.tail = None;
    }

    /// What a commit leaves behind, once it stands.
    pub(super) fn remember(&mut self, tail: Tail) {
        self.tail = Some(tail);
    }

    /// How long a row may be without a signed head after it, in milliseconds; to be changed at any time.
    pub(super) fn sign_after_ms(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sign_after)
    }

    /// The newest row, as far as that is known.
    pub(super) fn newest(&self) -> i64 {
        self.tail.map_or(0, |tail| tail.sequence)
    }

    fn sign_after(&self) -> Duration {
        Duration::from_millis(self.sign_after.load(Ordering::Relaxed))
    }

    /// How long the newest rows may still wait for their head; `None` if there are none.
    pub(super) fn patience(&self, now: Timestamp) -> Option<Duration> {
        let since = self.tail?.unsigned_since?;
        let waited = now.since(since).unwrap_or_default();
        Some(self.sign_after().saturating_sub(waited))
    }

    /// Writes the additions of a commit, and a signed head if one is due or asked for.
    pub(super) fn append(
        &self,
        connection: &Connection,
        now: Timestamp,
        additions: &Additions,
    ) -> Result<(Tail, Option<SignedHead>), StoreError> {
        let mut tail = match self.tail {
            Some(tail) => tail,
            None => self.read_tail(connection, now)?,
        };
        let mut insert = connection.prepare_cached(
            "INSERT INTO audit (sequence, at_ms, operator, action, token_id, user_id, outcome, detail, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for entry in &additions.entries {
            let content = entry.content(now);
            tail.sequence += 1;
            tail.hash = content.hash(&tail.hash, self.signer.node(), tail.sequence);
            insert.execute((
                tail.sequence,
                content.at_ms,
                content.operator,
                content.action,
                content.token,
                content.user,
                content.outcome,
                content.detail,
                &tail.hash[..],
            ))?;
            tail.unsigned_since.get_or_insert(now);
        }
        if let Some(cut) = additions.cut {
            self.cut(connection, cut, now)?;
        }
        let late = tail
            .unsigned_since
            .is_some_and(|since| now.since(since).is_none_or(|waited| waited >= self.sign_after()));
        let due = late || tail.sequence - tail.signed >= SIGN_AFTER_ROWS;
        let mut head = None;
        if (due || additions.sign) && tail.sequence > tail.signed {
            let signed = self.signer.sign(tail.sequence, tail.hash, now.as_millis());
            put_head(connection, "audit_heads", self.node, &signed)?;
            tail.signed = tail.sequence;
            tail.unsigned_since = None;
            head = Some(signed);
        } else if additions.sign {
            head = rows::newest_head(connection)?;
        }
        Ok((tail, head))
    }

    /// Finds the end of the log in the file.
    fn read_tail(&self, connection: &Connection, now: Timestamp) -> Result<Tail, StoreError> {
        let newest: Option<(i64, Vec<u8>)> = connection
            .query_row("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let nodes = rows::nodes(connection)?;
        let node = nodes.last().ok_or(StoreError::Unreadable { place: "audit_nodes" })?;
        let newest = match newest {
            Some((sequence, hash)) => Some((sequence, rows::hash_of(hash).unwrap_or_default())),
            None => rows::cut(connection)?.map(|cut| (cut.head.sequence, cut.head.hash)),
        };
        let signed: Option<i64> =
            connection.query_row("SELECT max(sequence) FROM audit_heads", [], |row| row.get(0))?;
        let signed = signed.unwrap_or(0);
        let (sequence, hash) = match newest {
            Some((sequence, hash)) if sequence >= node.first => (sequence, hash),
            before => (node.first - 1, node.beginning(before.map(|(_, hash)| hash).as_ref())),
        };
        Ok(Tail { sequence, hash, signed, unsigned_since: (sequence > signed).then_some(now) })
    }

    /// Keeps the hash of a row that will be pruned with all before it, signed.
    fn cut(&self, connection: &Connection, sequence: i64, now: Timestamp) -> Result<(), StoreError> {
        let hash: Vec<u8> =
            connection
                .query_row("SELECT hash FROM audit WHERE sequence = ?1", [sequence], |row| row.get(0))?;
        let hash = rows::hash_of(hash).ok_or(StoreError::Unreadable { place: "audit.hash" })?;
        let signed = self.signer.sign(sequence, hash, now.as_millis());
        put_head(connection, "audit_cuts", self.node, &signed)
    }
}

fn put_head(
    connection: &Connection,
    table: &'static str,
    node: i64,
    signed: &SignedHead,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO {table} (sequence, node_id, hash, at_ms, signature) VALUES (?1, ?2, ?3, ?4, ?5)"
    );
    let mut insert = connection.prepare_cached(&sql)?;
    let head = &signed.head;
    one_row(insert.execute((head.sequence, node, &head.hash[..], head.at_ms, &signed.signature[..]))?)
}
