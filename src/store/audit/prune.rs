//! Pruning: old rows go, the hash of the newest of them stays, signed.
//!
//! First one small commit keeps the cut, with its audit row; then the rows go, from the oldest on, in pieces. From the
//! first commit on nothing counts on them: what a crash leaves is taken away later.

use std::time::{Duration, Instant};

use super::rows;
use super::search::unindex;
use crate::otp::time::Timestamp;
use crate::store::{Reader, StoreError, Tx};

/// Rows of one look of the search for the cut.
const LOOK: i64 = 50_000;
/// Rows taken away between two looks at the clock.
const STEP: i64 = 20;

/// Where the search for a cut stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Rows up to here are old enough; look on behind it.
    Onward(i64),
    /// Rows up to here are old enough, and the next one is not; 0 if none is.
    Found(i64),
}

impl Reader<'_> {
    /// Looks for the newest row that has only rows before `before` up to it. Times may go back where a clock was set:
    /// the first row that is too new ends it.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn audit_cut_before(&self, before: Timestamp, after: i64) -> Result<Cut, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT sequence, at_ms FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        )?;
        let mut rows = select.query((after, LOOK))?;
        let (mut last, mut seen) = (after, 0);
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(1)? >= before.as_millis() {
                return Ok(Cut::Found(last));
            }
            last = row.get(0)?;
            seen += 1;
        }
        Ok(if seen < LOOK { Cut::Found(last) } else { Cut::Onward(last) })
    }
}

impl Tx<'_> {
    /// Gives up the rows up to this one, with the commit. They go by [`Self::sweep_audit`].
    pub fn cut_audit(&self, sequence: i64) {
        self.cut.set(self.cut.get().max(Some(sequence)));
    }

    /// Takes rows away that were given up, for as long as it may take; `true` once none is left.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn sweep_audit(&self, most: Duration) -> Result<bool, StoreError> {
        let Some(cut) = rows::cut(self.connection())? else { return Ok(true) };
        let cut = cut.head.sequence;
        let started = Instant::now();
        loop {
            let page = rows::after(self.connection(), i64::MIN, STEP)?;
            let old: Vec<_> = page.into_iter().filter(|row| row.sequence <= cut).collect();
            let Some(last) = old.last() else { return Ok(true) };
            for row in &old {
                unindex(self.connection(), row)?;
            }
            for delete in
                ["DELETE FROM audit WHERE sequence <= ?1", "DELETE FROM audit_heads WHERE sequence <= ?1"]
            {
                self.connection().prepare_cached(delete)?.execute([last.sequence])?;
            }
            if started.elapsed() >= most {
                return Ok(false);
            }
        }
    }
}
