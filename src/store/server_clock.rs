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
    /// Keeps it, in place of what was kept before.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn keep_server_clock(&self, kept: &Kept) -> Result<(), StoreError> {
        let anchor_wall = kept.anchor.map(|anchor| anchor.wall.as_millis());
        let anchor_boot =
            kept.anchor.map(|anchor| i64::try_from(anchor.boot.as_millis()).unwrap_or(i64::MAX));
        let mut put = self.connection().prepare_cached(
            "INSERT INTO server_clock (id, boot_id, anchor_wall_ms, anchor_boot_ms, newest_ms)
             VALUES (1, ?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE
             SET boot_id = ?1, anchor_wall_ms = ?2, anchor_boot_ms = ?3, newest_ms = ?4",
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

    /// When the newest rows of the log were written, since the clock was accepted last: what an admin accepts is that
    /// the times before are worth nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn newest_times(&self, accepted: &str) -> Result<Vec<Timestamp>, StoreError> {
        let mut select =
            self.connection.prepare("SELECT at_ms, action FROM audit ORDER BY sequence DESC LIMIT ?1")?;
        let mut rows = select.query([NEWEST_ROWS])?;
        let mut times = Vec::new();
        while let Some(row) = rows.next()? {
            times.push(Timestamp::from_millis(row.get(0)?));
            if row.get::<_, String>(1)? == accepted {
                break;
            }
        }
        Ok(times)
    }
}
