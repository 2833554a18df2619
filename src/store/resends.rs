//! Decisions that are kept for a minute for who asks again ([`crate::otp::resend`]). They are hot rows: written in the
//! commit of their decision, or not at all.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;
use super::hot::{one_row, read_text};
use crate::model::id::{TokenId, UserId};
use crate::otp::resend::{KEPT, Kept};
use crate::otp::time::Timestamp;

/// Old ones that go with each new one, so that there are never many more than those of a minute.
const SWEPT_AT_ONCE: i64 = 16;

/// What was decided about a passcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It was accepted: whose it was.
    Accepted {
        /// The token.
        token: TokenId,
        /// Who has it.
        user: Option<UserId>,
    },
    /// It was right, but nobody is let in before the PIN was changed.
    PinChangeDue,
    /// It was not right.
    Rejected,
}

/// The words of the column.
const ACCEPTED: &str = "accepted";
const PIN_CHANGE_DUE: &str = "pin_change_due";
const REJECTED: &str = "rejected";

/// Those of a batch, by the MAC of caller and name of the request.
#[derive(Debug, Default)]
pub struct Resends {
    known: BTreeMap<[u8; 32], Kept<Decided>>,
    new: Vec<[u8; 32]>,
}

impl Resends {
    /// What was decided under that name.
    #[must_use]
    pub fn get(&self, request: &[u8; 32]) -> Option<&Kept<Decided>> {
        self.known.get(request)
    }

    /// Keeps a decision.
    pub fn keep(&mut self, request: [u8; 32], kept: Kept<Decided>) {
        self.known.insert(request, kept);
        self.new.push(request);
    }

    pub(super) fn load(&mut self, connection: &Connection, request: &[u8; 32]) -> Result<(), StoreError> {
        let mut select = connection.prepare_cached(
            "SELECT content, at_ms, token_id, user_id, decision FROM resends WHERE request = ?1",
        )?;
        let found = select.query_row([request], |row| {
            let token = row.get::<_, Option<i64>>(2)?.map(TokenId);
            let user = row.get::<_, Option<i64>>(3)?.map(UserId);
            let decision = read_text(row, 4, |word| match word {
                ACCEPTED => token.map(|token| Decided::Accepted { token, user }),
                PIN_CHANGE_DUE => Some(Decided::PinChangeDue),
                REJECTED => Some(Decided::Rejected),
                _ => None,
            })?;
            Ok(Kept { content: row.get(0)?, at: Timestamp::from_millis(row.get(1)?), decision })
        });
        self.known.extend(found.optional()?.map(|kept| (*request, kept)));
        Ok(())
    }

    /// Writes the new ones, and takes some of those away that are too old, or of a clock that ran ahead.
    pub(super) fn flush(&self, connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
        if self.new.is_empty() {
            return Ok(());
        }
        let mut put = connection.prepare_cached(
            "INSERT INTO resends (request, content, at_ms, decision, token_id, user_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (request) DO UPDATE
             SET content = ?2, at_ms = ?3, decision = ?4, token_id = ?5, user_id = ?6",
        )?;
        for request in &self.new {
            let Some(kept) = self.known.get(request) else { continue };
            let (word, token, user) = match kept.decision {
                Decided::Accepted { token, user } => (ACCEPTED, Some(token.0), user.map(|id| id.0)),
                Decided::PinChangeDue => (PIN_CHANGE_DUE, None, None),
                Decided::Rejected => (REJECTED, None, None),
            };
            one_row(put.execute((request, kept.content, kept.at.as_millis(), word, token, user))?)?;
        }
        let mut sweep = connection.prepare_cached(
            "DELETE FROM resends WHERE request IN
             (SELECT request FROM resends WHERE at_ms <= ?1 OR at_ms > ?2 LIMIT ?3)",
        )?;
        let most = SWEPT_AT_ONCE.saturating_mul(i64::try_from(self.new.len()).unwrap_or(i64::MAX));
        sweep.execute((now.saturating_sub(KEPT).as_millis(), now.saturating_add(KEPT).as_millis(), most))?;
        Ok(())
    }
}

/// Forgets all of them: after a restore the decisions that they tell of never were.
pub(super) fn forget(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("DELETE FROM resends", [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_one_sweeps_old_ones_and_those_of_a_clock_that_ran_ahead() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/0010.sql")).unwrap();
        let keep = |request: u8, secs: i64| {
            let (mut resends, now) = (Resends::default(), Timestamp::from_secs(secs));
            resends.keep([request; 32], Kept { content: [0; 32], at: now, decision: Decided::Rejected });
            resends.flush(&connection, now).unwrap();
            connection.query_row("SELECT count(*) FROM resends", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!((keep(1, 100_000), keep(2, 1_000), keep(3, 1_059)), (1, 1, 2));
        assert_eq!(keep(4, 1_060), 2, "the one of second 1000 is old");
        for request in 5..40 {
            keep(request, 1_061);
        }
        assert_eq!(keep(40, 1_200), 22, "sixteen go with each new one");
        assert_eq!((keep(41, 1_200), keep(42, 1_200)), (7, 3));
    }

    #[test]
    fn what_is_kept_is_found_again_until_it_is_forgotten() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/0010.sql")).unwrap();
        let at = Timestamp::from_secs(1_000);
        let accepted = Decided::Accepted { token: TokenId(7), user: Some(UserId(8)) };
        let of_nobody = Decided::Accepted { token: TokenId(7), user: None };
        for decision in [accepted, of_nobody, Decided::PinChangeDue, Decided::Rejected] {
            let kept = Kept { content: [5; 32], at, decision };
            let mut resends = Resends::default();
            resends.keep([1; 32], kept);
            resends.flush(&connection, at).unwrap();
            let mut again = Resends::default();
            again.load(&connection, &[1; 32]).unwrap();
            again.load(&connection, &[2; 32]).unwrap();
            assert_eq!((again.get(&[1; 32]), again.get(&[2; 32])), (Some(&kept), None));
        }
        forget(&connection).unwrap();
        let mut after = Resends::default();
        after.load(&connection, &[1; 32]).unwrap();
        assert_eq!(after.get(&[1; 32]), None);
    }
}
