//! What the server's clock is held against ([`crate::otp::server_clock`]), from one start to the next.

use std::time::Duration;

use rusqlite::OptionalExtension as _;

use super::hot::one_row;
use super::{Reader, StoreError, Tx};
use crate::otp::server_clock::{Kept, Reading};
use crate::otp::time::Timestamp;

/// So many of the newest rows of the log say when the database was written last: a clock that was set back is noticed
/// long before it has written that many.
const NEWEST_ROWS: i64 = 1000;

impl Tx<'_> {
    /// Keeps it, in place of what was kept before. The rows of the log that are there are done with: whatever they say
    /// of the time is in it already.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn keep_server_clock(&self, kept: &Kept) -> Result<(), StoreError> {
        let anchor_wall = kept.anchor.map(|anchor| anchor.wall.as_millis());
        let anchor_boot =
            kept.anchor.map(|anchor| i64::try_from(anchor.boot.as_millis()).unwrap_or(i64::MAX));
        let mut put = self.connection().prepare_cached(
            "INSERT INTO server_clock (id, boot_id, anchor_wall_ms, anchor_boot_ms, newest_ms, looked_to)
             VALUES (1, ?1, ?2, ?3, ?4, coalesce((SELECT max(sequence) FROM audit), 0))
             ON CONFLICT (id) DO UPDATE SET
               boot_id = excluded.boot_id, anchor_wall_ms = excluded.anchor_wall_ms,
               anchor_boot_ms = excluded.anchor_boot_ms, newest_ms = excluded.newest_ms,
               looked_to = excluded.looked_to",
        )?;
        one_row(put.execute((&kept.boot_id, anchor_wall, anchor_boot, kept.newest.as_millis()))?)
    }
}

impl Reader<'_> {
    /// What was kept, if anything ever was.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn server_clock(&self) -> Result<Option<Kept>, StoreError> {
        let sql = "SELECT boot_id, anchor_wall_ms, anchor_boot_ms, newest_ms FROM server_clock";
        let found = self.connection.query_row(sql, [], |row| {
            let wall: Option<i64> = row.get(1)?;
            let boot: Option<i64> = row.get(2)?;
            let anchor = wall.zip(boot).map(|(wall, boot)| Reading {
                wall: Timestamp::from_millis(wall),
                boot: Duration::from_millis(u64::try_from(boot).unwrap_or(0)),
            });
            Ok(Kept { boot_id: row.get(0)?, anchor, newest: Timestamp::from_millis(row.get(3)?) })
        });
        Ok(found.optional()?)
    }

    /// When the newest rows of the log were written, of those that were not looked at when that was kept.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn newest_times(&self) -> Result<Vec<Timestamp>, StoreError> {
        let mut select = self.connection.prepare(
            "SELECT at_ms FROM audit WHERE sequence > coalesce((SELECT looked_to FROM server_clock), 0)
             ORDER BY sequence DESC LIMIT ?1",
        )?;
        let times = select.query_map([NEWEST_ROWS], |row| Ok(Timestamp::from_millis(row.get(0)?)))?;
        Ok(times.collect::<Result<_, _>>()?)
    }
}
