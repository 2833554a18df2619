//! Who writes the log: a name, a signing key, and where its chain begins.
//!
//! A file that an older version wrote has rows without hashes: these get them once, when it is first opened.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rusqlite::Connection;

use super::{Entry, Log, SIGN_AFTER_MS, rows};
use crate::audit::Signer;
use crate::audit::chain::Row;
use crate::audit::check::{Checker, Start};
use crate::otp::time::Timestamp;
use crate::store::StoreError;
use crate::store::sealing::{KeyError, Place, Vault, random};

/// Rows of one look.
const PAGE: i64 = 1000;

fn key_place(row: i64) -> Place {
    Place { column: "audit_nodes.signing_key", row }
}

/// Makes a new node that writes from now on.
pub(in crate::store) fn create(
    connection: &Connection,
    vault: &Vault,
    now: Timestamp,
) -> Result<Log, StoreError> {
    let seed = random::<32>()?;
    let signer = Signer::new(*random::<16>()?, &seed).ok_or_else(|| damaged(0))?;
    let next: i64 = connection.query_row(
        "SELECT max(coalesce((SELECT max(sequence) FROM audit), 0), coalesce((SELECT max(sequence) FROM audit_cuts), 0)) + 1",
        [],
        |row| row.get(0),
    )?;
    // The first one takes over what is there already.
    let first = if rows::nodes(connection)?.is_empty() {
        connection.query_row("SELECT coalesce(min(sequence), 1) FROM audit", [], |row| row.get(0))?
    } else {
        next
    };
    let id: i64 =
        connection.query_row("SELECT coalesce(max(id), 0) + 1 FROM audit_nodes", [], |row| row.get(0))?;
    let sealed = vault.seal(key_place(id), &seed[..])?;
    connection.execute(
        "INSERT INTO audit_nodes (id, node, first_sequence, public_key, signing_key, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (id, &signer.node()[..], first, &signer.public_key().0[..], sealed, now.as_millis()),
    )?;
    Ok(Log::new(signer, id))
}

/// Opens the log of a file, and looks whether the rows that the next head will be signed for are as they were
/// written.
pub(in crate::store) fn open(
    connection: &mut Connection,
    vault: &Vault,
    now: Timestamp,
) -> Result<Log, StoreError> {
    if rows::nodes(connection)?.is_empty() {
        let tx = connection.transaction()?;
        create(&tx, vault, now)?;
        hash_all(&tx)?;
        tx.commit()?;
    }
    let (id, node, sealed): (i64, Vec<u8>, Vec<u8>) = connection.query_row(
        "SELECT id, node, signing_key FROM audit_nodes ORDER BY id DESC LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let seed = vault.open_sealed(key_place(id), &sealed)?;
    let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| damaged(id))?;
    let node = node.try_into().map_err(|_| StoreError::Unreadable { place: "audit_nodes.node" })?;
    let signer = Signer::new(node, seed).ok_or_else(|| damaged(id))?;
    let mut log = Log::new(signer, id);
    log.check_unsigned(connection)?;
    log.tail = Some(log.read_tail(connection, now)?);
    Ok(log)
}

fn damaged(id: i64) -> StoreError {
    KeyError::DoesNotOpen { place: format!("audit_nodes.signing_key {id}") }.into()
}

/// Gives every row its hash.
fn hash_all(connection: &Connection) -> Result<(), StoreError> {
    let nodes = rows::nodes(connection)?;
    let node = nodes.last().ok_or(StoreError::Unreadable { place: "audit_nodes" })?;
    let mut previous = node.beginning(None);
    let mut put = connection.prepare("UPDATE audit SET hash = ?2 WHERE sequence = ?1")?;
    let mut after = i64::MIN;
    loop {
        let page = rows::after(connection, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.sequence;
        for row in &page {
            previous = row.content().hash(&previous, &node.id, row.sequence);
            put.execute((row.sequence, &previous[..]))?;
        }
    }
}

impl Log {
    fn new(signer: Signer, node: i64) -> Self {
        let sign_after = Arc::new(AtomicU64::new(SIGN_AFTER_MS));
        Self { signer, node, sign_after, tail: None, damage: None }
    }

    /// The rows after the newest head: at most some thousand. What is wrong before it is for `fobd audit verify`.
    fn check_unsigned(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let nodes = rows::nodes(connection)?;
        let after = match (rows::newest_head(connection)?, rows::cut(connection)?) {
            (Some(head), Some(cut)) if cut.head.sequence > head.head.sequence => Some(cut),
            (None, cut) => cut,
            (head, _) => head,
        };
        let after = after.map(|signed| (signed.head.sequence, signed.head.hash));
        let from = after.map_or(i64::MIN, |(sequence, _)| sequence);
        let mut checker = Checker::new(Start { nodes, after, cut: None }, &[], None);
        let mut last = from;
        loop {
            let page = rows::after(connection, last, PAGE)?;
            let Some(newest) = page.last() else { break };
            last = newest.sequence;
            page.iter().for_each(|row: &Row| checker.row(row));
        }
        self.damage = checker.finish().finding;
        Ok(())
    }

    /// The row by which the log says of itself that it was damaged.
    pub(in crate::store) fn damage_entry(&self) -> Option<Entry> {
        let finding = self.damage?;
        tracing::error!(%finding, "the audit log was changed by somebody else: see `fobd audit verify`");
        Some(Entry {
            operator: "(server)".to_owned(),
            action: "audit/check",
            token: None,
            user: None,
            outcome: "broken",
            detail: finding.to_string(),
        })
    }
}
