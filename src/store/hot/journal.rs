//! The decision log: what a commit has moved, in one row. At start, and after a commit that failed, what is in it is
//! written into the tables and it is emptied, in one transaction.
//!
//! A row holds, after the number 1 of this form, for each state that moved: what it is (1 user, 2 token, 3 source; 16 more
//! if it is in its table from this commit on, so that earlier rows of the log do not count), its id as a LEB128 number or
//! its name behind its length, and for a state of the log its compact form ([`super::columns`]) behind its length. Beside
//! it stands a SHA-256 over the row's number and these bytes: a damaged row stops the start instead of setting a counter
//! back. Who can write the file can write the tables of states as well; neither is proof against that.

use std::collections::BTreeMap;

use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest as _, Sha256};

use super::super::StoreError;
use super::super::hot::one_row;
use super::columns::{Key, State, put_number, take_number, unreadable};
use super::unfolded::Unfolded;
use crate::model::id::{TokenId, UserId};

const FORM: u8 = 1;
const USER: u8 = 1;
const TOKEN: u8 = 2;
const SOURCE: u8 = 3;
const SETTLED: u8 = 16;

/// What moved: the new state, or that the table has it.
pub(super) type Moves = BTreeMap<Key, Option<State>>;

fn encode(moves: &Moves) -> Vec<u8> {
    let mut bytes = vec![FORM];
    for (key, state) in moves {
        let settled = if state.is_none() { SETTLED } else { 0 };
        match key {
            Key::User(id) => {
                bytes.push(USER | settled);
                put_number(&mut bytes, u128::from(id.0.unsigned_abs()));
            }
            Key::Token(id) => {
                bytes.push(TOKEN | settled);
                put_number(&mut bytes, u128::from(id.0.unsigned_abs()));
            }
            Key::Source(name) => {
                bytes.push(SOURCE | settled);
                put_bytes(&mut bytes, name.as_bytes());
            }
        }
        if let Some(state) = state {
            put_bytes(&mut bytes, state);
        }
    }
    bytes
}

fn put_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    put_number(bytes, part.len() as u128);
    bytes.extend_from_slice(part);
}

/// Reads a row over what earlier rows said. `None` if it has another form.
fn decode(mut bytes: &[u8], moves: &mut Moves) -> Option<()> {
    if take(&mut bytes, 1)? != [FORM] {
        return None;
    }
    while !bytes.is_empty() {
        let &[kind] = take(&mut bytes, 1)? else { return None };
        let key = match kind & !SETTLED {
            USER => Key::User(UserId(take_id(&mut bytes)?)),
            TOKEN => Key::Token(TokenId(take_id(&mut bytes)?)),
            SOURCE => {
                let length = usize::try_from(take_number(&mut bytes)?).ok()?;
                Key::Source(String::from_utf8(take(&mut bytes, length)?.to_vec()).ok()?)
            }
            _ => return None,
        };
        let state = if kind & SETTLED == 0 {
            let length = usize::try_from(take_number(&mut bytes)?).ok()?;
            Some(State::from(take(&mut bytes, length)?))
        } else {
            None
        };
        moves.insert(key, state);
    }
    Some(())
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_id(bytes: &mut &[u8]) -> Option<i64> {
    i64::try_from(take_number(bytes)?).ok()
}

fn digest(sequence: i64, changes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(sequence.to_be_bytes()).chain_update(changes).finalize().into()
}

/// Appends what a commit has moved.
pub(super) fn append(connection: &Connection, sequence: i64, moves: &Moves) -> Result<(), StoreError> {
    let changes = encode(moves);
    let mut insert = connection
        .prepare_cached("INSERT INTO decision_log (sequence, changes, digest) VALUES (?1, ?2, ?3)")?;
    one_row(insert.execute((sequence, &changes, &digest(sequence, &changes)[..]))?)
}

/// Drops the rows up to one of them: their states are in the tables.
pub(super) fn drop_until(connection: &Connection, sequence: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM decision_log WHERE sequence <= ?1")?.execute([sequence])?;
    Ok(())
}

/// Writes what is in the log into the tables and empties it. Needs no key. Whoever changes the tables of states in a
/// file that no server has open, calls this first.
///
/// # Errors
/// [`StoreError::Unreadable`] if the log is damaged: nothing is changed then.
pub(in crate::store) fn recover(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Files of older programs have no log.
    if !transaction.table_exists(Some("main"), "decision_log")? {
        return Ok(());
    }
    let mut moves = Moves::new();
    {
        let mut select =
            transaction.prepare("SELECT sequence, changes, digest FROM decision_log ORDER BY sequence")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (sequence, changes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            if row.get_ref(2)?.as_blob().ok() != Some(&digest(sequence, &changes)[..]) {
                return Err(unreadable("decision_log.digest"));
            }
            decode(&changes, &mut moves).ok_or(unreadable("decision_log.changes"))?;
        }
    }
    if moves.is_empty() {
        return Ok(());
    }
    let tables = Unfolded::default();
    for (key, state) in moves.iter().filter_map(|(key, state)| Some((key, state.as_ref()?))) {
        tables.write(&transaction, key, state)?;
    }
    transaction.execute("DELETE FROM decision_log", [])?;
    transaction.commit()?;
    tracing::info!(rows = moves.len(), "what the last run had decided was written into the tables");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves() -> Moves {
        Moves::from([
            (Key::User(UserId(1)), Some(Box::from([1, 2, 3]))),
            (Key::Token(TokenId(i64::MAX)), None),
            (Key::Token(TokenId(2)), Some(Box::from([]))),
            (Key::Source("2001:db8::1".to_owned()), Some(Box::from([9]))),
        ])
    }

    #[test]
    fn moves_come_back_and_later_ones_win() {
        let mut read = Moves::from([(Key::User(UserId(1)), None), (Key::User(UserId(5)), None)]);
        decode(&encode(&moves()), &mut read).unwrap();
        let mut expected = moves();
        expected.insert(Key::User(UserId(5)), None);
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_cut_off_or_of_another_form_is_refused() {
        let bytes = encode(&moves());
        let complete: Vec<usize> = (1..bytes.len())
            .filter(|length| decode(&bytes[..*length], &mut Moves::new()).is_some())
            .collect();
        // Between two moves a row could end; the digest tells that it did not.
        assert_eq!(complete.len(), moves().len(), "{complete:?}");
        assert_eq!(decode(&[2], &mut Moves::new()), None);
        assert_eq!(decode(&[FORM, 7, 1], &mut Moves::new()), None);
    }
}
